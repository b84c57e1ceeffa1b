"""Parser directives: comments at the top of a file that say how it is to be read."""

import json
import re

from moby.contracts.builder import BuildFailed
from moby_builder.dockerfile.language.instructions import Directive
from moby_builder.dockerfile.language.spelling import SPACES

__all__ = ["DirectiveReader", "syntax"]

_NAMES = ("syntax", "escape", "check")
_FORM = re.compile(r"([a-zA-Z][a-zA-Z0-9]*)[\t\n\f\r ]*=[\t\n\f\r ]*(.+?)[\t\n\f\r ]*")


class DirectiveReader:
    """Takes the lines of a file for directives, as long as they are any."""

    def __init__(self, mark: str = "#") -> None:
        self.found: list[Directive] = []
        self.escape = "\\"
        self._mark = mark
        self._open = True

    def take(self, line: str, number: int) -> bool:
        """Take the next line; whether it is one. BuildFailed for a second one of a name, or a bad escape."""
        if not self._open:
            return False
        found = line.startswith(self._mark) and _FORM.fullmatch(line[len(self._mark) :].lstrip(SPACES))
        if not found or found[1].lower() not in _NAMES:
            self._open = False
            return False
        name, value = found[1].lower(), found[2]
        if any(each.name == name for each in self.found):
            raise BuildFailed(f"only one {name} parser directive can be used")
        if name == "escape":
            if value not in ("`", "\\"):
                raise BuildFailed(f"invalid escape token '{value}' does not match ` or \\")
            self.escape = value
        self.found.append(Directive(name, value, number))
        return True


def syntax(source: str) -> str:
    """Return the front end that a file of any language asks for (`# syntax=`, `// syntax=`, JSON); empty for none."""
    source = source.removeprefix("\ufeff")
    if source.startswith("#!"):
        source = source.partition("\n")[2]
    for mark in ("#", "//"):
        reader = DirectiveReader(mark)
        for number, line in enumerate(source.split("\n"), 1):
            try:
                if not reader.take(line.rstrip("\r"), number):
                    break
            except BuildFailed:
                break
        for each in reader.found:
            if each.name == "syntax":
                return each.value.split(" ")[0]
    try:
        found = json.loads(source)
    except (ValueError, RecursionError):
        return ""
    value = found.get("syntax") if isinstance(found, dict) else None
    return value if isinstance(value, str) else ""
