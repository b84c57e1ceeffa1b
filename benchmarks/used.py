"""Processor time of all that runs, or ran, in a sandbox, which others on the machine don't lengthen."""

from typing import Any

__all__ = ["used_s"]


def used_s(sandbox: Any) -> float:
    """Return the seconds that its cgroups have used; SystemExit where none of them counts them."""
    for group in sandbox.groups:
        old, new = group / "cpuacct.usage", group / "cpu.stat"
        if old.exists():
            return int(old.read_text()) / 1e9
        if new.exists() and "usage_usec" in new.read_text():
            return int(new.read_text().split("usage_usec")[1].split()[0]) / 1e6
    raise SystemExit("no control group counts processor time here")
