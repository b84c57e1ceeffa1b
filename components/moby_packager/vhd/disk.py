"""The disk: block by block, and a footer behind them (Virtual Hard Disk Image Format Specification, fixed)."""

import shutil
import struct
from pathlib import Path

from attrs import frozen

from moby.contracts.packager import Artifact, Source
from moby_packager.disks.identifiers import identifier
from moby_packager.disks.owners import carried

__all__ = ["Vhd"]

FOOTER = struct.Struct(">8sIIQI4sI4sQQHBBII16sB427s")
SECTOR = 512
FIXED = 2
YEAR_2000 = 946684800
_NOWHERE = 0xFFFFFFFFFFFFFFFF
"""Where the next structure is: a fixed disk has none."""


@frozen
class Vhd:
    """Builds the disk; as a value it can be used from many threads."""

    def build(self, source: Source, out: Path) -> Artifact:
        """Write `NAME.vhd`, whose size is a whole number of MiB and a footer, as Azure wants it."""
        assert source.given is not None, "the component says what it takes"
        path = Path(f"{source.name}.vhd")
        shutil.copyfile(source.given.path(), out / path)
        size = (out / path).stat().st_size
        with (out / path).open("ab") as file:
            file.write(footer(size, source.name, source.epoch_s))
        return Artifact((path,), carried(source.given.artifact.sizes_bytes, size + FOOTER.size))


def footer(size_bytes: int, name: str, epoch_s: int) -> bytes:
    """Return a fixed disk's footer."""
    made_s = max(epoch_s - YEAR_2000, 0)
    cylinders, heads, sectors = geometry(size_bytes // SECTOR)
    number = identifier(name, "vhd").bytes

    def packed(checksum: int) -> bytes:
        return FOOTER.pack(
            b"conectix", 2, 0x10000, _NOWHERE, made_s, b"moby", 0x10000, b"Wi2k", size_bytes, size_bytes,
            cylinders, heads, sectors, FIXED, checksum, number, 0, b"",
        )  # fmt: skip

    return packed(~sum(packed(0)) & 0xFFFFFFFF)


def geometry(sectors: int) -> tuple[int, int, int]:
    """Return the cylinders, heads and sectors that a disk of so many sectors is said to have (appendix of the same)."""
    sectors = min(sectors, 65535 * 16 * 255)
    if sectors >= 65535 * 16 * 63:
        return sectors // 255 // 16, 16, 255
    per_track, rest = 17, sectors // 17
    heads = max((rest + 1023) // 1024, 4)
    if rest >= heads * 1024 or heads > 16:
        per_track, heads, rest = 31, 16, sectors // 31
    if rest >= heads * 1024:
        per_track, heads, rest = 63, 16, sectors // 63
    return rest // heads, heads, per_track
