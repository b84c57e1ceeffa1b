"""A resolved assembly: which instances there are, with which options, wired to which others, in which order."""

import re
from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from moby.component import Arity, Facts, dump_facts, load_facts
from moby.errors import Invalid

__all__ = ["ENGINE", "Binding", "Instance", "Plan", "check", "dump", "load"]

ENGINE = "engine"
"""The name of the engine's own process."""
_CALLED = ("command", "enclosure", "frontend")
"""Kinds of parts that are there for an engine's user, and not for other parts."""


@frozen
class Binding:
    """What one parameter of an instance's factory gets."""

    arity: Arity
    targets: tuple[str, ...]
    """Keys of instances; one for `one`, none or one for `optional`; for `each` the default first, then by name."""


@frozen
class Instance:
    """One component of the engine, chosen by the user or filled in."""

    kind: str
    name: str
    facts: Facts
    config: Mapping[str, Any] = field(factory=dict)
    """Every option with its value, defaults included."""
    open: tuple[str, ...] = ()
    """Options that may be set when the engine starts."""
    default: bool = False
    served: bool = False
    policy: str = "required"
    reason: str = ""
    """Why it is here: `chosen at FILE:LINE:COLUMN`, or `supervisor/foreground needs a runtime; preferred`."""
    bindings: Mapping[str, Binding] = field(factory=dict)
    """By parameter of the factory."""
    processes: tuple[str, ...] = (ENGINE,)
    """Where it lives (`moby.placement`): in the engine, or in the processes of served parts, by their keys."""
    takes: str = ""
    """Of a packager: the key of the one whose artifact it builds from."""
    between: bool = False
    """Of a packager: whether nobody asked for its artifact, which is just there for another."""

    @property
    def key(self) -> str:
        """`kind/name`, unique in a plan; the name is the instance's, not the component's."""
        return f"{self.kind}/{self.name}"


@frozen
class Plan:
    """A whole engine as data. Instances stand in the order in which they start."""

    name: str
    instances: tuple[Instance, ...] = ()
    target: Mapping[str, Any] | None = None
    """Facts of the host it was resolved for; None is any host."""
    skipped: Mapping[str, str] = field(factory=dict)
    """Chosen with `skip-if-unfit` and left out for this target: key to reason."""

    def get(self, key: str) -> Instance | None:
        """Return an instance by its key."""
        return next((each for each in self.instances if each.key == key), None)

    def of_kind(self, kind: str) -> tuple[Instance, ...]:
        """Return the instances of a kind, the default first, then by name."""
        found = (each for each in self.instances if each.kind == kind)
        return tuple(sorted(found, key=lambda each: (not each.default, each.name)))

    def closure(self, keys: frozenset[str]) -> "Plan":
        """Return the plan of just these instances and what they need, in the same order."""
        wanted = set(keys)
        for each in reversed(self.instances):
            if each.key in wanted:
                wanted.update(target for binding in each.bindings.values() for target in binding.targets)
        kept = tuple(each for each in self.instances if each.key in wanted)
        return Plan(self.name, kept, self.target, self.skipped)

    def notes(self) -> tuple[str, ...]:
        """Return what its user should know though it is no fault: which parts nobody needs."""
        bound = {target for each in self.instances for binding in each.bindings.values() for target in binding.targets}
        return tuple(
            f"{each.key} is {each.reason}, and no part needs it: leave it out, or choose one that does"
            for each in self.instances
            if each.kind not in _CALLED and each.key not in bound
        )

    def chain(self, key: str) -> "Plan":
        """Return the plan of what a packager's artifact is made by: those that it takes from, itself, their needs."""
        keys: list[str] = []
        while key and key not in keys:
            keys.append(key)
            found = self.get(key)
            key = found.takes if found else ""
        return self.closure(frozenset(keys))


def dump(plan: Plan) -> dict[str, Any]:
    """Return a plan as JSON carries it."""
    return {
        "name": plan.name,
        "instances": [_dump_instance(each) for each in plan.instances],
        "target": plan.target,
        "skipped": dict(plan.skipped),
    }


def load(data: Any) -> Plan:
    """Return the plan that `dump` wrote; Invalid says what of it can't be one.

    Names become folders, so they aren't taken on trust.
    """
    name = _value(data, "name", str)
    instances = tuple(_load_instance(each) for each in _value(data, "instances", list))
    return Plan(_named(name), instances, _value(data, "target", (dict, type(None))), _texts_by_name(data, "skipped"))


