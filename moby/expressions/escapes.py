"""What a backslash and brackets begin in an expression."""

import re
from collections.abc import Collection

from moby.errors import Invalid
from moby.expressions.classes import ANY, CATEGORIES, NAMED, PERL, Test, any_of, category, folded, inverted, ranges

__all__ = ["character", "class_by_letter", "class_in_brackets", "refused"]

_SIMPLE = {"a": "\a", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_HEX = re.compile(r"\\x(?:\{([0-9a-fA-F]{1,8})\}|([0-9a-fA-F]{2}))")
_HEX_SO_FAR = re.compile(r"\\x(?:\{[0-9a-fA-F]*)?.?", re.DOTALL)
_OCTAL = re.compile(r"\\(?:0[0-7]{0,2}|[1-7][0-7]{1,2})")
_UNICODE = re.compile(r"\\([pP])(?:\{(\^?)(\w+)\}|(\w))")
_UNICODE_SO_FAR = re.compile(r"\\[pP](?:\{[^}]*\}?|.)?", re.DOTALL)
_POSIX = re.compile(r"\[:(\^?)([^\]]*?):\]")
_MOST = 0x10FFFF


def refused(what: str, where: str, hint: str = "") -> Invalid:
    """Return the error for an expression, as Go words it."""
    return Invalid(f"error parsing regexp: {what}: `{where}`", hint=hint)


def character(text: str, at: int) -> tuple[str, int]:
    """Return the character that an escape stands for, and where it ends."""
    if at + 1 == len(text):
        raise refused("trailing backslash at end of expression", "")
    letter = text[at + 1]
    if letter in _SIMPLE:
        return _SIMPLE[letter], at + 2
    if letter.isascii() and not letter.isalnum():
        return letter, at + 2
    if found := _OCTAL.match(text, at):
        return chr(int(found[0][1:], 8)), found.end()
    if letter == "x":
        if (found := _HEX.match(text, at)) and int(found[1] or found[2], 16) <= _MOST:
            return chr(int(found[1] or found[2], 16)), found.end()
        so_far = _HEX_SO_FAR.match(text, at)
        raise refused("invalid escape sequence", so_far[0] if so_far else r"\x")
    raise refused("invalid escape sequence", f"\\{letter}")


def class_by_letter(text: str, at: int, flags: Collection[str]) -> tuple[Test, int] | None:
    """Return what `\\d` or `\\pL` wants, and where that ends; None where none begins there."""
    letter = text[at + 1 : at + 2]
    if letter and letter.lower() in PERL:
        return _signed(ranges(PERL[letter.lower()]), flags, negative=letter.isupper()), at + 2
    if letter not in ("p", "P"):
        return None
    found = _UNICODE.match(text, at)
    name = (found[3] or found[4]) if found else ""
    if found is None or name not in {"Any", *CATEGORIES}:
        so_far = _UNICODE_SO_FAR.match(text, at)
        raise refused(
            "invalid character class range", so_far[0] if so_far else "", hint="scripts by name aren't known here"
        )
    test = ANY if name == "Any" else category(name)
    return _signed(test, flags, negative=(letter == "P") != bool(found[2])), found.end()


def _signed(test: Test, flags: Collection[str], *, negative: bool) -> Test:
    """Return a class or all others: by its letters' case first, then without them, as Go has it."""
    test = folded(test) if "i" in flags else test
    return inverted(test) if negative else test


def class_in_brackets(text: str, at: int, flags: Collection[str]) -> tuple[Test, int]:
    """Return what brackets want, and where they end."""
    start, at = at, at + 1
    negative = text.startswith("^", at)
    at += negative
    tests: list[Test] = []
    while at < len(text) and (text[at] != "]" or not tests):
        test, at = _one_of_class(text, at, flags)
        tests.append(test)
    if at >= len(text):
        raise refused("missing closing ]", text[start:])
    test = any_of(tests)
    return (inverted(test) if negative else test), at + 1


def _one_of_class(text: str, at: int, flags: Collection[str]) -> tuple[Test, int]:
    if posix := _POSIX.match(text, at):
        if posix[2] not in NAMED:
            raise refused("invalid character class range", posix[0])
        return _signed(ranges(NAMED[posix[2]]), flags, negative=bool(posix[1])), posix.end()
    if text[at] == "\\" and (by_letter := class_by_letter(text, at, flags)):
        return by_letter
    start = at
    low, at = _of_class(text, at)
    high = low
    if text.startswith("-", at) and at + 1 < len(text) and text[at + 1] != "]":
        high, at = _of_class(text, at + 1)
        if high < low:
            raise refused("invalid character class range", text[start:at])
    return _signed(ranges(low + high), flags, negative=False), at


def _of_class(text: str, at: int) -> tuple[str, int]:
    return character(text, at) if text[at] == "\\" else (text[at], at + 1)
