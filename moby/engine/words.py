"""Flags as they are mostly spelt, split without argparse: what that imports and makes a start would wait 7 ms for."""

from collections.abc import Mapping, Sequence

__all__ = ["split"]


def split(words: Sequence[str], known: Mapping[str, str]) -> tuple[dict[str, list[str]], tuple[str, ...]] | None:
    """Return the values of leading flags by their names, and the words after them; None where argparse is to say it."""
    found: dict[str, list[str]] = {name: [] for name in known.values()}
    left = list(words)
    while left and left[0].startswith("-"):
        flag, equals, value = left.pop(0).partition("=")
        if flag not in known:
            return None
        if not equals:
            if not left or left[0].startswith("-"):
                return None
            value = left.pop(0)
        found[known[flag]].append(value)
    return found, tuple(left)
