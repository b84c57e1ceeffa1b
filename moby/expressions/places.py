"""Places in a text that an expression wants: its begin, its end, a line's, a word's."""

from collections.abc import Callable

__all__ = ["Place", "begins", "begins_line", "borders", "ends", "ends_line", "within"]

Place = Callable[[str, int], bool]
"""Whether a text has it before the character of that number."""


def begins(text: str, at: int) -> bool:
    """Want the begin of the text."""
    return at == 0


def ends(text: str, at: int) -> bool:
    """Want its end."""
    return at == len(text)


def begins_line(text: str, at: int) -> bool:
    """Want the begin of a line."""
    return at == 0 or text[at - 1] == "\n"


def ends_line(text: str, at: int) -> bool:
    """Want the end of one."""
    return at == len(text) or text[at] == "\n"


def borders(text: str, at: int) -> bool:
    """Want the begin or the end of a word, in ASCII."""
    return _is_word(text, at - 1) != _is_word(text, at)


def within(text: str, at: int) -> bool:
    """Want neither of these."""
    return not borders(text, at)


def _is_word(text: str, at: int) -> bool:
    return 0 <= at < len(text) and (text[at] == "_" or (text[at].isascii() and text[at].isalnum()))
