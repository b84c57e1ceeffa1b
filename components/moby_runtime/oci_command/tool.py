"""Which command it is, where it lies, and what its version lacks."""

import os
import re
import subprocess
import threading
from pathlib import Path

from attrs import frozen

from moby.errors import HostUnfit
from moby.host import programs

__all__ = ["NEVER", "Binary", "Tool", "find"]

NEVER = (99, 0)
"""The version of what no version has."""

_NUMBER = re.compile(r"(\d+)\.(\d+)")
_KNOWN: dict[tuple[str, int, int], "Binary"] = {}
_LOCK = threading.Lock()


@frozen
class Tool:
    """A command of this family, as its component describes it."""

    name: str
    package: str
    """Debian's."""
    oldest: tuple[int, int]
    features: tuple[str, ...]
    since: tuple[tuple[str, tuple[int, int]], ...] = ()
    """Fields of config.json that it passes over, as if they weren't there, before a version."""
    unchanged: tuple[str, ...] = ()
    """Fields of linux.resources that its `update` passes over."""
    hybrid: bool = True
    """Whether it works where both versions of control groups are mounted."""


@frozen
class Binary:
    """A command that is there."""

    path: str
    version: tuple[int, int]
    said: str = ""
    """What it told of itself when it was asked for its version."""


def find(tool: Tool, named: str = "") -> Binary:
    """Return the command, asking it for its version once; HostUnfit where it isn't there or is too old."""
    path = _path(tool, named)
    found = Path(path).stat()
    key = (path, found.st_ino, found.st_mtime_ns)
    with _LOCK:
        if key not in _KNOWN:
            _KNOWN[key] = _ask(tool, path)
        return _KNOWN[key]


def _path(tool: Tool, named: str) -> str:
    if named:
        path = os.path.expanduser(named)  # noqa: PTH111 - a Path would turn ./x into x
        if "/" in path and not (os.access(path, os.X_OK) and Path(path).is_file()):
            raise HostUnfit(
                f"no program at {named}", hint=f"correct the option `binary` of runtime {tool.name}, or leave it out"
            )
    else:
        path = tool.name
    found = programs.find(path)
    if not found:
        raise HostUnfit(f"{path} isn't on PATH", hint=f"apt install {tool.package}")
    return str(Path(found).absolute())


def _ask(tool: Tool, path: str) -> Binary:
    try:
        with programs.surroundings() as environment:
            done = subprocess.run(
                [path, "--version"], capture_output=True, text=True, timeout=30, check=False,
                stdin=subprocess.DEVNULL, env=environment,
            )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise HostUnfit(f"cannot run {path}: {error}", hint=f"apt install {tool.package}") from error
    number = _NUMBER.search(done.stdout)
    if done.returncode or number is None:
        said = (done.stderr or done.stdout).strip()[:300]
        raise HostUnfit(f"{path} doesn't tell its version: {said}", hint=f"apt install {tool.package}")
    version = (int(number[1]), int(number[2]))
    if version < tool.oldest:
        wanted = ".".join(map(str, tool.oldest))
        raise HostUnfit(f"{path} is version {number[0]}; at least {wanted} is needed", hint=f"upgrade {tool.package}")
    return Binary(path, version, done.stdout)
