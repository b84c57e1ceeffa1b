"""Patterns of `${NAME#...}`, `%` and `/`: `*` is any text, `?` any character."""

from moby.context.automaton import Automaton, Step

__all__ = ["BadPattern", "replace", "without_prefix", "without_suffix"]


class BadPattern(ValueError):
    """A pattern that says nothing; why is its text."""


def without_prefix(pattern: str, value: str, *, longest: bool) -> str:
    """Return a value without what the pattern fits at its beginning, the least or the most of it."""
    end = Automaton(_steps(pattern)).ends(value, longest=longest)
    return value[max(end, 0) :]


def without_suffix(pattern: str, value: str, *, longest: bool) -> str:
    """Return a value without what the pattern fits at its end, the least or the most of it."""
    end = Automaton(_steps(pattern)[::-1]).ends(value[::-1], longest=longest)
    return value[: len(value) - max(end, 0)]


def replace(pattern: str, replacement: str, value: str, *, all: bool, most: int) -> str:
    """Return a value in which the first place that the pattern fits, or every one, is something else.

    The longest text is taken from the first character on that any fits at. BadPattern for more than `most` characters.
    """
    steps = _steps(pattern)
    there = Automaton(steps)
    begins = Automaton(steps[::-1]).arrivals(value[::-1])[::-1]
    made: list[str] = []
    copied = at = 0
    while at <= len(value):
        if not begins[at]:
            at += 1
            continue
        end = there.ends(value, at, longest=True)
        if end > at or not made or at > copied:
            made += [value[copied:at], replacement]
            copied = end
            if len(made) // 2 * len(replacement) > most:
                raise BadPattern(f"what replaces {pattern} comes to more than {most} characters")
        if not all:
            break
        at = max(end, at + 1)
    return "".join([*made, value[copied:]])


def _steps(pattern: str) -> list[Step]:
    """Return a pattern's steps."""
    steps: list[Step] = []
    at = 0
    while at < len(pattern):
        character = pattern[at]
        at += 1
        if character == "*":
            if not steps or not steps[-1].repeats:
                steps.append(Step(_any, repeats=True))
        elif character == "?":
            steps.append(Step(_any))
        else:
            if character == "\\":
                character = pattern[at : at + 1]
                at += 1
                if character not in ("*", "?", "\\", "}", "/"):
                    raise BadPattern(f"invalid pattern ({pattern}) in substitution: invalid escape '\\{character}'")
            steps.append(Step(character.__eq__))
    return steps


def _any(character: str) -> bool:
    return True
