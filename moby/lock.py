"""The lock: everything that decides the bytes of a distribution, written down."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from attrs import asdict, frozen

from moby import plan as plans
from moby.errors import Invalid, Origin, Problem, Unsupported
from moby.plan import Instance, Plan

__all__ = ["SCHEMA", "Lock", "ManifestPin", "Pin", "drift", "dump", "dumps", "load", "loads"]

SCHEMA = 1


@frozen(order=True)
class ManifestPin:
    """A manifest that was read: its path relative to the main one's folder, or `shipped:NAME`."""

    name: str
    digest: str


@frozen(order=True)
class Pin:
    """A Python distribution that was used; its digest is of RECORD, or of the working tree where editable."""

    name: str
    version: str
    digest: str
    editable: bool = False
    build: bool = False
    """Whether just building needs it."""


@frozen
class Lock:
    """A plan and all that it was made from. Nothing in it tells of a machine, a folder, a user or a time."""

    name: str
    framework: str
    """Version of the framework."""
    python: str
    """Minor version of the Python whose bytecode is embedded, as `3.13`."""
    engine: Plan
    build: Plan
    """The packagers."""
    manifests: tuple[ManifestPin, ...] = ()
    """In the order of merging."""
    distributions: tuple[Pin, ...] = ()
    """Sorted by name."""

    @property
    def editable(self) -> tuple[str, ...]:
        """Names of the distributions that are working trees: what they hold can't be got elsewhere."""
        return tuple(pin.name for pin in self.distributions if pin.editable)


def dump(lock: Lock) -> dict[str, Any]:
    """Return a lock as JSON carries it."""
    return {
        "schema": SCHEMA,
        "name": lock.name,
        "framework": lock.framework,
        "python": lock.python,
        "engine": plans.dump(lock.engine),
        "build": plans.dump(lock.build),
        "manifests": [asdict(pin) for pin in lock.manifests],
        "distributions": [asdict(pin) for pin in lock.distributions],
    }


