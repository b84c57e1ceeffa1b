"""What differs between two plans, in the terms of a manifest: parts, versions, options, wiring."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from attrs import frozen

from moby.errors import Origin
from moby.plan import Instance, Plan

__all__ = ["Difference", "compare", "compare_sizes"]

Where = Callable[[str], Origin | None]


def _nowhere(path: str) -> Origin | None:
    return None


@frozen
class Difference:
    """One thing that differs; None is not being there."""

    what: str
    """`name`, `target`, `part`, `version`, `option`, `wiring`, `skipped`, `bytes`, or a field of a part."""
    subject: str
    before: Any
    after: Any
    where: Origin | None = None
    """Where the later one was written, if it was."""

    def __str__(self) -> str:
        place = f" ({self.where})" if self.where else ""
        if self.before is None and self.what == "part":
            return f"+ {self.subject}: {self.after}{place}"
        if self.after is None and self.what == "part":
            return f"- {self.subject}: {self.before}{place}"
        label = self.subject if self.what in ("part", "name", "target") else f"{self.what} {self.subject}"
        return f"{label}: {_shown(self.before)} -> {_shown(self.after)}{place}"


def compare(before: Plan, after: Plan, *, where: Where = _nowhere) -> tuple[Difference, ...]:
    """Return what differs, sorted by kind and name; nothing exactly where the plans do the same.

    `where` finds the origin of a path (`components.runtime.native.config.x`) of the later one. Why a part is there is
    no difference, nor is where it was written.
    """
    found = list(_whole(before, after))
    old = {each.key: each for each in before.instances}
    new = {each.key: each for each in after.instances}
    found += _parts(old, new, where)
    found += _defaults(before, after, where)
    for key in sorted(old.keys() & new.keys()):
        found += _instance(old[key], new[key], where)
    return tuple(found)


def compare_sizes(
    before: Mapping[str, Mapping[str, int]], after: Mapping[str, Mapping[str, int]]
) -> tuple[Difference, ...]:
    """Return whose bytes differ, by format and owner, the biggest change first; nothing of what just one side tells."""
    found = [
        Difference("bytes", f"{name} {owner}", before[name].get(owner), after[name].get(owner))
        for name in sorted(before.keys() & after.keys())
        for owner in sorted(before[name].keys() | after[name].keys())
        if before[name].get(owner) != after[name].get(owner)
    ]
    return tuple(sorted(found, key=lambda each: -abs((each.after or 0) - (each.before or 0))))


def _whole(before: Plan, after: Plan) -> Iterator[Difference]:
    if before.name != after.name:
        yield Difference("name", "name", before.name, after.name)
    if before.target != after.target:
        old_host = "any host" if before.target is None else "a host by its facts"
        new_host = "any host" if after.target is None else "a host by its facts"
        yield Difference(
            "target", "target", old_host, "another host by its facts" if old_host == new_host else new_host
        )
    for key in sorted(before.skipped.keys() | after.skipped.keys()):
        old, new = before.skipped.get(key), after.skipped.get(key)
        if old != new:
            yield Difference("skipped", key, old, new)


def _defaults(before: Plan, after: Plan, where: Where) -> Iterator[Difference]:
    """Say where another part is the default of a kind; a part that is alone is so without a word."""
    for kind in sorted({each.kind for each in before.instances}):
        old, new = before.of_kind(kind), after.of_kind(kind)
        left = next((each.name for each in old if each.default), None)
        right = next((each.name for each in new if each.default), None)
        if left != right and len(new) > 1 and (len(old) > 1 or right):
            yield Difference("default", kind, left, right, where(f"components.{kind}.{right}.default"))


def _parts(old: Mapping[str, Instance], new: Mapping[str, Instance], where: Where) -> Iterator[Difference]:
    """Pair what left a kind with what came to it, where that is one each."""
    gone = [old[key] for key in sorted(old.keys() - new.keys())]
    come = [new[key] for key in sorted(new.keys() - old.keys())]
    for kind in sorted({each.kind for each in (*gone, *come)}):
        left = [each for each in gone if each.kind == kind]
        right = [each for each in come if each.kind == kind]
        if len(left) == len(right) == 1:
            place = where(_path(right[0]))
            yield Difference("part", kind, _part(left[0]), _part(right[0]), place)
            continue
        yield from (Difference("part", kind, _part(each), None) for each in left)
        yield from (Difference("part", kind, None, _part(each), where(_path(each))) for each in right)


def _instance(old: Instance, new: Instance, where: Where) -> Iterator[Difference]:
    key, path = old.key, _path(new)
    if old.facts.name != new.facts.name:
        yield Difference("part", key, _component(old), _component(new), where(f"{path}.use"))
    elif old.facts.version != new.facts.version:
        yield Difference("version", key, old.facts.version, new.facts.version, where(f"{path}.version"))
    elif old.facts != new.facts:
        yield from _facts(old, new)
    # Another part has other options; to list them all would tell nothing.
    options = sorted(old.config.keys() | new.config.keys()) if old.facts.name == new.facts.name else ()
    for option in options:
        before, after = old.config.get(option), new.config.get(option)
        if before != after or (option in old.config) != (option in new.config):
            yield Difference("option", f"{key}.{option}", before, after, where(f"{path}.config.{option}"))
    if old.open != new.open:
        yield Difference("open", key, sorted(old.open), sorted(new.open), where(f"{path}.config"))
    for name in ("served", "policy", "takes"):
        before, after = getattr(old, name), getattr(new, name)
        if before != after:
            yield Difference(name, key, before, after, where(f"{path}.{name}"))
    for parameter in sorted(old.bindings.keys() | new.bindings.keys()):
        wired = [each.bindings.get(parameter) for each in (old, new)]
        before, after = (list(each.targets) if each else None for each in wired)
        if before != after:
            yield Difference("wiring", f"{key}.{parameter}", before, after)


def _facts(old: Instance, new: Instance) -> Iterator[Difference]:
    """Say which facts of a part changed though its version didn't: a part that is being worked on."""
    if old.facts.distribution != new.facts.distribution:
        yield Difference("distribution", old.key, old.facts.distribution, new.facts.distribution)
    for name in ("module", "contract", "provides", "needs", "host", "conflicts", "brings", "takes", "gives", "options"):
        before, after = getattr(old.facts, name), getattr(new.facts, name)
        if before != after:
            yield Difference(name, old.key, _plain(before), _plain(after))


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [each if isinstance(each, str) else getattr(each, "name", "") or str(each) for each in value]
    return value


def _path(instance: Instance) -> str:
    return f"components.{instance.kind}.{instance.name}"


def _component(instance: Instance) -> str:
    return f"{instance.facts.name} {instance.facts.version}"


def _part(instance: Instance) -> str:
    name = "" if instance.name == instance.facts.name else f" as {instance.name}"
    return _component(instance) + name


def _shown(value: Any) -> str:
    if value is None:
        return "none"
    if value == "":
        return '""'
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return str(value)
