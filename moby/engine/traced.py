"""Parts whose calls are spans: what an engine with a tracer hands to others in place of the parts."""

from collections.abc import Callable
from typing import Any

from moby.contracts.tracer import Tracer

__all__ = ["Traced", "traced"]


def traced(part: Any, protocol: type, key: str, tracer: Tracer) -> Any:
    """Return an object of a contract that calls a part within spans `KIND.METHOD`, which say which part it is."""
    methods = {
        name
        for base in protocol.__mro__
        for name, each in vars(base).items()
        if not name.startswith("_") and callable(each)
    }
    return Traced(part, frozenset(methods), key, tracer)


class Traced:
    """A part, with its contract's methods within spans; whatever else it has is passed on."""

    def __init__(self, part: Any, methods: frozenset[str], key: str, tracer: Tracer) -> None:
        self._part = part
        self._methods = methods
        self._key = key
        self._tracer = tracer

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._part, name)
        if name not in self._methods:
            return found
        call = self.__dict__[name] = self._within(found, f"{self._key.partition('/')[0]}.{name}")
        return call

    def _within(self, method: Callable[..., Any], name: str) -> Callable[..., Any]:
        def call(*args: Any, **given: Any) -> Any:
            with self._tracer.span(name) as span:
                span.note(moby__part=self._key)
                return method(*args, **given)

        return call
