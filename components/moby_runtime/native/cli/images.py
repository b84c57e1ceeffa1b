"""The verbs for checkpoints: checkpoint, restore."""

from __future__ import annotations

import os
from pathlib import Path

from moby.contracts.runtime_values import CheckpointOptions
from moby.errors import Unsupported
from moby.host.blocks import Undo
from moby.host.processes import set_child_subreaper
from moby_runtime.native.cli import descriptors, handover
from moby_runtime.native.cli.containers import native
from moby_runtime.native.cli.foreground import Foreground
from moby_runtime.native.spec import read

TYPE_CHECKING = False
if TYPE_CHECKING:
    from moby_runtime.native.cli.main import Call

__all__ = ["checkpoint", "restore"]

_LACKING = ("auto-dedup", "lazy-pages", "parent-path", "page-server", "status-fd", "pre-dump", "lsm-profile",
            "lsm-mount-context", "no-pivot")  # fmt: skip
_MORE = ("shell-job", "link-remap", "tcp-skip-in-flight")
_DEFAULT = "checkpoint"


def checkpoint(call: Call) -> int:
    """Write a checkpoint of a container, and delete the container, as runc does, unless it is left running."""
    _refuse(call)
    runtime, container_id = native(call), call.arguments[0]
    image, leave = Path(call.text("image-path") or _DEFAULT).absolute(), call.on("leave-running")
    runtime.checkpoint(container_id, image, _options(call), leave_running=leave, work=_work(call), more=_more(call))
    if not leave:
        runtime.delete(container_id, force=True)
    return 0


def restore(call: Call) -> int:
    """Restore a container from a checkpoint, and wait for its end, as `run` does, unless `--detach`."""
    _refuse(call)
    runtime, container_id, detach = native(call), call.arguments[0], call.on("detach")
    bundle, image = call.text("bundle") or ".", Path(call.text("image-path") or _DEFAULT).absolute()
    terminal = read(bundle).process.terminal
    handover.check_console(terminal, call.text("console-socket"), detach=detach)
    stdio = descriptors.stdio(call, terminal=terminal)
    with Undo() as undo:
        caller = undo.enter_context(handover.Sockets(call))
        if not detach:
            foreground = undo.enter_context(Foreground(terminal=terminal))
            set_child_subreaper()
        process = runtime.restore(
            container_id, Path(bundle), image, stdio, _options(call), work=_work(call), more=_more(call)
        )
        with handover.ending_on_error(runtime, container_id):
            caller.send(process)
            handover.write_pid(call.text("pid-file"), process.pid)
        if detach:
            return 0
        code = foreground.attend(process)
    if not call.on("keep"):
        runtime.delete(container_id, force=True)
    return code


def _refuse(call: Call) -> None:
    """See that nothing is asked for that isn't there."""
    for name in _LACKING:
        if call.flags.get(name):
            raise Unsupported(f"the native runtime has no --{name} for checkpoints", hint="leave it out")
    mode = call.text("manage-cgroups-mode")
    if mode not in ("", "soft"):
        raise Unsupported(
            f"the native runtime doesn't support --manage-cgroups-mode {mode}", hint="leave it out, or say soft"
        )
    for name in call.words("empty-ns"):
        if name != "network":
            raise Unsupported(f"the native runtime has no --empty-ns {name}", hint="network is the only one")


def _options(call: Call) -> CheckpointOptions:
    return CheckpointOptions(call.on("tcp-established"), call.on("ext-unix-sk"), call.on("file-locks"))


def _more(call: Call) -> dict[str, bool]:
    return {name.replace("-", "_"): True for name in _MORE if call.on(name)}


def _work(call: Call) -> str:
    """Return the folder for CRIU's log; nothing for one of the runtime's."""
    named = call.text("work-path")
    return os.path.abspath(named) if named else ""
