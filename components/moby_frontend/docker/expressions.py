"""Regular expressions of clients (Go's syntax, RE2), looked for in a time that grows with the text, whatever they are.

Python's own tries one way after the other, of which `(a|a)*` has more than anybody can wait for, and holds all threads.
"""

import re
from collections.abc import Callable, Iterator
from functools import lru_cache

from moby.errors import Invalid

__all__ = ["found"]

_MOST_CHARACTERS = 1000
_MOST_STEPS = 5000
"""Of an expression, with what is repeated counted as often."""
_PIECE = re.compile(
    r"(?P<many>[*+?]\??|\{(?P<least>\d+)(?P<to>,(?P<most>\d*))?\}\??)"
    r"|(?P<open>\((?:\?(?::|P?<\w+>))?)|(?P<close>\))|(?P<either>\|)|(?P<place>[$^]|\\[AbBz])"
    r"|(?P<one>\[\^?\]?(?:\\.|[^]\\])*\]|\\.|[^\\])",
    re.DOTALL,
)
_SHORT = 100
"""Characters of a text in which Python's own is quick, also where it tries each two places."""
_SIGNS = re.compile(r"[\\.+*?()|\[\]{}^$]")
_WARNED = re.compile(r"\\.|[\[&|~]|(?<!^)-(?=-)", re.DOTALL)
"""What in a class of characters Python may once mean otherwise."""

Follow = Callable[[str, int], bool]
Step = tuple[str, object, int]
"""A kind, what it looks for (a character, a place) or where else it goes on, and where it goes on."""


def found(expression: str, text: str) -> bool:
    """Return whether an expression is found in a text; not where it is none, or too big."""
    if not _SIGNS.search(expression):
        return expression in text
    try:
        plain = _plain(expression) if len(text) <= _SHORT else None
        return (plain.search(text) is not None) if plain else _search(_steps(expression), text)
    except (Invalid, re.error, RecursionError, OverflowError):
        return False


@lru_cache(64)
def _plain(expression: str) -> re.Pattern[str] | None:
    """Return Python's own for an expression in which that has few ways to try."""
    pieces = list(_pieces(expression))
    repeated = [at for at, each in enumerate(pieces) if each["many"]]
    groups = any(at and pieces[at - 1]["close"] for at in repeated)
    few = len(repeated) <= 2 and not groups and sum(bool(each["either"]) for each in pieces) <= 8
    same = not any(each in expression for each in ("[", "\\", "(?", "{"))  # `{,9}` is nothing repeated in Go's
    return re.compile(expression.replace("$", r"\Z")) if few and same else None


def _pieces(expression: str) -> Iterator[re.Match[str]]:
    if len(expression) > _MOST_CHARACTERS:
        raise Invalid("the expression is too long")
    at = 0
    while at < len(expression):
        match = _PIECE.match(expression, at)
        if match is None:
            raise Invalid(f"the expression can't be read from {expression[at:]!r} on")
        yield match
        at = match.end()


@lru_cache(64)
def _steps(expression: str) -> tuple[Step, ...]:
    reader = _Reader(list(_pieces(expression)))
    steps: list[Step] = []
    reader.either(steps)
    if reader.at < len(reader.pieces):
        raise Invalid("a group ends that didn't begin")
    return (*steps, ("end", None, 0))


