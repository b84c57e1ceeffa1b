"""Numbers, booleans, sizes, durations and rows of CSV, read and refused as BuildKit does."""

import re

from moby.errors import Invalid

__all__ = ["boolean", "csv_row", "duration_ns", "integer", "size_bytes"]

_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})
_UNITS = {"ns": 1, "us": 10**3, "µs": 10**3, "μs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_STEP = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)([^0-9.]*)", re.ASCII)
_SIZE = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+) ?([kmgtp]?)(?:i?b)?", re.ASCII | re.IGNORECASE)
_MOST = 2**63 - 1


def boolean(text: str) -> bool:
    """Return a boolean; Invalid for what is none."""
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    raise Invalid(f"invalid boolean: {text}")


def integer(text: str, base: int = 10, most: int = 2**32 - 1) -> int:
    """Return a number that isn't negative; Invalid for what is none, or greater."""
    digits = "0-7" if base == 8 else "0-9"
    if not re.fullmatch(f"[{digits}]{{1,30}}", text) or int(text, base) > most:
        raise Invalid(f"invalid number: {text}")
    return int(text, base)


def size_bytes(text: str) -> int:
    """Return a size, whose k is 1024; Invalid for what is none."""
    found = _SIZE.fullmatch(text)
    if not found:
        raise Invalid(f"invalid size: {text}")
    return int(min(float(found[1]) * 1024 ** " kmgtp".index(found[2].lower() or " "), _MOST))


def duration_ns(text: str) -> int:
    """Return a duration as `1m30s`; Invalid for what is none."""
    rest = text.removeprefix("-") if text.startswith("-") else text.removeprefix("+")
    if rest == "0":
        return 0
    total, at = 0.0, 0
    while step := _STEP.match(rest, at):
        number, unit = step.groups()
        if unit not in _UNITS:
            what = f'unknown unit "{unit}"' if unit else "missing unit"
            raise Invalid(f'time: {what} in duration "{text}"')
        total += float(number) * _UNITS[unit]
        at = step.end()
    if not rest or at < len(rest) or total > _MOST:
        raise Invalid(f'time: invalid duration "{text}"')
    return int(-total if text.startswith("-") else total)


def csv_row(text: str) -> tuple[str, ...]:
    """Return the fields of a row, of which those that begin with a quote end with one; Invalid for a stray quote."""
    fields = []
    at = 0
    while True:
        if text.startswith('"', at):
            field, at = _quoted_field(text, at + 1)
        else:
            end = text.find(",", at)
            end = len(text) if end < 0 else end
            field, at = text[at:end], end
            if '"' in field:
                column = end - len(field) + field.index('"') + 1
                raise Invalid(f'parse error on line 1, column {column}: bare " in non-quoted-field')
        fields.append(field)
        if at >= len(text):
            return tuple(fields)
        at += 1


def _quoted_field(text: str, at: int) -> tuple[str, int]:
    """Read a field up to its closing quote; two quotes are one that belongs to it."""
    made = []
    while True:
        end = text.find('"', at)
        if end < 0:
            raise Invalid(f'parse error on line 1, column {len(text) + 1}: extraneous or missing " in quoted-field')
        made.append(text[at:end])
        if text.startswith('""', end):
            made.append('"')
            at = end + 2
            continue
        if text[end + 1 : end + 2] not in ("", ","):
            raise Invalid(f'parse error on line 1, column {end + 1}: extraneous or missing " in quoted-field')
        return "".join(made), end + 1
