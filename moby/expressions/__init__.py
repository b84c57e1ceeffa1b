"""Regular expressions of users (Go's syntax, RE2), looked for in a time that grows with the text, whatever they are.

Python's own tries one way after the other, of which `(a|a)*` has more than anybody can wait for, and holds all threads.
Scripts (`\\p{Greek}`) aren't known; what else RE2 takes is.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from moby.errors import Invalid

if TYPE_CHECKING:
    from moby.expressions.reading import Step

__all__ = ["check", "found"]

_SHORT = 100
"""Characters of a text in which Python's own is quick, also where it tries each two places."""
_SIGNS = re.compile(r"[\\.+*?()|\[\]{}^$]")


def check(expression: str) -> None:
    """Refuse what is no expression, or too big a one: Invalid, in Go's words."""
    from moby.expressions.reading import read  # which few need

    read(expression)


def found(expression: str, text: str) -> bool:
    """Return whether an expression is found in a text; not where it is none, or too big."""
    if not _SIGNS.search(expression):
        return expression in text
    compiled = _compiled(expression)
    if compiled is None:
        return False
    steps, plain = compiled
    if plain is not None and len(text) <= _SHORT:
        return plain.search(text) is not None
    from moby.expressions.matching import search

    return search(steps, text)


@lru_cache(64)
def _compiled(expression: str) -> tuple[tuple[Step, ...], re.Pattern[str] | None] | None:
    """Return what is to be gone through, and Python's own where that has few ways to try; None for no expression."""
    from moby.expressions.reading import read

    try:
        steps = read(expression)
    except Invalid:
        return None
    few = len(re.findall(r"[*+?]+", expression)) <= 2 and not re.search(r"\)[*+?]", expression)
    same = not any(each in expression for each in ("[", "\\", "(?", "{"))  # `{,9}` is nothing repeated in Go's
    if not (few and same and expression.count("|") <= 8):
        return steps, None
    try:
        return steps, re.compile(expression.replace("$", r"\Z"))
    except (re.error, RecursionError):  # which repeats no places, as in `^*`
        return steps, None
