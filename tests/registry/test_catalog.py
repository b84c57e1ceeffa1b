"""The catalog: which contracts are served, whose an id is, and what a name finds."""

import importlib
import pkgutil
from collections.abc import Callable
from typing import Any, Protocol

import pytest

from moby import contracts
from moby.component import Component, Facts, Need, facts_of
from moby.contracts.kind import contract, kind_of
from moby.errors import NotFound
from moby.registry import Broken, Catalog, served
from moby.registry.catalog import contract_versions, settle


@contract("toy", version=3)
class Toy(Protocol):
    """What a part of a test does."""


def make() -> Toy:
    """A toy."""
    raise NotImplementedError


def toy(name: str = "a", **settings: Any) -> Facts:
    return facts_of(Component(name, make, **settings), distribution="toys 1.0", module="toys.plugin")


def consumer(written_for: int) -> Facts:
    need = Need("toys", "toy", contract=written_for)
    return Facts("child/b", "child", "b", "1.0", 1, "children 1.0", "children.plugin", needs=(need,))


@pytest.mark.parametrize(
    ("written_for", "offered", "expected"),
    [
        pytest.param(3, 3, True, id="the same"),
        pytest.param(2, 3, True, id="one older"),
        pytest.param(1, 3, False, id="two older"),
        pytest.param(4, 3, False, id="newer"),
        pytest.param(1, 1, True, id="the first"),
        pytest.param(0, 1, False, id="before the first"),
    ],
)
def test_which_contract_is_served(written_for: int, offered: int, expected: bool) -> None:
    assert served(written_for, offered) is expected


@pytest.mark.parametrize(
    ("make_facts", "written_for", "refusal"),
    [
        pytest.param(lambda version: toy(contract=version), 3, "", id="part of the same"),
        pytest.param(lambda version: toy(contract=version), 2, "", id="part of one older"),
        pytest.param(
            lambda version: toy(contract=version),
            1,
            "component toy/a was written for version 1 of the contract toy, and this framework serves 2 and 3; "
            "install a newer toys 1.0",
            id="part of two older",
        ),
        pytest.param(
            lambda version: toy(contract=version),
            4,
            "component toy/a was written for version 4 of the contract toy, and this framework serves 2 and 3; "
            "install a newer framework",
            id="part of a newer",
        ),
        pytest.param(consumer, 2, "", id="need of one older"),
        pytest.param(
            consumer,
            1,
            "component child/b was written for version 1 of the contract toy, and this framework serves 2 and 3; "
            "install a newer children 1.0",
            id="need of two older",
        ),
    ],
)
def test_a_part_of_another_contract_is_served_or_refused(
    make_facts: Callable[[int], Facts], written_for: int, refusal: str
) -> None:
    catalog = settle([make_facts(written_for)], (), versions={"toy": 3})
    assert [each.reason for each in catalog.broken] == ([refusal] if refusal else [])
    assert len(catalog.components) == (0 if refusal else 1)


def test_a_part_that_names_no_contract_has_the_one_it_was_imported_beside() -> None:
    assert toy().contract == 3


def test_kinds_of_third_parties_are_theirs() -> None:
    assert settle([toy(contract=7)], (), versions={}).get("toy/a") is not None


def test_the_frameworks_contracts_are_known() -> None:
    """What is read in their sources is what importing them gives."""
    modules = [
        importlib.import_module(f"moby.contracts.{each.name}") for each in pkgutil.iter_modules(contracts.__path__)
    ]
    kinds = [kind_of(each) for module in modules for each in vars(module).values()]
    assert contract_versions() == {kind.id: kind.version for kind in kinds if kind}
    assert "supervisor" in contract_versions()


CATALOG = settle([toy("b"), toy("a"), consumer(3)], [Broken("x 1", "x.y", "why"), Broken("w 1", "", "all")])


def test_components_are_sorted() -> None:
    assert list(CATALOG.components) == ["child/b", "toy/a", "toy/b"]
    assert [each.id for each in CATALOG.of_kind("toy")] == ["toy/a", "toy/b"]
    assert CATALOG.kinds() == ("child", "toy")


def test_an_unknown_id_is_none() -> None:
    assert CATALOG.get("toy/z") is None


def test_what_is_broken_reads_as_a_line() -> None:
    assert [str(each) for each in CATALOG.broken] == ["w 1: all", "x 1: x.y: why"]


@pytest.mark.parametrize(
    ("name", "found"),
    [pytest.param("toy/b", "toy/b", id="id"), pytest.param("a", "toy/a", id="bare name")],
)
def test_find(name: str, found: str) -> None:
    assert CATALOG.find(name).id == found


@pytest.mark.parametrize(
    ("catalog", "name", "message", "hint"),
    [
        pytest.param(CATALOG, "b", "more than one component is called 'b': child/b, toy/b", "give the kind", id="two"),
        pytest.param(
            CATALOG,
            "toy/bb",
            "no component 'toy/bb' is installed",
            "did you mean toy/b? (moby components lists all)",
            id="near",
        ),
        pytest.param(
            Catalog(), "x", "no component 'x' is installed; installed: none", "moby plugins lists", id="nothing"
        ),
    ],
)
def test_what_is_not_found_says_what_is_there(catalog: Catalog, name: str, message: str, hint: str) -> None:
    with pytest.raises(NotFound) as caught:
        catalog.find(name)
    assert caught.value.message == message
    assert hint in caught.value.hint
