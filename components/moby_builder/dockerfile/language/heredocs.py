"""Here-documents: `<<NAME` in a line, and the lines that follow it up to one that is just the name."""

import re

from moby.contracts.builder import BuildFailed
from moby_builder.dockerfile.language.instructions import Heredoc
from moby_builder.dockerfile.language.words import expand

__all__ = ["announced", "named"]

_MARK = re.compile(r"([0-9]*)<<(-?)[\t\n\f\r ]*([^<]*)")


def named(word: str) -> Heredoc | None:
    """Return what a word such as `<<-"NAME"` announces, still without content; None for another word."""
    found = _MARK.fullmatch(word)
    if not found or not found[3]:
        return None
    names = expand(found[3], {}, keep_missing=True).words
    if len(names) != 1:
        return None
    raw = expand(found[3], {}, keep_missing=True, keep_quotes=True).words
    return Heredoc(names[0], "", _quotes(names[0]) == _quotes("".join(raw)), found[2] == "-", _number(found[1]))


def announced(line: str) -> tuple[Heredoc, ...]:
    """Return the here-documents that a line announces, in its order, still without content."""
    try:
        words = expand(line, {}, keep_quotes=True, keep_escapes=True, keep_missing=True).words
    except BuildFailed:
        # A line of a shell may be anything that its own shell understands.
        return ()
    return tuple(found for word in words if "<<" in word and (found := named(word)))


def _quotes(text: str) -> int:
    return text.count("'") + text.count('"')


def _number(digits: str) -> int:
    """Return the file's number; one that is too large to be any is 0."""
    return int(digits) if 0 < len(digits) < 10 else 0