def check(plan: Plan) -> None:
    """Raise Invalid where an instance doesn't get what its factory asks for, from those that start before it."""
    started: set[str] = set()
    for each in plan.instances:
        _check_one(each, started)
        started.add(each.key)


def _dump_instance(instance: Instance) -> dict[str, Any]:
    return {
        "kind": instance.kind,
        "name": instance.name,
        "facts": dump_facts(instance.facts),
        "config": dict(instance.config),
        "open": list(instance.open),
        "default": instance.default,
        "served": instance.served,
        "policy": instance.policy,
        "processes": list(instance.processes),
        "reason": instance.reason,
        **({"takes": instance.takes} if instance.takes else {}),
        **({"between": True} if instance.between else {}),
        "bindings": {
            parameter: {"arity": binding.arity.value, "targets": list(binding.targets)}
            for parameter, binding in instance.bindings.items()
        },
    }


def _load_instance(data: Any) -> Instance:
    bindings = {parameter: _load_binding(binding) for parameter, binding in _value(data, "bindings", dict).items()}
    return Instance(
        kind=_named(_value(data, "kind", str)),
        name=_named(_value(data, "name", str)),
        facts=load_facts(_value(data, "facts", dict)),
        config=_value(data, "config", dict),
        open=_texts(data, "open"),
        default=_value(data, "default", bool),
        served=_value(data, "served", bool),
        policy=_value(data, "policy", str),
        reason=_value(data, "reason", str),
        bindings=bindings,
        processes=_processes(data),
        takes=_value(data, "takes", str) if "takes" in data else "",
        between=_value(data, "between", bool) if "between" in data else False,
    )


def _processes(data: Any) -> tuple[str, ...]:
    """Return where an instance lives; an older framework put all in the engine, and wrote nothing."""
    return _texts(data, "processes") if "processes" in data else (ENGINE,)


def _load_binding(data: Any) -> Binding:
    arity = _value(data, "arity", str)
    if arity not in tuple(Arity):
        raise Invalid(f"a plan: {arity!r} is no arity")
    return Binding(Arity(arity), _texts(data, "targets"))


def _check_one(instance: Instance, started: set[str]) -> None:
    if instance.key in started:
        raise Invalid(f"a plan: {instance.key} is there twice")
    if instance.kind != instance.facts.kind:
        raise Invalid(f"a plan: {instance.key} is of the component {instance.facts.id}")
    asked = {need.parameter: need.arity for need in instance.facts.needs}
    given = {parameter: binding.arity for parameter, binding in instance.bindings.items()}
    if asked != given:
        raise Invalid(f"a plan: {instance.key} needs {sorted(asked)}, and is wired for {sorted(given)}")
    if not instance.processes:
        raise Invalid(f"a plan: {instance.key} lives in no process")
    absent = [each for binding in instance.bindings.values() for each in binding.targets if each not in started]
    absent += [instance.takes] if instance.takes and instance.takes not in started else []
    if absent:
        raise Invalid(f"a plan: {instance.key} is wired to {absent[0]}, which doesn't start before it")


_NAME = re.compile(r"[a-z0-9][a-z0-9-]*")


def _named(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise Invalid(f"a plan: {text!r} is no name")
    return text


def _value(data: Any, key: str, wanted: type | tuple[type, ...]) -> Any:
    if not isinstance(data, Mapping):
        raise Invalid(f"a plan: expected a map with {key!r}, got {type(data).__name__}")
    if key not in data:
        raise Invalid(f"a plan: no {key!r}")
    if not isinstance(data[key], wanted):
        raise Invalid(f"a plan: {key!r} is of the wrong type, {type(data[key]).__name__}")
    return data[key]


def _texts(data: Any, key: str) -> tuple[str, ...]:
    values = _value(data, key, list)
    if not all(isinstance(each, str) for each in values):
        raise Invalid(f"a plan: {key!r} is no list of texts")
    return tuple(values)


def _texts_by_name(data: Any, key: str) -> dict[str, str]:
    values: dict[str, str] = _value(data, key, dict)
    if not all(isinstance(each, str) for each in values.values()):
        raise Invalid(f"a plan: {key!r} holds what is no text")
    return values
