"""Archives of images as they come: a tar that can't be read twice, its files kept as blobs by path."""

import posixpath
from collections.abc import Iterator
from typing import Any, BinaryIO

from attrs import define, field

from moby.contracts.content import Blob, Content, Lease
from moby.contracts.types import Digest
from moby.errors import Corrupt, Invalid, NotFound
from moby.oci import compression, layer
from moby.oci import digest as digests
from moby.oci.layer import EntryType
from moby.oci.unpack import Limits

__all__ = ["Archive", "begun"]

_LONGEST_DOCUMENT = 4 << 20
_MOST_LINKS = 10
_TELL_BYTES = 4 << 20
_UNREAD = ("/VERSION",)
_BLOCK_BYTES = 512


def begun(source: BinaryIO) -> BinaryIO:
    """Return a tar, to be read from its beginning; Invalid, in Docker's words, for what doesn't begin as one."""
    found: Any = compression.Rewound(source, _BLOCK_BYTES)
    if 0 < len(found.head) < _BLOCK_BYTES:
        raise Invalid("unexpected EOF", hint=f"this is no tar archive: it ends after {len(found.head)} bytes")
    if not layer.is_header(found.head):
        raise Invalid("archive/tar: invalid tar header", hint="this is no tar archive, or a damaged one")
    return found  # type: ignore[no-any-return]


@define
class Archive:
    """The files of an archive; `lease` keeps their blobs while it is used."""

    content: Content
    lease: Lease
    ref: str
    """Of the ingests; nobody else's."""
    limits: Limits = field(factory=Limits)
    blobs: dict[str, Blob] = field(factory=dict, init=False)
    _links: dict[str, str] = field(factory=dict, init=False)

    def read(self, stream: BinaryIO) -> Iterator[tuple[str, int, int]]:
        """Read a stream to its end; yield now and then the path of a large file, what came of it, and its size.

        Invalid where it is no tar or too much; Corrupt where a file isn't what its name's digest says.
        """
        tar = begun(compression.plain(stream))
        try:
            yield from self._read(tar)
        except Invalid as error:
            raise Invalid(f"the archive can't be read: {error.message}", hint=error.hint) from error

    def _read(self, tar: BinaryIO) -> Iterator[tuple[str, int, int]]:
        total = count = 0
        for entry, content in layer.read(tar):
            total, count = total + entry.size_bytes, count + 1
            if total > self.limits.bytes or count > self.limits.entries:
                raise Invalid(f"the archive has more than {self.limits.bytes} bytes or {self.limits.entries} files")
            path = entry.path
            if entry.type in (EntryType.SYMLINK, EntryType.HARDLINK):
                above = posixpath.dirname(path) if entry.type is EntryType.SYMLINK else ""
                self._links[path] = posixpath.normpath(posixpath.join(above, entry.link))
            elif entry.type is EntryType.FILE and not path.endswith(_UNREAD):
                yield from self._keep(path, entry.size_bytes, content)

    def _keep(self, path: str, size_bytes: int, content: layer.Content) -> Iterator[tuple[str, int, int]]:
        told = 0
        with self.content.writer(self.ref, self.lease) as writer:
            try:
                for chunk in content:
                    writer.write(chunk)
                    if writer.offset_bytes - told >= _TELL_BYTES:
                        told = writer.offset_bytes
                        yield path, told, size_bytes
                expected = _expected(path)
                same = expected is not None and expected.algorithm == "sha256"
                self.blobs[path] = writer.commit(expected if same else None, size_bytes=size_bytes)
            except Corrupt as error:
                raise Corrupt(f"{path} in the archive is damaged: {error.message}", hint=error.hint) from error
            except BaseException:
                writer.abort()
                raise

    def blob(self, path: str) -> Blob:
        """Return the blob of a path, links followed; Invalid where the archive has none."""
        path = posixpath.normpath(path)
        for _ in range(_MOST_LINKS):
            if path in self.blobs:
                return self.blobs[path]
            if path not in self._links:
                break
            path = self._links[path]
        raise Invalid(f"the archive has no file {path[:200]!r}", hint="save the image again")

    def has(self, path: str) -> bool:
        """Whether the archive has a file."""
        return path in self.blobs or path in self._links

    def find(self, digest: Digest) -> Blob | None:
        """Return a blob by its digest: of the archive, or one that is here already, which is kept then."""
        for each in self.blobs.values():
            if each.digest == digest:
                return each
        if self.lease.hold(digest):
            try:
                return self.content.info(digest)
            except NotFound:
                return None
        return None

    def document(self, path: str) -> bytes:
        """Return a small file."""
        return self.data(self.blob(path), path)

    def data(self, blob: Blob, what: str) -> bytes:
        """Return a small blob; Invalid for a large one."""
        if blob.size_bytes > _LONGEST_DOCUMENT:
            raise Invalid(f"{what} has {blob.size_bytes} bytes; at most {_LONGEST_DOCUMENT} are allowed")
        with self.content.open(blob.digest, size_bytes=blob.size_bytes) as file:
            return file.read()

    def head(self, blob: Blob) -> bytes:
        """Return a blob's first bytes, which tell how it is compressed."""
        with self.content.open(blob.digest) as file:
            return file.read(8)


def _expected(path: str) -> Digest | None:
    """Return the digest that a path in an OCI layout names."""
    parts = path.split("/")
    if len(parts) == 3 and parts[0] == "blobs":
        try:
            return digests.parse(f"{parts[1]}:{parts[2]}")
        except Invalid as error:
            raise Invalid(f"{path[:200]!r} in the archive: {error.message}") from error
    return None
