"""What an image registry offers under a name: the one image that is wanted, by its documents alone."""

from moby.contracts.image_registry import Credentials, ImageRegistry
from moby.contracts.image_registry import Manifest as Fetched
from moby.contracts.images import Image
from moby.contracts.types import ImageReference, Platform
from moby.errors import Invalid, NotFound
from moby.oci import image as formats
from moby.oci import reference as references
from moby.oci.image import Descriptor, Manifest
from moby.values import evolve, frozen
from moby_images.store.choice import choose, rank
from moby_images.store.loading import checked

__all__ = ["MOST_CONFIG_BYTES", "Asked", "chosen", "describe", "missed", "parse_image"]

MOST_CONFIG_BYTES = 4 << 20
_DEEPEST_INDEX = 4
_CONFIGS = frozenset({formats.CONFIG, "application/vnd.docker.container.image.v1+json", "application/octet-stream"})


@frozen
class Asked:
    """One image that is wanted: its name, by whom, for which platform; `chosen` where somebody asked for that one."""

    reference: ImageReference
    credentials: Credentials | None
    platform: Platform
    chosen: bool

    @classmethod
    def of(cls, reference: ImageReference, credentials: Credentials | None, platform: Platform | None) -> "Asked":
        """Ask for the host's platform where none is said."""
        named = evolve(reference, tag="") if reference.digest else reference
        return cls(named, credentials, platform or Platform.host(), platform is not None)


def chosen(registry: ImageRegistry, asked: Asked, top: Fetched) -> tuple[bytes, Descriptor]:
    """Return the manifest of the one image that is wanted, of what its name means, and what describes it."""
    fetched = top
    for _ in range(_DEEPEST_INDEX):
        if not formats.is_index(fetched.media_type):
            return fetched.data, Descriptor(fetched.media_type, fetched.digest, len(fetched.data))
        inner = choose(formats.parse_index(fetched.data).manifests, asked.platform)
        if inner is None:
            raise NotFound(
                f"no matching manifest for {asked.platform} in the manifest list entries",
                hint="name a platform that it has",
            )
        fetched = registry.manifest(evolve(asked.reference, tag="", digest=inner.digest), asked.credentials)
    raise Invalid(f"{references.familiar(asked.reference)} is an index that is nested deeper than {_DEEPEST_INDEX}")


def parse_image(reference: ImageReference, data: bytes) -> Manifest:
    """Read the manifest of an image; Invalid for another artifact's."""
    manifest = formats.parse_manifest(data)
    if manifest.config.media_type not in _CONFIGS:
        raise Invalid(
            f"{references.familiar(reference)} is no image: its config is {manifest.config.media_type[:100]}",
            hint="it may be a chart or another artifact, which its own tool fetches",
        )
    return manifest


def missed(asked: Asked, platform: Platform) -> str:
    """Return what docker says where the one image that a name has is for another platform than was asked for."""
    if not asked.chosen or rank(platform, asked.platform):
        return ""
    return (
        f"image with reference {references.familiar(asked.reference)} was found but does not match the specified "
        f"platform: wanted {asked.platform}, actual: {platform}"
    )


def describe(registry: ImageRegistry, asked: Asked) -> Image:
    """Return an image by its manifest and its config, of which nothing is stored."""
    top = registry.manifest(asked.reference, asked.credentials)
    data, descriptor = chosen(registry, asked, top)
    manifest = parse_image(asked.reference, data)
    config = manifest.config
    if config.size_bytes > MOST_CONFIG_BYTES:
        raise Invalid(
            f"blob {config.digest} has {config.size_bytes} bytes; at most {MOST_CONFIG_BYTES} are allowed for a config"
        )
    text = b"".join(registry.blob(asked.reference, config.digest, config.size_bytes, asked.credentials))
    stored = checked(descriptor, manifest, text, ()).stored
    if why := missed(asked, stored.platform):
        raise NotFound(why, hint="name a platform that it has")
    return Image(
        id=config.digest, digest=descriptor.digest, references=(), config=stored.config, platform=stored.platform,
        layers=stored.diff_ids, size_bytes=sum(each.size_bytes for each in manifest.layers), created=stored.created,
        raw_config=stored.raw, digests=(evolve(asked.reference, tag="", digest=top.digest),), author=stored.author,
        comment=stored.comment, docker_version=stored.docker_version,
    )  # fmt: skip
