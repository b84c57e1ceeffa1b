"""Layers: tar archives read from anybody and written reproducibly (image-spec, layer.md; POSIX pax, ustar; GNU tar).

The reader returns entries or raises Invalid; it holds one header and one chunk in memory, whatever it is given.
"""

import io
import re
import zlib
from collections.abc import Generator, Iterable, Iterator, Mapping
from enum import Enum
from functools import lru_cache
from itertools import chain
from typing import BinaryIO

from moby.errors import Conflict, Invalid
from moby.oci import sparse
from moby.oci.digest import CHUNK_BYTES
from moby.values import field, frozen

__all__ = ["READY", "Content", "EntryType", "LayerEntry", "is_header", "read", "ready", "stream", "write"]

_BLOCK = 512
_COPIED = 1 << 15
"""Below so many bytes a copy is cheaper than a view."""
_LONGEST_HEADER = 1 << 20
"""Of one pax or GNU extension header; what real layers hold is below 64 KiB (ACLs, capabilities)."""
_LONGEST_PATH = 4095
_LONGEST_NAME = 255
_LONGEST_NUMBER = 20
_MAX = (1 << 63) - 1
_XATTR = "SCHILY.xattr."
_END = bytes(_BLOCK)
_MAGIC = b"ustar\x0000" + bytes(64)
_REST = bytes(_BLOCK - 345)
_STREAM_BYTES = 256 << 10
_OCTAL = {"uid": 1 << 21, "gid": 1 << 21, "size": 1 << 33}
"""What a ustar header's digits can't hold any more."""


class EntryType(Enum):
    """What an entry is, by its ustar type flag."""

    FILE = b"0"
    HARDLINK = b"1"
    SYMLINK = b"2"
    CHARACTER = b"3"
    BLOCK = b"4"
    DIRECTORY = b"5"
    FIFO = b"6"


_DEVICES = (EntryType.CHARACTER, EntryType.BLOCK)
_TYPES = {each.value: each for each in EntryType} | dict.fromkeys((b"\0", b"7", b"S"), EntryType.FILE)
_NO_NAMES = ("", ".", "..")
_PIECES = (b"GNU.sparse.offset", b"GNU.sparse.numbytes")


@frozen
class LayerEntry:
    """One entry of a layer. Text is as `os.fsdecode` gives it, so that any bytes survive."""

    path: str
    """Relative to the root, normal, never with `..`; empty is the root itself."""
    type: EntryType = EntryType.FILE
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    size_bytes: int = 0
    mtime_ns: int = 0
    link: str = ""
    """A symlink's text as it stands; a hard link's target, as `path`."""
    device: tuple[int, int] = (0, 0)
    """Major and minor number."""
    xattrs: Mapping[str, bytes] = field(factory=dict)


READY = LayerEntry("")
"""Stands, for `stream`, in the place of an entry of which not only the content is at hand."""


class _Cursor:
    """A source read in large chunks, and given out in the sizes that a tar has."""

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self._chunk: bytes | memoryview = b""
        self._start = 0

    def part(self, most: int) -> bytes | memoryview:
        """Return some of the next bytes, without a copy where that pays; empty at the end."""
        start = self._start
        if start >= len(self._chunk):
            self._chunk, start = self._source.read(CHUNK_BYTES), 0
        self._start = start + most
        if most < _COPIED:
            return self._chunk[start : self._start]
        if not start and most >= len(self._chunk):
            return self._chunk
        return memoryview(self._chunk)[start : self._start]

    def exactly(self, size: int, what: str, *, at_end: bool = False) -> bytes:
        """Return so many bytes; Invalid where there are fewer, but for none `at_end`."""
        start = self._start
        if start + size <= len(self._chunk):
            self._start = start + size
            return bytes(self._chunk[start : self._start])  # which copies none but a view's
        parts: list[bytes | memoryview] = []
        left = size
        while left:
            part = self.part(left)
            if not part:
                if at_end and not parts:
                    return b""
                raise Invalid(f"layer ends inside {what}")
            parts.append(part)
            left -= len(part)
        return b"".join(parts)

    def drain(self) -> None:
        """Read to the end."""
        while self._source.read(CHUNK_BYTES):
            pass


