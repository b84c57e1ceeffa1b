"""The disk: qcow2, which holds no empty blocks."""

from pathlib import Path

from attrs import frozen

from moby.contracts.packager import Artifact, Source
from moby_packager.disks.converting import convert, converter

__all__ = ["Qcow2"]


@frozen
class Qcow2:
    """Builds the disk; as a value it can be used from many threads."""

    compress: bool = False

    def build(self, source: Source, out: Path) -> Artifact:
        """Write `NAME.qcow2`."""
        options = ["-c", "-o", "compression_type=zstd"] if self.compress else []
        # One thread, so that blocks lie in their order.
        return convert(source, out, "qcow2", ["-m", "1", *options])

    def fingerprint(self) -> str:
        """Return which qemu-img there is."""
        return converter()
