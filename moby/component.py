"""A component as its author declares it, and the facts that this comes to, as plain data.

The factory's signature is the declaration: its return type is the kind that it provides, its keyword-only
parameters are what it needs, and its first parameter's type is the schema of its options.
"""

import inspect
import re
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Any

from attrs import NOTHING, field, fields_dict, frozen

from moby.contracts.ambient import Clock, Keeper, Log, Place
from moby.contracts.kind import Kind, kind_of
from moby.errors import Invalid, NotFound
from moby.options import Option, describe

__all__ = [
    "AMBIENT", "COPIED", "OUTLIVES", "PROGRAM", "Arity", "Component", "Conflicting", "Demand", "Facts", "HostNeed",
    "Need", "Option", "Program", "dump_facts", "facts_of", "load_facts", "program",
]  # fmt: skip

AMBIENT: Mapping[Any, str] = {Place: "place", Clock: "clock", Log: "log", Keeper: "keeper"}
"""What wiring itself offers, by the type that a factory asks for."""

OUTLIVES = "outlives"
COPIED = "copied"
PROGRAM = "program"
SERVED = ("", OUTLIVES, COPIED, PROGRAM)


class Arity(StrEnum):
    """How many of a kind a factory takes: `X`, `Mapping[str, X]`, `X | None`."""

    ONE = "one"
    EACH = "each"
    OPTIONAL = "optional"


@frozen(order=True)
class Need:
    """What one parameter of a factory asks for."""

    parameter: str
    kind: str
    arity: Arity = Arity.ONE
    contract: int = 1
    features: tuple[str, ...] = ()
    """What every provider that it gets must offer."""


@frozen(order=True)
class Demand:
    """What all parts of a kind must offer for the sake of one that gets them through others."""

    kind: str
    features: tuple[str, ...] = ()


@frozen(order=True)
class HostNeed:
    """What a component needs of the host it runs on.

    `what` is one of `kernel` (name: a probe in moby.host.facts), `binary` (on PATH), `library` (for ctypes),
    `cgroup` (name: `v1`, `v2`, or `unmixed` for not both at once), `privilege` (name: `root`, which an
    assembly's enclosure brings), `user` (name: a probe in moby.host.facts, of what the calling user has been given),
    `python` (version of the interpreter).
    """

    what: str
    name: str
    version: str = ""
    """A range as in `>=1.1`; empty is any."""
    package: str = ""
    """Debian package that brings it."""
    why: str = ""
    module: str = ""
    """Python modules, by spaces, each of which brings it too, for an engine that is installed; a single file can't hold
    a binary."""
    option: str = ""
    """Option of the component that, where it is set, says which binary it is instead."""
    optional: bool = False
    """Whether the component does without, but for what `why` says: nothing is refused for it, `doctor` shows it."""


@frozen(order=True)
class Conflicting:
    """What a component can't live beside: a component id, or a kind and a feature."""

    component: str = ""
    kind: str = ""
    feature: str = ""
    why: str = ""


def _sorted(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(names))


@frozen
class Component:
    """A part: a name, a factory, and the facts that the factory's signature can't say."""

    name: str
    factory: Callable[..., Any]
    version: str = ""
    """Empty is the version of the distribution that brings it."""
    summary: str = ""
    """Empty is the first line of the factory's docstring."""
    contract: int = 0
    """The version of the kind's contract that it was written for; 0 is the one it was imported beside."""
    offers: tuple[str, ...] = field(default=(), converter=_sorted)
    """Names of features."""
    features: Mapping[str, tuple[str, ...]] = field(factory=dict)
    """For a parameter of the factory, the features that its providers must offer."""
    demands: Mapping[str, tuple[str, ...]] = field(factory=dict)
    """By kind, the features that parts must offer that this one gets through others, as a supervisor's runtimes."""
    conflicts: tuple[Conflicting, ...] = ()
    host: tuple[HostNeed, ...] = ()
    brings: tuple[str, ...] = ()
    """Python distributions that it needs in the engine's process, beyond attrs and pluggy."""
    preferred: bool = False
    """Whether it fills its kind where the assembly names none; of several the least that suffices does."""
    served: str = ""
    """`outlives` has a process of its own, which goes on when the engine ends (`moby.placement`); `copied` holds
    nothing, so that each process that needs it may have its own; `program` is written in another language, and its
    factory returns what `program` does (docs/served-parts.md). Empty is as the assembly says."""
    takes: str = ""
    """Of a packager: what it builds from besides the engine's files, as another one gives it."""
    gives: str = ""
    """Of a packager: what it makes; empty is its name."""


@frozen
class Program:
    """A part in another language: what its process becomes."""

    code: bytes = field(repr=False)
    """An executable, or a script that begins with `#!`."""
    arguments: tuple[str, ...] = ()
    """That it is called with, after its own name."""


def program(code: bytes | None, *arguments: str) -> Any:
    """Return what the factory of a part in another language returns; of any type, since it is none that Python has.

    NotFound where there is no code, as `pkgutil.get_data` says of a file that isn't in a package.
    """
    if not code:
        raise NotFound("a part's program isn't in its package", hint="install the distribution that brings it again")
    return Program(code, arguments)


