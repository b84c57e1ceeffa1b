"""Tags: the part of Go's templates that a log's tag needs (text/template; docker's templates.go and loginfo.go).

Text, and actions in double braces: a field or method of docker's `Info`, a function with arguments, pipelines,
comments and trimming. What decides or repeats (`if`, `range`, `with`, `define`, variables) is refused.
"""

import json
import re
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from moby.contracts.log_driver import LogConfig
from moby.errors import Invalid
from moby_log.records.attributes import attributes

__all__ = ["DEFAULT", "check", "short", "tag"]

DEFAULT = "{{.ID}}"
_ACTION = re.compile(r"\{\{(- )?(.*?)( -)?\}\}", re.DOTALL)
_WORD = re.compile(
    r"""\s*(?:(?P<bar>\|)|(?P<open>\()|(?P<close>\))|(?P<text>"(?:[^"\\\n]|\\.)*"|`[^`]*`)|(?P<number>[+-]?[0-9]+)"""
    r"""|(?P<field>\.[A-Za-z_][A-Za-z0-9_]*)|(?P<name>[A-Za-z_][A-Za-z0-9_]*))"""
)
_KEYWORDS = frozenset({"if", "else", "end", "range", "with", "define", "template", "block", "break", "continue"})


def short(identifier: str) -> str:
    """Return the first twelve digits of an id, without its algorithm."""
    return identifier.rpartition(":")[2][:12]


_FIELDS: Mapping[str, Callable[..., Any]] = {
    "ID": lambda config: short(config.container_id),
    "FullID": lambda config: config.container_id,
    "Name": lambda config: config.name.removeprefix("/"),
    "ImageID": lambda config: short(config.image_id),
    "ImageFullID": lambda config: config.image_id,
    "ImageName": lambda config: config.image,
    "Command": lambda config: " ".join(config.command),
    "Hostname": lambda config: socket.gethostname(),
    "ExtraAttributes": lambda config, *_: attributes(config),
    "DaemonName": lambda config: "docker",
    "Config": lambda config: config.options,
    "ContainerID": lambda config: config.container_id,
    "ContainerName": lambda config: "/" + config.name.removeprefix("/"),
    "ContainerEntrypoint": lambda config: config.command[0] if config.command else "",
    "ContainerArgs": lambda config: list(config.command[1:]),
    "ContainerImageID": lambda config: config.image_id,
    "ContainerImageName": lambda config: config.image,
    "ContainerCreated": lambda config: config.created,
    "ContainerEnv": lambda config: list(config.environment),
    "ContainerLabels": lambda config: config.labels,
}


def _shown(value: Any) -> str:
    """Return what Go prints of a value."""
    if isinstance(value, Mapping):
        return f"map[{' '.join(f'{key}:{_shown(value[key])}' for key in sorted(value))}]"
    if isinstance(value, list):
        return f"[{' '.join(map(_shown, value))}]"
    return "<no value>" if value is None else str(value)


def _index(value: Any, key: Any) -> Any:
    return value.get(key, "") if isinstance(value, Mapping) else value[key]


_FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "json": lambda value: json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True, default=dict),
    "split": lambda text, separator: list(text) if not separator else text.split(separator),
    "join": lambda parts, separator: separator.join(parts),
    "title": lambda text: re.sub(r"(?:^|(?<=\s))\S", lambda found: found[0].upper(), text),
    "lower": lambda text: text.lower(),
    "upper": lambda text: text.upper(),
    "pad": lambda text, before, after: text and " " * min(before, 4096) + text + " " * min(after, 4096),
    "truncate": lambda text, length: text[: max(length, 0)],
    "print": lambda *values: "".join(map(_shown, values)),
    "index": _index,
    "len": len,
}

_Term = tuple[str, Any]


def _words(action: str) -> list[_Term]:
    found: list[_Term] = []
    at = 0
    while action[at:].strip():
        word = _WORD.match(action, at)
        if not word:
            raise Invalid(f'template: log-tag:1: unexpected "{action[at:].strip()[:20]}" in command')
        kind = str(word.lastgroup)
        found.append((kind, word.group(kind)))
        at = word.end()
    return found


