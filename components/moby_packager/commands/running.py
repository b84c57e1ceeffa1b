"""Runs a program of the host's, and says what is missing where it can't."""

import hashlib
import os
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from moby.errors import HostUnfit
from moby.host import programs

__all__ = ["digest", "run", "version", "written"]

HINT = "apt install {}, or your system's package of that name"
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
    found = _found(name, package)
    environment = {
        # A program in Python is to find the system's, whose modules it needs, and no other that comes first here.
        "PATH": f"/usr/bin:/bin:{programs.search_path()}",
        "LC_ALL": "C", "TZ": "UTC0", "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1",
        "SOURCE_DATE_EPOCH": str(epoch_s), "HOME": "/nonexistent",
        **({"TMPDIR": str(folder.absolute())} if folder else {}),
    }  # fmt: skip
    done = subprocess.run(
        [found, *map(str, arguments[1:])],
        env=environment, input=data, cwd=folder, umask=0o022, capture_output=True, check=False,
    )  # fmt: skip
    if done.returncode:
        said = (done.stderr or done.stdout).decode(errors="replace").strip()
        raise HostUnfit(f"{name} failed: {said[-SHOWN:]}", hint=HINT.format(package))
    return done.stdout


def written(path: Path, name: str, *, package: str) -> bytes:
    """Return the file that a program was to write; HostUnfit where it says that it did well, and didn't."""
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise HostUnfit(f"{name} wrote nothing", hint=HINT.format(package)) from error


def _found(name: str, package: str) -> Path:
    found = programs.find(name)
    if found is None:
        raise HostUnfit(f"{name} isn't there", hint=HINT.format(package))
    return Path(found).absolute()


def version(name: str, option: str = "--version", *, package: str) -> str:
    """Return the first line that a program says of its version; HostUnfit as `run`."""
    return _version(os.environ.get("PATH", ""), name, option, package)


@cache
def _version(path: str, name: str, option: str, package: str) -> str:
    """Return it for a search path, since several formats of one distribution ask."""
    return run([name, option], package=package).decode(errors="replace").strip().partition("\n")[0]


def digest(name: str, *, package: str) -> str:
    """Return the digest of a program that is a script, which takes long to say its version; HostUnfit as `run`."""
    return hashlib.sha256(_found(name, package).read_bytes()).hexdigest()
