"""`$NAME`, `${NAME:-default}` and all other forms in which a text takes a variable's value."""

import re
from collections.abc import Callable

from attrs import frozen

__all__ = ["Lookup", "Malformed", "Missing", "substitute"]

Lookup = Callable[[str], str | None]

_NAME = re.compile(r"[_a-zA-Z][_a-zA-Z0-9]*")
_OPERATOR = re.compile(r":?[-?+]")


class Malformed(ValueError):
    """A `$` that begins nothing which is known."""


@frozen
class Missing(Exception):
    """A variable that has to be there and isn't."""

    variable: str
    reason: str

    def __str__(self) -> str:
        text = f"required variable {self.variable} is missing a value"
        return f"{text}: {self.reason}" if self.reason else text


def substitute(text: str, lookup: Lookup, unset: Callable[[str], None] = lambda name: None) -> str:
    """Return the text with its variables' values; `unset` is told of each that isn't there and has no default.

    `$$` is a dollar. Malformed where a `$` is neither; Missing where `?` asks for a value.
    """
    if "$" not in text:
        return text
    pieces = []
    position = 0
    while (found := text.find("$", position)) >= 0:
        pieces.append(text[position:found])
        value, position = _one(text, found + 1, lookup, unset)
        pieces.append(value)
    return "".join([*pieces, text[position:]])


def _one(text: str, position: int, lookup: Lookup, unset: Callable[[str], None]) -> tuple[str, int]:
    """Return a variable's value, and where the text goes on after it."""
    if text[position : position + 1] == "$":
        return "$", position + 1
    if text[position : position + 1] == "{":
        end = _closing(text, position)
        return _braced(text[position + 1 : end], lookup, unset), end + 1
    name = _NAME.match(text, position)
    if not name:
        raise Malformed(text)
    return _plain(name[0], lookup, unset), name.end()


def _closing(text: str, position: int) -> int:
    depth = 0
    for index in range(position, len(text)):
        if text[index] == "{" and (index == position or text[index - 1] == "$"):
            depth += 1
        elif text[index] == "}":
            depth -= 1
            if depth == 0:
                return index
    raise Malformed(text)


def _plain(name: str, lookup: Lookup, unset: Callable[[str], None]) -> str:
    value = lookup(name)
    if value is None:
        unset(name)
    return value or ""


def _braced(inner: str, lookup: Lookup, unset: Callable[[str], None]) -> str:
    name = _NAME.match(inner)
    if not name:
        raise Malformed("${" + inner + "}")
    if name.end() == len(inner):
        return _plain(inner, lookup, unset)
    operator = _OPERATOR.match(inner, name.end())
    if not operator:
        raise Malformed("${" + inner + "}")
    value = lookup(name[0])
    word = substitute(inner[operator.end() :], lookup, unset)
    given = bool(value) if operator[0][0] == ":" else value is not None
    if operator[0][-1] == "+":
        return word if given else value or ""
    if given:
        return value or ""
    if operator[0][-1] == "?":
        raise Missing(name[0], word)
    return word
