"""Verbs that have a container's streams: run, create, start, attach, exec."""

import argparse
import errno
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from moby.errors import Conflict, Invalid, MobyError, NotFound
from moby_containers.command import bodies, options, pulling, streams, values
from moby_containers.command.client import Client, query
from moby_containers.command.verb import Parser, complain, each, say

__all__ = ["attach", "create", "exec", "run", "start"]

_NO_PROGRAM = 1
"""There is nothing to run it in, or with: here docker's command has no 125."""
_NOT_FOUND = 127
_NOT_RUNNABLE = 126
_MISSING = re.compile(r"executable file not found|no such file or directory|system cannot find")
_DENIED = re.compile(r"permission denied|exec format error|is a directory")


def create(client: Client, parser: Parser, arguments: Sequence[str]) -> int:
    """Make a container and print its id."""
    parser.add_argument("--attach", "-a", action="append", default=[])
    parser.add_argument("--pull", default="missing")
    parser.add_argument("-q", "--quiet", action="store_true")
    options.add(parser)
    asked = parser.parse_args(arguments)
    say(_created(client, asked, attach=True))
    return 0


def run(client: Client, parser: Parser, arguments: Sequence[str]) -> int:
    """Make a container, start it, and be attached to it unless detached; its exit code is this one's."""
    parser.add_argument("-d", "--detach", action="store_true")
    parser.add_argument("-a", "--attach", action="append", default=[])
    parser.add_argument("--detach-keys", default="ctrl-p,ctrl-q")
    parser.add_argument("--sig-proxy", choices=("true", "false"), default="true")
    parser.add_argument("--pull", default="missing")
    parser.add_argument("-q", "--quiet", action="store_true")
    options.add(parser)
    asked = parser.parse_args(arguments)
    keys = streams.keys(asked.detach_keys)
    if _lacks_terminal(asked):
        return _NO_PROGRAM
    if asked.detach:
        number = _created(client, asked, attach=False)
        _start(client, number)
        say(number)
        return 0
    number = _created(client, asked, attach=True)
    condition = "removed" if asked.rm else "next-exit"
    which = query(stream=True, stdin=asked.interactive, stdout=True, stderr=True)
    sock, first = client.hijack(f"/containers/{number}/attach{which}")
    waiting = client.open("POST", f"/containers/{number}/wait{query(condition=condition)}")
    with waiting:
        try:
            _start(client, number)
        except BaseException:
            sock.close()
            raise
        session = streams.Session(sock, first, terminal=asked.tty, stdin=asked.interactive, detach=keys)
        if not _pumped(client, number, session, terminal=asked.tty, proxy=asked.sig_proxy == "true"):
            return 0
        return _code(waiting.read())


def start(client: Client, parser: Parser, arguments: Sequence[str]) -> int:
    """Start containers; one may be attached to."""
    parser.add_argument("-a", "--attach", action="store_true")
    parser.add_argument("-i", "--interactive", action="store_true")
    parser.add_argument("--detach-keys", default="ctrl-p,ctrl-q")
    parser.add_argument("names", nargs="+", metavar="CONTAINER")
    asked = parser.parse_args(arguments)
    if not (asked.attach or asked.interactive):
        failed = [name for name in asked.names if each([name], lambda name: client.post(f"/containers/{name}/start"))]
        if failed:
            complain(f"Error: failed to start containers: {', '.join(failed)}")
        return 1 if failed else 0
    if len(asked.names) > 1:
        raise Invalid("you cannot start and attach multiple containers at once")
    [name] = asked.names
    found = client.get(f"/containers/{name}/json")
    stdin = asked.interactive and found["Config"]["OpenStdin"]
    sock, first = client.hijack(
        f"/containers/{found['Id']}/attach{query(stream=True, stdin=stdin, stdout=True, stderr=True)}"
    )
    condition = "removed" if found["HostConfig"].get("AutoRemove") else "next-exit"
    with client.open("POST", f"/containers/{found['Id']}/wait{query(condition=condition)}") as waiting:
        try:
            client.post(f"/containers/{found['Id']}/start")
        except BaseException:
            sock.close()
            raise
        terminal = found["Config"]["Tty"]
        keys = streams.keys(asked.detach_keys)
        session = streams.Session(sock, first, terminal=terminal, stdin=stdin, detach=keys)
        if not _pumped(client, found["Id"], session, terminal=terminal, proxy=True):
            return 0
        return _code(waiting.read())


def attach(client: Client, parser: Parser, arguments: Sequence[str]) -> int:
    """Be attached to a container that runs."""
    parser.add_argument("--no-stdin", action="store_true")
    parser.add_argument("--sig-proxy", choices=("true", "false"), default="true")
    parser.add_argument("--detach-keys", default="ctrl-p,ctrl-q")
    parser.add_argument("name", metavar="CONTAINER")
    asked = parser.parse_args(arguments)
    found = client.get(f"/containers/{asked.name}/json")
    if not found["State"]["Running"]:
        raise Conflict("cannot attach to a stopped container, start it first")
    if found["State"].get("Paused"):
        raise Conflict("cannot attach to a paused container, unpause it first")
    terminal, number = found["Config"]["Tty"], found["Id"]
    stdin = found["Config"]["OpenStdin"] and not asked.no_stdin
    sock, first = client.hijack(
        f"/containers/{number}/attach{query(stream=True, stdin=stdin, stdout=True, stderr=True)}"
    )
    session = streams.Session(sock, first, terminal=terminal, stdin=stdin, detach=streams.keys(asked.detach_keys))
    with client.open("POST", f"/containers/{number}/wait") as waiting:
        if not _pumped(client, number, session, terminal=terminal, proxy=asked.sig_proxy == "true"):
            return 0
        return _code(waiting.read())