class Content:
    """The bytes of one entry, to be read before the next entry is asked for; iterating gives chunks."""

    def __init__(self, source: _Cursor, path: str, size_bytes: int) -> None:
        self._source = source
        self._path = path
        self._left = size_bytes
        self._padding = -size_bytes % _BLOCK

    def __iter__(self) -> Iterator[bytes | memoryview]:
        if not self._left:
            return iter(())
        first = (self.take(self._left),)
        return chain(first, self._rest()) if self._left else iter(first)

    def _rest(self) -> Iterator[bytes | memoryview]:
        while self._left:
            yield self.take(self._left)

    def take(self, most: int) -> bytes | memoryview:
        """Return some of the next bytes."""
        chunk = self._source.part(min(most, self._left))
        if not chunk:
            raise Invalid(f"layer ends inside {self._path!r}")
        self._left -= len(chunk)
        return chunk

    def line(self) -> bytes:
        """Return the next line of text, without its end."""
        text = b""
        while not text.endswith(b"\n"):
            if len(text) > _LONGEST_NUMBER or not self._left:
                raise Invalid(f"layer has a damaged map before the bytes of {self._path!r}")
            text += self._source.exactly(1, "a map")
            self._left -= 1
        return text[:-1]

    def finish(self) -> None:
        """Pass over what wasn't read, and the padding after it, which docker's client leaves out of the last one."""
        while self._left:
            self.take(self._left)
        if self._padding:
            self._source.exactly(self._padding, "padding", at_end=True)
            self._padding = 0


class _Sparse(Content):
    """The bytes of an entry that has holes, which are read as zeros."""

    def __init__(self, source: _Cursor, entry: LayerEntry, stored_bytes: int, extended: Mapping[str, bytes]) -> None:
        super().__init__(source, entry.path, stored_bytes)
        self._size_bytes = entry.size_bytes
        if sparse.MAP in extended:
            extents = sparse.of_map(extended[sparse.MAP])
        else:
            extents = sparse.of_data(extended, self.line)
            source.exactly(-(stored_bytes - self._left) % _BLOCK, "padding")
            self._left -= -(stored_bytes - self._left) % _BLOCK
        self._extents = sparse.checked(extents, entry.size_bytes, self._left)

    def __iter__(self) -> Iterator[bytes | memoryview]:
        return sparse.spread(self.take, self._extents, self._size_bytes)


def read(source: BinaryIO) -> Iterator[tuple[LayerEntry, Content]]:
    """Yield a layer's entries with their bytes; Invalid where it is no tar, or an entry is out of bounds.

    Reads the source to its end, so that a digest over it is whole; it may give views, which have to last as long as
    what is made of them. Sparse files have their holes filled with zeros.
    Multi-volume archives, which no image builder writes, are Invalid too.
    """
    shared: dict[str, bytes] = {}
    cursor = _Cursor(source)
    while (block := cursor.exactly(_BLOCK, "a header", at_end=True)) and block != _END:
        if (plain := None if shared else _plain(block)) is not None:
            content = Content(cursor, plain.path, plain.size_bytes)
            yield plain, content
            content.finish()
            continue
        extended = shared.copy()
        while (flag := _checked(block)[156:157]) in b"xgLK":
            size = _number(block[124:136], "size")
            if size > _LONGEST_HEADER:
                raise Invalid(f"layer has an extension header of {size} bytes; at most {_LONGEST_HEADER} are allowed")
            body = cursor.exactly(size, "an extension header")
            cursor.exactly(-size % _BLOCK, "padding")
            if flag in b"xg":
                records = _pax(body)
                extended |= records
                if flag == b"g":
                    shared |= records
            else:
                extended["path" if flag == b"L" else "linkpath"] = body.partition(b"\0")[0]
            block = cursor.exactly(_BLOCK, "a header")
        if flag == b"S":
            extended |= _old_sparse(block, cursor)
        entry = _entry(block, extended)
        if extended and entry.type is EntryType.FILE and _is_sparse(extended):
            content = _Sparse(cursor, entry, _decimal(extended, "size", block[124:136]), extended)
        else:
            content = Content(cursor, entry.path, entry.size_bytes)
        yield entry, content
        content.finish()
    cursor.drain()


def _plain(block: bytes) -> LayerEntry | None:
    """Return the entry of a file of which a sound header says all, as most are; None for what takes a closer look."""
    rest, size = _of_plain(block[156:]), _digits(block[124:136])
    if rest < 0 or size < 0 or _stated(block[148:156]) != rest + _sum(block[:148]) + _sum(block[148:156]):
        return None
    above, slash, name = block[:100].partition(b"\0")[0].decode("utf-8", "surrogateescape").rpartition("/")
    if name in _NO_NAMES or ".." in above:
        return None
    path = _normal_folder(above) + name if slash else name
    mode, uid, gid = _owned(block[100:124])
    return LayerEntry(path, EntryType.FILE, mode, uid, gid, size, _dated(block[136:148]), "", (0, 0), {})


