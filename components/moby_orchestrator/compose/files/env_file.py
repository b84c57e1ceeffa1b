"""Files of variables: `.env`, `--env-file`, `env_file`."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from moby.errors import Origin
from moby_orchestrator.compose.files.places import refuse
from moby_orchestrator.compose.files.variables import Lookup, Malformed, Missing, substitute

__all__ = ["parse", "read_all"]

_KEY = re.compile(r"(?:export[ \t]+)?([\w.\[\]-]*)[ \t\v\f\r]*(=|:|\n|$)[ \t\v\f\r]*")
_ESCAPE = re.compile(r"\\([abcfnrtv$\"\\]|0[0-7]{0,3})")
_NAMED = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", '"': '"', "\\": "\\", "$": "$$"}


def parse(text: str, source: str, lookup: Lookup) -> dict[str, str]:
    """Return the variables of a file; those of the lookup, and then those before it, may be used in values."""
    found: dict[str, str] = {}
    text = text.removeprefix("\ufeff")
    position = 0

    def known(name: str) -> str | None:
        value = lookup(name)
        return found.get(name) if value is None else value

    while (position := _statement(text, position)) < len(text):
        where = Origin(source, text.count("\n", 0, position) + 1, position - text.rfind("\n", 0, position))
        key = _KEY.match(text, position)
        if not key:
            raise refuse(
                f"{text[position:].splitlines()[0]!r} is no NAME=VALUE", where, "a name has letters and digits"
            )
        name, position = key[1], key.end()
        if not name:
            raise refuse("a value without a name", where, "write NAME=VALUE")
        if key[2] in ("\n", ""):
            if (inherited := lookup(name)) is not None:
                found[name] = inherited
            continue
        try:
            found[name], position = _value(text, position, known, where)
        except (Malformed, Missing) as error:
            raise refuse(f"{name}: {_explained(error)}", where, "write $$ for a dollar") from None
    return found


def _explained(error: Exception) -> str:
    return str(error) if isinstance(error, Missing) else f"no valid use of a variable in {str(error)!r}"


def _statement(text: str, position: int) -> int:
    """Return where the next line begins that isn't empty and no comment."""
    while position < len(text):
        if text[position].isspace():
            position += 1
        elif text[position] == "#":
            position = text.find("\n", position) % (len(text) + 1)
        else:
            break
    return position


def _value(text: str, position: int, lookup: Lookup, where: Origin) -> tuple[str, int]:
    quote = text[position : position + 1]
    if quote not in ("'", '"') or not quote:
        end = text.find("\n", position) % (len(text) + 1)
        plain = text[position:end].partition(" #")[0].rstrip()
        return substitute(plain, lookup), end
    value, end = _quoted(text, position, quote)
    if end < 0:
        raise refuse(f"a quote {quote} that nothing ends", where, "close it")
    return (substitute(_ESCAPE.sub(_unescaped, value), lookup) if quote == '"' else value), end


def _quoted(text: str, position: int, quote: str) -> tuple[str, int]:
    """Return what is between quotes, and where it ends; -1 where it doesn't. Only a quote loses its backslash."""
    kept, index = [], position + 1
    while index < len(text):
        if text[index] == "\\" and text[index + 1 : index + 2]:
            kept.append(quote if text[index + 1] == quote else text[index : index + 2])
            index += 2
        elif text[index] == quote:
            return "".join(kept), index + 1
        else:
            kept.append(text[index])
            index += 1
    return "", -1


def _unescaped(found: re.Match[str]) -> str:
    code = found[1]
    if code[0] == "0" and len(code) == 4:
        return chr(int(code[1:], 8))
    return _NAMED.get(code, found[0])


def read_all(files: Iterable[Path], environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of several files, of which a later one wins."""
    found: dict[str, str] = {}

    def lookup(name: str) -> str | None:
        return environment.get(name, found.get(name))

    for path in files:
        if not path.is_file():
            raise refuse(f"couldn't find env file: {path}", fix="write it, or name another one")
        found |= parse(path.read_text(errors="replace"), str(path), lookup)
    return found