@frozen
class Facts:
    """Everything about a component that can be known without running it; plain data, which JSON carries."""

    id: str
    """`kind/name`."""
    kind: str
    name: str
    version: str
    contract: int
    distribution: str
    """`NAME VERSION` of the Python distribution that brings it."""
    module: str
    """The plugin module to import for its factory."""
    summary: str = ""
    provides: tuple[str, ...] = ()
    needs: tuple[Need, ...] = ()
    ambient: Mapping[str, str] = field(factory=dict)
    """Parameters that wiring itself fills: name to `place`, `clock`, `log` or `keeper`."""
    demands: tuple[Demand, ...] = ()
    conflicts: tuple[Conflicting, ...] = ()
    host: tuple[HostNeed, ...] = ()
    options: tuple[Option, ...] = ()
    brings: tuple[str, ...] = ()
    preferred: bool = False
    many: bool = False
    """Whether an engine may have several of this kind."""
    served: str = ""
    takes: str = ""
    gives: str = ""


_NAME = re.compile(r"[a-z0-9][a-z0-9-]*")


def facts_of(component: Component, *, distribution: str = "", module: str = "") -> Facts:
    """Read a component's facts off its declaration; Invalid says what of the signature can't be read."""

    def wrong(what: str) -> Invalid:
        return Invalid(
            f"component {component.name!r} of {module or component.factory.__module__}: {what}",
            hint="a factory is `def make(config: Config, *, other: Contract, ...) -> Contract`",
        )

    if not isinstance(component.name, str) or not _NAME.fullmatch(component.name):
        raise wrong("a component's name is of small letters, digits and hyphens")
    try:
        hints = typing.get_type_hints(component.factory)
        parameters = inspect.signature(component.factory).parameters.values()
    except (NameError, TypeError, ValueError) as error:
        raise wrong(f"the factory's signature can't be read: {error}") from error
    provided = kind_of(hints.get("return"))
    if provided is None:
        raise wrong("the factory's return type is no contract")
    config, needs, ambient = _parameters(component, hints, parameters, wrong)
    for contradiction in _contradictions(component, needs, ambient):
        raise wrong(contradiction)
    return Facts(
        id=f"{provided.id}/{component.name}",
        kind=provided.id,
        name=component.name,
        version=component.version or distribution.partition(" ")[2] or "0",
        contract=component.contract or provided.version,
        distribution=distribution,
        module=module or component.factory.__module__,
        summary=component.summary or (component.factory.__doc__ or "").strip().partition("\n")[0],
        provides=component.offers,
        needs=tuple(needs),
        ambient=ambient,
        demands=tuple(Demand(kind, _sorted(names)) for kind, names in sorted(component.demands.items())),
        conflicts=component.conflicts,
        host=component.host,
        options=describe(config) if config is not None else (),
        brings=component.brings,
        preferred=component.preferred,
        many=provided.many,
        served=component.served,
        takes=component.takes,
        gives=component.gives,
    )


def _contradictions(component: Component, needs: Sequence[Need], ambient: Mapping[str, str]) -> Iterator[str]:
    """Yield what a component says of itself that doesn't go with its factory's parameters."""
    if component.served not in SERVED:
        yield f"served is {component.served!r}, not one of {', '.join(map(repr, SERVED))}"
    if "keeper" in ambient.values() and component.served != OUTLIVES:
        yield f"only a part that is served={OUTLIVES!r} has a keeper"
    if component.served == PROGRAM and needs:
        yield f"it needs {needs[0].kind}, which a program in another language can't call"
    for unknown in sorted(set(component.features) - {need.parameter for need in needs}):
        yield f"features are asked of {unknown!r}, which is no parameter of the factory"


def _parameters(
    component: Component,
    hints: Mapping[str, Any],
    parameters: Iterable[inspect.Parameter],
    wrong: Callable[[str], Invalid],
) -> tuple[Any, list[Need], dict[str, str]]:
    """Return what a factory's parameters ask for: the class of its config or None, needs, and what wiring offers."""
    config: Any = None
    needs: list[Need] = []
    ambient: dict[str, str] = {}
    for parameter in parameters:
        annotation = hints.get(parameter.name)
        if parameter.kind is not inspect.Parameter.KEYWORD_ONLY:
            if config is not None:
                raise wrong(f"{parameter.name} must be keyword-only; just the first parameter, the config, isn't")
            config = annotation
        elif annotation in AMBIENT:
            ambient[parameter.name] = AMBIENT[annotation]
        else:
            kind, arity = _asked(annotation)
            if kind is None:
                raise wrong(f"{parameter.name} asks for {annotation!r}, which is no contract")
            features = tuple(sorted(component.features.get(parameter.name, ())))
            needs.append(Need(parameter.name, kind.id, arity, kind.version, features))
    return config, needs, ambient


