"""JSON, read and written without the `json` module where the interpreter has its C half.

Importing `json` brings `re` and `enum`: six milliseconds, which is half of what a runtime's command has for all.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, NoReturn

try:
    import _json as _fast
except ImportError:
    _fast = None  # type: ignore[assignment]

__all__ = ["decoded", "encoded"]

_SPACE = " \t\n\r"
_PLAIN = (False, False, True)
"""Of json.dumps: keys aren't sorted, none is left out, and what JSON lacks of floats is written."""
_CONSTANTS = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}


class _Context:
    """How the scanner makes values: as json.loads does."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = _CONSTANTS.__getitem__
    memo: Mapping[str, str] = {}


def decoded(text: str) -> Any:
    """Return the value of a JSON text; ValueError where it is none, RecursionError where it is too deep."""
    if _fast is not None:
        begin = len(text) - len(text.lstrip(_SPACE))
        try:
            value, end = _fast.make_scanner(_Context)(text, begin)  # type: ignore[arg-type]
            if not text[end:].strip(_SPACE):
                return value
        except (StopIteration, SystemError, ValueError):
            pass  # of which the module tells more; without it some versions raise no error of theirs
    import json

    return json.loads(text)


def encoded(value: Any) -> str:
    """Return the JSON text of a value; TypeError for what has none."""
    if _fast is None:
        import json

        return json.dumps(value)
    encode = _fast.make_encoder(None, _refuse, _fast.encode_basestring_ascii, None, ": ", ", ", *_PLAIN)
    return "".join(encode(value, 0))


def _refuse(value: object) -> NoReturn:
    raise TypeError(f"{type(value).__name__} has no JSON")
