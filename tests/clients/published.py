"""The API's published description (docker-doc of Debian: one file a version), as schemas that replies are held against.

Of its newest version a field that the description does not know is told, too; in older ones dockerd has had new fields
all along. Where it says a list, a map or an object, there may be null, as in what Go writes.
"""

import gzip
from functools import cache
from typing import Any

import yaml
from attrs import frozen
from jsonschema import Draft202012Validator
from peers.binaries import file

NEWEST = "1.45"
FOLDER = "usr/share/doc/docker-doc/api"
_KEPT = ("type", "enum", "required", "minimum", "maximum")


@frozen
class Description:
    """What is published of a version of the API."""

    version: str
    found: Any

    def faults(self, method, path, code, body):
        """Return what of a reply's body isn't as it is published; None where nothing is published of it."""
        answer = self.found["paths"][path][method.lower()]["responses"].get(code)
        if answer is None:
            return None
        names = self.found["definitions"]
        schema = {**self._schema(answer["schema"]), "$defs": {name: self._schema(names[name]) for name in names}}
        return sorted({
            f"{'.'.join('[]' if isinstance(each, int) else str(each) for each in error.absolute_path)}: "
            f"{error.message[-100:]}"
            for error in _leaves(Draft202012Validator(schema).iter_errors(body))
        })  # fmt: skip

    def _schema(self, found):
        """Return a schema of Swagger 2 as one of JSON Schema."""
        if isinstance(found, bool):
            return found
        if "$ref" in found:
            return {"anyOf": [{"$ref": f"#/$defs/{_name(found)}"}, {"type": "null"}]}
        if "allOf" in found:
            found = self._whole(found)
        kept = {key: found[key] for key in _KEPT if key in found}
        kept |= {key: self._schema(found[key]) for key in ("items", "additionalProperties") if key in found}
        if "properties" in found:
            kept["properties"] = {name: self._schema(each) for name, each in found["properties"].items()}
            kept.setdefault("additionalProperties", self.version != NEWEST)
            kept.setdefault("type", "object")
        kinds = [kept["type"]] if isinstance(kept.get("type"), str) else list(kept.get("type", ()))
        if kinds and ({"array", "object"} & set(kinds) or found.get("x-nullable")):
            kept["type"] = [*kinds, "null"]
            if "enum" in kept:
                kept["enum"] = [*kept["enum"], None]
        return kept

    def _whole(self, found):
        """Return an object that is put together of several as one that has all of their fields."""
        parts = [self.found["definitions"][_name(each)] if "$ref" in each else each for each in found["allOf"]]
        parts = [self._whole(each) if "allOf" in each else each for each in parts]
        fields = {name: each for part in parts for name, each in part.get("properties", {}).items()}
        return {"type": "object", "properties": fields}


def _name(found):
    return found["$ref"].rpartition("/")[2]


@cache
def description(version):
    """Return what is published of a version of the API."""
    path = file(f"{FOLDER}/v{version}.yaml.gz", "docker-api")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return Description(version, yaml.load(gzip.decompress(path.read_bytes()), loader))


def _leaves(errors):
    for error in errors:
        # Of "this or null" it is this that is meant.
        inner = [each for each in error.context or () if each.schema_path[0] == 0]
        yield from _leaves(inner) if inner else [error]
