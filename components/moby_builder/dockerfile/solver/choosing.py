"""Which of a builder's entries a prune may remove, and how many bytes of them; pure."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from moby.contracts.builder import CacheEntry, Keep
from moby.errors import Invalid

__all__ = ["Choice"]

_UNITS_NS = {
    "ns": 1, "us": 10**3, "µs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9,
}  # fmt: skip
_PART = re.compile(r"(\d+(?:\.\d+)?|\.\d+)(ns|us|µs|ms|s|m|h)")
_TRUTHS = {"": True, "1": True, "true": True, "0": False, "false": False}

Fits = Callable[[CacheEntry, str], bool]


def _last_ns(entry: CacheEntry) -> int:
    return max(entry.used_ns, entry.created_ns)


def _is(name: str, value: str) -> bool:
    truth = _TRUTHS.get(value.lower())
    if truth is None:
        raise Invalid(f"invalid filter '{name}={value}'", hint="its value is true or false")
    return truth


_FILTERS: Mapping[str, Fits] = {
    "id": lambda entry, value: value in entry.id,
    "type": lambda entry, value: entry.type == value,
    "description": lambda entry, value: entry.description == value,
    "parents": lambda entry, value: value in entry.parents,
    "inuse": lambda entry, value: entry.in_use is _is("inuse", value),
    "shared": lambda entry, value: entry.shared is _is("shared", value),
    "private": lambda entry, value: entry.shared is not _is("private", value),
}
_TIMES = ("until", "unused-for")


class Choice:
    """What a prune may take: what fits one value of each filter."""

    def __init__(self, keep: Keep, now_ns: int) -> None:
        self._keep = keep
        self._before_ns = now_ns - keep.age_ns if keep.age_ns else None
        self._filters: list[tuple[Fits, Sequence[str]]] = []
        for name, values in keep.filters.items():
            if name not in _FILTERS and name not in _TIMES:
                known = ", ".join(sorted({*_FILTERS, *_TIMES}))
                raise Invalid(f"invalid filter '{name}'", hint=f"there are {known}")
            if name in _TIMES:
                before = min((_moment(name, each, now_ns) for each in values), default=now_ns)
                self._before_ns = before if self._before_ns is None else min(before, self._before_ns)
            else:
                self._filters.append((_FILTERS[name], tuple(values) or ("",)))
        for name in ("inuse", "shared", "private"):
            for value in keep.filters.get(name, ()):
                _is(name, value)

    def may_go(self, entry: CacheEntry) -> bool:
        """Whether an entry may be removed."""
        if entry.in_use or (not self._keep.all and (entry.shared or entry.type == "internal")):
            return False
        if self._before_ns is not None and _last_ns(entry) > self._before_ns:
            return False
        return all(any(fits(entry, each) for each in values) for fits, values in self._filters)

    def room(self, entries: Sequence[CacheEntry], free_bytes: int) -> float:
        """Return how many bytes are to be removed, where so many are free on the disk."""
        keep = self._keep
        if not (keep.max_bytes or keep.min_free_bytes or keep.reserved_bytes):
            return math.inf
        total = sum(each.size_bytes for each in entries if not each.shared)
        most: float = keep.max_bytes or (math.inf if keep.min_free_bytes else 0)
        lacking = keep.min_free_bytes - free_bytes
        if lacking > 0:
            most = min(most, total - lacking)
        return total - max(most, keep.reserved_bytes)


def _moment(name: str, value: str, now_ns: int) -> int:
    """Return the moment that a duration before now, or a time, means."""
    if _PART.fullmatch(value) or "".join(each.group() for each in _PART.finditer(value)) == value != "":
        return now_ns - int(sum(float(each[1]) * _UNITS_NS[each[2]] for each in _PART.finditer(value)))
    try:
        return int(float(value) * 10**9) if value.replace(".", "", 1).isdigit() else _timestamp_ns(value)
    except ValueError:
        raise Invalid(f"invalid filter '{name}={value}'", hint="give a duration as 24h, or a time") from None


def _timestamp_ns(value: str) -> int:
    return int(datetime.fromisoformat(value).astimezone().timestamp() * 10**9)
