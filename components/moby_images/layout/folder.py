"""A folder in the OCI image layout (image-spec, image-layout.md), which several processes may use at once.

`layout/` is the layout and nothing else, so that other tools can read it; beside it stand the lock and what is on its
way in. A blob and the index are written whole under another name and then renamed.
"""

import gzip
import hashlib
import io
import os
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from attrs import define, field, frozen

from moby.contracts.types import Digest
from moby.errors import Corrupt, Invalid
from moby.host import tree
from moby.host.locks import locked
from moby.oci import image as images
from moby.oci.digest import CHUNK_BYTES, Verified, sha256
from moby.oci.image import Descriptor, Index
from moby_images.folders.leases import lease

__all__ = ["Folder", "Ingest"]

_AGAIN = "remove the image and make or fetch it again"
_VERSION = b'{"imageLayoutVersion":"1.0.0"}'


@frozen
class Folder:
    """The layout on disk."""

    state: Path

    def prepare(self) -> None:
        """Make what is missing; doing it twice, or by two at once, is fine."""
        for each in (self._blobs, self.rootfs, self._ingest):
            each.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not (self._layout / "oci-layout").exists():
            with self.ingest() as ingest:
                ingest.put(_VERSION).replace(self._layout / "oci-layout")

    @property
    def rootfs(self) -> Path:
        """Return the folder of root file systems that are lent."""
        return self.state / "rootfs"

    @property
    def lock_file(self) -> Path:
        """Return the file whose lock orders all changes."""
        return self.state / "lock"

    @property
    def _layout(self) -> Path:
        return self.state / "layout"

    @property
    def _blobs(self) -> Path:
        return self._layout / "blobs" / "sha256"

    @property
    def _ingest(self) -> Path:
        return self.state / "ingest"

    def reading(self) -> AbstractContextManager[bool]:
        """Hold the layout as it is."""
        return locked(self.lock_file, exclusive=False)

    def changing(self) -> AbstractContextManager[bool]:
        """Hold the layout against everybody else."""
        return locked(self.lock_file, exclusive=True)

    @contextmanager
    def ingest(self) -> Iterator["Ingest"]:
        """Lend a place for new blobs; those that weren't published go when the caller leaves."""
        with lease(self._ingest, self.lock_file) as path:
            yield Ingest(path)

    def index(self) -> Index:
        """Return the index; an empty one where nothing was stored yet."""
        path = self._layout / "index.json"
        try:
            return images.parse_index(path.read_bytes())
        except FileNotFoundError:
            return Index()
        except Invalid as error:
            hint = f"remove {self.state} and make the images again"
            raise Corrupt(f"{path} is damaged: {error.message}", hint=hint) from error

    def publish(self, ingest: "Ingest", index: Index) -> None:
        """Make new blobs and the index that names them visible, in this order; only while changing."""
        for digest, path in ingest.blobs.items():
            path.replace(self._path(digest))
        ingest.put(images.dump_index(index)).replace(self._layout / "index.json")

    def sweep(self, index: Index) -> None:
        """Remove all blobs that the index doesn't lead to; only while changing. One that can't be read keeps all."""
        used: set[str] = set()
        for each in index.manifests:
            try:
                manifest = images.parse_manifest(self.read(each))
            except (Corrupt, Invalid):
                return
            used |= {each.digest.hex, manifest.config.digest.hex} | {layer.digest.hex for layer in manifest.layers}
        parent = os.open(self._blobs, tree.DIRECTORY_FLAGS)
        try:
            for path in tuple(self._blobs.iterdir()):
                if path.name not in used:
                    tree.remove(parent, path.name)
        finally:
            os.close(parent)

    def read(self, descriptor: Descriptor) -> bytes:
        """Return a small blob, verified."""
        with self.open(descriptor) as file:
            return file.read()

    def open(self, descriptor: Descriptor) -> BinaryIO:
        """Open a blob for reading; it is verified at its end."""
        path = self._path(descriptor.digest)
        try:
            file = path.open("rb", buffering=0)
        except FileNotFoundError:
            raise Corrupt(f"blob {descriptor.digest} is missing from {self.state}", hint=_AGAIN) from None
        except IsADirectoryError:
            raise Corrupt(f"blob {descriptor.digest} in {self.state} is a folder", hint=_AGAIN) from None
        return _binary(Verified(_binary(file), descriptor.digest, size_bytes=descriptor.size_bytes))

    def open_layer(self, descriptor: Descriptor, diff_id: Digest) -> BinaryIO:
        """Open a layer's uncompressed tar; both the blob and what it holds are verified at their ends."""
        blob = self.open(descriptor)
        if images.is_gzip(descriptor.media_type):
            return _binary(Verified(_binary(_Gunzipped(blob)), diff_id, what=f"layer {diff_id}"))
        if descriptor.digest != diff_id:
            blob.close()
            raise Corrupt(f"layer {descriptor.digest} isn't {diff_id}, as the image's config says it is", hint=_AGAIN)
        return blob

    def _path(self, digest: Digest) -> Path:
        return self._layout / "blobs" / digest.algorithm / digest.hex


@define
class Ingest:
    """Blobs on their way in."""

    path: Path
    blobs: dict[Digest, Path] = field(factory=dict)

    def put(self, data: bytes) -> Path:
        """Write a file that is no blob, and return its path."""
        path = self.path / f"file-{sha256(data).hex[:16]}"
        path.write_bytes(data)
        return path

    def add(self, data: bytes, media_type: str) -> Descriptor:
        """Write a small blob."""
        return self.copy(_binary(io.BytesIO(data)), media_type)

    def copy(self, source: BinaryIO, media_type: str) -> Descriptor:
        """Write a blob from a reader to its end, in chunks."""
        path = self.path / f"blob-{len(self.blobs)}"
        hashed = hashlib.sha256()
        size = 0
        with path.open("wb", buffering=0) as file:
            while chunk := source.read(CHUNK_BYTES):
                hashed.update(chunk)
                size += len(chunk)
                view = memoryview(chunk)
                while view:
                    view = view[file.write(view) :]
        digest = Digest("sha256", hashed.hexdigest())
        self.blobs[digest] = path
        return Descriptor(media_type, digest, size)


class _Gunzipped(io.RawIOBase):
    """A reader of what a gzip stream holds; Corrupt where it is none."""

    def __init__(self, source: BinaryIO) -> None:
        super().__init__()
        self._source = source
        self._file = gzip.GzipFile(fileobj=source, mode="rb")

    def read(self, size: int = -1) -> bytes:
        try:
            return self._file.read(size)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise Corrupt(f"layer is no whole gzip stream: {error}", hint=_AGAIN) from error

    def close(self) -> None:
        if not self.closed:
            with suppress(OSError):
                self._file.close()
            self._source.close()
        super().close()


def _binary(reader: io.RawIOBase | io.BytesIO) -> BinaryIO:
    """Take a raw reader for the file that it is; io's classes don't say so."""
    return reader  # type: ignore[return-value]
