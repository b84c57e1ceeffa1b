"""What follows an instruction's keyword: flags, lists in JSON, words with their quotes, names with values."""

import json
import re

from moby.contracts.builder import BuildFailed
from moby_builder.dockerfile.language.instructions import Pair
from moby_builder.dockerfile.language.spelling import SPACES, quoted

__all__ = ["json_list", "pairs", "split_flags", "split_spaces", "split_words"]

_GAP = re.compile(r"[\t\v\f\r ]+")


def split_spaces(text: str, most: int = 0) -> list[str]:
    """Split a text at white space, at most so many times; 0 is everywhere."""
    return _GAP.split(text, maxsplit=most)


def split_flags(text: str, escape: str) -> tuple[tuple[str, ...], str]:
    """Return the flags that a text begins with, quotes and escapes taken away, and what follows them."""
    flags: list[str] = []
    at = 0
    while True:
        at = _passed(text, at)
        if not text.startswith("--", at):
            return tuple(flags), text[at:]
        word, blank, at = _flag(text, at, escape)
        if word == "--":
            return tuple(flags), text[at:]
        if word or blank:
            flags.append(word)


def _flag(text: str, at: int, escape: str) -> tuple[str, bool, int]:
    """Read a word; return it, whether something in it is quoted, and where it ends."""
    made, quote, blank = [], "", False
    while at < len(text):
        character = text[at]
        if not quote and character in SPACES:
            break
        at += 1
        if quote and character == quote:
            quote = ""
        elif not quote and character in "'\"":
            quote, blank = character, True
        elif character != escape:
            made.append(character)
        elif at < len(text):
            made.append(text[at])
            at += 1
    return "".join(made), blank, at


def split_words(text: str, escape: str) -> list[str]:
    """Split a text at white space that is neither quoted nor escaped; quotes and escapes stay."""
    words = []
    at = _passed(text, 0)
    while at < len(text):
        word, at = _word(text, at, escape)
        words.append(word)
        at = _passed(text, at)
    return [each for each in words if each]


def _word(text: str, at: int, escape: str) -> tuple[str, int]:
    """Read a word; return it, without an escape at the end of the text, and where it ends."""
    start, quote = at, ""
    while at < len(text):
        character = text[at]
        if not quote and character in SPACES:
            break
        if character == escape and quote != "'":
            if at + 1 == len(text):
                return text[start:at], at + 1
            at += 1
        elif quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        at += 1
    return text[start:at], at


def _passed(text: str, at: int) -> int:
    """Return where white space ends."""
    while at < len(text) and text[at] in SPACES:
        at += 1
    return at


def pairs(text: str, keyword: str, escape: str) -> tuple[Pair, ...]:
    """Return names with values: `NAME=VALUE ...`, or the old form `NAME VALUE`."""
    words = split_words(text, escape)
    if not words:
        return ()
    if "=" not in words[0]:
        name, *value = split_spaces(text, 1)
        if not value:
            raise BuildFailed(f"{keyword} must have two arguments")
        return (Pair(name, value[0], spaced=True),)
    return tuple(_pair(word) for word in words)


def _pair(word: str) -> Pair:
    name, sign, value = word.partition("=")
    if not sign:
        raise BuildFailed(f"Syntax error - can't find = in {quoted(word)}. Must be of the form: name=value")
    return Pair(name, value)


def json_list(text: str) -> tuple[str, ...] | None:
    """Return a list in JSON, or None for what isn't any; BuildFailed for one of other things than strings."""
    if not text.startswith("["):
        return None
    try:
        found = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None
    if not all(isinstance(each, str) for each in found):
        raise BuildFailed("when using JSON array syntax, arrays must be comprised of strings only")
    return tuple(each.encode("utf-16", "surrogatepass").decode("utf-16", "replace") for each in found)


def _refuse(constant: str) -> None:
    raise ValueError(constant)
