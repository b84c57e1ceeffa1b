"""What mutants of all kinds are made of: parts that break one promise each, and the tests that must see it."""

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from attrs import frozen

from moby.errors import MobyError

__all__ = ["Broken", "Mutant", "forgives"]

T = TypeVar("T")


class Broken(Generic[T]):
    """Passes everything on to a part; subclasses break one promise each."""

    def __init__(self, inner: T) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


class _Forgiving(Broken[Any]):
    """Raises none of some errors."""

    def __init__(self, inner: Any, verb: str, *errors: type[MobyError]) -> None:
        super().__init__(inner)
        self.verb, self.errors = verb, errors

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.inner, name)
        if name != self.verb:
            return found

        def forgive(*arguments: Any, **named: Any) -> Any:
            try:
                return found(*arguments, **named)
            except self.errors:
                return None

        return forgive


def forgives(verb: str, *errors: type[MobyError]) -> Callable[[Any], Any]:
    """Return what makes a mutant whose verb raises none of some errors."""
    return lambda inner: _Forgiving(inner, verb, *errors)


@frozen
class Mutant:
    """A way to break one promise, and the test of the suite that must see it."""

    wrap: Callable[[Any], Any]
    test: str
    given: Any = ()
    """What the test gets besides fixtures: in order, or by name."""
    called: str = ""

    @property
    def name(self) -> str:
        """What it does, for a test's id."""
        return self.called or getattr(self.wrap, "__name__", "").strip("_")