class _Parser:
    """The terms of one action, made into nested lists: a pipeline of commands of terms."""

    def __init__(self, action: str) -> None:
        self._words = _words(action)
        self._at = 0

    def whole(self) -> list[list[_Term]]:
        pipeline = self._pipeline()
        if self._at < len(self._words):
            raise Invalid("template: log-tag:1: unexpected right paren in command")
        return pipeline

    def _pipeline(self) -> list[list[_Term]]:
        commands: list[list[_Term]] = [[]]
        while self._at < len(self._words):
            kind, text = self._words[self._at]
            if kind == "close":
                break
            self._at += 1
            if kind == "bar":
                commands.append([])
            elif kind == "open":
                inner = self._pipeline()
                if self._at >= len(self._words):
                    raise Invalid("template: log-tag:1: unclosed left paren")
                self._at += 1
                commands[-1].append(("pipeline", inner))
            else:
                commands[-1].append(self._term(kind, text))
        if not all(commands):
            raise Invalid("template: log-tag:1: missing value for command")
        return commands

    @staticmethod
    def _term(kind: str, text: str) -> _Term:
        if kind == "text":
            try:
                return "value", text[1:-1] if text[0] == "`" else json.loads(text)
            except ValueError:
                raise Invalid(f"template: log-tag:1: invalid syntax in {text}") from None
        if kind == "number":
            return "value", int(text[:20])
        if kind == "field":
            if text[1:] not in _FIELDS:
                raise Invalid(
                    f'template: log-tag:1:2: executing "log-tag" at <{text}>: '
                    f"can't evaluate field {text[1:]} in type *logger.Info",
                    hint=f"there are: {', '.join(sorted(_FIELDS))}",
                )
            return "field", text[1:]
        if text in ("nil", "true", "false"):
            return "value", {"nil": None, "true": True, "false": False}[text]
        if text in _KEYWORDS:
            raise Invalid(f"a log's tag can't have {{{{{text}}}}}", hint="use fields, functions and pipelines")
        if text not in _FUNCTIONS:
            raise Invalid(f'template: log-tag:1: function "{text}" not defined')
        return "function", text


def _parsed(template: str) -> list[str | list[list[_Term]]]:
    parts: list[str | list[list[_Term]]] = []
    at, trim = 0, False
    for action in _ACTION.finditer(template):
        text = template[at : action.start()]
        text = text.lstrip() if trim else text
        parts.append(text.rstrip() if action[1] else text)
        inner = action[2].strip()
        if not (inner.startswith("/*") and inner.endswith("*/")):
            if not inner:
                raise Invalid("template: log-tag:1: missing value for command")
            parts.append(_Parser(inner).whole())
        at, trim = action.end(), bool(action[3])
    rest = template[at:]
    if "{{" in rest:
        raise Invalid("template: log-tag:1: unclosed action")
    parts.append(rest.lstrip() if trim else rest)
    return parts


def _value(config: LogConfig, term: _Term) -> Any:
    kind, what = term
    if kind == "pipeline":
        return _evaluated(config, what)
    return _FIELDS[what](config) if kind == "field" else _FUNCTIONS[what]() if kind == "function" else what


def _evaluated(config: LogConfig, pipeline: Sequence[Sequence[_Term]]) -> Any:
    result: list[Any] = []
    for command in pipeline:
        (kind, what), *arguments = command
        try:
            given = [_value(config, each) for each in arguments] + result
            if kind == "field":
                result = [_FIELDS[what](config, *given)]
            elif kind == "function":
                result = [_FUNCTIONS[what](*given)]
            elif given:
                raise TypeError("can't give argument to non-function")
            else:
                result = [_value(config, command[0])]
        except (TypeError, AttributeError, LookupError, ValueError) as error:
            raise Invalid(f'template: log-tag:1: executing "log-tag" at <{what}>: {error}') from None
    return result[0]


def check(template: str) -> None:
    """Refuse a template that can't be read or filled: Invalid, in Go's words where it has any."""
    _filled(template, LogConfig(container_id="0" * 64, folder=None, name="name"))  # type: ignore[arg-type]


def _filled(template: str, config: LogConfig) -> str:
    try:
        parts = _parsed(template)
        return "".join(part if isinstance(part, str) else _shown(_evaluated(config, part)) for part in parts)
    except RecursionError:
        raise Invalid("template: log-tag:1: it is too deep") from None


def tag(config: LogConfig, default: str = "") -> str:
    """Return the container's tag by the option `tag`, else by a default template; Invalid as `check`."""
    return _filled(config.options.get("tag") or default, config)
