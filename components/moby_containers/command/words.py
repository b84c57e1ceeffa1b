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
    """Return published and exposed ports: those with the same number outside as ranges, then those with another.

    `80-81/tcp, 0.0.0.0:6000-6001->6000-6001/tcp, 0.0.0.0:8080->80/tcp`.
    """
    ranges: dict[tuple[str, str], tuple[int, int]] = {}
    said, others = [], []
    for each in sorted(found, key=_port_order):
        address, protocol, inside = each.get("IP", ""), each.get("Type", "tcp"), each["PrivatePort"]
        if address and each.get("PublicPort", 0) != inside:
            others.append(f"{address}:{each['PublicPort']}->{inside}/{protocol}")
            continue
        first, last = ranges.get((address, protocol), (inside, inside - 1))
        if last + 1 != inside:
            said.append(_port_range(address, protocol, first, last))
            first = inside
        ranges[address, protocol] = (first, inside)
    return ", ".join([*said, *(_port_range(*key, *ends) for key, ends in ranges.items()), *others])


def _port_order(port: Any) -> tuple[int, str, int, str]:
    return port["PrivatePort"], port.get("IP", ""), port.get("PublicPort", 0), port.get("Type", "")


def _port_range(address: str, protocol: str, first: int, last: int) -> str:
    numbers = str(first) if first == last else f"{first}-{last}"
    return f"{address}:{numbers}->{numbers}/{protocol}" if address else f"{numbers}/{protocol}"
