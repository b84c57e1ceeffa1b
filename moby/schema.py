"""The JSON Schema (draft 2020-12) of manifests, closed over the components that are installed, for editors.

A manifest that extends nothing must choose whole parts; one that extends may also change and remove. What only the
resolver can tell (which parts fit together) and what YAML hides from a schema (duplicate keys, tags) isn't in it.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from moby.component import Facts, Option
from moby.manifest.assembly import Policy
from moby.manifest.parts import NAME, PART_KEYS
from moby.manifest.sections import SCHEMA

if TYPE_CHECKING:
    from moby.registry import Catalog

__all__ = ["manifest_schema"]

Schema = dict[str, Any]

_PARAMETER: Schema = {"$ref": "#/$defs/parameter"}
_NULL: Schema = {"type": "null"}
_NAME = f"^(?:{NAME.pattern})$"
_CLAUSE = r"\s*(?:===|==|~=|!=|<=|>=|<|>)\s*[A-Za-z0-9.*+!_-]+\s*"
_RANGE = f"^{_CLAUSE}(?:,{_CLAUSE})*$"
_SIZE = r"^[0-9]{1,15}(?:\.[0-9]{1,6})?\s*(?:[kKmMgGtT]?[iI]?[bB])?$"


def manifest_schema(catalog: "Catalog") -> Schema:
    """Return the schema of manifests that choose among the catalog's components."""
    by_kind = {kind: catalog.of_kind(kind) for kind in catalog.kinds()}
    inside = {kind: parts for kind, parts in by_kind.items() if kind != "packager"}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Assembly manifest",
        "type": "object",
        "required": ["moby"],
        "additionalProperties": False,
        "properties": {
            "moby": {"const": SCHEMA, "description": "Version of the manifest's schema."},
            "name": _text("Name of the distribution.", pattern=_NAME),
            "extends": _EXTENDS,
            "parameters": _PARAMETERS,
            "components": {"description": "The parts, by kind.", "type": "object"},
            "distribution": _distribution(by_kind.get("packager", ())),
        },
        "if": {"required": ["extends"]},
        "then": {"properties": {"components": _closed({kind: _ref("change", kind) for kind in inside})}},
        "else": {"properties": {"components": _closed({kind: _ref("whole", kind) for kind in inside})}},
        "$defs": {"parameter": _USES_PARAMETERS, **_kinds(inside), **_all_options(by_kind)},
    }


def _kinds(by_kind: Mapping[str, tuple[Facts, ...]]) -> Schema:
    found: Schema = {}
    for kind, parts in by_kind.items():
        found |= {
            f"use-{kind}": _use(parts),
            f"part-{kind}": _part(kind, parts, change=False),
            f"changed-part-{kind}": _part(kind, parts, change=True),
            f"whole-{kind}": _kind(kind, change=False),
            f"change-{kind}": _kind(kind, change=True),
        }
    return found


def _all_options(by_kind: Mapping[str, tuple[Facts, ...]]) -> Schema:
    found: Schema = {}
    for each in (part for parts in by_kind.values() for part in parts):
        options = _options(each.options)
        found |= {f"options-{_key(each)}": options, f"changed-options-{_key(each)}": _changed(options)}
    return found


def _ref(what: str, name: str) -> Schema:
    return {"$ref": f"#/$defs/{what}-{name}"}


_USES_PARAMETERS: Schema = {"type": "string", "pattern": r"\$\{", "description": "A text that uses parameters."}
_EXTENDS: Schema = {
    "description": "Manifests that come first: a bare name is a shipped assembly, oci://HOST/NAME@sha256:... one in an "
    "image registry, else a path relative to this file.",
    "type": "array",
    "items": {
        "type": "string",
        "minLength": 1,
        "anyOf": [{"not": {"pattern": r"://|\$\{"}}, {"pattern": r"^oci://[^\s#]+@sha256:[0-9a-f]{64}$"}],
    },
}
_PARAMETERS: Schema = {
    "description": "Names with their defaults; used as ${name}, set by --set parameters.NAME=VALUE or MOBY_PARAM_NAME.",
    "type": "object",
    "propertyNames": {"pattern": "^[A-Za-z_][A-Za-z0-9_-]*$"},
    "additionalProperties": {"type": ["string", "number", "boolean", "null"]},
}


def _key(facts: Facts) -> str:
    """Return a component's id as a word that a reference can hold."""
    return facts.id.replace("/", "-")


def _closed(properties: Mapping[str, Any]) -> Schema:
    return {"type": "object", "properties": dict(properties), "additionalProperties": False}


def _text(description: str, *, pattern: str = "") -> Schema:
    text: Schema = {"type": "string", "pattern": pattern} if pattern else {"type": "string"}
    return {"description": description, "anyOf": [text, _PARAMETER]}


def _kind(kind: str, *, change: bool) -> Schema:
    """Return what may stand under a kind: null, one part, a list of parts, and in a change a map by names."""
    part = _ref("changed-part" if change else "part", kind)
    one: list[Schema] = [_ref("use", kind), part]
    forms = [_NULL, *one, {"type": "array", "items": {"anyOf": one}, "minItems": 1}]
    if change:
        by_name = {
            "type": "object",
            "minProperties": 1,
            "propertyNames": {"not": {"enum": list(PART_KEYS)}, "pattern": "^[A-Za-z0-9_-]+$"},
            "additionalProperties": {"anyOf": [part, _NULL]},
        }
        forms.append(by_name)
    return {"anyOf": forms}


