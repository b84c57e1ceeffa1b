"""The archive: the tree in a folder of the engine's name, compressed by zstd."""

from pathlib import Path

from attrs import frozen

from moby.contracts.packager import Artifact, Source
from moby_packager.trees.nodes import below, read, with_folders, write
from moby_packager.trees.shares import shares, weights
from moby_packager.trees.squeezing import zstd, zstd_version

__all__ = ["Tar"]


@frozen
class Tar:
    """Builds the archive; as a value it can be used from many threads."""

    level: int = 12

    def build(self, source: Source, out: Path) -> Artifact:
        """Write `NAME.tar.zst`."""
        assert source.given is not None, "the component says what it takes"
        nodes = below(read(source.given.path().read_bytes()), source.name)
        data = zstd(write(with_folders(nodes), source.epoch_s), self.level)
        path = Path(f"{source.name}.tar.zst")
        (out / path).write_bytes(data)
        return Artifact((path,), shares(len(data), weights(node for node in nodes if not node.is_folder)))

    def fingerprint(self) -> str:
        """Return which zstd compresses."""
        return zstd_version()
