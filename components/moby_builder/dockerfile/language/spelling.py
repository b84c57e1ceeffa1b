"""Characters and names: what is white space, how texts are quoted in messages, which name was most likely meant."""

from collections.abc import Iterable

from moby.context.patterns import SPACES

__all__ = ["SPACES", "cased", "nearest", "quoted", "suggestion"]

_ESCAPES = {
    '"': '\\"', "\\": "\\\\", "\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v",
}  # fmt: skip
_FARTHEST = 2
"""How many changes of a character away a name may be that was meant."""
_MOST_COMPARED = 40
"""Names of about the same length; more than that no file has whose author wants to be helped."""


def quoted(text: str) -> str:
    """Return a text as BuildKit's messages quote one."""
    return '"' + "".join(_ESCAPES.get(each) or _shown(each) for each in text) + '"'


def _shown(character: str) -> str:
    if character.isprintable():
        return character
    number = ord(character)
    if number < 0x80:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def nearest(name: str, known: Iterable[str], *, case: bool = True) -> str:
    """Return the name that was most likely meant, or an empty text; so also where it is known."""
    wanted = name if case else name.lower()
    options = {(each if case else each.lower()): each for each in known}
    if wanted in options:
        return ""
    near = [each for each in options if abs(len(each) - len(wanted)) <= _FARTHEST][:_MOST_COMPARED]
    distances = ((_distance(wanted, each), each) for each in near)
    # Of equally near ones that with the same characters is meant, two of which were swapped.
    ranked = sorted((far, sorted(wanted) != sorted(each), each) for far, each in distances if far <= _FARTHEST)
    if not ranked:
        return ""
    found = options[ranked[0][2]]
    return found if case else cased(found, name)


def suggestion(name: str, known: Iterable[str], *, case: bool = True) -> str:
    """Return ` (did you mean NAME?)`, or an empty text."""
    found = nearest(name, known, case=case)
    return f" (did you mean {found}?)" if found else ""


def cased(text: str, like: str) -> str:
    """Return a text in the case of another, where that has just one."""
    if like == like.lower():
        return text.lower()
    return text.upper() if like == like.upper() else text


def _distance(one: str, other: str) -> int:
    """Return how many characters have to be put in, left out or replaced; of more than may be, just that they are."""
    too_far = _FARTHEST + 1
    row = {at: at for at in range(too_far)}
    for number, character in enumerate(one, 1):
        above, row = row, {}
        for at in range(max(number - _FARTHEST, 0), min(number + _FARTHEST, len(other)) + 1):
            same = at > 0 and other[at - 1] == character
            replaced = above.get(at - 1, too_far) + (not same)
            row[at] = min(replaced, above.get(at, too_far) + 1, row.get(at - 1, too_far) + 1)
        if min(row.values()) > _FARTHEST:
            return too_far
    return row.get(len(other), too_far)
