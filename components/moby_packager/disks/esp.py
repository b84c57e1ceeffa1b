"""A file system of FAT with one file, from which firmware starts a machine (UEFI specification, 13.3)."""

import os
import tempfile
from functools import cache
from pathlib import Path

from moby_packager.commands.running import run, version
from moby_packager.disks.identifiers import identifier

__all__ = ["MIB", "esp", "makers"]

MIB = 1 << 20
LEAST_MIB = 36
"""With fewer than 65,525 clusters of 512 bytes it would be no FAT32, which is what all firmware reads."""
SPARE_MIB = 2
TABLES = 1 / 50
"""What the tables take of it, at most."""
PROGRAM = "EFI/BOOT/BOOTX64.EFI"
"""What firmware starts where nobody told it what to."""


def esp(program: bytes, name: str, epoch_s: int, out: Path) -> bytes:
    """Return a file system that holds a program, made in a folder without mounting anything."""
    size_mib = max(LEAST_MIB, SPARE_MIB - -int(len(program) * (1 + TABLES)) // MIB)
    with tempfile.TemporaryDirectory(dir=out) as folder:
        place = Path(folder)
        (place / "program").write_bytes(program)
        with (place / "esp").open("wb") as file:
            file.truncate(size_mib * MIB)
        number = f"{identifier(name, 'esp').int >> 96:08x}"
        flags = ["--invariant", "-F", "32", "-s", "1", "-i", number, "-n", "ESP"]
        run(["mkfs.vfat", *flags, "esp"], package="dosfstools", folder=place, epoch_s=epoch_s)
        run(["mmd", "-i", "esp", "::/EFI", "::/EFI/BOOT"], package="mtools", folder=place, epoch_s=epoch_s)
        run(["mcopy", "-i", "esp", "program", f"::/{PROGRAM}"], package="mtools", folder=place, epoch_s=epoch_s)
        return (place / "esp").read_bytes()


def makers() -> str:
    """Return which programs make it; mkfs.vfat says its version only while it makes one."""
    return _makers(os.environ.get("PATH", ""))


@cache
def _makers(path: str) -> str:
    """Return it for a search path, since several formats of one distribution ask."""
    with tempfile.TemporaryDirectory() as folder:
        with Path(folder, "probe").open("wb") as file:
            file.truncate(MIB)
        said = run(["mkfs.vfat", "--invariant", "-v", "probe"], package="dosfstools", folder=Path(folder))
    return f"{said.decode(errors='replace').partition(chr(10))[0]}; {version('mcopy', package='mtools')}"
