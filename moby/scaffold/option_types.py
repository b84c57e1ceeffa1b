"""Types of options in the words of a manifest's author."""

import json
from collections.abc import Mapping
from typing import Any

__all__ = ["type_text"]


def type_text(schema: Mapping[str, Any]) -> str:
    """Say a schema in the words of a manifest's author."""
    if "anyOf" in schema:
        return f"{type_text(schema['anyOf'][0])} or null"
    if "enum" in schema:
        return " | ".join(json.dumps(each) if not isinstance(each, str) else each for each in schema["enum"])
    kind = schema["type"]
    if kind == "array":
        return f"list of {type_text(schema['items'])}"
    if "properties" in schema:
        return "{" + ", ".join(f"{name}: {type_text(each)}" for name, each in schema["properties"].items()) + "}"
    if kind == "object":
        return f"map to {type_text(schema['additionalProperties'])}"
    if kind == "string":
        return "path" if schema.get("format") == "path" else "text"
    return "whole number" if kind == "integer" else str(kind)
