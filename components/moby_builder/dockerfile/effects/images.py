"""Images as sources: found in the engine, or known by their documents and fetched once their files are wanted."""

from contextlib import suppress

from attrs import frozen

from moby.contracts.builder import Session
from moby.contracts.image_registry import Credentials
from moby.contracts.images import Image, Images
from moby.contracts.images import Progress as Told
from moby.contracts.types import ImageReference, Platform
from moby.errors import NotFound
from moby.oci.reference import familiar
from moby_builder.dockerfile.operations import ImageSource
from moby_builder.dockerfile.solver.effects import Watch

__all__ = ["Base", "bring", "find", "fits"]

_GOING = ("Downloading", "Extracting")
_DONE = {"Download complete": "downloading", "Pull complete": "extracting"}


@frozen
class Base:
    """An image that a reference names; with who may fetch it, where it isn't here."""

    source: ImageSource
    image: Image
    is_here: bool = True
    credentials: Credentials | None = None


def find(images: Images, source: ImageSource, session: Session, watch: Watch) -> Base:
    """Return the image that a reference names for a platform; asked for where it isn't here, or a newer one is wanted.

    NotFound where there is none; else whatever an image registry raises.
    """
    reference = source.reference
    if not source.pull or reference.digest is not None:
        with suppress(NotFound):
            found = images.get(str(reference))
            if fits(found.platform, source.platform):
                return Base(source, found)
    watch.cancel.check()
    credentials = _credentials(session, reference)
    described = images.describe(reference, credentials, platform=source.platform)
    return Base(source, described, is_here=False, credentials=credentials)


def bring(images: Images, base: Base, watch: Watch) -> Image:
    """Return an image that is here, fetched if need be: the very one that was found, whatever its tag means now."""
    if base.is_here:
        return base.image
    reference, [pinned] = base.source.reference, base.image.digests
    with suppress(NotFound):
        found = images.get(str(pinned))
        if found.id == base.image.id:
            return _named(images, pinned, reference)
    try:
        for told in images.pull(pinned, base.credentials, platform=base.source.platform):
            watch.cancel.check()
            _tell(told, watch)
    except NotFound as error:
        text = f"{familiar(reference)}: failed to resolve source metadata for {reference}: {error.message}"
        raise NotFound(text, hint=error.hint) from error
    return _named(images, pinned, reference)


def _named(images: Images, pinned: ImageReference, reference: ImageReference) -> Image:
    """Give an image the name that it was asked for by, where that isn't its digest."""
    if reference.digest is None:
        images.tag(str(pinned), reference)
    return images.get(str(pinned))


def fits(platform: Platform, wanted: Platform) -> bool:
    """Whether what was made for one platform is what is wanted for another: a variant counts where both name one."""
    if (platform.os, platform.architecture) != (wanted.os, wanted.architecture):
        return False
    return platform.variant == wanted.variant or not platform.variant or not wanted.variant


def _credentials(session: Session, reference: ImageReference) -> Credentials | None:
    with suppress(NotFound):
        return session.credentials(reference.domain)
    return None


def _tell(told: Told, watch: Watch) -> None:
    """Pass on what goes on with layers: that they come, and that they are unpacked."""
    if told.status in _GOING:
        watch.progress(f"{told.status.lower()} {told.id}", told.current, told.total)
    elif told.status in _DONE:
        watch.progress(f"{_DONE[told.status]} {told.id}", done=True)