def dumps(lock: Lock) -> bytes:
    """Return a lock as the bytes of its file, the same for equal locks."""
    return (json.dumps(dump(lock), indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()


def load(data: Mapping[str, Any], *, source: str = "the lock") -> Lock:
    """Return the lock that `dump` wrote; Unsupported where its schema is newer, Invalid where it is none."""
    schema = data.get("schema") if isinstance(data, Mapping) else None
    if isinstance(schema, int) and schema > SCHEMA:
        raise Unsupported(f"{source} has schema {schema}; this framework reads {SCHEMA}", hint="use a newer framework")
    try:
        return Lock(
            name=data["name"],
            framework=data["framework"],
            python=data["python"],
            engine=plans.load(data["engine"]),
            build=plans.load(data["build"]),
            manifests=tuple(ManifestPin(**pin) for pin in data["manifests"]),
            distributions=tuple(Pin(**pin) for pin in data["distributions"]),
        )
    except (Invalid, AttributeError, KeyError, TypeError, ValueError) as error:
        why = error.message if isinstance(error, Invalid) else repr(error)
        raise Invalid(f"{source} is no lock of schema {SCHEMA}: {why}", hint="write it again: moby lock") from error


def loads(data: bytes, *, source: str = "the lock") -> Lock:
    """Return the lock that `dumps` wrote; the errors of `load`."""
    try:
        value = json.loads(data)
        json.dumps(value, ensure_ascii=False).encode()  # half a character can be escaped, but is no text to write
        return load(value, source=source)
    except (ValueError, RecursionError) as error:
        raise Invalid(f"{source} is not JSON: {error}", hint="write it again: moby lock") from error


def drift(locked: Lock, now: Lock, *, source: str = "") -> tuple[Problem, ...]:
    """Return what differs, each thing by its name; nothing exactly where the locks are equal."""
    where = Origin(source) if source else None
    locked, now = loads(dumps(locked)), loads(dumps(now))  # as JSON carries them: a tuple is a list
    messages = [*_manifests(locked, now), *_distributions(locked, now)]
    for label in ("name", "framework", "python"):
        if getattr(locked, label) != getattr(now, label):
            messages.append(f"{label} was locked as {getattr(locked, label)!r}; it is {getattr(now, label)!r} now")
    for before, after in ((locked.engine, now.engine), (locked.build, now.build)):
        messages += _plans(before, after)
    return tuple(Problem(message, where) for message in messages)


def _manifests(locked: Lock, now: Lock) -> Iterator[str]:
    before = {pin.name: pin.digest for pin in locked.manifests}
    after = {pin.name: pin.digest for pin in now.manifests}
    yield from (f"manifest {name} is read now, and wasn't when locked" for name in after if name not in before)
    yield from (f"manifest {name} is no longer read" for name in before if name not in after)
    both = [name for name in before if name in after]
    yield from (f"manifest {name} has changed" for name in both if before[name] != after[name])
    if [pin.name for pin in locked.manifests if pin.name in after] != [
        pin.name for pin in now.manifests if pin.name in before
    ]:
        yield "manifests are merged in another order"


def _distributions(locked: Lock, now: Lock) -> Iterator[str]:
    before = {pin.name: pin for pin in locked.distributions}
    after = {pin.name: pin for pin in now.distributions}
    for name in sorted({*before, *after}):
        old, new = before.get(name), after.get(name)
        if old is None or new is None:
            yield f"distribution {name} is {'no longer used' if new is None else 'used now, and was not when locked'}"
        elif old.version != new.version:
            yield f"distribution {name} was locked at {old.version}; {new.version} is installed"
        elif old.digest != new.digest:
            yield f"distribution {name} {new.version} holds other files ({new.digest}, locked {old.digest})"
        elif old != new:
            yield f"distribution {name} is {_use(new)}; it was {_use(old)}"


def _use(pin: Pin) -> str:
    return f"{'editable' if pin.editable else 'installed'} {'to build' if pin.build else 'inside'}"


def _plans(before: Plan, after: Plan) -> Iterator[str]:
    old = {instance.key: instance for instance in before.instances}
    new = {instance.key: instance for instance in after.instances}
    yield from (f"{key} isn't in the lock" for key in new if key not in old)
    yield from (f"{key} was locked, and isn't chosen now" for key in old if key not in new)
    for key, instance in old.items():
        if key in new and instance != new[key]:
            yield from _instances(instance, new[key])
    if [key for key in old if key in new] != [key for key in new if key in old]:
        yield f"the parts of {after.name} start in another order"
    if before.name != after.name:
        yield f"the plan was locked as {before.name!r}; it is {after.name!r} now"
    if before.target != after.target:
        yield f"{after.name} is resolved for another host than it was locked for"
    if before.skipped != after.skipped:
        yield f"{after.name} leaves out {sorted(after.skipped)}; locked was {sorted(before.skipped)}"


def _instances(old: Instance, new: Instance) -> Iterator[str]:
    key = old.key
    if old.facts.id != new.facts.id:
        yield f"{key} was locked as {old.facts.id}; it is {new.facts.id} now"
    if old.facts.version != new.facts.version:
        yield f"{key} was locked at version {old.facts.version}; {new.facts.version} is installed"
    for option in sorted({*old.config, *new.config}):
        was, now = old.config.get(option), new.config.get(option)
        if was != now or (option in old.config) != (option in new.config):
            yield f"option {option} of {key} was locked as {was!r}; it is {now!r} now"
    for label in ("open", "default", "served", "policy", "processes", "takes", "between", "reason"):
        was, now = getattr(old, label), getattr(new, label)
        if was != now:
            yield f"{key}: {label} was locked as {was!r}; it is {now!r} now"
    if old.bindings != new.bindings:
        yield f"{key} is wired to others than it was when locked"
    if old.facts != new.facts and (old.facts.id, old.facts.version) == (new.facts.id, new.facts.version):
        yield f"{key} declares other facts than it did when locked"
