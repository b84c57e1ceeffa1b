"""Sizes, numbers, booleans and durations, read and refused as Go's libraries do (go-units, strconv, time)."""

import re

from moby.errors import Invalid

__all__ = ["decimal_size", "duration_ns", "integer", "memory_size", "truth"]

_MAX_INT64 = 2**63 - 1
_FLOAT = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?", re.ASCII)
_INTEGER = re.compile(r"[+-]?[0-9]+", re.ASCII)
_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})
_UNITS = {"ns": 1, "us": 10**3, "µs": 10**3, "μs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_STEP = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)([^0-9.]*)", re.ASCII)
_POWERS = {"k": 1, "m": 2, "g": 3, "t": 4, "p": 5}


def decimal_size(text: str) -> int:
    """Return bytes of a size whose k is 1000 (go-units, FromHumanSize); Invalid for what is none."""
    return _size(text, 1000)


def memory_size(text: str) -> int:
    """Return bytes of a size whose k is 1024 (go-units, RAMInBytes); Invalid for what is none."""
    return _size(text, 1024)


def _size(text: str, base: int) -> int:
    cut = max(text.rfind(each) for each in "0123456789. ")
    if cut < 0:
        raise Invalid(f"invalid size: '{text}'")
    number, suffix = (text[:cut], text[cut + 1 :]) if text[cut] == " " else (text[: cut + 1], text[cut + 1 :])
    if not _FLOAT.fullmatch(number):
        raise Invalid(f'strconv.ParseFloat: parsing "{number}": invalid syntax')
    value = float(number)
    if value < 0:
        raise Invalid(f"invalid size: '{text}'")
    lower = suffix.lower()
    factor = 1
    if lower and lower != "b":
        if lower[0] not in _POWERS or lower[1:] not in ("", "b", "ib"):
            raise Invalid(f"invalid suffix: '{suffix if len(suffix) > 3 else lower}'")
        factor = base ** _POWERS[lower[0]]
    return min(int(min(value, 1e30) * factor), _MAX_INT64)


def integer(text: str, *, least: int = -(2**63), most: int = _MAX_INT64, parser: str = "Atoi") -> int:
    """Return a decimal number (strconv.Atoi); Invalid for what is none, or out of range."""
    if not _INTEGER.fullmatch(text) or (parser == "ParseUint" and not text[0].isdigit()):
        raise Invalid(f'strconv.{parser}: parsing "{text}": invalid syntax')
    value = int(text) if len(text) < 25 else _MAX_INT64 + 1
    if not least <= value <= most:
        raise Invalid(f'strconv.{parser}: parsing "{text}": value out of range')
    return value


def truth(text: str) -> bool:
    """Return a boolean (strconv.ParseBool); Invalid for what is none."""
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise Invalid(f'strconv.ParseBool: parsing "{text}": invalid syntax')


def duration_ns(text: str) -> int:
    """Return nanoseconds of a duration as `1m30s` (time.ParseDuration); Invalid for what is none."""
    rest = text[1:] if text[:1] in ("+", "-") else text
    if rest == "0":
        return 0
    total, at = 0.0, 0
    while at < len(rest):
        step = _STEP.match(rest, at)
        if not step:
            break
        number, unit = step.groups()
        if not unit:
            raise Invalid(f'time: missing unit in duration "{text}"')
        if unit not in _UNITS:
            raise Invalid(f'time: unknown unit "{unit}" in duration "{text}"')
        total += float(number) * _UNITS[unit]
        at = step.end()
    if not rest or at < len(rest) or total > _MAX_INT64:
        raise Invalid(f'time: invalid duration "{text}"')
    return int(-total if text[0] == "-" else total)
