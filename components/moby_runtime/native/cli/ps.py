"""The verb that lists a container's processes: ps."""

from __future__ import annotations

import json
import sys

from moby.errors import HostUnfit, Invalid, Unavailable
from moby_runtime.native.cli.containers import native
from moby_runtime.native.members import pids_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from moby_runtime.native.cli.main import Call


__all__ = ["ps"]


def ps(call: Call) -> int:
    """Print the pids as JSON, or those lines of ps(1) that tell of them."""
    form = call.text("format") or "table"
    if form not in ("table", "json"):
        raise Invalid(f"invalid format option {form!r}", hint="table or json")
    pids = pids_of(native(call).look(call.arguments[0])[1])  # also those that outlived the first process
    if form == "json":
        sys.stdout.write(json.dumps(list(pids), separators=(",", ":")) + "\n")
        return 0
    title, *lines = _listed(call.arguments[1:] or ["-ef"])
    if "PID" not in title.split():
        raise Invalid("couldn't find PID field in ps output", hint="let the options of ps show the column PID")
    column = title.split().index("PID")
    sys.stdout.write(f"{title}\n")
    for line in lines:
        fields = line.split()
        if len(fields) > column and fields[column].isdigit() and int(fields[column]) in pids:
            sys.stdout.write(f"{line}\n")
    return 0


def _listed(options: list[str]) -> list[str]:
    """Run ps(1) of the host, which knows how to show what is asked for."""
    import subprocess

    try:
        done = subprocess.run(["ps", *options], capture_output=True, text=True, check=False, timeout=60)
    except FileNotFoundError:
        raise HostUnfit("ps isn't there", hint="apt install procps, or ask for --format json") from None
    if done.returncode:
        raise Invalid(f"ps refuses: {(done.stderr or done.stdout).strip()}")
    lines = done.stdout.splitlines()
    if not lines:
        raise Unavailable("ps said nothing")
    return lines
