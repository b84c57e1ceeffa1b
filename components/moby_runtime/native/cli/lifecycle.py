"""Verbs that one call of the runtime does: start, kill, pause, resume, delete."""

from __future__ import annotations

import os

from moby.errors import Conflict, Invalid
from moby.host.blocks import Undo
from moby.host.lean import signals
from moby_runtime.native.cli.containers import native
from moby_runtime.native.members import kill_all
from moby_runtime.native.values import CREATED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from moby_runtime.native.cli.main import Call

__all__ = ["delete", "kill", "pause", "resume", "start"]


def start(call: Call) -> int:
    """Run the program of a created container; where a service manager waits, until it is ready."""
    runtime, container_id = native(call), call.arguments[0]
    if not os.environ.get("NOTIFY_SOCKET"):
        runtime.start(container_id)
        return 0
    from moby_runtime.native.cli import notify

    _, record = runtime.look(container_id)
    if not os.path.isdir(notify.folder(call.root, container_id)):
        runtime.start(container_id)  # it was made without
        return 0
    with Undo() as undo, record.first() as (process, _):
        relay = notify.Relay(call.root, container_id)
        undo.callback(relay.close)
        runtime.start(container_id)
        relay.wait(record.pid, process)
    return 0


def kill(call: Call) -> int:
    """Send a signal, SIGTERM by default."""
    name = call.arguments[1] if call.arguments[1:] else "SIGTERM"
    everyone = call.on("all")
    runtime, number = native(call), _signal(name)
    try:
        runtime.kill(call.arguments[0], number, everyone=everyone)
    except Conflict:
        if not everyone:
            raise
        # Without a PID namespace of its own others outlive the first process; else there is nobody left.
        kill_all(runtime.look(call.arguments[0])[1], number)
    return 0


def _signal(name: str) -> int:
    if name.isdigit():
        number = int(name)
        if number < signals.NSIG:
            return number
    else:
        spelt = name.upper() if name.upper().startswith("SIG") else f"SIG{name.upper()}"
        found = getattr(signals, spelt, None) if "_" not in spelt else None
        if isinstance(found, int):
            return int(found)
    raise Invalid(f"unknown signal {name!r}", hint="give a name, as TERM or SIGTERM, or a number")


def pause(call: Call) -> int:
    """Freeze all processes of a container."""
    native(call).pause(call.arguments[0])
    return 0


def resume(call: Call) -> int:
    """Let a paused container go on."""
    native(call).resume(call.arguments[0])
    return 0


def delete(call: Call) -> int:
    """Remove a container; one that was never started needs no force, as runc has it."""
    container_id = call.arguments[0]
    runtime = native(call)
    force = call.on("force")
    if not force:
        force = runtime.look(container_id)[0] == CREATED
    runtime.delete(container_id, force=force)
    return 0
