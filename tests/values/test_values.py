"""Values are as attrs makes them: it is the oracle, and takes them itself."""

import copy
import pickle
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moby import values


@values.frozen
class Ours:
    """As Theirs."""

    first: int
    second: str = "two"
    third: Mapping[str, int] = values.field(factory=dict)
    fourth: bool = values.field(default=False)


@attrs.frozen(slots=False)
class Theirs:
    """As Ours."""

    first: int
    second: str = "two"
    third: Mapping[str, int] = attrs.field(factory=dict)
    fourth: bool = attrs.field(default=False)


@values.frozen(order=True)
class OurPair:
    """As TheirPair."""

    left: int
    right: int


@attrs.frozen(order=True)
class TheirPair:
    """As OurPair."""

    left: int
    right: int


@values.frozen
class Longer(Ours):
    """A value with one more field."""

    fifth: tuple[Any, ...] = ()


def outcome(action: Callable[[], Any]) -> Any:
    """What a call gives, or the class of what it raises."""
    try:
        return action()
    except Exception as error:
        return type(error)


ARGUMENTS = st.tuples(
    st.lists(st.integers() | st.text(max_size=3), max_size=6),
    st.dictionaries(st.sampled_from(["first", "second", "third", "fourth", "fifth"]), st.integers(), max_size=5),
)


@given(ARGUMENTS)
def test_they_are_made_as_attrs_makes_them(arguments: tuple[list[Any], dict[str, Any]]) -> None:
    positional, named = arguments
    ours, theirs = (outcome(lambda each=each: vars(each(*positional, **named))) for each in (Ours, Theirs))
    assert ours == theirs


@given(st.integers(), st.integers(), st.integers(), st.integers())
def test_they_compare_as_attrs_has_it(a: int, b: int, c: int, d: int) -> None:
    for name in ("__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__"):
        ours = getattr(OurPair(a, b), name)(OurPair(c, d))
        assert ours == getattr(TheirPair(a, b), name)(TheirPair(c, d)), name
    assert (hash(OurPair(a, b)) == hash(OurPair(c, d))) == ((a, b) == (c, d))
    assert OurPair(a, b) != TheirPair(a, b)
    with pytest.raises(TypeError):
        assert OurPair(a, b) < 3  # type: ignore[operator]


def test_they_are_shown_and_copied_as_attrs_has_it() -> None:
    assert repr(Ours(1)) == repr(Theirs(1)).replace("Theirs", "Ours")
    value = Ours(1, "x", {"a": 1}, True)
    assert copy.deepcopy(value) == pickle.loads(pickle.dumps(value)) == copy.copy(value) == value
    match value:
        case Ours(first, second):
            assert (first, second) == (1, "x")


def test_nothing_changes_them() -> None:
    value = Ours(1)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        value.first = 2  # type: ignore[misc]
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        del value.first


def test_each_has_its_own_of_what_is_made() -> None:
    assert Ours(1).third is not Ours(1).third


def test_a_value_with_more_fields() -> None:
    value = Longer(1, fifth=(Ours(2), [Ours(3)], {"a": Ours(4)}))
    assert [each.name for each in attrs.fields(Longer)] == ["first", "second", "third", "fourth", "fifth"]
    assert values.asdict(value) == attrs.asdict(value)
    assert value != Ours(1)


def test_attrs_takes_them() -> None:
    value = attrs.evolve(Ours(1, "x"), fourth=True)  # type: ignore[misc]
    assert value == Ours(1, "x", fourth=True) == values.evolve(Ours(1, "x"), fourth=True)
    assert attrs.asdict(value) == values.asdict(value)
    assert [each.default for each in attrs.fields(Ours)][:2] == [attrs.NOTHING, "two"]
    with pytest.raises(TypeError):
        values.evolve(value, sixth=1)


def test_evolve_takes_those_of_attrs() -> None:
    assert values.evolve(TheirPair(1, 2), right=3) == TheirPair(1, 3)


def test_they_cost_no_import_of_attrs() -> None:
    code = "import sys, moby_runtime.native.runtime, moby_runtime.native.cli.create as c; print('attr' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "False\n"


@values.frozen
class OurSecret:
    """As TheirSecret."""

    name: str
    data: bytes = values.field(default=b"", repr=False)
    read_ns: int = values.field(default=0, eq=False)


@attrs.frozen
class TheirSecret:
    """As OurSecret."""

    name: str
    data: bytes = attrs.field(default=b"", repr=False)
    read_ns: int = attrs.field(default=0, eq=False)


def test_fields_that_are_not_shown_or_not_compared() -> None:
    ours, theirs = OurSecret("a", b"secret", 5), TheirSecret("a", b"secret", 5)
    assert repr(ours) == repr(theirs).replace("Theirs", "Ours").replace("TheirSecret", "OurSecret")
    for cls in (OurSecret, TheirSecret):
        assert cls("a", read_ns=1) == cls("a", read_ns=2)
        assert hash(cls("a", read_ns=1)) == hash(cls("a", read_ns=2))
        assert cls("a", b"1") != cls("a", b"2")
    described = [
        [(each.name, each.repr, bool(each.eq)) for each in attrs.fields(cls)] for cls in (OurSecret, TheirSecret)
    ]
    assert described[0] == described[1]


def test_their_fields_with_defaults() -> None:
    expected = {"first": values.NOTHING, "second": "two", "third": {}, "fourth": False}
    assert values.defaults(Ours) == expected == values.defaults(Theirs)
    assert values.defaults(int) is None
