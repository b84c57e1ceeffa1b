"""Texts as Go's fmt prints them, since an image's history has them."""

from collections.abc import Iterable

from moby_builder.dockerfile.language.spelling import quoted

__all__ = ["character", "duration", "listed"]

_UNITS = ((3_600_000_000_000, "h"), (60_000_000_000, "m"))


def character(number: int) -> str:
    """Return a number as `%q` has it: the character of that number."""
    return {"'": "'\\''", '"': "'\"'"}.get(chr(number), f"'{quoted(chr(number))[1:-1]}'")


def listed(values: Iterable[str]) -> str:
    """Return texts as `%q` has a list of them."""
    return "[" + " ".join(map(quoted, values)) + "]"


def duration(ns: int) -> str:
    """Return a time span as `time.Duration` writes it: `1m30s`, `1.5s`, `20ms`."""
    if ns == 0:
        return "0s"
    for unit, name in ((1, "ns"), (1_000, "µs"), (1_000_000, "ms")):
        if ns < unit * 1_000:
            return _decimal(ns, unit) + name
    text, rest = "", ns
    for unit, name in _UNITS:
        if ns >= unit:
            text += f"{rest // unit}{name}"
            rest %= unit
    return text + _decimal(rest, 1_000_000_000) + "s"


def _decimal(value: int, unit: int) -> str:
    whole, rest = divmod(value, unit)
    digits = str(rest).zfill(len(str(unit)) - 1).rstrip("0") if rest else ""
    return f"{whole}.{digits}" if digits else str(whole)
