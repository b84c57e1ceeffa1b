"""Ages, sizes and ports, as docker says them."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

__all__ = ["age", "binary_size", "moment", "moment_ns", "ports", "size"]

_SPANS = (
    ("years", 365 * 86400, 2), ("months", 30 * 86400, 2), ("weeks", 7 * 86400, 2), ("days", 86400, 2),
    ("hours", 3600, 2), ("minutes", 60, 2), ("seconds", 1, 2),
)  # fmt: skip


def age(seconds: int) -> str:
    """Return how long something took, as docker says it: `About a minute`."""
    for unit, span_s, least in _SPANS:
        if seconds >= span_s * least:
            return f"{seconds // span_s} {unit}"
        if unit == "hours" and seconds >= 3600:
            return "About an hour"
        if unit == "minutes" and seconds >= 60:
            return "About a minute"
    return "1 second" if seconds == 1 else "Less than a second"


def size(size_bytes: float, digits: int = 3) -> str:
    """Return so many digits at most and a unit of thousands: `1.23MB`."""
    units = iter(("B", "kB", "MB", "GB", "TB", "PB"))
    unit = next(units)
    while size_bytes >= 1000:
        size_bytes, unit = size_bytes / 1000, next(units)
    return f"{size_bytes:.{digits}g}{unit}"


def binary_size(size_bytes: float) -> str:
    """Return four digits at most and a unit of 1024: `1.234MiB`."""
    units = iter(("B", "KiB", "MiB", "GiB", "TiB", "PiB"))
    unit = next(units)
    while size_bytes >= 1024:
        size_bytes, unit = size_bytes / 1024, next(units)
    return f"{size_bytes:.4g}{unit}"


def moment(seconds: int) -> str:
    """Return a moment as Go prints it, in the caller's time zone."""
    return f"{datetime.fromtimestamp(seconds).astimezone():%Y-%m-%d %H:%M:%S %z %Z}"


def moment_ns(text: str) -> int:
    """Return a time of the API in nanoseconds since the epoch; 0 for Go's first moment and for none."""
    found = re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)", text)
    if not found or text.startswith("0001"):
        return 0
    seconds = int(datetime.fromisoformat(found[1] + found[3].replace("Z", "+00:00")).astimezone(UTC).timestamp())
    return seconds * 1_000_000_000 + int((found[2] or "0").ljust(9, "0"))


def ports(found: Sequence[Any]) -> str:
    """Return published and exposed ports, sorted: `0.0.0.0:80->8080/tcp, 9000/tcp`."""
    said = []
    for each in sorted(found, key=lambda each: (each["PrivatePort"], each.get("Type", ""), each.get("IP", ""))):
        inside = f"{each['PrivatePort']}/{each.get('Type', 'tcp')}"
        said.append(f"{each.get('IP', '')}:{each['PublicPort']}->{inside}" if each.get("PublicPort") else inside)
    return ", ".join(said)
