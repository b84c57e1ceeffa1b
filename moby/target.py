"""The host that an assembly is resolved for, as facts."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from moby.errors import Invalid, NotFound

if TYPE_CHECKING:
    from moby.registry import Catalog

__all__ = ["host_facts", "target_facts"]

HINT = "write one with moby doctor --facts"


def target_facts(target: str, catalog: "Catalog | None" = None) -> Mapping[str, Any] | None:
    """Return the facts of a target: `any` (None), `host`, or the path of a facts file."""
    if target in ("", "any"):
        return None
    if target == "host":
        return host_facts(catalog)
    try:
        found = json.loads(Path(target).read_bytes())
    except OSError as error:
        raise NotFound(f"no facts file at {target}: {error.strerror}", hint=HINT) from error
    except (ValueError, RecursionError) as error:
        raise Invalid(f"{target}: not JSON: {error}", hint=HINT) from error
    if not isinstance(found, dict):
        raise Invalid(f"{target}: not a JSON object", hint=HINT)
    if wrong := _mistake(found):
        raise Invalid(f"{target}: {wrong} is not as facts have it", hint=HINT)
    return found


def _mistake(facts: Mapping[str, Any]) -> str:
    """Return the path of the first value that facts can't have, or nothing; unknown sections are passed over."""
    for section, is_right in _SECTIONS.items():
        values = facts.get(section, {})
        if not isinstance(values, dict):
            return section
        for name, value in values.items():
            if not is_right(value):
                return f"{section}.{name}"
    return ""


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= _LONGEST


def _is_text_or_texts(value: Any) -> bool:
    return all(_is_text(each) for each in value) if isinstance(value, list) else _is_text(value)


def _is_binary(value: Any) -> bool:
    return value is None or (isinstance(value, dict) and all(_is_text(each) for each in value.values()))


def _is_probe(value: Any) -> bool:
    if not isinstance(value, dict) or not isinstance(value.get("ok"), bool):
        return False
    return all(_is_text(value.get(key, "")) for key in ("detail", "fix"))


_LONGEST = 1000
_SECTIONS: Mapping[str, Callable[[Any], bool]] = {
    "system": _is_text,
    "kernel": _is_probe,
    "cgroup": _is_text_or_texts,
    "privilege": _is_flag,
    "user": _is_probe,
    "binary": _is_binary,
    "library": _is_flag,
}
"""By section of the facts (moby.host.facts.collect), what its values are."""


def host_facts(catalog: "Catalog | None" = None) -> dict[str, Any]:
    """Return this host's facts, those too that just the components of a catalog ask for."""
    from moby.host.facts import collect

    asked: dict[str, set[str]] = {"binary": set(), "library": set()}
    for component in catalog.components.values() if catalog else ():
        for need in component.host:
            asked.setdefault(need.what, set()).add(need.name)
    return collect(binaries=tuple(sorted(asked["binary"])), libraries=tuple(sorted(asked["library"])))
