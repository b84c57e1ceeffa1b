"""Hooks of plugin modules: what pluggy would pass over in silence, or find only when it calls."""

from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any

import pluggy
import pytest
from attrs import frozen

from moby import hookspecs
from moby.component import Component
from moby.contracts.runtime import Runtime
from moby.errors import Invalid
from moby.hookspecs import hookimpl
from moby.registry.plugin_module import facts_in


@frozen
class Config:
    pass


def make(config: Config) -> Runtime:
    """A part."""
    raise NotImplementedError


def module(**members: Any) -> ModuleType:
    made = ModuleType("parts")
    vars(made).update(members)
    return made


def returning(result: Any) -> Callable[[], Any]:
    @hookimpl
    def moby_components() -> Any:
        return result

    return moby_components


@hookimpl
def moby_instance_changed(instance: str, state: str) -> None:
    pass


def test_components_are_listed_with_their_module() -> None:
    listed = returning([Component("a", make), Component("b", make)])
    found = facts_in(module(moby_components=listed), "parts 1.0")
    assert [(each.id, each.module, each.distribution) for each in found] == [
        ("runtime/a", "parts", "parts 1.0"),
        ("runtime/b", "parts", "parts 1.0"),
    ]


def test_a_module_that_only_watches_has_no_components() -> None:
    assert facts_in(module(moby_instance_changed=moby_instance_changed), "parts 1.0") == ()


def unmarked() -> Iterable[Component]:
    return []


@hookimpl
def unknown() -> None:
    pass


@hookimpl
def stranger(who: str) -> Iterable[Component]:
    return []


@hookimpl
def defaulted(instance: str, extra: int = 1) -> None:
    pass


@hookimpl
def keyword(*, instance: str) -> None:
    pass


@hookimpl
def variadic(*names: str) -> None:
    pass


@hookimpl
async def asynchronous() -> Iterable[Component]:
    return []


@hookimpl(wrapper=True)
def wrapper() -> Any:
    return (yield)


@pytest.mark.parametrize(
    ("members", "message", "hint"),
    [
        pytest.param({"moby_components": unmarked}, "isn't marked", "write @hookimpl above it", id="unmarked"),
        pytest.param(
            {"moby_component": unmarked},
            "it has no hook; moby_component is near one",
            "write `@hookimpl",
            id="misspelt",
        ),
        pytest.param({}, "it has no hook", "write `@hookimpl", id="empty"),
        pytest.param({"moby_unknown": unknown}, "unknown hook 'moby_unknown'", "the hooks are", id="unknown"),
        pytest.param(
            {"moby_components": stranger},
            "Argument(s) {'who'} are declared in the hookimpl",
            "the hooks are",
            id="unknown parameter",
        ),
        pytest.param(
            {"moby_instance_changed": defaulted},
            "moby_instance_changed has the parameter 'extra: int = 1', which is never passed",
            "a choice of: instance, state, detail; without defaults",
            id="parameter with a default",
        ),
        pytest.param(
            {"moby_instance_changed": keyword},
            "'instance: str', which is never passed",
            "a choice of",
            id="keyword-only",
        ),
        pytest.param(
            {"moby_components": variadic}, "'*names: str', which is never passed", "a choice of: none", id="variadic"
        ),
        pytest.param({"moby_components": asynchronous}, "is async", "plain functions", id="async"),
        pytest.param({"moby_components": wrapper}, "is a wrapper", "remove wrapper=True", id="wrapper"),
        pytest.param(
            {"moby_components": returning(Component("a", make))},
            "moby_components returned Component, not components",
            "return a list",
            id="no list",
        ),
        pytest.param(
            {"moby_components": returning(["a"])},
            "moby_components returned a str among the components",
            "return a list",
            id="text in the list",
        ),
        pytest.param(
            {"moby_components": returning([Component("A B", make)])},
            "a component's name is of small letters, digits and hyphens",
            "a factory is",
            id="bad name",
        ),
    ],
)
def test_a_bad_hook_is_refused(members: dict[str, Any], message: str, hint: str) -> None:
    with pytest.raises(Invalid) as caught:
        facts_in(module(**members), "parts 1.0")
    assert message in caught.value.message
    assert hint in caught.value.hint


def test_pluggy_itself_passes_over_an_unmarked_hook() -> None:
    """The trap is there, or the check for it could go."""
    manager = pluggy.PluginManager("moby")
    manager.add_hookspecs(hookspecs)
    manager.register(module(moby_components=unmarked))
    manager.check_pending()
    assert manager.hook.moby_components.get_hookimpls() == []
