"""Words of a Dockerfile's line: quotes, escapes and variables, as much of them as `docker commit --change` knows."""

import re
from collections.abc import Iterator, Mapping

__all__ = ["expanded", "split"]

_VARIABLE = r"\$(?:\w+|\{\w+(?::[-+][^}]*)?\})"
_PIECE = re.compile(rf"""'[^']*'|"(?:\\.|[^"\\])*"|\\.|{_VARIABLE}|\s+|[^'"\\$\s]+|.""", re.DOTALL)
_IN_QUOTES = re.compile(rf"""\\["$\\]|{_VARIABLE}""")
_NAME = re.compile(r"\$\{?(\w+)(?::([-+])([^}]*))?")


def expanded(text: str, variables: Mapping[str, str]) -> str:
    """Return a text with its variables put in, and without quotes and escapes; ValueError for an open quote."""
    return "".join(piece for piece, _ in _pieces(text, variables))


def split(text: str, variables: Mapping[str, str]) -> tuple[str, ...]:
    """Return the words of such a text, which white space divides that is neither quoted nor a variable's."""
    words = [""]
    begun = False
    for piece, divides in _pieces(text, variables):
        if not divides:
            words[-1] += piece
            begun = True
        elif begun:
            words.append("")
            begun = False
    return tuple(words if begun else words[:-1])


def _pieces(text: str, variables: Mapping[str, str]) -> Iterator[tuple[str, bool]]:
    """Yield what a text comes to, and whether it is white space that divides words."""

    def put(match: re.Match[str]) -> str:
        return match[0][1:] if match[0].startswith("\\") else _value(match[0], variables)

    for match in _PIECE.finditer(text):
        piece = match[0]
        if piece in ("'", '"'):
            kind = "single" if piece == "'" else "double"
            raise ValueError(f"unexpected end of statement while looking for matching {kind}-quote")
        if piece[0] == "'":
            yield piece[1:-1], False
        elif piece[0] == '"':
            yield _IN_QUOTES.sub(put, piece[1:-1]), False
        elif piece[0] == "\\":
            yield piece[1:], False
        elif piece[0] == "$":
            yield _value(piece, variables), False
        else:
            yield piece, piece.isspace()


def _value(text: str, variables: Mapping[str, str]) -> str:
    found = _NAME.match(text)
    if found is None:
        return text  # a dollar alone
    name, modifier, word = found.groups()
    value = variables.get(name, "")
    if modifier == "-":
        return value or word
    if modifier == "+":
        return word if value else ""
    return value
