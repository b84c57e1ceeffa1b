"""Runs a program of the host's, and says what is missing where it can't."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from moby.errors import HostUnfit

__all__ = ["run", "version"]

SHOWN = 500
"""Of what a program said before it failed, the last characters."""


def run(
    arguments: Sequence[str | Path], *, package: str, data: bytes = b"", folder: Path | None = None, epoch_s: int = 0
) -> bytes:
    """Return what a program of the host writes to its standard output.

    It works in `folder`, so that paths among its arguments are absolute, or of what is in there. HostUnfit where it
    isn't there, or fails; `package` is Debian's that has it.
    """
    name = str(arguments[0])
    hint = f"apt install {package}, or your system's package of that name"
    found = shutil.which(name)
    if found is None:
        raise HostUnfit(f"{name} isn't there", hint=hint)
    environment = {
        # A program in Python is to find the system's, whose modules it needs, and no other that comes first here.
        "PATH": f"/usr/bin:/bin:{os.environ.get('PATH', os.defpath)}",
        "LC_ALL": "C", "TZ": "UTC0", "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1",
        "SOURCE_DATE_EPOCH": str(epoch_s), "HOME": "/nonexistent",
        **({"TMPDIR": str(folder.absolute())} if folder else {}),
    }  # fmt: skip
    done = subprocess.run(
        [Path(found).absolute(), *map(str, arguments[1:])],
        env=environment, input=data, cwd=folder, umask=0o022, capture_output=True, check=False,
    )  # fmt: skip
    if done.returncode:
        said = (done.stderr or done.stdout).decode(errors="replace").strip()
        raise HostUnfit(f"{name} failed: {said[-SHOWN:]}", hint=hint)
    return done.stdout


def version(name: str, option: str = "--version", *, package: str) -> str:
    """Return the first line that a program says of its version; HostUnfit as `run`."""
    return run([name, option], package=package).decode(errors="replace").strip().partition("\n")[0]
