"""The verbs `install` and `uninstall`: units of systemd for an engine (systemd.service(5), systemd.socket(5))."""

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import frozen

from moby.engine import activation
from moby.errors import Conflict, HostUnfit, Invalid

if TYPE_CHECKING:
    from moby.engine.call import Call

__all__ = ["Units", "install", "render", "uninstall"]

USAGE = 2
LONGEST_PATH = 107
"""Of a Unix socket, in bytes (unix(7), sun_path)."""
BOOTED = Path("/run/systemd/system")
"""Is there where systemd runs (sd_booted(3))."""


@frozen
class Units:
    """What is to be installed, and where."""

    folder: Path
    name: str
    user: bool
    socket: str
    """Path of the Unix socket, with specifiers (systemd.unit(5))."""
    hosts: tuple[str, ...] = ()
    """Further addresses, which the engine opens itself."""
    command: tuple[str, ...] = ()
    """The distribution, up to the verb."""
    group: str = ""
    """Group that may use the socket; empty is none but the owner's."""

    def paths(self) -> tuple[Path, Path]:
        """Return the service's file and the socket's."""
        return self.folder / f"{self.name}.service", self.folder / f"{self.name}.socket"


def install(call: "Call") -> int:
    """Write the units and, unless for another root (`--destdir`), have systemd start the socket now, both at boot."""
    if not call.plan.of_kind("frontend"):
        sys.stderr.write(f"{call.plan.name} has no front end, so there is nothing that could be started\n")
        return USAGE
    units, destdir = _asked(call)
    _check(call, units, here=not destdir)
    if not destdir and not BOOTED.is_dir():
        raise HostUnfit(
            "systemd doesn't run here", hint="use `serve`; --destdir DIR writes the units of another system"
        )
    before = [_content(path) for path in units.paths()]
    try:
        for path, text in zip(units.paths(), render(units), strict=True):
            _write(path, text)
        if not destdir:
            _systemctl(units, "daemon-reload")
    except HostUnfit:
        _restore(units, before)
        raise
    for path in units.paths():
        sys.stdout.write(f"{path}\n")
    if not destdir:
        service, socket = (path.name for path in units.paths())
        _systemctl(units, "enable", service, socket)  # at boot both: restart policies ask for containers then
        _systemctl(units, "start", socket)
    return 0


def uninstall(call: "Call") -> int:
    """Stop and remove the units; where there are none, nothing."""
    units, destdir = _asked(call)
    found = [path for path in units.paths() if path.exists()]
    runs = not destdir and BOOTED.is_dir()
    names = [path.name for path in units.paths()]
    if found and runs:
        _systemctl(units, "disable", "--now", *names)
    elif found and not destdir:
        with suppress(HostUnfit):  # nothing runs that could be stopped, and systemctl itself may not be there
            _systemctl(units, "disable", *names)
    for path in found:
        path.unlink()
        sys.stdout.write(f"{path}\n")
    if found and runs:
        _systemctl(units, "daemon-reload")
        with suppress(HostUnfit):  # as of units that had not failed
            _systemctl(units, "reset-failed", *names)
    return 0


def render(units: Units) -> tuple[str, str]:
    """Return the service's text and the socket's."""
    hosts = ["--host", "fd://", *(word for each in units.hosts for word in ("--host", each))]
    start = " ".join(_quoted(word) for word in (*units.command, "serve", *hosts))
    service = f"""\
[Unit]
Description={units.name} container engine
Requires={units.name}.socket
After={units.name}.socket network-online.target
Wants=network-online.target

[Service]
Type=notify
NotifyAccess=main
ExecStart={start}
Restart=on-failure
RestartSec=1
TimeoutStopSec=90
# Containers, and the processes above them, go on when the engine is stopped or upgraded.
KillMode=process
# Nobody else is to change what is in the engine's group, where an ordinary user's containers are too.
Delegate=yes
TasksMax=infinity
LimitNOFILE=1048576
{"" if units.user else "OOMScoreAdjust=-500"}

[Install]
WantedBy={"default.target" if units.user else "multi-user.target"}
"""
    socket = f"""\
[Unit]
Description={units.name} container engine, its socket

[Socket]
ListenStream={units.socket}
SocketMode=0660
{f"SocketGroup={units.group}" if units.group else ""}
RemoveOnStop=yes

[Install]
WantedBy=sockets.target
"""
    return service.replace("\n\n\n", "\n\n"), socket.replace("0660\n\nRemove", "0660\nRemove")


