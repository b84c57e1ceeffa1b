"""The disk: vhdx, in which qemu-img puts identifiers by lot ([MS-VHDX])."""

import struct
from pathlib import Path
from uuid import UUID

from attrs import frozen

from moby.contracts.packager import Artifact, Source
from moby.errors import Invalid
from moby_packager.disks.converting import convert, converter
from moby_packager.disks.identifiers import identifier

__all__ = ["Vhdx", "crc32c", "settled"]

HEADERS = (64 << 10, 128 << 10)
HEADER_BYTES = 4 << 10
REGIONS = 192 << 10
METADATA = UUID("8B7CA206-4790-4B9A-B8FE-575F050F886E").bytes_le
PAGE_83 = UUID("BECA12AB-B2E6-4523-93EF-C309E000C746").bytes_le
"""The item that is a disk's identifier, as its SCSI page 83 shows it."""
_HEAD = struct.Struct("<4sIQ16s16s16sHHIQ")
"""Signature, checksum, sequence number, identifiers of two kinds of writes and of a log, versions, the log's place."""
_ENTRY = struct.Struct("<16sQ")
_ITEM = struct.Struct("<16sI")
_ENTRIES_AT, _ITEMS_AT = 16, 32
_MOST = 64 << 10
HINT = "use a qemu-img that is known: 5 to 10"


@frozen
class Vhdx:
    """Builds the disk; as a value it can be used from many threads."""

    def build(self, source: Source, out: Path) -> Artifact:
        """Write `NAME.vhdx`."""
        return convert(source, out, "vhdx", ["-m", "1"], lambda data: settled(data, source.name))

    def fingerprint(self) -> str:
        """Return which qemu-img there is."""
        return converter()


def settled(data: bytes, name: str) -> bytes:
    """Return a disk whose identifiers are its name's; Invalid where it isn't laid out as the specification says."""
    disk = bytearray(data)
    try:
        for number, at in enumerate(HEADERS, 1):
            _settle_header(disk, at, number, name)
        page = _found(disk, _found(disk, REGIONS + _ENTRIES_AT, METADATA, _ENTRY) + _ITEMS_AT, PAGE_83, _ITEM)
    except (struct.error, LookupError) as error:
        raise Invalid(f"qemu-img made a vhdx that is none: {error}", hint=HINT) from error
    disk[page : page + 16] = identifier(name, "vhdx").bytes_le
    return bytes(disk)


def _settle_header(disk: bytearray, at: int, number: int, name: str) -> None:
    """Set what was random in a header; its log, which holds nothing that isn't written, is emptied."""
    kind, _, _, _, _, _, log_version, version, length, log = _HEAD.unpack_from(disk, at)
    if kind != b"head":
        raise LookupError(f"no header at {at}")
    own = (identifier(name, "vhdx file").bytes_le, identifier(name, "vhdx data").bytes_le, bytes(16))
    _HEAD.pack_into(disk, at, kind, 0, number, *own, log_version, version, length, log)
    struct.pack_into("<I", disk, at + 4, crc32c(disk[at : at + HEADER_BYTES]))
    disk[log : log + length] = bytes(length)


def _found(disk: bytearray, begin: int, wanted: bytes, entry: struct.Struct) -> int:
    """Return where something is that a table lists; an item's place is within its table's region."""
    for at in range(begin, begin + _MOST - 32, 32):
        key, place = entry.unpack_from(disk, at)
        if key == wanted:
            return int(place) + (begin - _ITEMS_AT if entry is _ITEM else 0)
    raise LookupError(f"no {UUID(bytes_le=wanted)} in the table at {begin}")


def _table() -> tuple[int, ...]:
    found = []
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        found.append(value)
    return tuple(found)


_TABLE = _table()


def crc32c(data: bytes | bytearray) -> int:
    """Return the checksum of Castagnoli (RFC 3720, appendix B.4)."""
    value = 0xFFFFFFFF
    for byte in data:
        value = value >> 8 ^ _TABLE[(value ^ byte) & 0xFF]
    return value ^ 0xFFFFFFFF
