"""Wildcards, matched in time that grows with the text alone and not with what a hostile pattern makes of it.

A pattern is a row of steps; where a match may stand is a set of places between them, the bits of one integer.
"""

from collections.abc import Callable, Sequence

from attrs import frozen

__all__ = ["Automaton", "Step"]

_MOST_KNOWN = 4096
"""How many moves are remembered; what a few patterns and usual texts need is far less."""


@frozen
class Step:
    """A part of a pattern: a character of some sort, once, or as often as there is one."""

    takes: Callable[[str], bool]
    repeats: bool = False
    skips: tuple[int, ...] = ()
    """How many steps may be left out from here on, this one included; one that repeats may be anyhow."""


class Automaton:
    """A pattern, ready to be matched."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self._steps = tuple(steps)
        self._end = 1 << len(self._steps)
        self._skips: dict[int, int] = {}
        for place, step in enumerate(self._steps):
            for length in {*step.skips, 1} if step.repeats else step.skips:
                self._skips[length] = self._skips.get(length, 0) | 1 << place
        self._masks: dict[str, tuple[int, int]] = {}
        self._moves: dict[tuple[int, str], int] = {}
        self._start = self._closed(1)

    def matches(self, text: str) -> bool:
        """Whether the whole of a text is what the pattern says."""
        places = self._start
        for character in text:
            places = self._move(places, character)
            if not places:
                return False
        return bool(places & self._end)

    def ends(self, text: str, at: int = 0, *, longest: bool) -> int:
        """Return where a match that begins at a place ends, the shortest or the longest; -1 for none."""
        places = self._start
        found = at if places & self._end else -1
        for number in range(at, len(text)):
            if not places or (found >= 0 and not longest):
                break
            places = self._move(places, text[number])
            if places & self._end:
                found = number + 1
        return found

    def arrivals(self, text: str) -> list[bool]:
        """Return, for each place of a text from 0, whether a match that begins anywhere ends there."""
        places = self._start
        found = [bool(places & self._end)]
        for character in text:
            places = self._move(places, character) | self._start
            found.append(bool(places & self._end))
        return found

    def _move(self, places: int, character: str) -> int:
        key = (places, character)
        known = self._moves.get(key)
        if known is None:
            if len(self._moves) >= _MOST_KNOWN:
                self._moves.clear()
            once, again = self._mask(character)
            known = self._moves[key] = self._closed((places & once) << 1 | (places & again))
        return known

    def _mask(self, character: str) -> tuple[int, int]:
        """Return the steps that a character lets one pass, and those at which it lets one stay."""
        known = self._masks.get(character)
        if known is None:
            if len(self._masks) >= _MOST_KNOWN:
                self._masks.clear()
            once = again = 0
            for place, step in enumerate(self._steps):
                if step.takes(character):
                    once, again = (once, again | 1 << place) if step.repeats else (once | 1 << place, again)
            known = self._masks[character] = (once, again)
        return known

    def _closed(self, places: int) -> int:
        """Return places with those that are reached from them by leaving steps out."""
        while True:
            more = places
            for length, mask in self._skips.items():
                more |= (places & mask) << length
            if more == places:
                return places
            places = more
