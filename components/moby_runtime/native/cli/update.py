"""The verb that changes limits: update."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from moby.errors import Invalid, NotFound
from moby_runtime.native.cli.containers import native

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from moby_runtime.native.cli.main import Call

__all__ = ["update"]

_FLAGS = {
    "cpu-period": ("cpu", "period"),
    "cpu-quota": ("cpu", "quota"),
    "cpu-burst": ("cpu", "burst"),
    "cpu-share": ("cpu", "shares"),
    "cpu-rt-period": ("cpu", "realtimePeriod"),
    "cpu-rt-runtime": ("cpu", "realtimeRuntime"),
    "cpu-idle": ("cpu", "idle"),
    "memory": ("memory", "limit"),
    "memory-reservation": ("memory", "reservation"),
    "memory-swap": ("memory", "swap"),
    "cpuset-cpus": ("cpu", "cpus"),
    "cpuset-mems": ("cpu", "mems"),
    "blkio-weight": ("blockIO", "weight"),
    "pids-limit": ("pids", "limit"),
}
"""Where a flag's value belongs in linux.resources."""
_UNSIGNED = frozenset({"cpu-period", "cpu-burst", "cpu-share", "cpu-rt-period"})
_UNITS = {"": 1, "b": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40, "p": 2**50}
_GONE = ("kernel-memory", "kernel-memory-tcp")
_RDT = {"l3-cache-schema": "linux.intelRdt.l3CacheSchema", "mem-bw-schema": "linux.intelRdt.memBwSchema"}


def update(call: Call) -> int:
    """Change what is named, by flags or by a file."""
    runtime, container_id = native(call), call.arguments[0]
    lines = [(field, call.text(flag)) for flag, field in _RDT.items() if call.text(flag)]
    if lines:
        runtime.update_rdt(container_id, lines)
    for flag in _GONE:
        if call.text(flag):
            sys.stderr.write(f"moby-runtime: --{flag} is ignored: the kernel has no such limit any more\n")
    path = call.text("resources")
    runtime.update(container_id, _document(path) if path else _from_flags(call))
    return 0


def _document(path: str) -> dict[str, Any]:
    """Read linux.resources; what is null or empty says nothing."""
    try:
        data = json.loads(sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise NotFound(f"--resources file {path} isn't there") from None
    except (ValueError, RecursionError) as error:
        raise Invalid(f"--resources file {path} is no JSON: {error}") from error
    if not isinstance(data, dict):
        raise Invalid(f"--resources file {path} has no JSON object")
    # Engines send every rule again, though devices can't be changed by this verb.
    return {key: value for key, value in data.items() if value not in (None, {}, []) and key != "devices"}


def _from_flags(call: Call) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for flag, (section, name) in _FLAGS.items():
        value = call.flags.get(flag)
        if value is None or value == "" or (flag == "blkio-weight" and not value):
            continue
        found.setdefault(section, {})[name] = _value(flag, value)
    return found


def _value(flag: str, value: object) -> Any:
    if isinstance(value, int) or flag.startswith("cpuset"):
        return value
    text = str(value)
    if flag.startswith("memory"):
        return -1 if text == "-1" else _bytes(flag, text)
    digits = text.removeprefix("-") if flag not in _UNSIGNED else text
    if not (digits.isdecimal() and digits.isascii()):
        raise Invalid(f"invalid value for {flag}: {text!r} is no number")
    return int(text)


def _bytes(flag: str, text: str) -> int:
    """Read a size: 512m, 1.5GiB, 1048576."""
    lower = text.strip().lower().removesuffix("b").removesuffix("i")
    number, unit = (lower[:-1], lower[-1:]) if lower[-1:].isalpha() else (lower, "")
    try:
        return int(float(number) * _UNITS[unit]) if "." in number else int(number) * _UNITS[unit]
    except (KeyError, ValueError, OverflowError):
        raise Invalid(f"invalid value for {flag}: {text!r} is no size", hint="a number, with k, m, g or t") from None
