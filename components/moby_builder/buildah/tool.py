"""buildah(1) as a tool: its command line, its store, and how it fails."""

import json
import os
import resource
import subprocess
from collections.abc import Callable, Sequence
from typing import Any

from moby.contracts.ambient import Place
from moby.contracts.builder import BuildFailed
from moby.errors import HostUnfit, Unavailable

__all__ = ["Tool"]

_POLICY = {"default": [{"type": "insecureAcceptAnything"}]}
"""Signatures are the image registry client's to judge; here images come from the engine alone."""
_WANTED = {"nofile": resource.RLIMIT_NOFILE, "nproc": resource.RLIMIT_NPROC}
_ITS_OWN = 1 << 20
"""What buildah sets both of these to, which fails where the process itself may not have as much."""


class Tool:
    """Calls buildah over a store of its own."""

    def __init__(self, place: Place, *, binary: str, isolation: str, runtime: str, storage: str) -> None:
        self._binary = binary or "buildah"
        self._place = place
        self._policy = place.run / "policy.json"
        self._registries = place.run / "registries.conf"
        self._before = (
            "--root", str(place.state / "storage"), "--runroot", str(place.run / "storage"),
            "--storage-driver", storage,
            "--registries-conf", str(self._registries),
        )  # fmt: skip
        self._how = ("--isolation", isolation, *(("--runtime", runtime) if runtime else ()))

    def prepare(self) -> None:
        """Write the files that it is called with."""
        self._policy.write_text(json.dumps(_POLICY), encoding="ascii")
        self._registries.write_text("unqualified-search-registries = []\n", encoding="ascii")

    def build(self, arguments: Sequence[str]) -> list[str]:
        """Return the command of a build."""
        limits = [part for each in _ulimits() for part in ("--ulimit", each)]
        return [
            self._binary, *self._before, "build", "--layers", "--format", "docker", "--pull=never", *self._how,
            "--signature-policy", str(self._policy), *limits, *arguments,
        ]  # fmt: skip

    def start(self, command: Sequence[str], descriptors: Sequence[int] = ()) -> "subprocess.Popen[bytes]":
        """Start a command with pipes for what it says; HostUnfit where buildah isn't there."""
        try:
            return subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                start_new_session=True, pass_fds=tuple(descriptors), env=os.environ | {"LC_ALL": "C.UTF-8"},
            )  # fmt: skip
        except FileNotFoundError as error:
            raise HostUnfit(f"{self._binary} isn't there", hint="install the package buildah") from error

    def call(self, *arguments: str, started: Callable[["subprocess.Popen[bytes]"], None] = lambda _: None) -> str:
        """Return what a command prints; BuildFailed with what it says where it fails."""
        signed = ("--signature-policy", str(self._policy)) if arguments[0] in ("pull", "push", "from") else ()
        process = self.start([self._binary, *self._before, arguments[0], *signed, *arguments[1:]])
        started(process)
        out, err = process.communicate()
        if process.returncode:
            raise failure(err.decode(errors="replace"), process.returncode)
        return out.decode(errors="replace")

    def json(self, *arguments: str) -> Any:
        """Return what a command prints, as JSON."""
        return json.loads(self.call(*arguments) or "null")


def failure(said: str, code: int) -> BuildFailed | Unavailable:
    """Return the error of a command that has ended with a code."""
    lines = [each for each in said.splitlines() if each.startswith("Error: ")]
    if code < 0 and not lines:
        return Unavailable(f"buildah was killed by signal {-code}")
    return BuildFailed(lines[-1].removeprefix("Error: ") if lines else said.strip()[-500:] or f"buildah: {code}")


def _ulimits() -> list[str]:
    """Return the limits that this process has itself and buildah would raise."""
    found = []
    for name, number in _WANTED.items():
        hard = resource.getrlimit(number)[1]
        if hard != resource.RLIM_INFINITY and hard < _ITS_OWN:
            found.append(f"{name}={hard}:{hard}")
    return found
