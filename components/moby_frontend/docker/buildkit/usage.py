"""The builder's cache in BuildKit's words: entries, and filters over them."""

import re
from collections.abc import Callable, Iterable, Mapping

from moby.contracts.builder import CacheEntry, Keep
from moby.errors import Invalid
from moby_frontend.docker.buildkit.protocol.common import timestamp
from moby_frontend.docker.buildkit.protocol.control import PruneRequest, UsageRecord

__all__ = ["keep", "record", "selected"]

_TERM = re.compile(r'(\w+)(?:(==|!=|~=)("(?:[^"\\]|\\.)*"|[^,]*))?')
_FIELDS: Mapping[str, Callable[[CacheEntry], str]] = {
    "id": lambda each: each.id,
    "parents": lambda each: ";".join(each.parents),
    "parent": lambda each: ";".join(each.parents),
    "description": lambda each: each.description,
    "type": lambda each: each.type,
    "inuse": lambda each: "true" if each.in_use else "",
    "shared": lambda each: "true" if each.shared else "",
    "private": lambda each: "" if each.shared else "true",
    "mutable": lambda each: "true" if each.type == "exec.cachemount" else "",
    "immutable": lambda each: "" if each.type == "exec.cachemount" else "true",
}
_KEPT = frozenset({"id", "type", "description", "parents", "inuse", "shared", "private"})
_OPERATORS = {"id": {"==", "~="}}
"""Where they are others than a value, or whether it is there: clients send a part of an id."""
Term = tuple[str, str, str]


def record(entry: CacheEntry) -> UsageRecord:
    """Return an entry as BuildKit has it."""
    return UsageRecord(
        entry.id, entry.type == "exec.cachemount", entry.in_use, entry.size_bytes, timestamp(entry.created_ns),
        timestamp(entry.used_ns), entry.uses, entry.description, entry.type, entry.shared, list(entry.parents),
    )  # fmt: skip


def selected(entries: Iterable[CacheEntry], filters: Iterable[str]) -> tuple[CacheEntry, ...]:
    """Return the entries that one of the filters fits, all where there are none; Invalid for a filter that can't be."""
    wanted = [_terms(each) for each in filters]
    return tuple(each for each in entries if not wanted or any(_fits(each, terms) for terms in wanted))


def keep(asked: PruneRequest) -> Keep:
    """Return what a prune leaves alone."""
    filters: dict[str, list[str]] = {}
    for each in asked.filters:
        for name, operator, value in _terms(each):
            if name not in _KEPT or operator not in _OPERATORS.get(name, {"", "=="}):
                raise Invalid(f"a prune can't choose by {name}{operator}{value}")
            filters.setdefault(name, []).append(value if operator else "true")
    return Keep(asked.all, filters, asked.keep_ns, asked.reserved_bytes, asked.max_bytes, asked.min_free_bytes)


def _terms(text: str) -> tuple[Term, ...]:
    """Return what a filter of containerd's demands: all of its terms."""
    found, at = [], 0
    while at < len(text):
        match = _TERM.match(text, at)
        if not match or match[1] not in _FIELDS:
            raise Invalid(f"invalid filter {text[:200]!r}")
        value = match[3] or ""
        if value.startswith('"'):
            value = re.sub(r"\\(.)", r"\1", value[1:-1])
        found.append((match[1], match[2] or "", value))
        at = match.end()
        if at < len(text) and text[at] != ",":
            raise Invalid(f"invalid filter {text[:200]!r}")
        at += 1
    return tuple(found)


def _fits(entry: CacheEntry, terms: Iterable[Term]) -> bool:
    return all(_fits_one(_FIELDS[name](entry), operator, value) for name, operator, value in terms)


def _fits_one(found: str, operator: str, value: str) -> bool:
    if operator == "==":
        return found == value
    if operator == "!=":
        return found != value
    if operator == "~=":
        return value in found  # as a part: a client's regular expression could take any time
    return bool(found)
