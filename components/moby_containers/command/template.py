"""`--format`: columns of a table, and of Go's templates what is used every day."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from moby.errors import Unsupported, printable

__all__ = ["Rows", "shown"]

_ACTION = re.compile(r"\{\{-?\s*(.*?)\s*-?\}\}")
_FIELD = re.compile(r"(?:(json|upper|lower)\s+)?((?:\.[A-Za-z_][\w]*)+|\.)")
_ESCAPES = {r"\t": "\t", r"\n": "\n"}
_FUNCTIONS: Mapping[str, Callable[[Any], str]] = {
    "json": lambda value: json.dumps(value, ensure_ascii=False, separators=(",", ":")),
    "upper": lambda value: _text(value).upper(),
    "lower": lambda value: _text(value).lower(),
    "": lambda value: _text(value),  # noqa: PLW0108  # which is below
}

Rows = Sequence[Mapping[str, Any]]


def shown(rows: Rows, form: str, columns: Mapping[str, str], *, least: int = 10) -> list[str]:
    """Return the lines of a listing: by default a table of columns (field: title), else as a format says.

    `table TEMPLATE` is a table of other columns; `json` is `{{json .}}`. Unsupported names what isn't understood.
    """
    if form in ("", "table"):
        return _table([list(columns.values()), *([_text(row[each]) for each in columns] for row in rows)], least)
    if form == "json":
        form = "{{json .}}"
    for escape, meant in _ESCAPES.items():
        form = form.replace(escape, meant)
    if form.startswith("table "):
        parts = form[6:].split("\t")
        titles = [_ACTION.sub(lambda found: _title(found[1], columns), part) for part in parts]
        return _table([titles, *([filled(part, row) for part in parts] for row in rows)], least)
    return [filled(form, row) for row in rows]


def filled(template: str, value: Any) -> str:
    """Return a template with its fields filled in."""

    def fill(found: re.Match[str]) -> str:
        action = _FIELD.fullmatch(found[1])
        if action is None:
            raise Unsupported(
                f'template parsing error: "{found[0]}" isn\'t understood here',
                hint="there are {{.Field}}, {{.A.B}}, {{json .A}}, {{upper .A}} and {{lower .A}}",
            )
        return _FUNCTIONS[action[1] or ""](_looked_up(value, action[2]))

    return _ACTION.sub(fill, template)


def _looked_up(value: Any, path: str) -> Any:
    for name in filter(None, path.split(".")):
        if not isinstance(value, Mapping):
            raise Unsupported(f'template: {path}: can\'t evaluate field {name} in "{_text(value)[:40]}"')
        if name not in value:
            raise Unsupported(
                f"template: {path}: map has no entry for key {name!r}", hint=f"there are {', '.join(value)}"
            )
        value = value[name]
    return value


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "<no value>"
    if isinstance(value, Mapping):
        return "map[" + " ".join(f"{key}:{_text(each)}" for key, each in sorted(value.items())) + "]"
    if isinstance(value, list | tuple):
        return "[" + " ".join(map(_text, value)) + "]"
    return str(value)


def _title(action: str, columns: Mapping[str, str]) -> str:
    name = action.rpartition(".")[2]
    return columns.get(name, name.upper())


def _table(lines: Sequence[Sequence[str]], least: int) -> list[str]:
    # As Go's tabwriter does it for docker: three spaces apart, not too narrow, the last one as it is.
    lines = [[printable(cell) for cell in line] for line in lines]  # containers and images say some of it
    widths = [max(least, 3 + max(len(line[i]) for line in lines)) for i in range(len(lines[0]) - 1)]
    return [
        "".join([*(cell.ljust(width) for cell, width in zip(line, widths, strict=False)), line[-1]]) for line in lines
    ]
