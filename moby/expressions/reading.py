"""Reads an expression: text in, steps out."""

import re

from moby.errors import Invalid
from moby.expressions import places
from moby.expressions.classes import ANY, folded, inverted, ranges
from moby.expressions.escapes import character, class_by_letter, class_in_brackets, refused

__all__ = ["Step", "read"]

_MOST_CHARACTERS = 1000
_MOST_STEPS = 5000
"""Of an expression, with what is repeated counted as often."""
_MOST_TIMES = 1000
_NUMBER = "0|[1-9][0-9]*"
_MANY = re.compile(rf"(?:[*+?]|\{{(?P<least>{_NUMBER})(?P<to>,(?P<most>{_NUMBER}|))?\}})\??")
_NAMED = re.compile(r"\(\?P?<([^>]*)>")
_NAMED_SO_FAR = re.compile(r"\(\?P?<")
_FLAGS = re.compile(r"\(\?(?P<on>[imsU]*)(?:-(?P<off>[imsU]+))?(?P<end>[:)])")
_FLAGS_SO_FAR = re.compile(r"\(\?[imsU]*(?:-[imsU]*)?.?", re.DOTALL)
_QUOTED = re.compile(r"\\Q(.*?)(?:\\E|\Z)", re.DOTALL)
_PLACES = {"A": places.begins, "z": places.ends, "b": places.borders, "B": places.within}

Step = tuple[str, object, int]
"""A kind, what it looks for (a character, a place) or where else it goes on, and where it goes on."""


class _TooBigError(Exception):
    """It has more steps than are gone through."""


def read(expression: str) -> tuple[Step, ...]:
    """Return an expression's steps; Invalid in Go's words."""
    if len(expression) > _MOST_CHARACTERS:
        raise refused("expression too large", f"{expression[:40]}...")
    try:
        return (*_Reader(expression).whole(), ("end", None, 0))
    except _TooBigError:
        raise refused("expression too large", expression) from None
    except RecursionError:
        raise refused("expression nests too deeply", expression) from None


class _Reader:
    """Writes the steps of an expression: a list of them is moved by adding to where each goes on."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._flags: frozenset[str] = frozenset()

    def whole(self) -> list[Step]:
        """Read all of it."""
        steps = self._either()
        if self._at < len(self._text):
            raise refused("unexpected )", self._text)
        return steps

    def _either(self) -> list[Step]:
        """Read alternatives, to the end of a group or of all."""
        ways = [self._one_after_another()]
        while self._text.startswith("|", self._at):
            self._at += 1
            ways.append(self._one_after_another())
        steps = ways.pop()
        for each in reversed(ways):
            steps = _added([("or", len(each) + 2, 1), *each, ("on", None, len(steps) + 1)], steps)
        return steps

    def _one_after_another(self) -> list[Step]:
        pieces: list[list[Step]] = []
        repeated = (-1, -1)
        while self._at < len(self._text) and self._text[self._at] not in "|)":
            many = _MANY.match(self._text, self._at)
            if many is None:
                pieces += self._pieces()
                continue
            if not pieces:
                raise refused("missing argument to repetition operator", many[0])
            if repeated[1] == self._at:
                raise refused("invalid nested repetition operator", self._text[repeated[0] : many.end()])
            pieces[-1] = _repeated(pieces[-1], many)
            repeated = many.span()
            self._at = many.end()
        steps: list[Step] = []
        for each in pieces:
            _added(steps, each)
        return steps

    def _pieces(self) -> list[list[Step]]:
        """Read what may be repeated, mostly one thing."""
        letter = self._text[self._at]
        if letter == "(":
            return self._group()
        if letter == "[":
            test, self._at = class_in_brackets(self._text, self._at, self._flags)
            return [[("one", test, 1)]]
        if letter == "\\":
            return self._escaped()
        self._at += 1
        if letter in "^$":
            lines = "m" in self._flags
            begin, end = (places.begins_line, places.ends_line) if lines else (places.begins, places.ends)
            return [[("place", begin if letter == "^" else end, 1)]]
        if letter == ".":
            return [[("one", ANY if "s" in self._flags else inverted(ranges("\n\n")), 1)]]
        return [self._literal(letter)]

    def _literal(self, letter: str) -> list[Step]:
        test = ranges(letter * 2)
        return [("one", folded(test) if "i" in self._flags else test, 1)]

    def _escaped(self) -> list[list[Step]]:
        quoted = _QUOTED.match(self._text, self._at)
        if quoted:
            self._at = quoted.end()
            return [self._literal(each) for each in quoted[1]]
        place = _PLACES.get(self._text[self._at + 1 : self._at + 2])
        if place is not None:
            self._at += 2
            return [[("place", place, 1)]]
        by_letter = class_by_letter(self._text, self._at, self._flags)
        if by_letter is not None:
            self._at = by_letter[1]
            return [[("one", by_letter[0], 1)]]
        letter, self._at = character(self._text, self._at)
        return [self._literal(letter)]

    def _group(self) -> list[list[Step]]:
        before = self._flags
        if not self._opened():
            return []
        inner = self._either()
        if self._at == len(self._text):
            raise refused("missing closing )", self._text)
        self._at += 1
        self._flags = before
        return [inner]

    def _opened(self) -> bool:
        """Read how a group begins; False where that is all, and flags are for what follows."""
        if not self._text.startswith("(?", self._at):
            self._at += 1
            return True
        if _NAMED_SO_FAR.match(self._text, self._at):
            named = _NAMED.match(self._text, self._at)
            if named is None or not re.fullmatch(r"\w+", named[1], re.ASCII):
                raise refused("invalid named capture", named[0] if named else self._text[self._at :])
            self._at = named.end()
            return True
        flags = _FLAGS.match(self._text, self._at)
        if flags is None:
            so_far = _FLAGS_SO_FAR.match(self._text, self._at)
            raise refused("invalid or unsupported Perl syntax", so_far[0] if so_far else "(?")
        self._flags = (self._flags | set(flags["on"])) - set(flags["off"] or "")
        self._at = flags.end()
        return flags["end"] == ":"


def _repeated(one: list[Step], many: re.Match[str]) -> list[Step]:
    try:
        return _times(one, *_counts(many))
    except (_TooBigError, Invalid):
        raise refused("invalid repeat count", many[0]) from None


def _counts(many: re.Match[str]) -> tuple[int, int | None]:
    if many["least"] is None:
        return {"*": (0, None), "+": (1, None), "?": (0, 1)}[many[0][0]]
    if max(len(many["least"]), len(many["most"] or "")) > len(str(_MOST_TIMES)):
        raise _TooBigError
    least = int(many["least"])
    most = least if many["to"] is None else int(many["most"]) if many["most"] else None
    if least > _MOST_TIMES or (most is not None and not least <= most <= _MOST_TIMES):
        raise _TooBigError
    return least, most


def _times(one: list[Step], least: int, most: int | None) -> list[Step]:
    steps: list[Step] = []
    if not one:
        return steps
    for _ in range(least):
        _added(steps, one)
    if most is None:
        return _added(steps, [("or", len(one) + 2, 1), *one, ("on", None, -len(one) - 1)])
    for _ in range(most - least):
        _added(steps, [("or", len(one) + 1, 1), *one])
    return steps


def _added(steps: list[Step], more: list[Step]) -> list[Step]:
    if len(steps) + len(more) > _MOST_STEPS:
        raise _TooBigError
    steps += more
    return steps
