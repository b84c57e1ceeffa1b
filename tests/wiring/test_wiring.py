"""Wiring makes each instance of what its factory asks for, or says what it lacks."""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from attrs import evolve, field, frozen
from attrs.validators import gt

from moby.component import Arity, Component, facts_of
from moby.contracts.ambient import Clock, Log, Place
from moby.contracts.command import Command
from moby.contracts.runtime import Runtime
from moby.contracts.supervisor import Supervisor
from moby.errors import Invalid, MobyError, NotFound
from moby.plan import Binding, Instance, Plan
from moby.surroundings import Roots, Surroundings
from moby.wiring import Missing, construct, construct_all


@frozen
class Config:
    count: int = field(default=1, validator=gt(0))


@frozen
class Made:
    """What any factory here makes: a record of what it was given."""

    given: Mapping[str, Any]


def make(
    config: Config,
    *,
    supervisor: Supervisor | None,
    runtimes: Mapping[str, Runtime],
    place: Place,
    clock: Clock,
    log: Log,
) -> Command:
    """A part that needs all there is."""
    return Made({"config": config, "supervisor": supervisor, "runtimes": runtimes, "place": place, "log": log})  # type: ignore[return-value]


def make_bare(*, runtime: Runtime) -> Command:
    """A part without options."""
    return Made({"runtime": runtime})  # type: ignore[return-value]


@pytest.fixture
def around(tmp_path: Path) -> Surroundings:
    return Surroundings(Roots.under(tmp_path, "wired"))


@pytest.fixture
def instance(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Instance]:
    """A function that returns an instance of a component in a module of its own."""

    def declare(factory: Callable[..., Any] = make, name: str = "a", **changes: Any) -> Instance:
        component = Component(name=name, factory=factory)
        module = ModuleType("wired_parts")
        module.moby_components = lambda: [component]  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, module.__name__, module)
        facts = facts_of(component, distribution="parts 1.0", module=module.__name__)
        return evolve(Instance("command", name, facts, {"count": 1} if factory is make else {}), **changes)

    return declare


MANY = {"runtimes": Binding(Arity.EACH, ("runtime/b", "runtime/c")), "supervisor": Binding(Arity.OPTIONAL, ())}
ONE = {"runtime": Binding(Arity.ONE, ("runtime/b",))}


def test_a_part_gets_all_that_it_needs(instance: Callable[..., Instance], around: Surroundings, tmp_path: Path) -> None:
    made = construct(instance(bindings=MANY), {"runtime/b": 1, "runtime/c": 2}, around, {"count": 3})
    assert made.given["config"] == Config(3)
    assert made.given["runtimes"] == {"b": 1, "c": 2}
    assert made.given["supervisor"] is None
    assert made.given["place"].state == tmp_path / "state/command/a"


def test_a_part_knows_the_versions_of_all(instance: Callable[..., Instance], around: Surroundings) -> None:
    known = {"command/a": "1.0", "runtime/b": "2.0"}
    around = Surroundings(around.roots, parts=known)
    made = construct(instance(bindings=MANY), {"runtime/b": 1, "runtime/c": 2}, around)
    assert made.given["place"].parts == known


def test_a_part_without_options(instance: Callable[..., Instance], around: Surroundings) -> None:
    assert construct(instance(make_bare, bindings=ONE), {"runtime/b": 1}, around).given == {"runtime": 1}


def test_all_parts_of_a_plan(instance: Callable[..., Instance], around: Surroundings) -> None:
    def first() -> Command:
        """A part that needs nothing."""
        return Made({})  # type: ignore[return-value]

    assert construct_all(Plan("p", (instance(first),)), around) == {"command/a": Made({})}


@pytest.mark.parametrize(
    ("factory", "changes", "error", "message"),
    [
        pytest.param(
            make_bare, {"bindings": ONE}, Missing, "needs runtime/b as 'runtime', which is not running", id="one"
        ),
        pytest.param(
            make, {"bindings": MANY}, Missing, "needs runtime/b, runtime/c as 'runtimes', which", id="none of many"
        ),
        pytest.param(
            make_bare,
            {"bindings": {"runtime": Binding(Arity.ONE, ())}},
            Missing,
            "needs nothing as 'runtime'",
            id="nothing bound",
        ),
        pytest.param(
            make,
            {"bindings": {**MANY, "runtimes": Binding(Arity.OPTIONAL, ())}, "config": {"count": 0}},
            Invalid,
            "command/a: ",
            id="an option",
        ),
    ],
)
def test_what_cannot_be_made(
    instance: Callable[..., Instance],
    around: Surroundings,
    factory: Callable[..., Any],
    changes: dict[str, Any],
    error: type[MobyError],
    message: str,
) -> None:
    with pytest.raises(error) as caught:
        construct(instance(factory, **changes), {}, around)
    assert message in str(caught.value)


def test_a_need_that_this_framework_does_not_know(instance: Callable[..., Instance], around: Surroundings) -> None:
    known = instance(make_bare, bindings=ONE)
    later = evolve(known, facts=evolve(known.facts, ambient={"moon": "moon"}))
    with pytest.raises(Invalid, match="command/a asks for 'moon', which this framework doesn't offer") as caught:
        construct(later, {"runtime/b": 1}, around)
    assert caught.value.hint == "lock the assembly again"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"module": "wired_parts_gone"}, "its module wired_parts_gone can't be imported", id="module"),
        pytest.param({"name": "b", "id": "command/b"}, "no longer has a component command/b", id="component"),
        pytest.param({"kind": "runtime", "id": "runtime/a"}, "no longer has a component runtime/a", id="kind"),
    ],
)
def test_parts_that_are_gone(
    instance: Callable[..., Instance], around: Surroundings, changes: dict[str, Any], message: str
) -> None:
    known = instance(make_bare, bindings=ONE)
    with pytest.raises(NotFound, match=message) as caught:
        construct(evolve(known, facts=evolve(known.facts, **changes)), {"runtime/b": 1}, around)
    assert "install parts 1.0 again" in caught.value.hint
