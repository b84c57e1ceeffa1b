"""The archive: the tree in a folder of the engine's name, compressed by zstd."""

import os
import subprocess
from pathlib import Path

from attrs import frozen

from moby.contracts.packager import Artifact, Source
from moby.errors import HostUnfit
from moby_packager.trees.nodes import below, read, with_folders, write
from moby_packager.trees.shares import shares, weights

__all__ = ["Tar"]

HINT = "apt install zstd, or your system's package of that name"


@frozen
class Tar:
    """Builds the archive; as a value it can be used from many threads."""

    level: int = 12

    def build(self, source: Source, out: Path) -> Artifact:
        """Write `NAME.tar.zst`."""
        assert source.given is not None, "the component says what it takes"
        nodes = below(read(source.given.path().read_bytes()), source.name)
        data = _zstd([f"-{self.level}", "--single-thread", "--stdout"], write(with_folders(nodes), source.epoch_s))
        path = Path(f"{source.name}.tar.zst")
        (out / path).write_bytes(data)
        return Artifact((path,), shares(len(data), weights(node for node in nodes if not node.is_folder)))

    def fingerprint(self) -> str:
        """Return which zstd compresses."""
        return _zstd(["--version"]).decode(errors="replace").strip()


def _zstd(arguments: list[str], data: bytes = b"") -> bytes:
    fixed = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}
    try:
        done = subprocess.run(["zstd", *arguments], env=fixed, input=data, capture_output=True, check=False)
    except FileNotFoundError as error:
        raise HostUnfit("zstd isn't there", hint=HINT) from error
    if done.returncode:
        raise HostUnfit(f"zstd failed: {done.stderr.decode(errors='replace').strip()[-500:]}", hint=HINT)
    return done.stdout
