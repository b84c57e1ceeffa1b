"""The images of a layout: names, ids, and the root file systems that they are lent as."""

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

from moby.contracts.images import Filters, Image, ImageConfig, Removal
from moby.contracts.types import ImageReference, Platform
from moby.errors import Conflict, Corrupt, Invalid, NotFound, Unsupported
from moby.host.refusals import host_errors
from moby.host.user_maps import keeps_owners
from moby.oci import image as images
from moby.oci import reference as references
from moby.oci.digest import CHUNK_BYTES
from moby.oci.image import Descriptor, Index, Manifest, StoredConfig
from moby.oci.unpack import Limits, Unpacking
from moby.values import evolve
from moby_images.folders.leases import lease
from moby_images.layout import names
from moby_images.layout.folder import Folder
from moby_images.layout.lacking import Lacking

__all__ = ["Layout"]


class Layout(Lacking):
    """Images in a folder in the OCI image layout; see the contract."""

    storage = "layout"

    def __init__(self, state: Path, limits: Limits | None = None) -> None:
        self._folder = Folder(state)
        self._limits = limits or Limits()

    def storage_details(self, name: str = "") -> Mapping[str, str]:
        """Return nothing: its folder is all there is."""
        if name:
            self.get(name)
        return {}

    def add(
        self, reference: ImageReference, layers: Sequence[BinaryIO], config: ImageConfig, *, created: str = ""
    ) -> Image:
        """Store an image of uncompressed layer tars, lowest first, under a name, which moves if it is taken."""
        reference = references.as_name(reference)
        with self._writing("store an image"), self._folder.ingest() as ingest:
            stored = tuple(ingest.copy(each, images.LAYER) for each in layers)
            platform = Platform.host()
            text = images.dump_config(config, platform, [each.digest for each in stored], created=created)
            manifest = images.dump_manifest(Manifest(ingest.add(text, images.CONFIG), stored))
            images.parse_config(text)
            images.parse_manifest(manifest)  # what couldn't be read back isn't stored
            descriptor = evolve(ingest.add(manifest, images.MANIFEST), platform=platform)
            with self._folder.changing():
                index = names.with_name(self._folder.index(), reference, descriptor)
                self._folder.publish(ingest, index)
                return self._image(index, descriptor)

    def get(self, name: str) -> Image:
        """Find an image by reference, id or a unique prefix of its id; NotFound lists what is there."""
        with self._reading():
            index = self._folder.index()
            return self._image(index, self._find(index, name)[0])

    def list(self, filters: Filters | None = None, *, all: bool = False) -> tuple[Image, ...]:
        """Return all images, sorted by their first reference, then id."""
        if filters:
            raise Unsupported("images/layout never filters images", hint="choose the part images/store")
        with self._reading():
            index = self._folder.index()
            found = {each.digest: self._image(index, each) for each in index.manifests}
        return tuple(sorted(found.values(), key=lambda each: ([str(r) for r in each.references[:1]] or ["~"], each.id)))

    def tag(self, name: str, reference: ImageReference) -> None:
        """Give an image one more name, which moves if it is taken."""
        reference = references.as_name(reference)
        self._change(lambda index: names.with_name(index, reference, self._find(index, name)[0]))

    def remove(
        self, name: str, *, force: bool = False, prune: bool = True, running: Collection[str] = ()
    ) -> tuple[Removal, ...]:
        """Take a name away, and with the last name the image; return what was untagged and deleted."""
        removals: list[Removal] = []

        def without(index: Index) -> Index:
            descriptor, by_name = self._find(index, name)
            held = names.of_digest(index, descriptor)
            if not by_name and len({(each.domain, each.path) for each in held}) > 1 and not force:
                raise Conflict(
                    f"conflict: unable to delete {name} (must be forced)"
                    " - image is referenced in multiple repositories",
                    hint=f"remove it by each of its names: {', '.join(references.familiar(each) for each in held)}",
                )
            untagged = [found for found in [names.name_of(descriptor)] if found] if by_name else list(held)
            removals.extend(Removal(references.familiar(each)) for each in untagged)
            if len(untagged) == len(held):
                removals.append(Removal(self._id_or_digest(descriptor), deleted=True))
            for each in untagged:
                index = names.without_name(index, names.named(index, each) or descriptor)
            return index if untagged else names.without_name(index, descriptor)

        self._change(without, sweep=True)
        return tuple(removals)

    @contextmanager
    def rootfs(self, image: Image) -> Iterator[Path]:
        """Lend a writable root file system of an image; leaving removes it. May take as long as unpacking does."""
        with ExitStack() as held:
            with self._writing("unpack an image"), self._opened(image) as layers:
                path = held.enter_context(lease(self._folder.rootfs, self._folder.lock_file)) / "rootfs"
                path.mkdir(mode=0o700)
                self._unpack(layers, path)
            yield path

    def _unpack(self, layers: Sequence[BinaryIO], path: Path) -> None:
        root_fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            unpacking = Unpacking(root_fd, keeps_owners(), self._limits)
            for each in layers:
                _apply(unpacking, each)
            unpacking.finish()
        finally:
            os.close(root_fd)

    def export_layers(self, image: Image) -> Iterator[BinaryIO]:
        """Yield the uncompressed layer tars, lowest first, each verified against its diff id while it is read."""
        with self._writing("read an image"), self._opened(image) as layers:
            yield from layers

    @contextmanager
    def _reading(self) -> Iterator[None]:
        with self._writing("read images"), self._folder.reading():
            yield

    @contextmanager
    def _writing(self, what: str) -> Iterator[None]:
        """Make the folder if it isn't there, and say what was tried where the host refuses."""
        with host_errors(what):
            self._folder.prepare()
        with host_errors(what):
            yield

    def _change(self, change: Callable[[Index], Index], *, sweep: bool = False) -> None:
        with self._writing("change images"), self._folder.ingest() as ingest, self._folder.changing():
            index = change(self._folder.index())
            self._folder.publish(ingest, index)
            if sweep:
                self._folder.sweep(index)

    @contextmanager
    def _opened(self, image: Image) -> Iterator[Sequence[BinaryIO]]:
        """Open all layers at once, so that an image that is removed meanwhile can still be read."""
        with ExitStack() as held:
            with self._folder.reading():
                index = self._folder.index()
                found = next((each for each in index.manifests if each.digest == image.digest), None)
                if found is None:
                    raise NotFound(f"image {image.id} isn't here any more", hint="make or fetch it again")
                manifest, stored = self._parsed(found)
                pairs = zip(manifest.layers, stored.diff_ids, strict=True)
                layers = [held.enter_context(self._folder.open_layer(*pair)) for pair in pairs]
            yield layers

    def _find(self, index: Index, name: str) -> tuple[Descriptor, bool]:
        """Return what a name or id means, and whether it was a name."""
        try:
            found = names.named(index, references.parse(name))
        except Invalid:
            found = None
        if found:
            return found, True
        prefix = name.removeprefix("sha256:")
        ids = {each.digest: each for each in index.manifests if prefix and self._has_id(each, prefix)}
        if len(ids) > 1:
            raise Invalid(f"{name!r} is the beginning of several image ids", hint="write more of it")
        if not ids:
            known = sorted(references.familiar(each) for each in map(names.name_of, index.manifests) if each)
            raise NotFound(f"no image {name!r} is here; {'here are ' + ', '.join(known) if known else 'none is'}")
        return next(iter(ids.values())), False

    def _has_id(self, descriptor: Descriptor, prefix: str) -> bool:
        if descriptor.digest.hex.startswith(prefix):
            return True
        try:
            return images.parse_manifest(self._folder.read(descriptor)).config.digest.hex.startswith(prefix)
        except (Corrupt, Invalid):
            return False

    def _id_or_digest(self, descriptor: Descriptor) -> str:
        """Return an image's id, or of a damaged one the digest, by which it can be removed all the same."""
        try:
            return str(images.parse_manifest(self._folder.read(descriptor)).config.digest)
        except (Corrupt, Invalid):
            return str(descriptor.digest)

    def _parsed(self, descriptor: Descriptor) -> tuple[Manifest, StoredConfig]:
        try:
            manifest = images.parse_manifest(self._folder.read(descriptor))
            stored = images.parse_config(self._folder.read(manifest.config))
            if len(manifest.layers) != len(stored.diff_ids):
                raise Invalid(f"it has {len(manifest.layers)} layers, but {len(stored.diff_ids)} diff ids")
        except (Corrupt, Invalid) as error:
            name = names.name_of(descriptor)
            shown = references.familiar(name) if name else descriptor.digest
            raise type(error)(f"image {shown} can't be used: {error.message}", hint=f"remove {shown}") from error
        return manifest, stored

    def _image(self, index: Index, descriptor: Descriptor) -> Image:
        manifest, stored = self._parsed(descriptor)
        blobs = (manifest.config, *manifest.layers)
        return Image(
            id=manifest.config.digest,
            digest=descriptor.digest,
            references=names.of_digest(index, descriptor),
            config=stored.config,
            platform=stored.platform,
            layers=stored.diff_ids,
            size_bytes=descriptor.size_bytes + sum(each.size_bytes for each in blobs),
            created=stored.created,
            raw_config=stored.raw,
            author=stored.author,
            comment=stored.comment,
            docker_version=stored.docker_version,
        )


def _apply(unpacking: Unpacking, layer: BinaryIO) -> None:
    """Unpack a layer; one that is no tar for being damaged is said to be damaged."""
    try:
        unpacking.apply(layer)
    except Invalid:
        while layer.read(CHUNK_BYTES):  # to its end, where it is verified
            pass
        raise
