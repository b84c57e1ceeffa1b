"""Holds a tree against what the specification says of compose files."""

import difflib
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from attrs import frozen

from moby.errors import Problem
from moby_orchestrator.compose.files.golang import duration_ns
from moby_orchestrator.compose.files.places import Map, at, shown
from moby_orchestrator.compose.files.specification import file_schema

__all__ = ["problems"]

_Where = tuple[str | int, ...]


@frozen
class _Mismatch:
    path: _Where
    message: str
    fix: str = ""
    type: bool = False
    """Whether it is about what sort of value it is."""


def problems(tree: Map) -> tuple[Problem, ...]:
    """Return all that the schema says against a tree, with places and what would fix it."""
    found = {
        (each.path, each.message): Problem(
            f"{shown(each.path) or 'the file'} {each.message}",
            at(tree, each.path),
            fixes=(each.fix,) if each.fix else (),
        )
        for each in _check(tree, file_schema(), ())
    }
    return tuple(found.values())


_WORDS = {"object": "a mapping", "array": "a list", "string": "text", "boolean": "true or false",
          "integer": "a whole number", "number": "a number", "null": "empty"}  # fmt: skip


def _type(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "integer" if value.is_integer() else "number"
        case str():
            return "string"
        case dict():
            return "object"
    return "array"


def _check(value: Any, schema: dict[str, Any], path: _Where) -> Iterator[_Mismatch]:
    if "type" in schema:
        types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        kind = _type(value)
        if kind not in types and not (kind == "integer" and "number" in types):
            words = " or ".join(_WORDS[each] for each in types)
            yield _Mismatch(path, f"must be {words}", type=True)
            return
    yield from _object(value, schema, path)
    yield from _array(value, schema, path)
    for keyword, check in _KEYWORDS.items():
        if keyword in schema:
            yield from check(value, schema, path)
    for keyword in ("oneOf", "anyOf"):
        if keyword in schema:
            yield from _any(value, schema[keyword], path)


def _any(value: Any, choices: list[dict[str, Any]], path: _Where) -> Iterator[_Mismatch]:
    """What fits one of several fits; else what is wrong with the one that comes nearest is told."""
    results = [list(_check(value, each, path)) for each in choices]
    if not all(results):
        return
    near = [each for each in results if not (len(each) == 1 and each[0].type and each[0].path == path)]
    if near:
        yield from max(near, key=lambda each: max(len(one.path) for one in each))
    else:
        words = dict.fromkeys(one.message.removeprefix("must be ") for each in results for one in each)
        yield _Mismatch(path, f"must be {' or '.join(words)}", type=True)


def _object(value: Any, schema: dict[str, Any], path: _Where) -> Iterator[_Mismatch]:
    if not isinstance(value, dict):
        return
    known = schema.get("properties", {})
    patterns = schema.get("patternProperties", {})
    more = schema.get("additionalProperties", True)
    for key, each in value.items():
        matched = [one for pattern, one in patterns.items() if re.search(pattern, key)]
        if key in known:
            matched.append(known[key])
        for one in matched:
            yield from _check(each, one, (*path, key))
        if not matched and more is False:
            near = difflib.get_close_matches(key, known, 1)
            fix = f"write {near[0]}" if near else "remove it; keys of your own begin with x-"
            yield _Mismatch((*path, key), "isn't known here", fix)
        elif not matched and isinstance(more, dict):
            yield from _check(each, more, (*path, key))
    for key in schema.get("required", ()):
        if key not in value:
            yield _Mismatch(path, f"lacks {key}", f"add `{key}:`")


def _array(value: Any, schema: dict[str, Any], path: _Where) -> Iterator[_Mismatch]:
    if not isinstance(value, list):
        return
    for index, each in enumerate(value):
        yield from _check(each, schema.get("items", {}), (*path, index))
    if schema.get("uniqueItems"):
        seen: set[str] = set()
        for index, each in enumerate(value):
            text = json.dumps(each, sort_keys=True, default=str)
            if text in seen:
                yield _Mismatch((*path, index), "is there twice", "keep one")
            seen.add(text)


def _enum(value: Any, schema: dict[str, Any], path: _Where) -> Iterator[_Mismatch]:
    if value not in schema["enum"]:
        yield _Mismatch(path, f"must be one of {', '.join(map(str, schema['enum']))}")


def _bounds(value: Any, schema: dict[str, Any], path: _Where) -> Iterator[_Mismatch]:
    if isinstance(value, int | float) and not isinstance(value, bool):
        if value < schema.get("minimum", value):
            yield _Mismatch(path, f"must be at least {schema['minimum']}")
        if value > schema.get("maximum", value):
            yield _Mismatch(path, f"must be at most {schema['maximum']}")


def _pattern(value: Any, schema: dict[str, Any], path: _Where) -> Iterator[_Mismatch]:
    if isinstance(value, str) and not re.search(schema["pattern"], value):
        yield _Mismatch(path, f"must match {schema['pattern']}")


def _format(value: Any, schema: dict[str, Any], path: _Where) -> Iterator[_Mismatch]:
    if schema["format"] == "duration" and isinstance(value, str):
        try:
            duration_ns(value)
        except ValueError:
            yield _Mismatch(path, "must be a duration", "write it as 1m30s, 10s or 500ms")


_KEYWORDS: dict[str, Callable[[Any, dict[str, Any], _Where], Iterator[_Mismatch]]] = {
    "enum": _enum,
    "minimum": _bounds,
    "maximum": _bounds,
    "pattern": _pattern,
    "format": _format,
}
