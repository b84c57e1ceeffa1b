"""Facts: read off a factory's signature, and carried by JSON."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from attrs import frozen

from moby.component import (
    Arity,
    Component,
    Conflicting,
    Facts,
    HostNeed,
    Need,
    Option,
    dump_facts,
    facts_of,
    load_facts,
)  # fmt: skip
from moby.contracts.ambient import Clock, Log, Place
from moby.contracts.images import Images
from moby.contracts.runtime import Runtime
from moby.contracts.supervisor import Supervisor
from moby.errors import Invalid


@frozen
class Config:
    workers: int = 2


def make(
    config: Config,
    *,
    runtimes: Mapping[str, Runtime],
    images: Images,
    other: Supervisor | None,
    place: Place,
    clock: Clock,
    log: Log,
) -> Supervisor:
    """Keeps containers alive.

    More about that.
    """
    raise NotImplementedError


COMPONENT = Component(
    "local",
    make,
    version="1.2",
    offers=("b", "a"),
    features={"runtimes": ("exec", "cgroups")},
    conflicts=(Conflicting(kind="runtime", feature="slow", why="it waits"),),
    host=(HostNeed("binary", "runc", ">=1.1", "runc", "it starts containers"),),
    brings=("zstandard",),
    preferred=True,
)
FACTS = Facts(
    id="supervisor/local",
    kind="supervisor",
    name="local",
    version="1.2",
    contract=1,
    distribution="parts 3.0",
    module="parts.plugin",
    summary="Keeps containers alive.",
    provides=("a", "b"),
    needs=(
        Need("runtimes", "runtime", Arity.EACH, 1, ("cgroups", "exec")),
        Need("images", "images", Arity.ONE),
        Need("other", "supervisor", Arity.OPTIONAL),
    ),
    ambient={"place": "place", "clock": "clock", "log": "log"},
    conflicts=(Conflicting(kind="runtime", feature="slow", why="it waits"),),
    host=(HostNeed("binary", "runc", ">=1.1", "runc", "it starts containers"),),
    options=(Option("workers", {"type": "integer"}, 2),),
    brings=("zstandard",),
    preferred=True,
)


def test_facts_are_read_off_the_signature() -> None:
    assert facts_of(COMPONENT, distribution="parts 3.0", module="parts.plugin") == FACTS


def test_what_a_component_does_not_say_comes_from_elsewhere() -> None:
    def plain() -> Runtime:
        raise NotImplementedError

    facts = facts_of(Component("plain", plain), distribution="parts 3.0")
    assert (facts.version, facts.summary, facts.module, facts.many) == ("3.0", "", __name__, True)


def no_contract() -> int:
    raise NotImplementedError


def no_return():  # type: ignore[no-untyped-def]
    raise NotImplementedError


def two_configs(config: Config, other: Config) -> Runtime:
    raise NotImplementedError


def unknown_need(config: Config, *, path: str) -> Runtime:
    raise NotImplementedError


def unknown_name(config: "Nowhere") -> Runtime:  # type: ignore[name-defined]  # noqa: F821
    raise NotImplementedError


def bad_config(config: int) -> Runtime:
    raise NotImplementedError


@pytest.mark.parametrize(
    ("component", "message"),
    [
        pytest.param(Component("a", no_contract), "the factory's return type is no contract", id="returns an int"),
        pytest.param(Component("a", no_return), "the factory's return type is no contract", id="returns nothing"),
        pytest.param(Component("a", two_configs), "other must be keyword-only", id="two positional parameters"),
        pytest.param(Component("a", unknown_need), "path asks for <class 'str'>, which is no contract", id="need"),
        pytest.param(Component("a", unknown_name), "signature can't be read: name 'Nowhere'", id="unknown name"),
        pytest.param(Component("a", bad_config), "int of builtins is no attrs class", id="config"),
        pytest.param(Component("A", make), "small letters, digits and hyphens", id="name"),
        pytest.param(
            Component("a", make, features={"x": ("y",)}),
            "features are asked of 'x', which is no parameter",
            id="features",
        ),
    ],
)
def test_a_declaration_that_cannot_be_read_is_refused(component: Component, message: str) -> None:
    with pytest.raises(Invalid) as caught:
        facts_of(component)
    assert message in caught.value.message


def test_facts_come_back_from_json() -> None:
    assert load_facts(json.loads(json.dumps(dump_facts(FACTS)))) == FACTS


def test_facts_that_a_later_version_added_are_passed_over() -> None:
    assert load_facts({**dump_facts(FACTS), "colour": "blue"}) == FACTS


def _without(name: str) -> Callable[[dict[str, Any]], object]:
    return lambda data: data.pop(name)


def _with(name: str, value: Any) -> Callable[[dict[str, Any]], object]:
    return lambda data: data.update({name: value})


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        pytest.param(_without("kind"), "Facts has no 'kind'", id="missing"),
        pytest.param(_with("contract", "1"), "'contract' of Facts is '1', no int", id="text for a number"),
        pytest.param(_with("contract", True), "'contract' of Facts is True, no int", id="truth value for a number"),
        pytest.param(_with("id", "runtime/x"), "'runtime/x' is no `kind/name`", id="id of another"),
        pytest.param(lambda data: data.update(name="A", id="supervisor/A"), "is no `kind/name`", id="bad name"),
        pytest.param(_with("provides", [1]), "provides is no list of texts", id="list of numbers"),
        pytest.param(_with("needs", [3]), "expected a map of Need, got int", id="need"),
        pytest.param(lambda data: data["needs"][0].update(arity="some"), "'some' is not a valid Arity", id="arity"),
        pytest.param(lambda data: data["host"][0].pop("name"), "HostNeed has no 'name'", id="host need"),
        pytest.param(lambda data: data["options"][0].update(schema=[]), "'schema' of Option is []", id="option"),
    ],
)
def test_what_are_no_facts_is_refused(spoil: Callable[[dict[str, Any]], object], message: str) -> None:
    data = dump_facts(FACTS)
    spoil(data)
    with pytest.raises(Invalid) as caught:
        load_facts(data)
    assert message in caught.value.message


def test_a_list_is_no_facts() -> None:
    with pytest.raises(Invalid, match="expected a map of Facts, got list"):
        load_facts([])