class _Reader:
    """Writes the steps of an expression: a list of them is moved by adding to where each goes on."""

    def __init__(self, pieces: list[re.Match[str]]) -> None:
        self.pieces = pieces
        self.at = 0

    def either(self, steps: list[Step]) -> None:
        """Read alternatives, to the end of a group or of all."""
        ways = [self._one_after_another()]
        while self.at < len(self.pieces) and self.pieces[self.at]["either"]:
            self.at += 1
            ways.append(self._one_after_another())
        for each in ways[:-1]:
            ways[-1] = [("or", len(each) + 2, 1), *each, ("on", None, len(ways[-1]) + 1), *ways[-1]]
        _add(steps, ways[-1])

    def _one_after_another(self) -> list[Step]:
        steps: list[Step] = []
        while self.at < len(self.pieces):
            piece = self.pieces[self.at]
            if piece["either"] or piece["close"]:
                break
            self.at += 1
            _add(steps, self._repeated(self._one(piece)))
        return steps

    def _one(self, piece: re.Match[str]) -> list[Step]:
        if piece["many"]:
            raise Invalid("nothing is repeated")
        if piece["place"]:
            return [("place", _PLACES[piece["place"].lstrip("\\")], 1)]
        if piece["one"]:
            return [("one", _character(piece["one"]), 1)]
        inner: list[Step] = []
        self.either(inner)
        if self.at == len(self.pieces):
            raise Invalid("a group has no end")
        self.at += 1
        return inner

    def _repeated(self, one: list[Step]) -> list[Step]:
        while self.at < len(self.pieces) and (piece := self.pieces[self.at])["many"]:
            self.at += 1
            least, most = _counts(piece)
            one = _times(one, least, most)
        return one


def _counts(piece: re.Match[str]) -> tuple[int, int | None]:
    if piece["least"] is None:
        return {"*": (0, None), "+": (1, None), "?": (0, 1)}[piece["many"][0]]
    least = int(piece["least"])
    most = least if piece["to"] is None else int(piece["most"]) if piece["most"] else None
    if least > 1000 or (most is not None and not least <= most <= 1000):
        raise Invalid("so often nothing is repeated")
    return least, most


def _times(one: list[Step], least: int, most: int | None) -> list[Step]:
    steps: list[Step] = []
    if not one:
        return steps
    for _ in range(least):
        _add(steps, one)
    if most is None:
        _add(steps, [("or", len(one) + 2, 1), *one, ("on", None, -len(one) - 1)])
    else:
        for _ in range(most - least):
            _add(steps, [("or", len(one) + 1, 1), *one])
    return steps


def _add(steps: list[Step], more: list[Step]) -> None:
    if len(steps) + len(more) > _MOST_STEPS:
        raise Invalid("the expression is too big")
    steps += more


def _character(text: str) -> re.Pattern[str]:
    if text[0] == "[":
        if "[:" in text:
            raise Invalid("classes by name aren't known")
        text = "[" + _WARNED.sub(lambda found: found[0] if found[0][0] == "\\" else "\\" + found[0], text[1:-1]) + "]"
    return re.compile(text if text[0] in "[\\." else re.escape(text))


def _is_word(text: str, at: int) -> bool:
    return 0 <= at < len(text) and (text[at] == "_" or (text[at].isascii() and text[at].isalnum()))


def _begins(text: str, at: int) -> bool:
    return at == 0


def _ends(text: str, at: int) -> bool:
    return at == len(text)


def _borders(text: str, at: int) -> bool:
    return _is_word(text, at - 1) != _is_word(text, at)


_PLACES: dict[str, Follow] = {
    "^": _begins, "A": _begins, "$": _ends, "z": _ends, "b": _borders, "B": lambda text, at: not _borders(text, at),
}  # fmt: skip


def _search(steps: tuple[Step, ...], text: str) -> bool:
    """Go all ways at once, a character at a time (Thompson, 1968)."""
    here: list[int] = []
    for at in range(len(text) + 1):
        reached: set[int] = set()
        wanted = [*here, 0]  # it may begin anywhere
        ones = []
        while wanted:
            number = wanted.pop()
            if number in reached:
                continue
            reached.add(number)
            kind, what, on = steps[number]
            if kind == "end":
                return True
            if kind == "one":
                ones.append(number)
            elif kind != "place" or what(text, at):  # type: ignore[operator]
                wanted += [number + on, number + what] if kind == "or" else [number + on]  # type: ignore[operator]
        letter = text[at : at + 1]
        here = [each + 1 for each in ones if letter and steps[each][1].fullmatch(letter)]  # type: ignore[attr-defined]
    return False
