"""Plans of toy parts, made by hand."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from moby.component import Arity, HostNeed, facts_of
from moby.plan import Binding, Instance, Plan


@pytest.fixture(autouse=True, scope="module")
def nothing_left(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """See that a module's engines leave no process of theirs, and no mount below their folders."""
    before = _children()
    yield
    base = f" {tmp_path_factory.getbasetemp()}/"
    assert [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if base in line] == []
    assert _children() - before == set()


def _children() -> set[str]:
    found: set[str] = set()
    for each in Path("/proc/self/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):  # a thread that has just ended
            found.update((each / "children").read_text().split())
    return found


@pytest.fixture
def toys(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(Path(__file__).parent / "parts"))
    import toy_parts

    toy_parts.EVENTS.clear()
    toy_parts.CHANGES.clear()
    return toy_parts


@pytest.fixture
def instance(toys: ModuleType) -> Callable[..., Instance]:
    components = {each.name: each for each in toys.moby_components()}

    def make(component: str, name: str, host: tuple[HostNeed, ...] = (), **values: Any) -> Instance:
        from attrs import evolve

        facts = evolve(facts_of(components[component], distribution="toys 1", module="toy_parts"), host=host)
        config = {"name": name, **values.pop("config", {})} if component != "echo" else {}
        bindings = {
            parameter: Binding(Arity(arity), tuple(targets))
            for parameter, (arity, *targets) in values.pop("to", {}).items()
        }
        return Instance(facts.kind, name, facts, config, bindings=bindings, **values)

    return make


@pytest.fixture
def plan(instance: Callable[..., Instance]) -> Callable[..., Plan]:
    def make(**config: Any) -> Plan:
        """Two parts, a third that takes both, and a command that takes the third."""
        top = {
            "parts": ("each", "engine-part/b", "engine-part/a"),
            "first": ("one", "engine-part/a"),
            "maybe": ("optional",),
        }
        return Plan(
            "toy",
            (
                instance("base", "a", config=config.get("a", {}), policy=config.get("a_policy", "required")),
                instance(
                    "base",
                    "b",
                    config=config.get("b", {}),
                    policy=config.get("b_policy", "required"),
                    host=config.get("b_host", ()),
                ),
                instance("top", "top", config=config.get("top", {}), to=top, open=("count",)),
                instance("echo", "say", to={"part": ("one", "engine-part/top")}),
            ),
        )

    return make
