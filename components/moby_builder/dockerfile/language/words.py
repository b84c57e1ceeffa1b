"""Words: quotes, escapes and variables of a text, as a shell understands them.

`$NAME`, `${NAME}`, `${NAME:-WORD}` and with `-`, `:+`, `+`, `:?`, `?`; `${NAME#PATTERN}` and with `##`, `%`, `%%`;
`${NAME/PATTERN/TEXT}` and with `//`.
"""

import re
from collections.abc import Mapping

from attrs import frozen

from moby.contracts.builder import BuildFailed
from moby_builder.dockerfile.language import globs
from moby_builder.dockerfile.language.spelling import SPACES, quoted

__all__ = ["Expanded", "expand"]

MOST_CHARACTERS = 16 << 20
"""A text whose variables come to more is refused: variables of variables grow without end."""
_DEEPEST = 100
_SPACE = re.compile(f"[{SPACES}]+")
_SPECIAL = "@*#?-$!0"
"""Parameters of a shell whose name is a character; here they are never set."""
_MODIFIERS = "+-?#%"


@frozen
class Expanded:
    """A text after variables were put in, and quotes and escapes taken away."""

    text: str
    words: tuple[str, ...]
    """The text where it is split at white space that isn't quoted."""
    used: frozenset[str] = frozenset()
    """Names of variables that were asked for and are there."""
    missing: frozenset[str] = frozenset()
    """Those that aren't."""


def expand(
    text: str,
    variables: Mapping[str, str],
    *,
    escape: str = "\\",
    quotes: bool = True,
    keep_quotes: bool = False,
    keep_escapes: bool = False,
    keep_missing: bool = False,
) -> Expanded:
    """Put variables into a text; BuildFailed where it isn't well-formed.

    Without `quotes` they mean nothing; to keep quotes and escapes is to understand them and leave them there; to keep
    what is missing leaves variables that aren't set as they are.
    """
    reader = _Reader(text, variables, escape, quotes, keep_quotes, keep_missing)
    try:
        made = reader.until("", keep_escapes)
    except _Malformed as error:
        raise BuildFailed(f"failed to process {quoted(text)}: {error}") from None
    return Expanded(made.text, made.words, frozenset(reader.used), frozenset(reader.missing))


class _Malformed(ValueError):
    """A text that isn't well-formed; why is its text."""


class _Made:
    """A text in the making, which knows what of it white space splits."""

    def __init__(self) -> None:
        self._pieces: list[tuple[str, bool]] = []

    def add(self, text: str, *, whole: bool) -> None:
        self._pieces.append((text, whole))

    @property
    def text(self) -> str:
        return "".join([text for text, _ in self._pieces])

    @property
    def words(self) -> tuple[str, ...]:
        words: list[list[str]] = [[]]
        for text, whole in self._pieces:
            first, *others = [text] if whole else _SPACE.split(text)
            words[-1].append(first)
            words += [[each] for each in others]
        return tuple(word for each in words if (word := "".join(each)))


