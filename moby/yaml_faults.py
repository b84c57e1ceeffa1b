"""What is wrong with text that is no YAML: where, in which words, and what would mend it."""

from collections.abc import Callable
from typing import Any

from moby.errors import Origin

__all__ = ["explained"]

_FIXES = (
    ("chomping", 'quote what begins with a sign, as in ">=1.0"'),
    ("start any token", 'quote what begins with a sign, as in ">=1.0"'),
    ("quoted scalar", "end what is quoted with the sign that it begins with"),
    ("block mapping", "indent the keys of one map alike, and the items of one list"),
    ("block collection", "indent the keys of one map alike, and the items of one list"),
    ("mapping values are not allowed", "quote a value that has a colon and a space in it"),
)
"""By words of the reader's (libyaml's, or PyYAML's own); the first that are there count."""


def explained(error: Any, text: str, at: Callable[[int, int], Origin]) -> tuple[str, Origin, str]:
    """Return what a YAMLError says, where, and a fix or nothing; `at` makes a place of a line and a column, from 1."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    position = getattr(error, "position", None)
    if mark is not None:
        words = (getattr(error, "context", None), getattr(error, "problem", None))
        message = ", ".join(each for each in words if each)
        begun = getattr(error, "context_mark", None)
        if begun is not None and begun.line != mark.line:
            message += f"; it begins at {at(begun.line + 1, begun.column + 1)}"
        line = "".join(text.split("\n")[mark.line : mark.line + 1])
        return f"no valid YAML: {message}", at(mark.line + 1, mark.column + 1), _fix(message, line, mark.column)
    if isinstance(position, int):
        before = text[:position]
        where = at(before.count("\n") + 1, position - before.rfind("\n"))
        return "no valid YAML: a control character, which YAML text can't hold", where, ""
    return f"no valid YAML: {error}".partition("\n")[0], at(1, 1), ""


def _fix(message: str, line: str, column: int) -> str:
    indentation = line[: len(line) - len(line.lstrip())]
    if "\\t" in message or "\t" in (*indentation, *line[column : column + 1]):
        return "indent with spaces; YAML forbids tabs there"
    found = next((fix for words, fix in _FIXES if words in message), "")
    return found or ('quote it: "${name}"' if "${" in line else "")
