"""YAML's plain scalars, as docker compose's reader understands them: 1.2, with the octal numbers of 1.1."""

import datetime
import re
from typing import Any

__all__ = ["read", "tagged"]

_INT = re.compile(r"[-+]?(0[xX][0-9a-fA-F]+|0[bB][01]+|0[oO]?[0-7]+|0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_WORDS: dict[str, Any] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip
_INFINITE = {".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF", "-.inf", "-.Inf", "-.INF", ".nan", ".NaN", ".NAN"}
_DATE = re.compile(r"([0-9]{4})-([0-9]{1,2})-([0-9]{1,2})")
_MOST = 1 << 64


def read(text: str) -> Any:
    """Return what a plain scalar means: a number, a truth, nothing, or text."""
    if text in _WORDS:
        return _WORDS[text]
    bare = text.replace("_", "")
    if _INT.fullmatch(bare):
        number = _integer(bare)
        return number if -(_MOST >> 1) <= number < _MOST else float(number)
    if _FLOAT.fullmatch(bare):
        return float(bare)
    if date := _DATE.fullmatch(text):
        return _date(text, *map(int, date.groups()))
    return float(text.replace(".", "")) if text in _INFINITE else text


def _date(text: str, year: int, month: int, day: int) -> str:
    """Return a day as docker compose tells of it, which has read a time there."""
    try:
        return f"{datetime.date(year, month, day)} 00:00:00 +0000 UTC"
    except ValueError:
        return text


def _integer(text: str) -> int:
    sign = -1 if text[0] == "-" else 1
    digits = text.lstrip("+-").lower()
    if digits[:2] in ("0x", "0b", "0o"):
        return sign * int(digits, 0)
    return sign * int(digits, 8 if digits[0] == "0" and len(digits) > 1 else 10)


def tagged(tag: str, text: str) -> Any:
    """Return what a scalar with one of YAML's own tags means; ValueError where the text can't be that."""
    match tag.rpartition(":")[2]:
        case "str" | "binary" | "timestamp":
            return text
        case "null":
            return None
        case "float":
            return float(text)
        case "int":
            found = read(text)
            if isinstance(found, bool) or not isinstance(found, int):
                raise ValueError(f"{text!r} is no whole number")
            return found
        case "bool":
            if isinstance(found := read(text), bool):
                return found
            raise ValueError(f"{text!r} is neither true nor false")
    raise ValueError(f"the tag {tag} isn't known")