def _asked(call: "Call") -> tuple[Units, str]:
    import argparse

    parser = argparse.ArgumentParser(prog=f"{call.plan.name} {call.verb}", allow_abbrev=False)
    parser.add_argument("--user", action="store_true", help="for your own systemd (systemctl --user), not the host's")
    parser.add_argument(
        "--destdir", default="", metavar="DIR", help="root of another system to write to; nothing is started"
    )
    parser.add_argument(
        "-H",
        "--host",
        action="append",
        default=[],
        metavar="[NAME=]ADDRESS",
        help="unix:///PATH of the socket that systemd opens, or a further address for `serve`",
    )
    flags = parser.parse_args(call.arguments)
    name = f"moby-{call.plan.name}"
    if flags.user:
        config = os.environ.get("XDG_CONFIG_HOME") or f"{os.environ.get('HOME', '/nonexistent')}/.config"
        folder = Path(config, "systemd/user")
        default = f"%t/moby/{call.plan.name}.sock"
    else:
        folder = Path("/etc/systemd/system")
        default = f"/run/moby/{call.plan.name}.sock"
    sockets = [_socket(each) for each in flags.host if each.startswith("unix://")]
    if len(sockets) > 1:
        raise Invalid("the socket unit has one Unix socket", hint="name others in ExecStart with `systemctl edit`")
    units = Units(
        Path(f"{flags.destdir}{folder}") if flags.destdir else folder,
        name,
        flags.user,
        sockets[0] if sockets else default,
        tuple(each for each in flags.host if not each.startswith("unix://")),
        _command(call),
        "" if flags.user else _group(),
    )
    return units, flags.destdir


def _socket(address: str) -> str:
    """Return a Unix socket's path as its unit has it, where `%t` alone means something; Invalid for what none has."""
    path = address.removeprefix("unix://")
    folder, rest = ("%t", path[2:]) if path.startswith("%t/") else ("", path)
    if not rest.startswith("/") or rest.endswith("/") or not path.isprintable():
        raise Invalid(f"{address!r} names no absolute path of a file", hint="write unix:///PATH")
    if len(os.fsencode(path)) > LONGEST_PATH:
        raise Invalid(f"{path} is longer than a Unix socket's path may be, {LONGEST_PATH} bytes")
    return folder + rest.replace("%", "%%")


def _check(call: "Call", units: Units, *, here: bool) -> None:
    """Raise what `serve` would at these addresses, as far as that can be told now; of another system that is less."""
    from moby.engine import listening, settings
    from moby.surroundings import Surroundings

    passed = {activation.FIRST: f"{units.name}.socket"}
    found = listening.hosts(call.plan, ["fd://", *units.hosts], passed)
    opened = {key: [each for each in addresses if not each.startswith("fd://")] for key, addresses in found.items()}
    own = {key: addresses for key, addresses in opened.items() if addresses or not found[key]}
    config = call.config if here or (call.config and call.config.exists()) else None
    try:
        listening.check(call.plan, own, settings.read(call.plan, config), Surroundings(call.roots))
    except Conflict:
        pass  # this engine itself may have it now
    except HostUnfit:
        if here:
            raise


def _command(call: "Call") -> tuple[str, ...]:
    """Return how this distribution was started, with its flags, by absolute paths."""
    program = Path(sys.argv[0]).absolute()
    root = ("--root", str(Path(call.root).absolute())) if call.root else ()
    config = ("--config", str(call.config.absolute())) if call.config else ()
    form = ("--log-format", call.log_form) if call.log_form != "text" else ()
    # A program of its own has its interpreter in a cache folder, which may be emptied.
    start = (str(program),) if _is_program(program) else (sys.executable, str(program))
    return (*start, *root, *config, "--log-level", call.log_level, *form)


def _is_program(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(4) == b"\x7fELF"
    except OSError:
        return False


def _group() -> str:
    """Return the group that may use the socket: docker's, where there is one."""
    import grp

    try:
        return grp.getgrnam("docker").gr_name
    except KeyError:
        return ""


def _quoted(word: str) -> str:
    """Return a word as a unit's command line has it (systemd.service(5), command lines)."""
    text = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{text}"' if not text or any(each in text for each in " \t'\";") else text


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    except OSError as error:
        hint = "be root, or install it for yourself with --user"
        raise HostUnfit(f"can't write {path}: {error.strerror}", hint=hint) from error


def _content(path: Path) -> bytes | None:
    """Return what is at a path; None where nothing is."""
    try:
        return path.read_bytes()
    except OSError:
        return None


def _restore(units: Units, before: list[bytes | None]) -> None:
    """Put back what was there, as far as that can be."""
    for path, content in zip(units.paths(), before, strict=True):
        with suppress(OSError):
            if content is None:
                path.unlink(missing_ok=True)
            else:
                path.write_bytes(content)


def _systemctl(units: Units, *words: str) -> None:
    command = ["systemctl", *(["--user"] if units.user else []), *words]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise HostUnfit("systemctl isn't there", hint="this host has no systemd; use `serve`") from error
    if done.returncode:
        status = " ".join(["systemctl", *(["--user"] if units.user else []), "status", *words[1:]])
        hint = f"see `{status}`" if words[0] == "start" else "see that systemd runs here"
        raise HostUnfit(f"{' '.join(command)} failed: {done.stderr.strip()}", hint=hint)
