"""The command as this runtime calls it: for one container, with a state folder of that one's own."""

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import frozen

from moby.contracts.types import Stdio
from moby.errors import HostUnfit
from moby.host.cgroups import hierarchies, version
from moby_runtime.oci_command.call import PATIENCE_S, Call, run
from moby_runtime.oci_command.console import listening
from moby_runtime.oci_command.tool import Binary, Tool, find

__all__ = ["Command", "scratch"]


@frozen
class Command:
    """A command of this family and where the option says it is, if it does. Thread-safe."""

    tool: Tool
    named: str = ""

    def binary(self) -> Binary:
        """Return the command and its version; HostUnfit where it isn't there, or not for this host."""
        if not self.tool.hybrid and version(hierarchies()) == "hybrid":
            raise HostUnfit(
                f"{self.tool.name} refuses a host with both cgroup v1 and v2",
                hint="boot with systemd.unified_cgroup_hierarchy=1, or unmount the tree of version 2, or choose runc",
            )
        return find(self.tool, self.named)

    def call(self, root: Path, *words: str, input: bytes = b"", waits: bool = False) -> bytes:
        """Call it and return what it prints; Failed where it fails. With `waits` it may take as long as hooks do."""
        return run(Call(self._words(root, words), input=input, timeout_s=_timeout(waits), environment=_environment()))

    def start(
        self, root: Path, folder: Path, words: Sequence[str], container_id: str, stdio: Stdio, *, waits: bool = False
    ) -> tuple[int, int]:
        """Call it so that it leaves a process behind; return that one's pid, and the master of its terminal or -1.

        What it needs meanwhile is put into `folder`. Failed where it fails.
        """
        log, pid_file = folder / "log", folder / "pid"
        verb, *more = words
        if stdio.extra:
            more += ["--preserve-fds", str(len(stdio.extra))]
        with listening(folder, wanted=stdio.terminal) as console:
            every = ("--log", str(log), verb, *more, "--pid-file", str(pid_file), *console.words, container_id)
            environment = _environment()
            run(Call(self._words(root, every), stdio, log, timeout_s=_timeout(waits), environment=environment))
            return int(pid_file.read_text(encoding="ascii")), console.receive()

    def _words(self, root: Path, words: Sequence[str]) -> list[str]:
        return [self.binary().path, "--root", str(root), "--log-format", "json", *words]


def _timeout(waits: bool) -> float | None:
    return None if waits else PATIENCE_S


def _environment() -> Mapping[str, str]:
    """Return what it gets of our environment: a socket to notify, say, is none of its business."""
    return {"PATH": os.environ.get("PATH") or os.defpath}


@contextlib.contextmanager
def scratch(folder: Path, **files: Any) -> Iterator[Path]:
    """Lend a fresh folder inside one, with JSON files of these names; it is removed at the end."""
    made = Path(tempfile.mkdtemp(prefix="call-", dir=folder))
    try:
        for name, content in files.items():
            (made / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)
