"""Durations, sizes, numbers and JSON as Go's libraries read and write them, since hashes are made of that text."""

import json
import re
import struct
from decimal import Decimal
from typing import Any

__all__ = ["duration_ns", "duration_text", "float_text", "json_text", "natural", "single", "size_bytes"]

_UNITS = {"ns": 1, "us": 1000, "µs": 1000, "μs": 1000, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_PART = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)")
_SIZE = re.compile(r"(?P<number>\d+(?:\.\d*)?|\.\d+) ?(?P<unit>[kmgtpKMGTP]?)(?:[iI]?[bB])?")


def duration_ns(text: str) -> int:
    """Read a duration, as `1m30s`; ValueError for what is none."""
    rest = text[1:] if text[:1] in "+-" and text else text
    if rest == "0":
        return 0
    found = _PART.findall(rest)
    if not found or "".join(number + unit for number, unit in found) != rest:
        raise ValueError(f"{text!r} is no duration")
    total = int(sum(Decimal(number) * _UNITS[unit] for number, unit in found))
    if total >= 1 << 63:
        raise ValueError(f"{text!r} is longer than 292 years")
    return -total if text[0] == "-" else total


def duration_text(value: int) -> str:
    """Write a duration: `1m30s`, `500ms`, `0s`."""
    sign, value = ("-", -value) if value < 0 else ("", value)
    if value == 0:
        return "0s"
    for unit, size in (("ns", 1), ("µs", 1000), ("ms", 10**6)):
        if value < size * 1000:
            return f"{sign}{_decimal(value, size)}{unit}"
    minutes, rest = divmod(value, 60 * 10**9)
    hours, minutes = divmod(minutes, 60)
    head = f"{hours}h{minutes}m" if hours else f"{minutes}m" if minutes else ""
    return f"{sign}{head}{_decimal(rest, 10**9)}s"


def _decimal(value: int, size: int) -> str:
    whole, rest = divmod(value, size)
    return f"{whole}.{str(rest).rjust(len(str(size)) - 1, '0').rstrip('0')}" if rest else str(whole)


def size_bytes(text: str) -> int:
    """Read a size, as `50M` or `1.5gb`, in units of 1024; ValueError for what is none."""
    if text == "-1":
        return -1
    found = _SIZE.fullmatch(text.strip())
    if not found:
        raise ValueError(f"{text!r} is no size")
    return int(Decimal(found["number"]) * 1024 ** " kmgtp".index(found["unit"].lower() or " "))


def single(value: float) -> float:
    """Return the nearest number of 32 bits."""
    return float(struct.unpack("f", struct.pack("f", value))[0])


def _shortest(value: float, bits: int) -> str:
    if bits == 64:
        return repr(value)
    return next(text for digits in range(1, 18) if single(float(text := f"{value:.{digits}g}")) == value)


def float_text(value: float, bits: int = 64, *, general: bool = False) -> str:
    """Write a number with the fewest digits that mean it: as JSON has it, or as `%v` does."""
    number = Decimal(_shortest(value, bits))
    if not number:
        return "0"
    exponent = number.adjusted()
    if -5 < exponent < 21 if general else -7 < exponent < 21:
        text = f"{number:f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    digits = "".join(map(str, number.as_tuple().digits)).rstrip("0")
    mantissa = digits[0] + (f".{digits[1:]}" if len(digits) > 1 else "")
    sign = "-" if number < 0 else ""
    power = f"{abs(exponent):02d}" if general or exponent >= 10 else str(abs(exponent))
    return f"{sign}{mantissa}e{'-' if exponent < 0 else '+'}{power}"


_ESCAPES = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
_SPECIAL = re.compile("[<>&\u2028\u2029\b\f\x7f]")


def _string(text: str) -> str:
    # Of control characters only \n, \r and \t (and, of newer Gos, \b and \f) have short escapes.
    written = json.dumps(text, ensure_ascii=False).replace("\\b", "\\u0008") if "\b" in text else None
    plain = written if written is not None else json.dumps(text, ensure_ascii=False)
    return _SPECIAL.sub(lambda found: _ESCAPES.get(found[0], found[0]), plain)


def json_text(value: Any) -> str:
    """Write plain values as Go's `json.Marshal` does, objects in the order that they have."""
    if isinstance(value, str):
        return _string(value)
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, float):
        return float_text(value, 32 if isinstance(value, Single) else 64)
    if isinstance(value, dict):
        return "{" + ",".join(f"{_string(key)}:{json_text(each)}" for key, each in value.items()) + "}"
    return "[" + ",".join(map(json_text, value)) + "]"


class Single(float):
    """A number of 32 bits."""


def natural(key: str) -> Any:
    """Return what to sort a mapping's keys by in YAML: numbers in them by size, and letters after all else."""
    parts = re.findall(r"\d+|\D", key)
    return [
        (1, int(each), len(each), "") if each.isdigit() else (2 if each.isalpha() else 0, 0, 0, each) for each in parts
    ]
