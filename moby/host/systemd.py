"""Scopes of systemd: units that hold the cgroup of processes which others started.

It is spoken to by busctl(1), which comes with it: no D-Bus library is needed (org.freedesktop.systemd1(5)).
"""

import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from attrs import frozen

from moby.errors import Conflict, HostUnfit, Unavailable

__all__ = [
    "NO_LIMIT",
    "Property",
    "attach",
    "group_of",
    "running",
    "set_properties",
    "start_scope",
    "stop",
    "user_group",
]

NO_LIMIT = str(2**64 - 1)
_NAME, _PATH = "org.freedesktop.systemd1", "/org/freedesktop/systemd1"
_INTERFACE = f"{_NAME}.Manager"
_PATIENCE_S = 30.0
_STEP_S = 0.002


@frozen
class Property:
    """A property of a unit: its D-Bus signature, and the words that busctl takes for its value."""

    name: str
    signature: str
    words: tuple[str, ...]


def running(folder: Path = Path("/run/systemd/system")) -> bool:
    """Whether systemd is this host's init (sd_booted(3))."""
    return folder.is_dir() and not folder.is_symlink()


def start_scope(unit: str, pid: int, properties: Sequence[Property], *, user: bool = False) -> str:
    """Make a scope, by the user's own systemd or the host's, put a process in, and return its group's path.

    Conflict where there is such a unit already, HostUnfit where systemd refuses, Unavailable where it takes too long.
    """
    pids = Property("PIDs", "au", ("1", str(pid)))
    try:
        _call("StartTransientUnit", "ssa(sv)a(sa(sv))", [unit, "replace", *_array([*properties, pids]), "0"], user=user)
    except HostUnfit:
        if _is_loaded(unit, user=user):
            raise Conflict(f"systemd has a unit {unit} already", hint=f"systemctl stop {unit}") from None
        raise
    deadline = time.monotonic() + _PATIENCE_S
    while not (path := group_of(pid)).endswith(f"/{unit}"):
        if time.monotonic() > deadline or not Path(f"/proc/{pid}").exists():
            raise Unavailable(f"systemd doesn't start {unit} in time", hint=f"look at journalctl --unit={unit}")
        time.sleep(_STEP_S)
    return path


def group_of(pid: int) -> str:
    """Return the path of a process's cgroup of version 2; empty where it has none, or has ended."""
    try:
        lines = Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8").splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return next((line.removeprefix("0::") for line in lines if line.startswith("0::")), "")


def set_properties(unit: str, properties: Sequence[Property], *, user: bool = False) -> None:
    """Change properties of a unit for as long as it lives; HostUnfit where systemd refuses."""
    if properties:
        _call("SetUnitProperties", "sba(sv)", [unit, "true", *_array(properties)], user=user)


def attach(unit: str, pid: int, *, user: bool = False) -> None:
    """Move a process into a unit, as an ordinary user can't by itself; HostUnfit where systemd refuses."""
    _call("AttachProcessesToUnit", "ssau", [unit, "", "1", str(pid)], user=user)


def stop(unit: str, *, user: bool = False) -> None:
    """Stop a unit whose processes have ended, and forget how; fine where there is none."""
    for method, signature, words in (("StopUnit", "ss", [unit, "replace"]), ("ResetFailedUnit", "s", [unit])):
        if not _is_loaded(unit, user=user):
            return
        try:
            _call(method, signature, words, user=user)
        except HostUnfit:
            if _is_loaded(unit, user=user):  # else it went by itself
                raise


def user_group() -> str:
    """Return the path of the group of the user's own systemd."""
    found = _busctl(["get-property", _NAME, _PATH, _INTERFACE, "ControlGroup"], user=True)
    return found.partition(" ")[2].strip().strip('"')


def _is_loaded(unit: str, *, user: bool) -> bool:
    try:
        _call("GetUnit", "s", [unit], user=user)
    except HostUnfit:
        return False
    return True


def _array(properties: Sequence[Property]) -> list[str]:
    words = [str(len(properties))]
    for each in properties:
        words += [each.name, each.signature, *each.words]
    return words


def _call(method: str, signature: str, words: Sequence[str], *, user: bool) -> str:
    return _busctl(["call", _NAME, _PATH, _INTERFACE, method, signature, *words], user=user)


def _busctl(words: Sequence[str], *, user: bool) -> str:
    command = ["busctl", *(["--user"] if user else []), f"--timeout={_PATIENCE_S:g}", "--", *words]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=2 * _PATIENCE_S)
    except FileNotFoundError:
        raise HostUnfit("systemd is controlled by busctl, which isn't on PATH", hint="apt install systemd") from None
    except subprocess.TimeoutExpired:
        raise Unavailable("systemd doesn't answer", hint="look at journalctl") from None
    if done.returncode:
        said = done.stderr.strip().removeprefix("Call failed: ")
        bus = (
            "the user's own systemd (systemctl --user, loginctl enable-linger)" if user else "systemd and its bus, dbus"
        )
        raise HostUnfit(
            f"systemd refuses {words[-1] if len(words) < 5 else words[4]}: {said}", hint=f"see that {bus} run"
        )
    return done.stdout
