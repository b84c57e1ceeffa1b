"""The disc: a file system of ISO 9660 whose boot image is a file system of FAT (El Torito)."""

import os
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from attrs import frozen

from moby.contracts.packager import Artifact, Source
from moby_packager.commands.running import run, version, written
from moby_packager.disks.esp import esp, makers
from moby_packager.disks.identifiers import identifier
from moby_packager.disks.owners import carried

__all__ = ["Iso"]

TOOL = PACKAGE = "xorriso"
LABEL_LENGTH = 32


@frozen
class Iso:
    """Builds the disc; as a value it can be used from many threads."""

    def build(self, source: Source, out: Path) -> Artifact:
        """Write `NAME.iso`."""
        assert source.given is not None, "the component says what it takes"
        path = Path(f"{source.name}.iso")
        made = datetime.fromtimestamp(source.epoch_s, UTC).strftime("%Y%m%d%H%M%S00")
        with tempfile.TemporaryDirectory(dir=out) as folder:
            boot = Path(folder, "tree", "efi.img")
            boot.parent.mkdir()
            boot.write_bytes(esp(source.given.path().read_bytes(), source.name, source.epoch_s, out))
            for each in (boot, boot.parent):
                os.utime(each, (source.epoch_s, source.epoch_s))
            command = [
                TOOL, "-as", "mkisofs", "-quiet", "-r", "-uid", "0", "-gid", "0", "-V", _label(source.name),
                f"--modification-date={made}",
                "--gpt_disk_guid", str(identifier(source.name, "iso")), "-e", "efi.img", "-no-emul-boot",
                "-isohybrid-gpt-basdat", "-o", "disc", "tree",
            ]  # fmt: skip
            run(command, package=PACKAGE, folder=Path(folder), epoch_s=source.epoch_s)
            data = written(Path(folder, "disc"), TOOL, package=PACKAGE)
        (out / path).write_bytes(data)
        return Artifact((path,), carried(source.given.artifact.sizes_bytes, len(data)))

    def fingerprint(self) -> str:
        """Return which xorriso there is, and what makes the file system in it."""
        return f"{version(TOOL, package=PACKAGE)}; {makers()}"


def _label(name: str) -> str:
    """Return a disc's label, which has capital letters, digits and underscores (ECMA-119, 7.4.1)."""
    return name.upper().replace("-", "_")[:LABEL_LENGTH]
