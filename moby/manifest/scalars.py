"""Reads unquoted YAML scalars: what YAML 1.1, YAML 1.2 and JSON all read alike, and no word or number besides."""

import re

__all__ = ["Ambiguous", "read_plain"]

_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_WORDS = frozenset({"yes", "no", "on", "off"})
_INT = re.compile(r"[-+]?(0|[1-9][0-9]*)", re.ASCII)
_HEX = re.compile(r"0x[0-9a-fA-F]+", re.ASCII)
_FLOAT = re.compile(r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+)([eE][-+][0-9]+)?", re.ASCII)
_MOST_DIGITS = 300
_DIGITS = re.compile(r"[-+0-9a-fA-FxobeE_.:]+", re.ASCII)
# Numbers to one version of YAML and text, or another number, to the other.
_TWO_WAYS = re.compile(
    r"""[-+]?0[0-9_]+ | 0o[0-7]+ | [-+]?0b[01_]+ | [-+]?0x[0-9a-fA-F_]+   # octal, binary
      | [-+]?[0-9][0-9_]*_[0-9_]*(\.[0-9_]*)? | [-+]?[0-9]+[0-9_]*\.[0-9]*_[0-9_]*
      | [-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?                      # base 60: 22:22 is 1342
      | [-+]?[0-9]+[eE][-+]?[0-9]+ | [-+]?([0-9]+\.[0-9]*|\.[0-9]+)[eE][0-9]+
    """,
    re.ASCII | re.VERBOSE,
)
_NO_NUMBER = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")


class Ambiguous(ValueError):
    """Means different things to different readers of YAML; says which, and what to write instead."""


def read_plain(text: str) -> str | int | float | bool | None:
    """Return what an unquoted scalar says; Ambiguous if readers of YAML differ about it."""
    if text in _NULLS:
        return None
    if text in _BOOLS:
        return _BOOLS[text]
    if text.lower() in _WORDS:
        truth = "true" if text.lower() in {"yes", "on"} else "false"
        raise Ambiguous(f"unquoted {text} is {truth} to some readers of YAML; quote it, or write {truth}")
    if not (text[0].isdecimal() or text[0] in "+-."):
        return text
    if len(text) > _MOST_DIGITS and _DIGITS.fullmatch(text):
        raise Ambiguous("too long for a number; quote it if it is text")
    return _number(text) if len(text) <= _MOST_DIGITS else text


def _number(text: str) -> str | int | float:
    if _INT.fullmatch(text) or _HEX.fullmatch(text):
        number = int(text, 0)
        if not -(2**63) <= number < 2**63:
            raise Ambiguous(f"{text} doesn't fit 64 bits; quote it if it is text")
        return number
    if _FLOAT.fullmatch(text):
        value = float(text)
        if value in {float("inf"), float("-inf")}:
            raise Ambiguous(f"{text} is too large a number; quote it if it is text")
        return value
    if _NO_NUMBER.fullmatch(text):
        raise Ambiguous(f"{text} is no number that JSON can carry; quote it if it is text")
    if _TWO_WAYS.fullmatch(text):
        raise Ambiguous(f"unquoted {text} is read differently by YAML 1.1 and 1.2; quote it, or write a plain decimal")
    return text
