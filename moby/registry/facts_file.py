"""The facts that a distribution's wheel carries about its components, written when the wheel was built."""

import json
from collections.abc import Iterable
from pathlib import Path

from moby.component import Facts, dump_facts, load_facts
from moby.errors import Corrupt, Invalid
from moby.registry.installed import Distribution

__all__ = ["IN_DIST_INFO", "NAME", "read", "text_of"]

NAME = "moby-components.json"
IN_DIST_INFO = f"extra_metadata/{NAME}"
"""Where it lies in a dist-info folder."""
SCHEMA = 1


def text_of(facts: Iterable[Facts]) -> str:
    """Return the file's text; the same facts give the same bytes."""
    components = [dump_facts(each) for each in sorted(facts, key=lambda each: each.id)]
    return json.dumps({"schema": SCHEMA, "components": components}, indent=1, sort_keys=True) + "\n"


def read(distribution: Distribution) -> tuple[Facts, ...] | None:
    """Return the facts in a distribution's wheel, or None where it has none that count.

    An editable installation's are those of the day it was installed, and don't count; nor do those of a later
    schema. Corrupt says what is wrong with a file that can't be believed.
    """
    if distribution.editable:
        return None
    try:
        data = json.loads((distribution.info / IN_DIST_INFO).read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise _corrupt(f"its {NAME} can't be read: {error}") from error
    if not isinstance(data, dict) or not isinstance(data.get("schema"), int):
        raise _corrupt(f"its {NAME} has no schema number")
    if data["schema"] > SCHEMA:
        return None
    components = data.get("components")
    if not isinstance(components, list):
        raise _corrupt(f"its {NAME} has no list of components")
    try:
        facts = tuple(load_facts(each) for each in components)
    except Invalid as error:
        raise _corrupt(f"its {NAME} is wrong: {error.message}") from error
    for each in facts:
        _check(each, distribution)
    return facts


def _check(facts: Facts, distribution: Distribution) -> None:
    """Refuse facts that the installed files belie."""
    if facts.distribution != distribution.label:
        raise _corrupt(f"its {NAME} speaks of {facts.distribution}")
    if facts.module not in {each.module for each in distribution.entries}:
        raise _corrupt(f"its {NAME} names the module {facts.module}, which is none of its entry points")
    if not is_there(distribution.info.parent, facts.module):
        raise _corrupt(f"its {NAME} names the module {facts.module}, which isn't there")


def is_there(site: Path, module: str) -> bool:
    """Tell whether a module's file is in a folder of the import path."""
    stem = site.joinpath(*module.split("."))
    if stem.with_name(f"{stem.name}.py").is_file() or (stem / "__init__.py").is_file():
        return True
    return any(stem.parent.glob(f"{stem.name}.*.so"))


def _corrupt(message: str) -> Corrupt:
    return Corrupt(message, hint="install the distribution again")
