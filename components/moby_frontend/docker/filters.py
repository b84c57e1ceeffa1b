"""Docker's filters: both spellings in, questions about things answered."""

import json
from collections.abc import Collection, Mapping

from moby.errors import Invalid
from moby.expressions import found

__all__ = ["Filters"]

_MOST_VALUES = 10_000


class Filters:
    """What a list is to be cut down to: of each key, one value must fit (of labels all).

    A key that isn't known is Invalid; where nobody says which are, any is taken.
    """

    def __init__(self, text: str, known: Collection[str] | None = None) -> None:
        self._values = _parsed(text)
        for key in self._values:
            if known is not None and key not in known:
                raise Invalid(f"invalid filter '{key}'")

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def __bool__(self) -> bool:
        return bool(self._values)

    def get(self, key: str) -> tuple[str, ...]:
        """Return the values of a key."""
        return self._values.get(key, ())

    def as_mapping(self) -> Mapping[str, tuple[str, ...]]:
        """Return all keys and their values."""
        return dict(self._values)

    def exact(self, key: str, source: str) -> bool:
        """Return whether there is no such filter, or a value is the source."""
        values = self._values.get(key)
        return not values or source in values

    def matches(self, key: str, source: str) -> bool:
        """Return whether there is no such filter, or a value is, or as an expression is found in, the source."""
        values = self._values.get(key)
        return not values or source in values or any(found(value, source) for value in values)

    def labels(self, labels: Mapping[str, str], key: str = "label") -> bool:
        """Return whether all labels that are asked for are there."""
        return all(_has(labels, each) for each in self._values.get(key, ()))

    def no_label(self, labels: Mapping[str, str], key: str = "label!") -> bool:
        """Return whether not all of the labels that must not be there are."""
        values = self._values.get(key, ())
        return not values or not all(_has(labels, each) for each in values)

    def flag(self, key: str, default: bool) -> bool:
        """Return a truth value; Invalid in docker's words where it is none, or both."""
        values = self._values.get(key)
        if not values:
            return default
        yes, no = bool({"1", "true"} & set(values)), bool({"0", "false"} & set(values))
        if yes == no:
            raise Invalid(f"invalid filter '{key}=[{' '.join(values)}]'")
        return yes

    def time_ns(self, key: str, now_ns: int) -> int | None:
        """Return a moment, as `until` has it; None where there is no such filter."""
        from moby_frontend.docker.times import moment_ns

        values = self._values.get(key)
        if not values:
            return None
        if len(values) > 1:
            raise Invalid(f"more than one {key} filter specified")
        return moment_ns(values[0], now_ns)


def _has(labels: Mapping[str, str], wanted: str) -> bool:
    name, equals, value = wanted.partition("=")
    return name in labels and (not equals or labels[name] == value)


def _parsed(text: str) -> dict[str, tuple[str, ...]]:
    """Read `{"key": {"value": true}}`, and the older `{"key": ["value"]}`."""
    if not text:
        return {}
    try:
        value = json.loads(text)
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise ValueError
        values = {key: _values(each) for key, each in value.items()}
    except (ValueError, RecursionError):
        raise Invalid("invalid filter") from None
    if sum(map(len, values.values())) > _MOST_VALUES:
        raise Invalid("invalid filter: too many values")
    return values


def _values(value: object) -> tuple[str, ...]:
    if value is None:
        return ()
    if isinstance(value, dict) and all(isinstance(each, bool) for each in value.values()):
        return tuple(value)
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return tuple(value)
    raise ValueError