class _Reader:
    """Reads a text from its beginning to its end."""

    def __init__(
        self, text: str, variables: Mapping[str, str], escape: str, quotes: bool, keep_quotes: bool, keep_missing: bool
    ) -> None:
        self.used: set[str] = set()
        self.missing: set[str] = set()
        self._text = text
        self._at = 0
        self._variables = variables
        self._escape = escape
        self._quotes = quotes
        self._keep_quotes = keep_quotes
        self._keep_missing = keep_missing
        self._depth = 0
        self._size = 0
        special = "$<" + re.escape(escape) + ("'\"" if quotes else "")
        self._plain = re.compile(f"[^{special}]+")
        self._plain_inside = re.compile(f"[^{special}/}}]+")

    def until(self, stop: str, keep_escapes: bool) -> _Made:
        """Read up to a character, which is passed, or to the end where there is none."""
        made = _Made()
        plain = self._plain_inside if stop else self._plain
        while self._at < len(self._text):
            character = self._text[self._at]
            if character == stop:
                self._at += 1
                return made
            if character == "$":
                made.add(self._variable(keep_escapes), whole=False)
            elif character == "<":
                made.add(self._heredoc(), whole=True)
            elif character == self._escape:
                made.add(self._escaped(keep_escapes), whole=True)
            elif self._quotes and character == "'":
                made.add(self._single(), whole=True)
            elif self._quotes and character == '"':
                made.add(self._double(keep_escapes), whole=True)
            else:
                found = plain.match(self._text, self._at)
                self._at = found.end() if found else self._at + 1
                made.add(found.group() if found else character, whole=False)
        if stop:
            raise _Malformed(f"syntax error: missing '{stop}'" + (" in ${}" if stop == "/" else ""))
        return made

    def _next(self) -> str:
        """Return the next character and pass it; an empty text at the end."""
        found = self._text[self._at : self._at + 1]
        self._at += 1
        return found

    def _escaped(self, keep: bool) -> str:
        self._at += 1
        return (self._escape if keep else "") + self._next()

    def _heredoc(self) -> str:
        """Read `<<`, with white space behind it, which doesn't split the word that follows from it."""
        start = self._at
        self._at += 1
        if self._text[self._at : self._at + 1] == "<":
            self._at += 1
            while self._text[self._at : self._at + 1] in ("\t", "\r", " "):
                self._at += 1
        return self._text[start : self._at]

    def _single(self) -> str:
        end = self._text.find("'", self._at + 1)
        if end < 0:
            raise _Malformed("unexpected end of statement while looking for matching single-quote")
        found = self._text[self._at : end + 1]
        self._at = end + 1
        return found if self._keep_quotes else found[1:-1]

    def _double(self, keep_escapes: bool) -> str:
        self._at += 1
        made: list[str] = []
        while character := self._next():
            if character == '"':
                text = "".join(made)
                return f'"{text}"' if self._keep_quotes else text
            if character == "$":
                self._at -= 1
                made.append(self._variable(keep_escapes))
            elif character == self._escape:
                made.append(self._escaped_in_quotes(keep_escapes))
            else:
                made.append(character)
        raise _Malformed("unexpected end of statement while looking for matching double-quote")

    def _escaped_in_quotes(self, keep: bool) -> str:
        """Read what follows an escape: only `"`, `$` and another one are escaped, else it stands for itself."""
        found = self._text[self._at : self._at + 1]
        if found and found in ('"', "$", self._escape):
            self._at += 1
            return self._escape + found if keep else found
        if not found:
            return self._escape if keep else ""
        return self._escape * 2 if keep else self._escape

    def _variable(self, keep_escapes: bool) -> str:
        self._at += 1
        if self._text[self._at : self._at + 1] != "{":
            name = self._name()
            value = self._value(name) if name else "$"
            return f"${name}" if value is None and self._keep_missing else value or ""
        self._at += 1
        self._depth += 1
        if self._depth > _DEEPEST:
            raise _Malformed(f"more than {_DEEPEST} variables inside each other")
        try:
            return self._braced(keep_escapes)
        finally:
            self._depth -= 1

    def _braced(self, keep_escapes: bool) -> str:
        """Read a variable in braces, after the first."""
        first = self._text[self._at : self._at + 1]
        if first in ("{", "}", ":"):
            raise _Malformed("syntax error: bad substitution")
        name = self._name() if first else ""
        modifier = self._next()
        if not modifier:
            raise _Malformed("syntax error: missing '}'")
        if modifier == "}":
            value = self._value(name)
            return f"${{{name}}}" if value is None and self._keep_missing else value or ""
        if modifier == "/":
            return self._replaced(name)
        strict = modifier == ":"
        if strict:
            modifier = self._next()
            if not modifier:
                raise _Malformed("syntax error: missing '}'")
        if not strict and modifier not in _MODIFIERS:
            raise _Malformed(f"unsupported modifier ({modifier}) in substitution")
        if strict and modifier in "#%":
            raise _Malformed(f"unsupported modifier (:{modifier}) in substitution")
        word = self.until("}", modifier in "#%").text
        value = self._value(name)
        if value is None and self._keep_missing:
            return f"${{{name}{':' if strict else ''}{modifier}{word}}}"
        return self._modified(name, value, modifier, word, strict)

    def _modified(self, name: str, value: str | None, modifier: str, word: str, strict: bool) -> str:
        """Return what a modifier makes of a value; `strict` takes an empty one for none."""
        there = value is not None and not (strict and value == "")
        text = value or ""
        match modifier:
            case "-":
                return text if there else word
            case "+":
                return word if there else ""
            case "?":
                if not there:
                    lacking = "unset" if value is None else "empty"
                    raise _Malformed(f"{name}: {word or f'is not allowed to be {lacking}'}")
                return text
            case "#" | "%":
                cut = globs.without_prefix if modifier == "#" else globs.without_suffix
                longest = word.startswith(modifier)
                try:
                    return cut(word[1:] if longest else word, text, longest=longest)
                except globs.BadPattern as error:
                    raise _Malformed(str(error)) from None
        raise _Malformed(f"unsupported modifier (:{modifier}) in substitution")

    def _replaced(self, name: str) -> str:
        every = self._text[self._at : self._at + 1] == "/"
        self._at += every
        pattern = self.until("/", True).text
        replacement = self.until("}", True).text
        value = self._value(name)
        if value is None and self._keep_missing:
            return f"${{{name}/{'/' if every else ''}{pattern}/{replacement}}}"
        try:
            return globs.replace(pattern, replacement, value or "", all=every, most=MOST_CHARACTERS)
        except globs.BadPattern as error:
            raise _Malformed(str(error)) from None

    def _name(self) -> str:
        """Read a name: letters, digits and `_`, or digits, or one special character; an empty text for none."""
        start = self._at
        if self._text[start : start + 1].isdecimal():
            while self._text[self._at : self._at + 1].isdecimal():
                self._at += 1
        elif self._text[start : start + 1] and self._text[start] in _SPECIAL:
            self._at += 1
        else:
            while (found := self._text[self._at : self._at + 1]) and (_letter(found) or found.isdecimal()):
                self._at += 1
        return self._text[start : self._at]

    def _value(self, name: str) -> str | None:
        value = self._variables.get(name)
        (self.missing if value is None else self.used).add(name)
        self._size += len(value or "")
        if self._size > MOST_CHARACTERS:
            raise _Malformed(f"its variables come to more than {MOST_CHARACTERS} characters")
        return value


def _letter(character: str) -> bool:
    return character == "_" or character.isalpha()
