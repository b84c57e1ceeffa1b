"""Options that the assembly left open, as a TOML file and the environment set them when an engine starts."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from moby.errors import Invalid, NotFound, Origin, Problem
from moby.plan import Instance, Plan

__all__ = ["read", "variable"]


def read(plan: Plan, file: Path | None, environ: Mapping[str, str] = os.environ) -> dict[str, dict[str, Any]]:
    """Return open options by instance key, as `[KIND.NAME]` tables of the file and `MOBY_KIND_NAME_OPTION` set them.

    A variable wins over the file. Invalid names every setting that isn't open, and those that are.
    """
    found: dict[str, dict[str, Any]] = {}
    problems: list[Problem] = []
    if file is not None:
        found = _from_file(plan, file, problems)
    for instance in plan.instances:
        for option in instance.open:
            text = environ.get(variable(instance, option))
            if text is not None:
                found.setdefault(instance.key, {})[option] = _typed(instance, option, text, problems)
    if problems:
        raise Invalid("the engine's configuration has errors", problems=tuple(problems))
    return found


def variable(instance: Instance, option: str) -> str:
    """Return the name of the environment variable that sets an open option."""
    return "_".join(("MOBY", instance.kind, instance.name, option)).upper().replace("-", "_")


def _from_file(plan: Plan, file: Path, problems: list[Problem]) -> dict[str, dict[str, Any]]:
    import tomllib

    try:
        tables = tomllib.loads(file.read_text("utf-8"))
    except FileNotFoundError as error:
        raise NotFound(f"no configuration file at {file}") from error
    except (OSError, ValueError, RecursionError) as error:
        raise Invalid(f"{file}: can't be read as TOML: {error}") from error
    where = Origin(str(file))
    found: dict[str, dict[str, Any]] = {}
    for kind, parts in tables.items():
        for name, values in parts.items() if isinstance(parts, dict) else [("", None)]:
            instance = plan.get(f"{kind}/{name}")
            if instance is None or not isinstance(values, dict):
                keys = ", ".join(f"[{each.kind}.{each.name}]" for each in plan.instances if each.open) or "none"
                problems.append(Problem(f"no part [{kind}.{name}] with open options; those are: {keys}", where))
                continue
            for option, value in values.items():
                if option in instance.open:
                    found.setdefault(instance.key, {})[option] = value
                else:
                    names = ", ".join(instance.open) or "none"
                    fix = f"assemble it with `{option}: {{open: DEFAULT}}` in its config, or take this out"
                    problems.append(
                        Problem(f"{kind}.{name}.{option} is not open; open are: {names}", where, fixes=(fix,))
                    )
    return found


def _typed(instance: Instance, option: str, text: str, problems: list[Problem]) -> Any:
    """Read a variable's text as its option's schema wants it."""
    import json

    schema = next((each.schema for each in instance.facts.options if each.name == option), {})
    if schema.get("type", "string") == "string":
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        where = Origin(variable(instance, option))
        problems.append(Problem(f"{text!r} is no {schema.get('type', 'value')}", where))
        return None
