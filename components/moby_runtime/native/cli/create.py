"""Verbs that make a container: create, run."""

from __future__ import annotations

import os

from moby.host.blocks import Undo
from moby.values import evolve, frozen
from moby_runtime.native.cli import descriptors, handover
from moby_runtime.native.cli.containers import native
from moby_runtime.native.spec import read

TYPE_CHECKING = False
if TYPE_CHECKING:
    from moby.contracts.runtime_values import Process
    from moby.contracts.streams import Stdio
    from moby_runtime.native.cli import notify
    from moby_runtime.native.cli.foreground import Foreground
    from moby_runtime.native.cli.main import Call
    from moby_runtime.native.runtime import Native
    from moby_runtime.native.values import Spec

__all__ = ["create", "run"]


def create(call: Call) -> int:
    """Make a container; its first process stays when this one ends, as a child of the next subreaper."""
    wanted = _wanted(call, detach=True)
    with handover.Sockets(call) as caller:
        process = wanted.make()
        with handover.ending_on_error(wanted.runtime, wanted.id):
            caller.send(process)
            handover.write_pid(call.text("pid-file"), process.pid)
    return 0


def run(call: Call) -> int:
    """Make a container and run its program, to the end unless `--detach`; return its exit code."""
    detach = call.on("detach")
    wanted = _wanted(call, detach=detach)
    with Undo() as undo:
        caller = undo.enter_context(handover.Sockets(call))
        if not detach:
            from moby_runtime.native.cli.foreground import Foreground

            foreground = undo.enter_context(Foreground(terminal=wanted.stdio.terminal))
            wanted = wanted.sized(foreground)
        if call.on("replace") and wanted.id in wanted.runtime.ids():
            wanted.runtime.delete(wanted.id, force=True)
        process = wanted.make()
        with handover.ending_on_error(wanted.runtime, wanted.id):
            caller.send(process)
            relay = wanted.relay(undo)
            wanted.runtime.start(wanted.id)
            handover.write_pid(call.text("pid-file"), process.pid)
        if detach:
            if relay is not None:
                relay.wait(process.pid, process.exit_fd)
            return 0
        code = foreground.attend(process, relay)
    if not call.on("keep"):
        wanted.runtime.delete(wanted.id, force=True)
    return code


@frozen
class _Wanted:
    """The container that a command line asks for."""

    runtime: Native
    root: str
    id: str
    spec: Spec
    stdio: Stdio
    notifies: bool
    """Whether a service manager waits for it to be ready."""

    def sized(self, foreground: Foreground) -> _Wanted:
        """Return the same with a terminal of our own's size, unless it asks for another."""
        if not self.stdio.terminal or self.spec.process.window:
            return self
        return evolve(self, spec=evolve(self.spec, process=evolve(self.spec.process, window=foreground.window())))

    def make(self) -> Process:
        """Make it, up to its program."""
        folder = "notify" if self.notifies else ""
        return self.runtime.create_from(self.id, self.spec, self.stdio, folder=folder)

    def relay(self, undo: Undo) -> notify.Relay | None:
        """Return what tells the service manager, where there is one; `undo` closes it."""
        if not self.notifies:
            return None
        from moby_runtime.native.cli import notify

        relay = notify.Relay(self.root, self.id)
        undo.callback(relay.close)
        return relay


def _wanted(call: Call, *, detach: bool) -> _Wanted:
    """Read the bundle, and add what the flags and the caller's surroundings do."""
    container_id = call.arguments[0]
    spec = read(call.text("bundle") or ".")
    handover.check_console(spec.process.terminal, call.text("console-socket"), detach=detach)
    sockets = descriptors.activated()
    stdio = descriptors.stdio(call, terminal=spec.process.terminal, sockets=sockets)
    spec = evolve(spec, looks=True, pivot=not call.on("no-pivot"), keyring=not call.on("no-new-keyring"))
    notifies = bool(os.environ.get("NOTIFY_SOCKET"))
    more = [f"LISTEN_FDS={sockets}", "LISTEN_PID=1"] if sockets else []
    if notifies:
        from moby_runtime.native.cli import notify

        more.append(notify.ENVIRONMENT)
        spec = evolve(spec, mounts=(*spec.mounts, notify.mount_point(call.root, container_id)))
    if more:
        spec = evolve(spec, process=evolve(spec.process, env=(*spec.process.env, *more)))
    return _Wanted(native(call), call.root, container_id, spec, stdio, notifies)
