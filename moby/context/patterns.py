"""Patterns of .dockerignore and `--exclude`, as docker's client has them (moby/patternmatcher).

They are gone through in their order: one with `!` is looked at only where what came before means the path, another one
only where it doesn't. One that fitted a folder counts for all in it.
"""

import posixpath
from bisect import bisect_left
from collections.abc import Callable, Iterable

from moby.context.wildcards import Sort, matcher, pieces
from moby.errors import Invalid

__all__ = ["NONE", "SPACES", "Match", "Patterns", "read_ignore_file"]

SPACES = "\t\n\v\f\r \x85\xa0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u2028\u2029\u202f\u205f\u3000"
"""White space as Unicode has it; `str.isspace` also takes four separators for it."""
MOST_BYTES = 1 << 20
_MOST_COMPILED = 1000
"""Compiling an expression takes as long as matching a hundred paths by an automaton."""
Match = tuple[int, ...]
"""Numbers of the patterns that were found to fit a path or a folder above it, in their order; the last one decides."""
NONE: Match = ()


def read_ignore_file(data: bytes) -> tuple[str, ...]:
    """Return the patterns of a .dockerignore; Invalid for one that is too big."""
    if len(data) > MOST_BYTES:
        raise Invalid(f".dockerignore is bigger than {MOST_BYTES} bytes")
    patterns = []
    for line in data.decode("utf-8", "replace").removeprefix("\ufeff").split("\n"):
        text = line.strip(SPACES)
        if not text or line.startswith("#"):
            continue
        inverted = text.startswith("!")
        text = text[inverted:].strip(SPACES)
        if text:
            text = _clean(text)
            text = text[1:] if len(text) > 1 and text.startswith("/") else text
        patterns.append("!" * inverted + text)
    return tuple(patterns)


class Patterns:
    """Patterns in their order, of which those with `!` take back what earlier ones say.

    A tree is gone through with what `match` said of the folder above. A path costs no more for patterns without
    wildcards, however many there are.
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        self._inverted: list[bool] = []
        self._last_inverted = -1
        self._sorts = (_Sort(), _Sort())
        """Those without `!`, and those with it."""
        self.texts: tuple[str, ...] = tuple(self._add(each.strip(SPACES)) for each in patterns if each.strip(SPACES))

    def _add(self, pattern: str) -> str:
        text = _clean(pattern)
        inverted = text.startswith("!")
        if text == "!":
            raise Invalid('illegal exclusion pattern: "!"')
        text = text[inverted:]
        number = len(self._inverted)
        self._inverted.append(inverted)
        if inverted:
            self._last_inverted = number
        matches = _matcher(text, compiled=sum(map(len, self._sorts)) < _MOST_COMPILED)
        self._sorts[inverted].add(number, _plain(text) if matches is None else matches)
        return "!" * inverted + text

    @property
    def inverts(self) -> bool:
        """Whether there is a pattern with `!`."""
        return self._last_inverted >= 0

    def match(self, path: str, above: Match = NONE) -> Match:
        """Return which patterns fit a path, given which do the folder above it."""
        if above and not self.inverts:
            return above  # nothing takes that back
        found: list[int] = []
        at, inverted = 0, False
        while (number := self._next(path, at, above, inverted=inverted)) >= 0:
            found.append(number)
            at, inverted = number + 1, not self._inverted[number]
        return above if len(found) == len(above) else tuple(found)

    def _next(self, path: str, at: int, above: Match, *, inverted: bool) -> int:
        """Return the first from a place on that fits the folder above, or is of this sort and fits; -1 for none."""
        place = bisect_left(above, at)
        limit = above[place] if place < len(above) else len(self._inverted)
        number = self._sorts[inverted].first(path, at, limit)
        return number if number < len(self._inverted) else -1

    def fits(self, match: Match) -> bool:
        """Whether what a pattern says that decides is: this is one of them."""
        return bool(match) and not self._inverted[match[-1]]

    def final(self, match: Match) -> bool:
        """Whether all in a folder is meant with it, since no later pattern takes anything back."""
        return bool(match) and match[-1] > self._last_inverted

    def matches(self, path: str) -> bool:
        """Whether a path, relative and clean, is one of those that the patterns mean; the root never is."""
        if path in ("", "."):
            return False
        found, at = NONE, 0
        while at >= 0:
            at = path.find("/", at + 1)
            found = self.match(path if at < 0 else path[:at], found)
        return self.fits(found)


class _Sort:
    """Patterns that are all with `!`, or all without."""

    def __init__(self) -> None:
        self._exact: dict[str, list[int]] = {}
        self._wild: list[int] = []
        self._matchers: list[Callable[[str], bool]] = []

    def __len__(self) -> int:
        """Return how many have wildcards."""
        return len(self._wild)

    def add(self, number: int, pattern: str | Callable[[str], bool]) -> None:
        """Have one more, with a number that is higher than all before: a path, or what tells whether one fits."""
        if isinstance(pattern, str):
            self._exact.setdefault(pattern, []).append(number)
        else:
            self._wild.append(number)
            self._matchers.append(pattern)

    def first(self, path: str, at: int, limit: int) -> int:
        """Return the number of the first from a place on, and before another, that fits a path; else that other one."""
        exact = self._exact.get(path, ())
        place = bisect_left(exact, at)
        if place < len(exact):
            limit = min(limit, exact[place])
        for place in range(bisect_left(self._wild, at), bisect_left(self._wild, limit)):
            if self._matchers[place](path):
                return self._wild[place]
        return limit


def _clean(pattern: str) -> str:
    """Return a pattern as a path without `.`, `..` and needless slashes."""
    cleaned = posixpath.normpath(pattern)
    return cleaned[1:] if cleaned.startswith("//") else cleaned


def _plain(pattern: str) -> str:
    return "".join(each.text for each in pieces(pattern, deep=True))


def _matcher(pattern: str, *, compiled: bool) -> Callable[[str], bool] | None:
    """Return what tells whether a path fits a pattern; None where it stands for itself. Invalid for a malformed one."""
    parts = list(pieces(pattern, deep=True))
    sorts = [each.sort for each in parts]
    if all(each is Sort.CHARACTER for each in sorts):
        return None
    text = "".join(each.text for each in parts)
    if sorts[0] in (Sort.FOLDERS, Sort.ALL) and all(each is Sort.CHARACTER for each in sorts[1:]):
        # `**name`, with no slash, is whatever ends so.
        ending = "/" + text if pattern.startswith("**/") else text
        return lambda path: path.endswith(ending) or path == text
    if sorts[-1] is Sort.ALL and all(each is Sort.CHARACTER for each in sorts[:-1]):
        return lambda path: path.startswith(text)
    return _Fitting(pattern, compiled)


class _Fitting:
    """Tells whether a path fits a pattern, which is made ready by the first call."""

    __slots__ = ("_compiled", "_matches", "_pattern")

    def __init__(self, pattern: str, compiled: bool) -> None:
        self._pattern = pattern
        self._compiled = compiled
        self._matches: Callable[[str], bool] | None = None

    def __call__(self, path: str) -> bool:
        if self._matches is None:
            self._matches = matcher(list(pieces(self._pattern, deep=True)), compiled=self._compiled)
        return self._matches(path)
