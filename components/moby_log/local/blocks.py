"""The form of `local`: a block for what was read at once, headers and lengths at both ends, so that either is a start.

    magic  kind  2 unused  attributes' length  text's length  time   checksum   attributes  text  whole length
    u8     u8    u16       u32                 u32            u64    u32        JSON        lines u32

All big-endian. `kind` is the stream, with 0x10 where the text is a piece of a line and has no end. The checksum is
CRC-32 of all that is before it and of attributes and text. A reader passes over whole blocks by their headers alone
where their times or streams aren't asked for, and finds the last lines from the end.
"""

import json
import os
import struct
import zlib
from collections.abc import Iterator, Mapping
from typing import BinaryIO

from moby_log.records.lines import NAMES, Batch
from moby_log.records.output import Run

__all__ = ["LONGEST_TEXT", "BlockDecoder", "Blocks", "encoded", "whole_length"]

LONGEST_TEXT = 1 << 20
_MAGIC = 0x4D
_PIECE = 0x10
_HEADER = struct.Struct(">BBHIIQI")
_CHECKED = _HEADER.size - 4
_LENGTH = struct.Struct(">I")
_LONGEST = 8 << 20
_BACKWARDS = 1 << 16


def attributes_text(attributes: Mapping[str, str]) -> bytes:
    """Return attributes as blocks carry them; empty for none."""
    return json.dumps(dict(attributes), separators=(",", ":"), sort_keys=True).encode() if attributes else b""


def encoded(batch: Batch, attributes: bytes) -> bytes:
    """Return a batch as blocks."""
    kind = batch.stream | (_PIECE if batch.ordinal and not batch.last else 0)
    if len(batch.data) <= LONGEST_TEXT:
        return _block(kind, batch.time_ns, batch.data, attributes)
    blocks, at, data = [], 0, batch.data
    while at < len(data):
        end = data.rfind(b"\n", at, at + LONGEST_TEXT) + 1
        blocks.append(_block(kind, batch.time_ns, data[at:end], attributes))
        at = end
    return b"".join(blocks)


def _block(kind: int, time_ns: int, text: bytes, attributes: bytes) -> bytes:
    start = _HEADER.pack(_MAGIC, kind, 0, len(attributes), len(text), time_ns, 0)[:_CHECKED]
    checksum = _LENGTH.pack(zlib.crc32(text, zlib.crc32(attributes, zlib.crc32(start))))
    whole = _HEADER.size + len(attributes) + len(text) + _LENGTH.size
    return b"".join((start, checksum, attributes, text, _LENGTH.pack(whole)))


def _whole_at(data: bytes, at: int) -> int:
    """Return the length of the block at a place, 0 where more is needed to know; ValueError for what is none."""
    if len(data) - at < _HEADER.size:
        return 0
    magic, kind, _, attributes, text, _, _ = _HEADER.unpack_from(data, at)
    whole: int = _HEADER.size + attributes + text + _LENGTH.size
    if magic != _MAGIC or (kind & ~_PIECE) not in NAMES or whole > _LONGEST or not text:
        raise ValueError("no block")
    return whole


def _run_at(data: bytes, at: int, whole: int) -> Run:
    """Return the records of a block; ValueError where it isn't what was written."""
    _, kind, _, attributes, _, time_ns, checksum = _HEADER.unpack_from(data, at)
    view = memoryview(data)
    body = view[at + _HEADER.size : at + whole - _LENGTH.size]
    if zlib.crc32(body, zlib.crc32(view[at : at + _CHECKED])) != checksum:
        raise ValueError("not what was written")
    if _LENGTH.unpack_from(data, at + whole - _LENGTH.size)[0] != whole:
        raise ValueError("not what was written")
    chosen = json.loads(bytes(body[:attributes])) if attributes else None
    text = bytes(body[attributes:])
    if kind & _PIECE:
        return Run(kind & ~_PIECE, time_ns, [text], b"", chosen)
    return Run(kind, time_ns, text[:-1].split(b"\n"), b"\n", chosen)


class BlockDecoder:
    """Decodes one file; after the first place that is no block, the rest of it can't be read."""

    def __init__(self) -> None:
        self.bad = 0
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[Run]:
        """Yield what is whole."""
        if self.bad:
            return
        data = self._rest + data if self._rest else data
        at = 0
        self._rest = b""
        try:
            while (whole := _whole_at(data, at)) and at + whole <= len(data):
                yield _run_at(data, at, whole)
                at += whole
        except ValueError:
            self.bad = 1
            return
        self._rest = data[at:]

    def take_back(self) -> int:
        """Forget the bytes at the end that aren't whole yet, and return how many they were."""
        length = len(self._rest)
        self._rest = b""
        return length

    def finish(self) -> None:
        """A block that reaches beyond the end is torn, unless whole ones come after its start: then it is damaged."""
        if self._rest and _first_block(self._rest) < len(self._rest):
            self.bad = 1


class Blocks:
    """How local lays records out."""

    def decoder(self) -> BlockDecoder:
        """Return a decoder."""
        return BlockDecoder()

    def backwards(self, file: BinaryIO, size: int) -> Iterator[tuple[int, bytes]]:
        """Yield pieces of whole blocks and where they start, from the end of a file to its start.

        From an end that is torn or damaged, and can't be walked back from, all is one piece.
        """
        descriptor, end = file.fileno(), size
        while end > 0:
            span = _BACKWARDS
            while True:
                begin = max(0, end - span)
                data = os.pread(descriptor, end - begin, begin)
                cut = _first_block(data)
                if cut < len(data) or not begin or span > _LONGEST:
                    break
                span *= 2
            if cut == len(data) or (cut and not begin):
                yield 0, os.pread(descriptor, min(end, _LONGEST), 0)
                return
            yield begin + cut, data[cut:]
            end = begin + cut


def _first_block(data: bytes) -> int:
    """Return where the first block starts that a walk back from the end comes to."""
    at = len(data)
    while at >= _HEADER.size + _LENGTH.size:
        whole = _LENGTH.unpack_from(data, at - _LENGTH.size)[0]
        if not _HEADER.size + _LENGTH.size < whole <= at:
            break
        try:
            if _whole_at(data, at - whole) != whole:
                break
        except ValueError:
            break
        at -= whole
    return at


def whole_length(file: BinaryIO) -> int:
    """Return how many bytes from the start of a file are whole blocks, as they were written."""
    size = os.fstat(file.fileno()).st_size
    end = size
    if end:
        # Nearly always the last block is whole.
        data = os.pread(file.fileno(), min(end, _LONGEST), max(0, end - _LONGEST))
        length = _LENGTH.unpack(data[-4:])[0] if len(data) >= 4 else 0
        with_it = 0 < length <= len(data)
        try:
            if with_it and _whole_at(data, len(data) - length) == length:
                _run_at(data, len(data) - length, length)
                return end
        except ValueError:
            pass
    file.seek(0)
    at, rest = 0, b""
    while block := file.read(1 << 20):
        rest += block
        begin = 0
        try:
            while (whole := _whole_at(rest, begin)) and begin + whole <= len(rest):
                _run_at(rest, begin, whole)
                begin += whole
        except ValueError:
            return at + begin
        at, rest = at + begin, rest[begin:]
    return at