def _asked(annotation: Any) -> tuple[Kind | None, Arity]:
    """Read what one annotation asks for."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Mapping and len(arguments) == 2 and arguments[0] is str:
        return kind_of(arguments[1]), Arity.EACH
    if origin in (typing.Union, types.UnionType) and len(arguments) == 2 and type(None) in arguments:
        return kind_of(next(each for each in arguments if each is not type(None))), Arity.OPTIONAL
    return kind_of(annotation), Arity.ONE


def dump_facts(facts: Facts) -> dict[str, Any]:
    """Return facts as JSON carries them; `load_facts` turns them back."""
    return {
        "id": facts.id,
        "kind": facts.kind,
        "name": facts.name,
        "version": facts.version,
        "contract": facts.contract,
        "distribution": facts.distribution,
        "module": facts.module,
        "summary": facts.summary,
        "provides": list(facts.provides),
        "needs": [
            {**_record(each), "arity": each.arity.value, "features": list(each.features)} for each in facts.needs
        ],
        "ambient": dict(facts.ambient),
        "demands": [{"kind": each.kind, "features": list(each.features)} for each in facts.demands],
        "conflicts": [_record(each) for each in facts.conflicts],
        "host": [_record(each) for each in facts.host],
        "options": [{**_record(each), "schema": dict(each.schema)} for each in facts.options],
        "brings": list(facts.brings),
        "preferred": facts.preferred,
        "many": facts.many,
        "served": facts.served,
        "takes": facts.takes,
        "gives": facts.gives,
    }


def load_facts(data: Any) -> Facts:
    """Return the facts that JSON carried; Invalid names the first that is missing or of the wrong type.

    Facts that a later version may have added are passed over.
    """
    values = _checked(Facts, data)
    if values["id"] != f"{values['kind']}/{values['name']}" or not _NAME.fullmatch(values["name"]):
        raise Invalid(f"facts of a component: {values['id']!r} is no `kind/name`")
    values["provides"] = _texts(data, "provides")
    values["brings"] = _texts(data, "brings")
    values["needs"] = tuple(_need(each) for each in values.get("needs", ()))
    values["demands"] = tuple(
        Demand(**{**_checked(Demand, each), "features": _texts(each, "features")}) for each in values.get("demands", ())
    )
    values["conflicts"] = tuple(Conflicting(**_checked(Conflicting, each)) for each in values.get("conflicts", ()))
    values["host"] = tuple(HostNeed(**_checked(HostNeed, each)) for each in values.get("host", ()))
    values["options"] = tuple(Option(**_checked(Option, each)) for each in values.get("options", ()))
    return Facts(**values)


def _record(value: Any) -> dict[str, Any]:
    return {name: getattr(value, name) for name in _SHAPES[type(value)]}


def _need(data: Any) -> Need:
    values = _checked(Need, data)
    try:
        values["arity"] = Arity(values["arity"])
    except ValueError as error:
        raise Invalid(f"facts of a component: {error}") from error
    return Need(**{**values, "features": _texts(data, "features")})


def _texts(data: Mapping[str, Any], name: str) -> tuple[str, ...]:
    values = data.get(name, ())
    if not all(isinstance(each, str) for each in values):
        raise Invalid(f"facts of a component: {name} is no list of texts")
    return tuple(values)


_SHAPES: Mapping[type, Mapping[str, Any]] = {
    Facts: {
        **dict.fromkeys(("id", "kind", "name", "version", "distribution", "module", "summary"), str),
        **dict.fromkeys(("served", "takes", "gives"), str),
        **dict.fromkeys(("provides", "needs", "demands", "conflicts", "host", "options", "brings"), list),
        "contract": int,
        "ambient": dict,
        "preferred": bool,
        "many": bool,
    },
    Need: {"parameter": str, "kind": str, "arity": str, "contract": int, "features": list},
    Demand: {"kind": str, "features": list},
    Conflicting: {"component": str, "kind": str, "feature": str, "why": str},
    HostNeed: {
        **dict.fromkeys(("what", "name", "version", "package", "module", "why", "option"), str),
        "optional": bool,
    },
    Option: {"name": str, "schema": dict, "default": object, "required": bool, "help": str},
}
"""By class, its attributes and the types that JSON has for them."""


def _checked(shape: type, data: Any) -> dict[str, Any]:
    """Return the attributes of a class that a map from JSON holds, each of the type that it should have."""
    if not isinstance(data, dict):
        raise Invalid(f"facts of a component: expected a map of {shape.__name__}, got {type(data).__name__}")
    values = {}
    for name, wanted in _SHAPES[shape].items():
        if name not in data:
            if fields_dict(shape)[name].default is not NOTHING:
                continue  # an older framework wrote them
            raise Invalid(f"facts of a component: {shape.__name__} has no {name!r}")
        value = data[name]
        if not isinstance(value, wanted) or (wanted is int and isinstance(value, bool)):
            raise Invalid(f"facts of a component: {name!r} of {shape.__name__} is {value!r}, no {wanted.__name__}")
        values[name] = value
    return values
