"""Which files nobody watches: patterns as in a .dockerignore, relative to a folder."""

import re
from collections.abc import Iterable

from attrs import frozen

__all__ = ["Ignored", "ignored"]

# What editors leave for moments.
EPHEMERAL = ("**/*~", "**/.*.sw?", "**/.#*", "**/4913", "**/.git")


@frozen
class Ignored:
    """Patterns, of which the last one that fits decides; one with `!` takes a path back."""

    patterns: tuple[tuple[re.Pattern[str], bool], ...]
    """With whether what fits is ignored."""

    def __call__(self, path: str) -> bool:
        """Whether a path, relative to the folder, or a folder above it is ignored."""
        found = False
        for pattern, ignores in self.patterns:
            if pattern.match(path):
                found = ignores
        return found

    @property
    def takes_back(self) -> bool:
        """Whether something in an ignored folder may be watched all the same."""
        return not all(ignores for _, ignores in self.patterns)


def ignored(lines: Iterable[str]) -> Ignored:
    """Return what lines of a .dockerignore say."""
    found = []
    for line in lines:
        text = line.strip()
        if text and not text.startswith("#"):
            found.append((_pattern(text.removeprefix("!").strip()), not text.startswith("!")))
    return Ignored(tuple(found))


_SPECIAL = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
_PIECE = re.compile(r"\*\*/|\*\*|\*|\?|\[[^\]/]+\]|\\.|.", re.DOTALL)


def _pattern(text: str) -> re.Pattern[str]:
    """Return what fits a path and all below it."""
    parts = []
    for piece in _PIECE.findall(text.removeprefix("./").strip("/")):
        if piece in _SPECIAL:
            parts.append(_SPECIAL[piece])
        elif piece.startswith("[") and len(piece) > 2:
            inner = piece[1:-1].replace("\\", "\\\\").replace("[", "\\[")
            parts.append(f"[{'^' + inner[1:] if inner[0] in '!^' and len(inner) > 1 else inner}]")
        else:
            parts.append(re.escape(piece[-1] if piece.startswith("\\") and len(piece) == 2 else piece))
    return re.compile(f"{''.join(parts)}(?:/|$)")