@lru_cache(256)
def _of_plain(rest: bytes) -> int:
    """Return the sum of what follows a header's checksum, if that says no more than that it is a file; else -1."""
    is_file = _TYPES.get(rest[:1]) is EntryType.FILE and rest[:1] != b"S"
    return _sum(rest[:256]) + _sum(rest[256:]) if is_file and not any(rest[189:344]) else -1


def _digits(field: bytes) -> int:
    """Return a number that is all octal digits but for its end; -1 for one that is written in another way."""
    text = field[:-1]
    try:
        return int(text, 8) if text.isdigit() and field[-1] in b"\0 " else -1
    except ValueError:
        return -1


@lru_cache(256)
def _normal_folder(path: str) -> str:
    """Return a path that others begin with, normal, with a slash where it isn't the root."""
    return f"{_normal(path, 'layer entry')}/".lstrip("/")


@lru_cache(1024)
def _dated(field: bytes) -> int:
    return _mtime(None, field)


def is_header(block: bytes) -> bool:
    """Say whether a tar may begin so: with a header, or with its end."""
    try:
        return not block.strip(b"\0") or bool(_checked(block))
    except Invalid:
        return False


def _checked(block: bytes) -> bytes:
    """Check a header's checksum: the sum of its bytes, its own field as spaces."""
    if _stated(block[148:156]) != _sum(block[:256]) + _sum(block[256:]):
        raise Invalid("layer is no tar archive, or damaged: a header's checksum is wrong")
    return block


@lru_cache(4096)
def _stated(field: bytes) -> int:
    """Return what all of a header must sum up to, by the checksum that it states."""
    return _number(field, "checksum") + sum(field) - 8 * 32


def _number(text: bytes, what: str) -> int:
    """Read octal digits, or GNU's base 256 with the top bit set."""
    digits = text[:-1]
    if digits.isdigit() and text[-1] in b"\0 ":
        try:
            return int(digits, 8)
        except ValueError:
            pass
    if text[0] & 0x80:
        number = int.from_bytes(text, "big", signed=False) - (0x80 << 8 * (len(text) - 1))
    else:
        digits = text.partition(b"\0")[0].strip(b" ") or b"0"
        try:
            number = int(digits, 8) if digits.isdigit() else -1
        except ValueError:
            number = -1
        if number < 0:
            raise Invalid(f"layer has a header with a {what} that is no number")
    if number > _MAX:
        raise Invalid(f"layer has a header with a {what} out of range")
    return number


_repeated = lru_cache(256)(_number)
"""The same for what most entries have in common."""


@lru_cache(256)
def _owned(fields: bytes) -> tuple[int, int, int]:
    """Return mode, owner and group, of fields that follow each other."""
    return _number(fields[:8], "mode") & 0o7777, _number(fields[8:16], "uid"), _number(fields[16:], "gid")


def _pax(body: bytes) -> dict[str, bytes]:
    """Read the records of a pax header: `LENGTH KEY=VALUE\\n`."""
    records: dict[str, bytes] = {}
    start = 0
    while start < len(body):
        digits, space, _ = body[start : start + 21].partition(b" ")
        end = start + int(digits) if space and re.fullmatch(rb"[0-9]{1,20}", digits) else 0
        record = body[start + len(digits) + 1 : end]
        key, equals, value = record[:-1].partition(b"=")
        if not start < end <= len(body) or record[-1:] != b"\n" or not equals:
            raise Invalid("layer has a damaged pax header")
        if key in _PIECES:  # the one key that may stand several times
            records[sparse.MAP] = records[sparse.MAP] + b"," + value if sparse.MAP in records else value
        elif value:  # an empty one takes a record back, which leaves the header's own
            records[key.decode("utf-8", "surrogateescape")] = value
        start = end
    return records


def _old_sparse(block: bytes, cursor: _Cursor) -> dict[str, bytes]:
    """Return the map of a header of GNU's older format, and of the blocks after it, as a pax header would say it."""
    extents = sparse.old(block, _number, first=True)
    size = _number(block[483:495], "size")
    more = sparse.is_continued(block, extents, first=True)
    while more:
        following = cursor.exactly(_BLOCK, "a map")
        extents += sparse.old(following, _number, first=False)
        more = sparse.is_continued(following, extents, first=False)
    pieces = (b"%d,%d" % each for each in extents)
    return {sparse.MAP: b",".join(pieces), sparse.PREFIX + "size": b"%d" % size}


