"""What `config` prints: the project as one file, as docker compose writes it."""

import re
from collections.abc import Iterator
from typing import Any

from moby_orchestrator.compose.files.fields import written
from moby_orchestrator.compose.files.golang import json_text, natural
from moby_orchestrator.compose.files.project import Project
from moby_orchestrator.compose.files.scalars import read

__all__ = ["to_json", "to_yaml"]

_KINDS = ("networks", "volumes", "secrets", "configs")


def _plain(project: Project, *, yaml: bool) -> dict[str, Any]:
    found: dict[str, Any] = {"name": project.name, "services": written(dict(project.services), yaml=yaml)}
    for kind in _KINDS:
        if each := getattr(project, kind):
            found[kind] = written(dict(each), yaml=yaml)
            if kind == "configs":
                for one in found[kind].values():
                    if "environment" in one:
                        one.pop("content", None)
    more = {key: written(project.extensions[key], yaml=yaml) for key in sorted(project.extensions, key=natural)}
    return found | more


def to_json(project: Project) -> str:
    """Return the project as JSON."""
    plain = _plain(project, yaml=False)
    ordered = {key: plain[key] for key in sorted(plain)}
    return _escaped(indented(ordered)) + "\n"


def indented(value: Any, before: str = "\n") -> str:
    """Return JSON on lines of its own."""
    inner = before + "  "
    if isinstance(value, dict) and value:
        lines = (f"{json_text(key)}: {indented(each, inner)}" for key, each in value.items())
        return "{" + inner + f",{inner}".join(lines) + before + "}"
    if isinstance(value, list | tuple) and value:
        return "[" + inner + f",{inner}".join(indented(each, inner) for each in value) + before + "]"
    return json_text(value)


def to_yaml(project: Project) -> str:
    """Return the project as YAML."""
    import yaml

    class Dumper(yaml.SafeDumper):
        """Indents lists in mappings."""

        def increase_indent(self, flow: bool = False, indentless: bool = False) -> Any:
            return super().increase_indent(flow, False)

    events = [
        yaml.StreamStartEvent(),
        yaml.DocumentStartEvent(explicit=False),
        *_events(_plain(project, yaml=True)),
        yaml.DocumentEndEvent(explicit=False),
        yaml.StreamEndEvent(),
    ]
    return _escaped(str(yaml.emit(events, Dumper=Dumper, indent=2, width=1 << 30, allow_unicode=True)))


def _escaped(text: str) -> str:
    """Write dollars so that the text can be read as a file again."""
    return text.replace("$", "$$")


def _events(value: Any) -> Iterator[Any]:
    import yaml

    if isinstance(value, dict):
        yield yaml.MappingStartEvent(None, None, True, flow_style=not value)
        for key, each in value.items():
            yield from _events(key)
            yield from _events(each)
        yield yaml.MappingEndEvent()
    elif isinstance(value, list | tuple):
        yield yaml.SequenceStartEvent(None, None, True, flow_style=not value)
        for each in value:
            yield from _events(each)
        yield yaml.SequenceEndEvent()
    else:
        text = value if isinstance(value, str) else json_text(value)
        style = _style(value) if isinstance(value, str) else None
        yield yaml.ScalarEvent(None, None, (True, True), text, style=style)


_OLD_WORDS = frozenset(
    ["y", "Y", "yes", "Yes", "YES", "on", "On", "ON", "n", "N", "no", "No", "NO", "off", "Off", "OFF"]
)
_OLD_NUMBERS = re.compile(
    r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?"
    r"|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([Tt ][0-9]{1,2}:[0-9]{1,2}:[0-9]{1,2}(\.[0-9]+)?(Z|[-+][0-9:]+)?)?"
)


def _style(text: str) -> str | None:
    """Texts that would be read as something else are in quotes, those of several lines as they stand."""
    if text in _OLD_WORDS or _OLD_NUMBERS.fullmatch(text) or not isinstance(read(text), str):
        return '"'
    if "\n" in text and not text.startswith(("\n", " ")):
        return "|"
    return None
