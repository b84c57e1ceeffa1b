"""Wildcards of paths: `*` and `?` are within one element, `[...]` is a character, a backslash takes the next as it is.

Patterns of .dockerignore and of COPY have these in common; `**` belongs to the former alone.
"""

import re
from collections.abc import Callable, Iterator
from enum import Enum, auto
from typing import NamedTuple

from moby.context.automaton import Automaton, Step
from moby.errors import Invalid

__all__ = ["Piece", "Sort", "Wildcard", "has_wildcards", "matcher", "pieces"]

_MOST_LOOPS = 2
"""A regular expression with more parts that repeat may take long; then an automaton does it."""


class Sort(Enum):
    """What a piece of a pattern takes."""

    CHARACTER = auto()
    ANY = auto()
    """A character, but no slash."""
    CLASS = auto()
    MANY = auto()
    """Any number of characters, but no slash."""
    FOLDERS = auto()
    """`**`: nothing, or anything that ends in a slash."""
    ALL = auto()
    """`**` at the end: anything."""


class Piece(NamedTuple):
    """A part of a pattern."""

    sort: Sort
    text: str = ""
    """The character, or what is between the brackets."""


class Wildcard:
    """A pattern of a path, as Go's filepath.Match has it; Invalid for a malformed one."""

    def __init__(self, pattern: str) -> None:
        self._matches = matcher(list(pieces(pattern, deep=False)))

    def matches(self, path: str) -> bool:
        """Whether the whole path is what the pattern says."""
        return self._matches(path)


def has_wildcards(path: str) -> bool:
    """Whether there is anything in a path that doesn't stand for itself, apart from a backslash."""
    return bool(re.search(r"[*?\[]", re.sub(r"\\.", "", path, flags=re.DOTALL)))


def pieces(pattern: str, *, deep: bool) -> Iterator[Piece]:
    """Yield the parts of a pattern, where `**` is known if it is `deep`; Invalid for a malformed one."""
    at = 0
    while at < len(pattern):
        character = pattern[at]
        if character == "*" and deep and pattern.startswith("**", at):
            at += 3 if pattern.startswith("**/", at) else 2
            yield Piece(Sort.FOLDERS if at < len(pattern) else Sort.ALL)
            continue
        at += 1
        if character == "*":
            yield Piece(Sort.MANY)
        elif character == "?":
            yield Piece(Sort.ANY)
        elif character == "[":
            end = _class_end(pattern, at)
            yield Piece(Sort.CLASS, pattern[at : end - 1])
            at = end
        elif character == "\\":
            if at == len(pattern):
                raise Invalid("syntax error in pattern")
            yield Piece(Sort.CHARACTER, pattern[at])
            at += 1
        else:
            yield Piece(Sort.CHARACTER, character)


def _class_end(pattern: str, at: int) -> int:
    """Return where a class ends whose bracket was read: `[a-z]`, `[^ab]`, at least one character or range."""
    if pattern.startswith("^", at):
        at += 1
    start = at
    while at < len(pattern):
        if pattern[at] == "]" and at > start:
            return at + 1
        at = _class_character(pattern, at)
        if pattern.startswith("-", at):
            at = _class_character(pattern, at + 1)
    raise Invalid("syntax error in pattern")


def _class_character(pattern: str, at: int) -> int:
    """Return where a character of a class ends."""
    if pattern[at : at + 1] in ("", "-", "]") or at + (pattern[at] == "\\") >= len(pattern):
        raise Invalid("syntax error in pattern")
    return at + (2 if pattern[at] == "\\" else 1)


def _class_ranges(text: str) -> tuple[bool, list[tuple[str, str]]]:
    """Return whether a class is of all other characters, and its ranges."""
    ranges = []
    at = int(text.startswith("^"))
    negated = bool(at)
    while at < len(text):
        first, at = _one(text, at)
        last = first
        if text.startswith("-", at):
            last, at = _one(text, at + 1)
        ranges.append((first, last))
    return negated, ranges


def _one(text: str, at: int) -> tuple[str, int]:
    at += text[at] == "\\"
    return text[at], at + 1


def matcher(parts: list[Piece], *, compiled: bool = True) -> Callable[[str], bool]:
    """Return what tells whether a whole path is what a pattern says, in a time that grows with the path alone.

    A compiled one takes longer to be made, and a tenth of the time for each path.
    """
    merged = [each for number, each in enumerate(parts) if not _repeated(parts, number)]
    if compiled and sum(each.sort in (Sort.MANY, Sort.FOLDERS, Sort.ALL) for each in merged) <= _MOST_LOOPS:
        expression = re.compile("".join(map(_expression, merged)), re.DOTALL)
        return lambda path: expression.fullmatch(path) is not None
    return Automaton([step for each in merged for step in _steps(each)]).matches


def _repeated(parts: list[Piece], number: int) -> bool:
    """Whether a piece says nothing that the one before it doesn't."""
    return number > 0 and parts[number].sort in (Sort.MANY, Sort.FOLDERS) and parts[number] == parts[number - 1]


def _expression(piece: Piece) -> str:
    match piece.sort:
        case Sort.ANY:
            return "[^/]"
        case Sort.MANY:
            return "[^/]*"
        case Sort.FOLDERS:
            return "(?:.*/)?"
        case Sort.ALL:
            return ".*"
        case Sort.CLASS:
            negated, ranges = _class_ranges(piece.text)
            inside = "".join(f"{re.escape(first)}-{re.escape(last)}" for first, last in ranges if first <= last)
            if negated:
                return f"[^/{inside}]"
            return f"(?!/)[{inside}]" if inside else "(?!)"
    return re.escape(piece.text)


def _steps(piece: Piece) -> list[Step]:
    match piece.sort:
        case Sort.ANY:
            return [Step("/".__ne__)]
        case Sort.MANY:
            return [Step("/".__ne__, repeats=True)]
        case Sort.FOLDERS:
            return [Step(_nothing, skips=(1, 3)), Step(_anything, repeats=True), Step("/".__eq__)]
        case Sort.ALL:
            return [Step(_anything, repeats=True)]
        case Sort.CLASS:
            negated, ranges = _class_ranges(piece.text)
            return [Step(lambda each: each != "/" and any(a <= each <= b for a, b in ranges) != negated)]
    return [Step(piece.text.__eq__)]


def _nothing(character: str) -> bool:
    return False


def _anything(character: str) -> bool:
    return True