def exec(client: Client, parser: Parser, arguments: Sequence[str]) -> int:  # noqa: A001  # docker's word
    """Run one more program in a container; its exit code is this one's."""
    parser.add_argument("-d", "--detach", action="store_true")
    parser.add_argument("-i", "--interactive", action="store_true")
    parser.add_argument("-t", "--tty", action="store_true")
    parser.add_argument("-e", "--env", action="append", default=[])
    parser.add_argument("--env-file", action="append", default=[])
    parser.add_argument("-u", "--user", default="")
    parser.add_argument("-w", "--workdir", default="")
    parser.add_argument("--privileged", action="store_true")
    parser.add_argument("--detach-keys", default="ctrl-p,ctrl-q")
    parser.add_argument("name", metavar="CONTAINER")
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="COMMAND")
    asked = parser.parse_args(arguments)
    if not asked.command:
        parser.error("exec needs a container and a command")
    if _lacks_terminal(asked):
        return _NO_PROGRAM
    attached = not asked.detach
    body = {
        "Cmd": asked.command, "Env": values.environment(asked.env, asked.env_file), "User": asked.user,
        "WorkingDir": asked.workdir, "Tty": asked.tty, "Privileged": asked.privileged,
        "AttachStdin": attached and asked.interactive, "AttachStdout": attached, "AttachStderr": attached,
    }  # fmt: skip
    try:
        number = client.post(f"/containers/{asked.name}/exec", body)["Id"]
    except (Conflict, Invalid, NotFound) as error:
        complain(error.message)
        return _NO_PROGRAM
    if asked.detach:
        client.post(f"/exec/{number}/start", {"Detach": True, "Tty": asked.tty})
        return 0
    try:
        sock, first = client.hijack(f"/exec/{number}/start", {"Detach": False, "Tty": asked.tty})
    except MobyError as error:
        raise _program_failed(error) from error
    keys = streams.keys(asked.detach_keys)
    session = streams.Session(sock, first, terminal=asked.tty, stdin=asked.interactive, detach=keys)
    resize = _resizer(client, f"/exec/{number}") if asked.tty and streams.is_terminal(1) else None
    streams.flush()
    with streams.raw(asked.tty and asked.interactive), streams.passing(lambda name: None, resize or _keep):
        if not session.pump():
            return 0
    code = client.get(f"/exec/{number}/json")["ExitCode"]
    return 125 if code is None else int(code)


def _lacks_terminal(asked: argparse.Namespace) -> bool:
    """Whether a terminal is wanted that standard input isn't, which is then said."""
    lacks = bool(asked.tty and asked.interactive and not asked.detach and not streams.is_terminal(0))
    if lacks:
        complain("the input device is not a TTY")
    return lacks


def _keep(rows: int, columns: int) -> None:
    """Take sizes, and so no signals."""


def _created(client: Client, asked: argparse.Namespace, *, attach: bool) -> str:
    cidfile = Path(asked.cidfile) if asked.cidfile else None
    if cidfile is not None and cidfile.exists():
        raise Conflict(
            f"container ID file found, make sure the other container isn't running or delete {asked.cidfile}"
        )
    body = bodies.body(asked, attach=attach)
    if asked.tty:
        body["HostConfig"]["ConsoleSize"] = list(streams.window())
    more = query(name=asked.name, platform=asked.platform)
    made = pulling.create(
        client, f"/containers/create{more}", body,
        image=asked.image, policy=asked.pull, platform=asked.platform, quiet=asked.quiet,
    )  # fmt: skip
    for warning in made.get("Warnings") or ():
        complain(f"WARNING: {warning}")
    if cidfile is not None:
        cidfile.write_text(made["Id"], encoding="ascii")
    return str(made["Id"])


def _start(client: Client, number: str) -> None:
    try:
        client.post(f"/containers/{number}/start")
    except MobyError as error:
        raise _program_failed(error) from error


def _program_failed(error: MobyError) -> MobyError:
    """Give an error that is about the program the exit code that a shell would (docker-run(1), exit status)."""
    if _DENIED.search(error.message):
        error.exit_code = _NOT_RUNNABLE
    elif _MISSING.search(error.message):
        error.exit_code = _NOT_FOUND
    return error


def _pumped(client: Client, number: str, session: streams.Session, *, terminal: bool, proxy: bool) -> bool:
    resize = _resizer(client, f"/containers/{number}") if terminal and streams.is_terminal(1) else None
    streams.flush()

    def send(name: str) -> None:
        client.post(f"/containers/{number}/kill{query(signal=name)}")

    try:
        with streams.raw(terminal and session.stdin):
            if not proxy and resize is None:
                return session.pump()
            with streams.passing(send, resize):
                return session.pump()
    except OSError as error:
        if error.errno == errno.EPIPE:
            raise BrokenPipeError(*error.args) from error
        raise


def _resizer(client: Client, path: str) -> Callable[[int, int], None]:
    def resize(rows: int, columns: int) -> None:
        client.post(f"{path}/resize{query(h=str(rows), w=str(columns))}")

    return resize


def _code(answer: bytes) -> int:
    import json

    found: dict[str, Any] = json.loads(answer)
    if (found.get("Error") or {}).get("Message"):
        raise MobyError(f"Error response from daemon: {found['Error']['Message']}")
    return int(found["StatusCode"])