def _is_sparse(extended: Mapping[str, bytes]) -> bool:
    return any(key.startswith(sparse.PREFIX) for key in extended)


def _real_size(extended: Mapping[str, bytes], plain: bytes) -> int:
    """Return how long a file is, its holes included."""
    for key in ("realsize", "size"):
        if sparse.PREFIX + key in extended:
            return _decimal(extended, sparse.PREFIX + key, b"0")
    if _is_sparse(extended):
        raise Invalid("layer has a sparse entry that doesn't say how long it is")
    return _decimal(extended, "size", plain)


def _entry(block: bytes, extended: Mapping[str, bytes]) -> LayerEntry:
    """Put one entry together from its header and what extension headers say over it."""
    flag = block[156:157]
    path = _text(extended.get(sparse.PREFIX + "name") or extended.get("path"), _ustar_path(block))
    if flag in b"MVD":
        raise Invalid(f"layer entry {path!r} spans volumes, which isn't read here")
    kind = _TYPES.get(flag)
    if kind is None:
        raise Invalid(f"layer entry {path!r} has the unknown type {flag!r}")
    if kind is EntryType.FILE and path.endswith("/"):
        kind = EntryType.DIRECTORY  # as tar wrote folders before ustar
    size = 0
    if kind is EntryType.FILE:
        size = _real_size(extended, block[124:136]) if extended else _number(block[124:136], "size")
    if kind is EntryType.FILE and not extended:  # which most entries are
        mode, uid, gid = _owned(block[100:124])
        return LayerEntry(
            _normal(path, "layer entry"), kind, mode, uid, gid, size, _mtime(None, block[136:148]), "", (0, 0), {}
        )
    link = _text(extended.get("linkpath"), block[157:257].partition(b"\0")[0])
    return LayerEntry(  # by position, which takes half as long
        _normal(path, "layer entry"),
        kind,
        _repeated(block[100:108], "mode") & 0o7777,
        _decimal(extended, "uid", block[108:116]),
        _decimal(extended, "gid", block[116:124]),
        size,
        _mtime(extended.get("mtime"), block[136:148]),
        _linked(kind, path, link),
        (_number(block[329:337], "device"), _number(block[337:345], "device")) if kind in _DEVICES else (0, 0),
        {key[len(_XATTR) :]: value for key, value in extended.items() if key.startswith(_XATTR)},
    )


def _ustar_path(block: bytes) -> bytes:
    name = block[:100].partition(b"\0")[0]
    prefix = block[345:500].partition(b"\0")[0] if block[257:263] == b"ustar\0" else b""
    return prefix + b"/" + name if prefix else name


def _text(over: bytes | None, plain: bytes) -> str:
    return (plain if over is None else over).decode("utf-8", "surrogateescape")


def _normal(path: str, what: str) -> str:
    """Return a path relative to the root, as every reader of layers takes it; Invalid where it would lead out."""
    parts = path.split("/")
    if "" in parts or "." in parts:
        parts = [part for part in parts if part not in ("", ".")]
    if ".." in parts:
        raise Invalid(f"{what} {path[:200]!r} leads out of the layer by ..")
    if (
        "\0" in path
        or len(path) > _LONGEST_PATH
        or (len(path) > _LONGEST_NAME and max(map(len, parts)) > _LONGEST_NAME)
    ):
        raise Invalid(f"{what} {path[:40]!r} is no path that Linux could hold")
    return "/".join(parts)


def _linked(kind: EntryType, path: str, link: str) -> str:
    if kind is EntryType.HARDLINK:
        return _normal(link, f"hard link {path!r} to")
    if kind is EntryType.SYMLINK:
        if not link or "\0" in link or len(link) > _LONGEST_PATH:
            raise Invalid(f"symbolic link {path!r} points to nothing that Linux could hold")
        return link
    return ""


def _decimal(extended: Mapping[str, bytes], key: str, plain: bytes) -> int:
    text = extended.get(key)
    if text is None:
        return _repeated(plain, key)
    if not re.fullmatch(rb"[0-9]{1,19}", text) or int(text) > _MAX:
        raise Invalid(f"layer has a pax header with a {key} that is no number")
    return int(text)


