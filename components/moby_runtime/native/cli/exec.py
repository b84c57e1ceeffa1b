"""The verb that runs another program in a container: exec."""

from __future__ import annotations

import sys

from moby.errors import Conflict, Invalid, NotFound
from moby.host.blocks import Undo
from moby.host.files import read_bytes
from moby.host.lean import signals
from moby.host.processes import send_signal
from moby_runtime.native.cli import descriptors, handover
from moby_runtime.native.cli.containers import native
from moby_runtime.native.values import PAUSED, STOPPED
from moby_runtime.records.json_text import decoded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from moby_runtime.native.cli.main import Call
    from moby_runtime.native.records import Record

__all__ = ["run_inside"]


def run_inside(call: Call) -> int:
    """Run another program, to its end unless `--detach`; return its exit code."""
    container_id = call.arguments[0]
    runtime = native(call)
    status, record = runtime.look(container_id)
    patient = call.on("ignore-paused")
    if status == STOPPED or (status == PAUSED and not patient):
        raise Conflict(f"cannot exec in a {status} container")
    process = _process(call, record)
    terminal, detach = bool(process.get("terminal")), call.on("detach")
    handover.check_console(terminal, call.text("console-socket"), detach=detach)
    groups = _groups(call.words("cgroup"))
    stdio = descriptors.stdio(call, terminal=terminal)
    with Undo() as undo:
        caller = undo.enter_context(handover.Sockets(call))
        if not detach:
            from moby_runtime.native.cli.foreground import Foreground

            foreground = undo.enter_context(Foreground(terminal=terminal))
            if terminal and not process.get("consoleSize"):
                process["consoleSize"] = dict(zip(("height", "width"), foreground.window(), strict=True))
        started = runtime.exec(container_id, process, stdio, groups, patient=patient)
        try:
            caller.send(started)
            handover.write_pid(call.text("pid-file"), started.pid)
        except BaseException:
            send_signal(started.exit_fd, signals.SIGKILL)
            raise
        return 0 if detach else foreground.attend(started)


def _groups(words: list[str]) -> dict[str, str]:
    """Read `--cgroup`: CONTROLLER,...:PATH for each tree of version 1, or just a path for version 2."""
    found: dict[str, str] = {}
    for word in words:
        names, separated, path = word.partition(":")
        if not separated:
            names, path = "", word
        for name in names.split(","):
            if separated and not name:
                raise Invalid(f"--cgroup {word!r} names no controller before the colon")
            if name in found:
                raise Invalid(f"--cgroup says twice what {name or 'version 2'} is to be in")
            found[name] = path
    return found


def _process(call: Call, record: Record) -> dict[str, Any]:
    """Return the process: from a file, else the container's own with what the command line changes."""
    path = call.text("process")
    if path:
        if call.arguments[1:]:
            raise Invalid("--process is a whole process, so no program may follow the id")
        return _may_as_much(_document(path, "--process"), record)
    if not call.arguments[1:]:
        raise Invalid("there is no program to run", hint="name it after the id, or use --process")
    config = f"{record.bundle}/config.json"
    process = _document(config, "the container's").get("process")
    if not isinstance(process, dict):
        raise Invalid(f"{config} has no process", hint="give a whole one with --process")
    return _changed(process, call)


def _may_as_much(process: dict[str, Any], record: Record) -> dict[str, Any]:
    """Add the capabilities of the container's own process where none are said, while its bundle is there."""
    if process.get("capabilities") is not None:
        return process
    try:
        own = _document(f"{record.bundle}/config.json", "the container's").get("process")
    except NotFound:
        return process
    sets = own.get("capabilities") if isinstance(own, dict) else None
    return {**process, "capabilities": sets} if sets else process


def _document(path: str, what: str) -> dict[str, Any]:
    try:
        data = decoded(sys.stdin.read() if path == "-" else read_bytes(path).decode())
    except FileNotFoundError:
        raise NotFound(f"{what} file {path} isn't there") from None
    except (ValueError, RecursionError) as error:
        raise Invalid(f"{what} file {path} is no JSON: {error}") from error
    if not isinstance(data, dict):
        raise Invalid(f"{what} file {path} has no JSON object")
    return data


def _changed(process: dict[str, Any], call: Call) -> dict[str, Any]:
    changes: dict[str, Any] = {
        "args": call.arguments[1:],
        "terminal": call.on("tty"),
        "env": [*(process.get("env") or ()), *call.words("env")],
        "user": _user(process.get("user") or {}, call),
    }
    for flag, name in (("cwd", "cwd"), ("process-label", "selinuxLabel"), ("apparmor", "apparmorProfile")):
        if call.text(flag):
            changes[name] = call.text(flag)
    if "no-new-privs" in call.flags:
        changes["noNewPrivileges"] = call.on("no-new-privs")
    if call.words("cap"):
        changes["capabilities"] = _capabilities(process.get("capabilities") or {}, call.words("cap"))
    return {**process, **changes}


def _user(user: dict[str, Any], call: Call) -> dict[str, Any]:
    uid, separated, gid = call.text("user").partition(":")
    changes: dict[str, Any] = {}
    if uid or separated:
        changes["uid"] = _id(uid, "--user")
    if separated:
        changes["gid"] = _id(gid, "--user")
    groups = [_id(each, "--additional-gids") for each in call.words("additional-gids")]
    if groups:
        changes["additionalGids"] = [*(user.get("additionalGids") or ()), *groups]
    return {**user, **changes}


def _id(text: str, flag: str) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 10:
        raise Invalid(f"{flag} takes ids as numbers, not {text!r}", hint="names are the engine's to look up")
    return int(text)


def _capabilities(sets: dict[str, Any], more: list[str]) -> dict[str, Any]:
    """Add capabilities to the sets that a program gets, and, where some pass an exec, to those that do so."""
    names = ["bounding", "effective", "permitted"]
    if sets.get("inheritable"):
        names.append("ambient")
    return {**sets, **{name: [*(sets.get(name) or ()), *more] for name in names}}
