"""Where the values of an assembly come from: what set each, and what that overrode."""

import re
from collections.abc import Callable
from typing import Any

from attrs import frozen

from moby.component import Facts
from moby.errors import NotFound, Origin
from moby.manifest.assembly import Assembly, Choice, Setting
from moby.manifest.draft import Names
from moby.manifest.parts import PART_KEYS
from moby.manifest.paths import join, split
from moby.manifest.report import nearest, shown

__all__ = ["Provenance", "provenance"]

FactsOf = Callable[[str, str], Facts | None]
"""Returns the facts of a component, by kind and name."""

_USE = re.compile(r"\$\{([^{}]*)\}")
_SECTIONS = ("components", "distribution", "name", "parameters")
_OWN_DEFAULTS = {
    "distribution.formats": ["pyz"],
    "distribution.target": "any",
    "distribution.budget": None,
}
_PART_DEFAULTS = {"version": "", "default": False, "served": False, "policy": "required"}
_SCHEMA_DEFAULT = Origin("default of the manifest's schema")


@frozen
class Provenance:
    """One value, and all that was said about it."""

    path: str
    value: Any
    chain: tuple[Setting, ...]
    """What holds first, then what it overrode; the default last. A value of None in it is a removal."""
    parameters: tuple["Provenance", ...] = ()
    """The parameters from which the values in the chain were made."""


def provenance(assembly: Assembly, path: str, facts_of: FactsOf) -> tuple[Provenance, ...]:
    """Return where the value at a path comes from; for a path of several values, where each of them does.

    A path may leave out `components.`, and the part's name where the kind has just one part. NotFound, with the
    nearest path, if there is nothing there.
    """
    names = split(path)
    if names is None:
        raise NotFound(f"{shown(path)} is no path", hint="as in components.runtime.config.binary")
    if names[0] not in _SECTIONS:
        names = ("components", *names)
    full = _whole(assembly, names)
    defaults = _defaults(assembly, facts_of)
    every = {split(each) or (): each for each in (*assembly.origins, *defaults)}
    found = {each for each in every if each[: len(full)] == full}
    if not found:
        near = nearest(join(*full), every.values())
        raise NotFound(f"nothing at {join(*full)}", hint=f"moby why FILE {near or 'components'}")
    # What matters of a map is in it, so only the paths under which there is no other; and no removed ones.
    above = {each[:length] for each in found for length in range(len(full), len(each))}
    leaves = sorted(found - above)
    live = [each for each in leaves if every[each] in defaults or _lives(assembly, every[each])]
    return tuple(_one(assembly, every[each], defaults.get(every[each])) for each in live or leaves)


def _lives(assembly: Assembly, path: str) -> bool:
    settings = assembly.origins.get(path)
    return settings is not None and settings[-1].value is not None


def _whole(assembly: Assembly, names: Names) -> Names:
    """Return the full path; the part's name is put in where it was left out."""
    if names[0] != "components" or len(names) < 3 or names[2] not in PART_KEYS:
        return names
    parts = [each.name for each in assembly.choices if each.kind == names[1]]
    if names[2] in parts or not parts:
        return names
    if len(parts) > 1:
        whole = ", ".join(join("components", names[1], part, *names[2:]) for part in parts)
        raise NotFound(f"{names[1]} has several parts, so {join(*names)} could be any", hint=f"one of {whole}")
    return ("components", names[1], parts[0], *names[2:])


def _defaults(assembly: Assembly, facts_of: FactsOf) -> dict[str, Setting]:
    """Return the defaults of everything that the assembly could say, by path."""
    found = {path: Setting(value, _SCHEMA_DEFAULT) for path, value in _OWN_DEFAULTS.items()}
    for choice in assembly.choices:
        found |= _part_defaults(choice, facts_of(choice.kind, choice.use))
    return found


def _part_defaults(choice: Choice, facts: Facts | None) -> dict[str, Setting]:
    path = ("components", choice.kind, choice.name)
    found = {join(*path, key): Setting(value, _SCHEMA_DEFAULT) for key, value in _PART_DEFAULTS.items()}
    for option in facts.options if facts else ():
        if facts and not option.required:
            origin = Origin(f"default of {facts.id} {facts.version}")
            found[join(*path, "config", option.name)] = Setting(option.default, origin)
    return found


def _one(assembly: Assembly, path: str, default: Setting | None) -> Provenance:
    chain = (*reversed(assembly.origins.get(path, ())), *((default,) if default else ()))
    holding = default if default and chain[0].value is None else chain[0]
    names = sorted({name for each in chain if isinstance(each.written, str) for name in _USE.findall(each.written)})
    parameters = tuple(_parameter(assembly, name) for name in names if join("parameters", name) in assembly.origins)
    return Provenance(path, holding.value, chain, parameters)


def _parameter(assembly: Assembly, name: str) -> Provenance:
    return _one(assembly, join("parameters", name), None)