def _use(parts: tuple[Facts, ...]) -> Schema:
    """Return the names of components, each with what it is."""
    choices = [{"const": each.name, "description": each.summary} for each in parts]
    return {"anyOf": [*choices, {"enum": [each.id for each in parts]}, _PARAMETER]}


def _part(kind: str, parts: tuple[Facts, ...], *, change: bool) -> Schema:
    properties: dict[str, Schema] = {
        "use": {**_ref("use", kind), "description": "The component."},
        "as": _text("A name of its own, for a component that is chosen more than once.", pattern=_NAME),
        "version": _text("The versions of the component that will do, as in >=1.1.", pattern=_RANGE),
        "config": {"type": "object", "description": "The component's options."},
        "default": _flag("Whether this one is meant where one of several is needed."),
        "served": _flag("Whether it gets a process of its own, with what only it needs."),
        "policy": {
            "description": "What becomes of an engine in which this part fails.",
            "default": Policy.REQUIRED.value,
            "anyOf": [{"enum": [each.value for each in Policy]}, _PARAMETER],
        },
    }
    if change:
        removable = {key: {"anyOf": [properties[key], _NULL]} for key in PART_KEYS if key not in {"use", "as"}}
        properties |= removable
    found: Schema = {"type": "object", "properties": properties, "additionalProperties": False, "minProperties": 1}
    if not change:
        found["required"] = ["use"]
    return {**found, "allOf": [_by_use(each, change=change) for each in parts]}


def _flag(description: str) -> Schema:
    return {"description": description, "default": False, "anyOf": [{"type": "boolean"}, _PARAMETER]}


def _by_use(facts: Facts, *, change: bool) -> Schema:
    options = _ref("changed-options" if change else "options", _key(facts))
    return {
        "if": {"required": ["use"], "properties": {"use": {"enum": [facts.name, facts.id]}}},
        "then": {"properties": {"config": {"anyOf": [options, _NULL]} if change else options}},
    }


def _options(options: tuple[Option, ...]) -> Schema:
    """Return the schema of a component's options, each as it is, left open, or made of parameters."""
    properties: dict[str, Schema] = {}
    for each in options:
        plain = _parametric(each.schema)
        left_open = {
            "type": "object",
            "properties": {"open": plain},
            "required": ["open"],
            "additionalProperties": False,
        }
        properties[each.name] = {"anyOf": [plain, left_open]}
        if each.help:
            properties[each.name]["description"] = each.help
        if not each.required:
            properties[each.name]["default"] = each.default
    required = [each.name for each in options if each.required]
    return {**_closed(properties), **({"required": required} if required else {})}


def _parametric(schema: Mapping[str, Any]) -> Schema:
    """Return a schema that takes a text with parameters wherever a single value may stand."""
    found = dict(schema)
    if "anyOf" in found:
        found["anyOf"] = [_parametric(each) for each in found["anyOf"]]
        return found
    if "items" in found:
        found["items"] = _parametric(found["items"])
    if "properties" in found:
        found["properties"] = {name: _parametric(each) for name, each in found["properties"].items()}
    if isinstance(found.get("additionalProperties"), Mapping):
        found["additionalProperties"] = _parametric(found["additionalProperties"])
    if found.get("type") in {"object", "array", "null"}:
        return found
    kept: Schema = {key: found.pop(key) for key in ("default", "description") if key in found}
    return {**kept, "anyOf": [found, _PARAMETER]}


def _changed(schema: Mapping[str, Any]) -> Schema:
    """Return the schema of a change: nothing is required, and null removes."""
    # `{open: ...}` stays whole.
    found = {key: value for key, value in schema.items() if key != "required" or value == ["open"]}
    if "anyOf" in found:
        found["anyOf"] = [_changed(each) for each in found["anyOf"]]
    if isinstance(found.get("properties"), Mapping):
        found["properties"] = {name: _removable(each) for name, each in found["properties"].items()}
    if isinstance(found.get("additionalProperties"), Mapping):
        found["additionalProperties"] = _removable(found["additionalProperties"])
    return found


def _removable(schema: Mapping[str, Any]) -> Schema:
    kept: Schema = {key: schema[key] for key in ("default", "description") if key in schema}
    return {**kept, "anyOf": [_changed(schema), _NULL]}


def _distribution(packagers: tuple[Facts, ...]) -> Schema:
    formats = {"anyOf": [*({"const": each.name, "description": each.summary} for each in packagers), _PARAMETER]}
    configs = {each.name: {"anyOf": [_ref("changed-options", _key(each)), _NULL]} for each in packagers}
    properties = {
        "formats": {
            "description": "What is generated.",
            "default": ["pyz"],
            "anyOf": [{"type": "array", "items": formats, "minItems": 1, "uniqueItems": True}, _NULL],
        },
        "config": {"description": "Options of a format.", "anyOf": [_closed(configs), _NULL]},
        "budget": {
            "description": "How large an engine's file may be, as in 20MB, 20MiB, or bytes.",
            "anyOf": [{"type": "integer", "minimum": 1}, {"type": "string", "pattern": _SIZE}, _PARAMETER, _NULL],
        },
        "target": {
            "description": "`any` host, or the path of a facts file.",
            "default": "any",
            "anyOf": [{"type": "string", "minLength": 1, "not": {"const": "host"}}, _NULL],
        },
    }
    return {"anyOf": [_closed(properties), _NULL], "description": "What is to be generated."}
