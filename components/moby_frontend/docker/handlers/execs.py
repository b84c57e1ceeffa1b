"""Further programs in running containers."""

import os
import select
import socket
from contextlib import suppress
from typing import Any

from moby.contracts.containers import Exec, ExecConfig
from moby.contracts.log_driver import STDOUT, frame
from moby.contracts.supervisor import Streams
from moby.contracts.types import Window
from moby.errors import Conflict, Invalid, MobyError, NotFound
from moby_frontend.docker import failures
from moby_frontend.docker.call import Call, Reply, empty, reply_json
from moby_frontend.docker.carried import LOOK_MS, Carried
from moby_frontend.docker.handlers.attaching import tell_detached
from moby_frontend.docker.handlers.lifecycle import window
from moby_frontend.docker.hijack import Pump, head, keys
from moby_frontend.docker.parts import Parts
from moby_frontend.docker.translate.forms import FLAG, NUMBER, TEXT, TEXTS, WORDS, Field, items, read

__all__ = ["create", "inspect", "resize", "start"]

_FIELDS = (
    Field("Cmd", "command", WORDS),
    Field("Env", "environment", TEXTS),
    Field("User", "user", TEXT),
    Field("WorkingDir", "working_directory", TEXT),
    Field("Tty", "terminal", FLAG),
    Field("AttachStdin", "attach_stdin", FLAG),
    Field("AttachStdout", "attach_stdout", FLAG),
    Field("AttachStderr", "attach_stderr", FLAG),
    Field("Privileged", "privileged", FLAG),
    Field("DetachKeys", "detach_keys", TEXT),
)


def create(parts: Parts, call: Call) -> Reply:
    """Prepare one."""
    body = call.json(required=True)
    found = read(_FIELDS, body, "ExecConfig")
    if not found.get("command"):
        raise Invalid("No exec command specified")
    if found.get("detach_keys"):
        keys(found["detach_keys"])
    if call.version >= (1, 42):
        found["window"] = _console(body)
    return reply_json({"Id": parts.containers.exec_create(call.names["name"], ExecConfig(**found))}, 201)


def _console(body: dict[str, Any]) -> Window | None:
    sizes = [NUMBER.read(each, "ConsoleSize") for each in items(body.get("ConsoleSize"), "ConsoleSize")]
    if not sizes or not any(sizes):
        return None
    if len(sizes) != 2 or not all(0 <= each < 65536 for each in sizes):
        raise Invalid("ConsoleSize: two numbers are wanted, height and width")
    return Window(*sizes)


def start(parts: Parts, call: Call) -> Reply | None:
    """Run it: with `Detach` alone, else on this connection."""
    body = call.json() if call.bytes() else {}
    session = parts.containers.exec_get(call.names["id"])
    size = _console(body) if call.version >= (1, 42) else None
    if body.get("Detach"):
        parts.containers.exec_start(session.id, detach=True, window=size)
        return empty(200)
    _on_connection(parts, call, session, size)
    return None


def _on_connection(parts: Parts, call: Call, session: Exec, size: Window | None) -> None:
    """Run it with its streams on the connection, which is a stream before it runs, as dockerd has it.

    So what fails then is told in the stream; the exit code tells it apart.
    """
    config, terminal = session.config, session.config.terminal
    early = call.link.early()
    sock = call.link.hijack(head(call, terminal=terminal))
    attached = config.attach_stdin or config.attach_stdout or config.attach_stderr
    try:
        carried = Carried(parts.containers)
        streams = parts.containers.exec_start(session.id, detach=not attached, window=size)
    except (MobyError, OSError) as error:
        text = failures.message(error).encode() + b"\r\n"
        with sock, suppress(OSError):
            sock.sendall(text if terminal else frame(STDOUT, len(text)) + text)
        return
    except BaseException:
        sock.close()
        raise
    if streams is None:
        with sock:
            _await_end(parts, call, session.id, sock, carried)
        return
    # Who still asks for its exit code is refused, so that waiting for it would be of no use.
    pump = Pump(sock, streams, call.link.draining_fd(), terminal=terminal, carried=carried)
    pump.run(
        early,
        stdin=config.attach_stdin,
        stdout=config.attach_stdout,
        stderr=config.attach_stderr,
        detach=keys(config.detach_keys) if terminal else b"",
        last=lambda sock: _await_end(parts, call, session.id, sock, carried),
    )
    if pump.detached:
        tell_detached(parts, parts.containers.get(session.container_id), "exec_detach", execID=session.id)


def _await_end(parts: Parts, call: Call, exec_id: str, sock: socket.socket, carried: Carried) -> Streams | None:
    """Wait until its exit code is known, which clients ask for once their connection has ended; or for more to come."""
    try:
        fd = parts.containers.exec_exit_fd(exec_id)
    except MobyError:
        return None  # gone with its container
    try:
        poll = select.poll()
        for each in (fd, call.link.draining_fd()):
            poll.register(each, select.POLLIN)
        poll.register(sock, 0)  # it has gone
        while True:
            over = poll.poll(LOOK_MS)
            fresh = carried.again(exec_id)
            if over or fresh is not None:
                return fresh
    finally:
        os.close(fd)


def resize(parts: Parts, call: Call) -> Reply:
    """Tell its terminal the size."""
    size, exec_id = window(call), call.names["id"]
    try:
        parts.containers.exec_resize(exec_id, size)
    except Conflict as error:
        session = parts.containers.exec_get(exec_id)
        if not session.pid and session.exit_code is None:
            raise failures.Status(500, "timeout waiting for exec session ready") from error
        if not session.pid:
            raise Invalid("exec process is not started") from error
        raise NotFound(f"process does not exist {exec_id}: {failures.message(error)}") from error
    return empty(200)


def inspect(parts: Parts, call: Call) -> Reply:
    """Show it."""
    session = parts.containers.exec_get(call.names["id"])
    config = session.config
    process: dict[str, Any] = {
        "tty": config.terminal,
        "entrypoint": config.command[0],
        "arguments": list(config.command[1:]),
        "privileged": config.privileged,
    }
    if config.user:
        process["user"] = config.user
    return reply_json({
        "ID": session.id,
        "Running": session.running,
        "ExitCode": session.exit_code,
        "ProcessConfig": process,
        "OpenStdin": config.attach_stdin,
        "OpenStderr": config.attach_stderr,
        "OpenStdout": config.attach_stdout,
        "CanRemove": False,
        "ContainerID": session.container_id,
        "DetachKeys": config.detach_keys,
        "Pid": session.pid,
    })  # fmt: skip