def _mtime(text: bytes | None, plain: bytes) -> int:
    """Return nanoseconds; what the kernel's clock can't hold is brought into its range."""
    if text is None:
        seconds, nanoseconds = 0 if plain[0] == 0xFF else _number(plain, "time"), 0
    else:
        found = re.fullmatch(rb"(-?[0-9]{1,19})(?:\.([0-9]{1,30}))?", text)
        if not found:
            raise Invalid("layer has a pax header with a time that is no number")
        seconds = int(found[1])
        nanoseconds = int((found[2] or b"").ljust(9, b"0")[:9])
    return max(0, min(seconds, (1 << 33) - 1)) * 1_000_000_000 + nanoseconds


class _Chunks(io.RawIOBase):
    """A reader over an iterator of bytes."""

    def __init__(self, chunks: Iterator[bytes | memoryview]) -> None:
        super().__init__()
        self._chunks = chunks
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # typeshed's type isn't importable
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._rest = memoryview(chunk)
        size = min(len(buffer), len(self._rest))
        buffer[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size


def write(entries: Iterable[tuple[LayerEntry, Iterable[bytes | memoryview]]]) -> BinaryIO:
    """Return a reader of the layer that holds the entries, in their order; the same entries give the same bytes.

    Content is asked for as the reader gets there; Conflict where it isn't as long as its entry says.
    """
    return io.BufferedReader(_Chunks(chain.from_iterable(_written(entries))), CHUNK_BYTES)


def stream(entries: Iterable[tuple[LayerEntry, Iterable[bytes | memoryview]]]) -> Generator[bytes, None, None]:
    """Yield the same bytes in chunks of some 256 KiB, which takes fewer copies of them than a reader.

    What content yields has to stay as it is for a while. That of READY is as `ready` made it.
    """
    parts: list[bytes | memoryview] = []
    size = 0
    for entry, content in entries:
        if entry is READY:
            parts += content
            size += _BLOCK + len(parts[-2])
        else:
            for pieces in _pieces(entry, content):
                parts += pieces
                size += sum(map(len, pieces))
                if size >= _STREAM_BYTES:
                    yield b"".join(parts)
                    parts, size = [], 0
        if size >= _STREAM_BYTES:
            yield b"".join(parts)
            parts, size = [], 0
    yield b"".join((*parts, _END * 2))


def ready(path: str, mode: int, owner: tuple[int, int], mtime_ns: int, data: bytes) -> tuple[bytes, ...]:
    """Return a file as it stands in a layer, where a ustar header holds all of it, as it does of most; else nothing."""
    name = path.encode("utf-8", "surrogateescape")
    header = _file_header(name, mode, owner, mtime_ns, len(data))
    return (header, data, _END[: -len(data) % _BLOCK]) if header else ()


def _written(
    entries: Iterable[tuple[LayerEntry, Iterable[bytes | memoryview]]],
) -> Iterator[tuple[bytes | memoryview, ...]]:
    for entry, content in entries:
        yield from _pieces(entry, content)
    yield (_END * 2,)


def _pieces(entry: LayerEntry, content: Iterable[bytes | memoryview]) -> Iterator[tuple[bytes | memoryview, ...]]:
    left = entry.size_bytes
    padding = _END[: -left % _BLOCK]
    if isinstance(content, tuple) and len(content) < 2:  # it is all here
        if left != sum(map(len, content)):
            raise _changed(entry)
        yield (_headers(entry), *content, padding)
        return
    yield (_headers(entry),)
    for chunk in content:
        left -= len(chunk)
        if left < 0:
            break
        yield (chunk,)
    if left:
        raise _changed(entry)
    yield (padding,)


def _changed(entry: LayerEntry) -> Conflict:
    return Conflict(f"{entry.path!r} changed its size while it was read", hint="try again")


def _headers(entry: LayerEntry) -> bytes:
    """Return a ustar header, with a pax header before it for what doesn't fit."""
    path = entry.path.encode("utf-8", "surrogateescape")
    if entry.type is EntryType.FILE and not entry.xattrs:
        header = _file_header(path, entry.mode, (entry.uid, entry.gid), entry.mtime_ns, entry.size_bytes)
        if header:
            return header
    if entry.type is EntryType.DIRECTORY:
        path = (path or b".").rstrip(b"/") + b"/"  # the root is no absolute path, unless it is to be one
    link = entry.link.encode("utf-8", "surrogateescape")
    records: dict[str, bytes] = {_XATTR + key: value for key, value in entry.xattrs.items()} if entry.xattrs else {}
    if len(path) > 100 or not path.isascii():
        records["path"] = path
    if len(link) > 100 or not link.isascii():
        records["linkpath"] = link
    if nanoseconds := entry.mtime_ns % 1_000_000_000:
        records["mtime"] = f"{entry.mtime_ns // 1_000_000_000}.{nanoseconds:09}".encode()
    if entry.uid >= _OCTAL["uid"] or entry.gid >= _OCTAL["gid"] or entry.size_bytes >= _OCTAL["size"]:
        for key, value in (("uid", entry.uid), ("gid", entry.gid), ("size", entry.size_bytes)):
            if value >= _OCTAL[key]:
                records[key] = b"%d" % value
    header = _header(entry, path[:100], link[:100], entry.type.value)
    if not records:
        return header
    body = b"".join(_record(key, records[key]) for key in sorted(records))
    return _pax_header(len(body)) + body + bytes(-len(body) % _BLOCK) + header


def _file_header(path: bytes, mode: int, owner: tuple[int, int], mtime_ns: int, size_bytes: int) -> bytes:
    """Return the ustar header of a file, where that holds all; else nothing."""
    seconds, nanoseconds = divmod(mtime_ns, 1_000_000_000)
    if nanoseconds or len(path) > 100 or size_bytes >= _OCTAL["size"] or not path.isascii():
        return b""
    shared = _shared(mode, owner, seconds)
    if shared is None:
        return b""
    who, time, rest, total = shared
    size = b"%011o\0" % size_bytes
    checksum = b"%06o\0 " % (total + _sum(path) + _sum(size))
    return b"".join((path.ljust(100, b"\0"), who, size, time, checksum, rest))


@lru_cache(maxsize=256)
def _shared(mode: int, owner: tuple[int, int], seconds: int) -> tuple[bytes, bytes, bytes, int] | None:
    """Return what headers of files have in common, and what it adds to a checksum; None where they don't hold it."""
    if max(owner) >= _OCTAL["uid"]:
        return None
    who, who_sum = _owner(mode, *owner)
    time, time_sum = _time(seconds)
    rest, rest_sum = _rest(b"0", b"", (0, 0))
    return who, time, rest, who_sum + time_sum + rest_sum + 8 * 32


@lru_cache(maxsize=64)
def _pax_header(size_bytes: int) -> bytes:
    return _header(LayerEntry("pax", size_bytes=size_bytes), b"pax", b"", b"x")


def _record(key: str, value: bytes) -> bytes:
    rest = b" " + key.encode("utf-8", "surrogateescape") + b"=" + value + b"\n"
    length = len(rest)
    while len(str(length)) + len(rest) != length:
        length = len(str(length)) + len(rest)
    return b"%d" % length + rest


def _header(entry: LayerEntry, path: bytes, link: bytes, flag: bytes) -> bytes:
    size = b"%011o\0" % (entry.size_bytes % _OCTAL["size"])
    owner, owner_sum = _owner(entry.mode, entry.uid, entry.gid)
    time, time_sum = _time(entry.mtime_ns // 1_000_000_000)
    rest, rest_sum = _rest(flag, link, entry.device)
    # Of what isn't zero, which most of a header is; its own field counts as spaces.
    checksum = _sum(path) + _sum(size) + owner_sum + time_sum + rest_sum + 8 * 32
    return b"".join((path.ljust(100, b"\0"), owner, size, time, b"%06o\0 " % checksum, rest))


def _sum(text: bytes) -> int:
    """Return the sum of at most 256 bytes, which is in Adler-32's lower half, and 1: a tenth of the time of `sum`."""
    return (zlib.adler32(text) & 0xFFFF) - 1


@lru_cache(maxsize=256)
def _owner(mode: int, uid: int, gid: int) -> tuple[bytes, int]:
    text = b"%07o\0%07o\0%07o\0" % (mode, uid % _OCTAL["uid"], gid % _OCTAL["gid"])
    return text, _sum(text)


@lru_cache(maxsize=256)
def _time(seconds: int) -> tuple[bytes, int]:
    text = b"%011o\0" % seconds
    return text, _sum(text)


@lru_cache(maxsize=256)
def _rest(flag: bytes, link: bytes, device: tuple[int, int]) -> tuple[bytes, int]:
    """Return all after the checksum."""
    text = b"".join((flag, link.ljust(100, b"\0"), _MAGIC, b"%07o\0%07o\0" % device, _REST))
    return text, sum(text)
