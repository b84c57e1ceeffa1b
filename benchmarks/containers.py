"""Starts containers on request, in a process that is already up: `python -m benchmarks.containers FOLDER [PEER ...]`.

Each line on standard input names a bundle below FOLDER, or `exec ID`; the answer is a line with milliseconds from the
call to the end of the program, whose exit code is checked. Without a peer's command line they are the native
runtime's. With one, that command is timed, in a mount namespace that hides the tree of cgroups of version 2
beside those of version 1, since crun refuses that mixture.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from itertools import count
from pathlib import Path

from moby_runtime.native.runtime import Native

from moby.contracts.ambient import Place
from moby.contracts.types import Stdio
from moby.host import mounts, namespaces

__all__ = ["main"]

EXEC: Mapping[str, object] = {"args": ["/bin/true"], "cwd": "/", "user": {"uid": 0, "gid": 0}}
_UNIFIED = "/sys/fs/cgroup/unified"


def _timed(action: Callable[[], int]) -> str:
    began = time.perf_counter()
    code = action()
    took = (time.perf_counter() - began) * 1000
    if code:
        raise SystemExit(f"exit code {code}")
    return f"{took:.3f}"


class _Native:
    """The native runtime, with one container that runs for others to be run in."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        self._stdio = Stdio(self._null, self._null, self._null)
        self._runtime = Native(Place(folder / "state", folder / "run", folder / "cache", "bench"))
        self._numbers = count()

    def _ended(self, exit_fd: int) -> int:
        result = os.waitid(os.P_PIDFD, exit_fd, os.WEXITED)
        os.close(exit_fd)
        return result.si_status if result else 70

    def run(self, bundle: str) -> str:
        """Time create, start and the end of a container; its removal isn't counted."""
        name = f"n{next(self._numbers)}"

        def whole() -> int:
            process = self._runtime.create(name, self._folder / bundle, self._stdio)
            self._runtime.start(name)
            return self._ended(process.exit_fd)

        took = _timed(whole)
        self._runtime.delete(name)
        return took

    def keep(self, bundle: str, name: str) -> None:
        """Start a container that goes on."""
        os.close(self._runtime.create(name, self._folder / bundle, self._stdio).exit_fd)
        self._runtime.start(name)

    def exec(self, name: str) -> str:
        """Time a further process in a container."""
        return _timed(lambda: self._ended(self._runtime.exec(name, EXEC, self._stdio).exit_fd))

    def end(self) -> None:
        """Remove everything."""
        self._runtime.reclaim()


def _hide_unified() -> None:
    namespaces.unshare(namespaces.FLAGS["mount"])
    mounts.set_propagation("/", "rprivate")
    if os.path.ismount(_UNIFIED):
        mounts.unmount(_UNIFIED, detach=True)
        # crun makes folders at that place all the same, and leaves them.
        mounts.mount("tmpfs", _UNIFIED, "tmpfs", 0, "")


def _serve_peer(folder: Path, command: list[str]) -> None:
    _hide_unified()
    numbers = count()
    for line in sys.stdin:
        args = [*command, "run", "--bundle", str(folder / line.split()[0]), f"p{next(numbers)}"]
        print(_timed(partial(_exit_code, args)), flush=True)  # noqa: T201


def _exit_code(args: list[str]) -> int:
    return subprocess.run(args, stdin=subprocess.DEVNULL, check=False).returncode


def main() -> None:
    """Serve one caller until its end of file."""
    folder = Path(sys.argv[1])
    if sys.argv[2:]:
        _serve_peer(folder, sys.argv[2:])
        return
    native = _Native(folder)
    try:
        for line in sys.stdin:
            verb, _, rest = line.strip().partition(" ")
            if verb == "grow":
                ballast = [[] for _ in range(int(rest))]  # type: ignore[var-annotated]
                print(len(ballast), flush=True)  # noqa: T201
            elif verb == "keep":
                native.keep(rest, "kept")
                print("kept", flush=True)  # noqa: T201
            else:
                print(native.exec(rest) if verb == "exec" else native.run(verb), flush=True)  # noqa: T201
    finally:
        native.end()


if __name__ == "__main__":
    main()
