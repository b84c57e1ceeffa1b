"""Catalogs and manifests out of data files, and what a user would do to a manifest by hand."""

import copy
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from moby import manifest
from moby.component import Arity, Conflicting, Demand, Facts, HostNeed, Need, Option
from moby.manifest import Assembly
from moby.registry import Broken, Catalog

HERE = Path(__file__).parent
MANY = ("runtime", "command", "frontend", "network-driver", "log-driver", "packager")


def need(parameter: str, said: Any) -> Need:
    given = {"kind": said} if isinstance(said, str) else said
    arity, _, kind = f"one {given['kind']}".rpartition(" ")
    return Need(parameter, kind, Arity(arity.split()[-1]), given.get("contract", 1), tuple(given.get("features", ())))


def facts(id: str, said: Mapping[str, Any], many: frozenset[str] = frozenset(MANY)) -> Facts:
    kind, name = id.split("/")
    options = said.get("options", {})
    return Facts(
        id=id,
        kind=kind,
        name=name,
        version=str(said.get("version", "0.1.0")),
        contract=said.get("contract", 1),
        distribution=said.get("distribution", "synthetic 1.0"),
        module=f"synthetic.{kind}.{name}",
        provides=tuple(said.get("provides", ())),
        needs=tuple(need(parameter, asked) for parameter, asked in said.get("needs", {}).items()),
        demands=tuple(Demand(asked, tuple(names)) for asked, names in said.get("demands", {}).items()),
        conflicts=tuple(Conflicting(**each) for each in said.get("conflicts", ())),
        host=tuple(HostNeed(**each) for each in said.get("host", ())),
        options=tuple(Option(option, **each) for option, each in options.items()),
        preferred=said.get("preferred", False),
        many=kind in many,
    )


def catalog(said: Mapping[str, Any]) -> Catalog:
    """Make a catalog: of a named file, with parts added, changed and dropped, and broken plugins."""
    parts, many = {}, set(MANY)
    if said.get("from"):
        base = yaml.safe_load((HERE / "catalogs" / f"{said['from']}.yaml").read_text())
        parts, many = dict(base["components"]), set(base["kinds-of-many"])
    parts |= said.get("components", {})
    for dropped in said.get("drop", ()):
        del parts[dropped]
    made = {each: facts(each, parts[each] or {}, frozenset(many)) for each in sorted(parts)}
    return Catalog(made, tuple(Broken(**each) for each in said.get("broken", ())))


def read(text: str, folder: Path) -> Assembly:
    file = folder / "a.yaml"
    file.write_text(text)
    reading = manifest.read(file, environ={})
    assert not reading.problems, reading.problems
    assert reading.assembly is not None
    return reading.assembly


# A manifest as plain data, every kind a list of maps, so that edits are easy ------------------------------------


def loaded(text: str) -> dict[str, Any]:
    data: dict[str, Any] = yaml.safe_load(text)
    components = data.setdefault("components", {})
    for kind, said in components.items():
        if said is not None:
            listed = said if isinstance(said, list) else [said]
            components[kind] = [{"use": each} if isinstance(each, str) else dict(each) for each in listed]
    return data


def written(data: Mapping[str, Any]) -> str:
    out = copy.deepcopy(dict(data))
    components = {kind: parts for kind, parts in out["components"].items() if parts is None or parts}
    out["components"] = components
    if not components:
        del out["components"]
    return yaml.safe_dump(out, sort_keys=False)


def by_hand(data: Mapping[str, Any], installed: Catalog) -> Iterator[dict[str, Any]]:
    """Yield all that one edit can make of a manifest; written apart from the edits that the resolver tries."""
    for kind, parts in data["components"].items():
        names = [each.name for each in installed.of_kind(kind)]
        for other in installed.kinds():
            if other not in data["components"]:
                changed = copy.deepcopy(dict(data))
                changed["components"][other] = changed["components"].pop(kind)
                yield changed
        dropped = copy.deepcopy(dict(data))
        del dropped["components"][kind]
        yield dropped
        for name in names:
            changed = copy.deepcopy(dict(data))
            kept = changed["components"][kind] or []
            if not any(each.get("as", each["use"]) == name for each in kept):
                changed["components"][kind] = [*kept, {"use": name}]
                yield changed
        for index, _ in enumerate(parts or ()):
            yield from _part_by_hand(data, kind, index, installed)
    for each in installed.components:
        kind, _, name = each.partition("/")
        if kind not in data["components"]:
            changed = copy.deepcopy(dict(data))
            changed["components"][kind] = [{"use": name}]
            yield changed


def _part_by_hand(data: Mapping[str, Any], kind: str, index: int, installed: Catalog) -> Iterator[dict[str, Any]]:
    def fresh() -> tuple[dict[str, Any], dict[str, Any]]:
        changed = copy.deepcopy(dict(data))
        return changed, changed["components"][kind][index]

    part = data["components"][kind][index]
    taken = {each.get("as", each["use"]) for each in data["components"][kind]}
    changed, _ = fresh()
    del changed["components"][kind][index]
    yield changed
    changed, each = fresh()
    each["default"] = True
    yield changed
    for key in set(part) - {"use", "as"}:
        changed, each = fresh()
        del each[key]
        yield changed
    for facts in installed.of_kind(kind):
        if "as" in part or facts.name not in taken:
            changed, each = fresh()
            each["use"] = facts.name
            yield changed
    known = [option.name for facts in installed.of_kind(kind) for option in facts.options]
    for option, value in part.get("config", {}).items():
        changed, each = fresh()
        del each["config"][option]
        yield changed
        for other in known:
            if other not in part["config"]:
                changed, each = fresh()
                del each["config"][option]
                each["config"][other] = value
                yield changed
