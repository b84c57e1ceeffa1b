"""Turns a raw disk into another form by qemu-img, and takes out what it draws by lot."""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from moby.contracts.packager import Artifact, Source
from moby_packager.commands.running import run, version, written
from moby_packager.disks.owners import carried

__all__ = ["PACKAGE", "TOOL", "convert", "converter"]

TOOL, PACKAGE = "qemu-img", "qemu-utils"
Settled = Callable[[bytes], bytes]


def convert(
    source: Source, out: Path, form: str, options: Sequence[str] = (), settle: Settled = lambda data: data, *,
    ending: str = "",
) -> Artifact:  # fmt: skip
    """Write `NAME.ENDING`, the disk that was given in another form of qemu-img's; `settle` sets what was random."""
    assert source.given is not None, "the component says what it takes"
    path = Path(f"{source.name}.{ending or form}")
    with tempfile.TemporaryDirectory(dir=out) as folder:
        # The name is in some forms, so it is not the caller's.
        run(
            [TOOL, "convert", "-f", "raw", "-O", form, *options, source.given.path().absolute(), path.name],
            package=PACKAGE, folder=Path(folder),
        )  # fmt: skip
        data = settle(written(Path(folder, path.name), TOOL, package=PACKAGE))
    (out / path).write_bytes(data)
    return Artifact((path,), carried(source.given.artifact.sizes_bytes, len(data)))


def converter() -> str:
    """Return which qemu-img there is."""
    return version(TOOL, package=PACKAGE)
