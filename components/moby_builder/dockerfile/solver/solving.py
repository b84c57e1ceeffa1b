"""Solving: what a graph's nodes make, from the cache as far as it goes, else by doing them.

A node has an identity, of which the keys of nodes on it are made, and a result, its files. Identities are asked for
from the sources up, which needs no files but what sources are told apart by; results from the roots down, so that
nothing is done below what was found. Where a node wasn't found by its inputs' identities it is looked for again once
their files are there, by what it reads of them; it is then known by the identity of the one that it was found as.
"""

import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from moby.contracts.types import Digest
from moby_builder.dockerfile.operations import Node, ancestors
from moby_builder.dockerfile.solver import keys
from moby_builder.dockerfile.solver.cache import Cache
from moby_builder.dockerfile.solver.effects import Cancel, Effects
from moby_builder.dockerfile.solver.imported import Found, Imports, nothing
from moby_builder.dockerfile.solver.records import Record
from moby_builder.dockerfile.solver.schedule import LONG, Schedule, Steps, Task
from moby_builder.dockerfile.solver.telling import Telling
from moby_builder.dockerfile.solver.working import IMAGES, Outcome, Shared, Step, Working

__all__ = ["Solving"]

T = TypeVar("T")

_MOST_THREADS = 64
"""Of one build; most of them wait for somebody else."""


class Solving:
    """One graph on its way, which may grow: nodes are asked for one after the other, and done once each."""

    def __init__(
        self,
        cache: Cache,
        effects: Effects,
        telling: Telling,
        cancel: Cancel,
        shared: Shared,
        *,
        imports: Imports = nothing,
        sequential: bool = False,
    ) -> None:
        self._cache = cache
        self._telling = telling
        self._cancel = cancel
        self._working = Working(cache, effects, telling, cancel, shared)
        self._schedule = Schedule(1 if sequential else _MOST_THREADS, cancel)
        self._lock = threading.RLock()
        self._identities: dict[Digest, Task[str]] = {}
        self._results: dict[Digest, Task[Outcome]] = {}
        self._orders: dict[Digest, int] = {}
        self._hits: dict[Digest, Record | Found] = {}
        self._loading = None if imports is nothing else self._schedule.add(self._load(imports), -1)
        self._sequential = sequential
        self._nonce = secrets.token_hex(8)

    def tell_made(self, made: Callable[[Node, Record], None]) -> None:
        """Have somebody told of each node that is done, and what came of it; by the thread that did it."""
        self._working.made = made

    def solve(self, *nodes: Node) -> tuple[Outcome, ...]:
        """Return what nodes make; raise the first failure once all else has stopped."""
        for each in ancestors(*nodes):
            self._orders.setdefault(each.digest, len(self._orders))
            self._telling.planned(each)
        tasks = [self._result(each) for each in nodes]
        if not self._sequential:
            self._begin_certain(nodes)
        try:
            self._schedule.run(*tasks)
        finally:
            self._cache.count()
        for each in ancestors(*nodes):
            if not self._telling.is_completed(each):
                self._telling.completed(each, cached=_needs_no_doing(each), result=self._working.image_name(each))
        return tuple(each.value for each in tasks)

    def _begin_certain(self, nodes: Sequence[Node]) -> None:
        """Begin what is done whatever sources turn out to be: nothing that is on such a node can be found either."""
        for each in ancestors(*nodes):
            if each.ignore_cache:
                self._result(each)

    def stood_for(self, node: Node) -> Mapping[Digest, str]:
        """Return what the sources below a node stand for, as effects identified them."""
        known = self._working.stood_for
        return {each.digest: known[each.digest] for each in ancestors(node) if each.digest in known}

    def records(self, node: Node) -> tuple[Record, ...]:
        """Return the records of all steps up to a node that has been solved, those included that weren't needed."""
        known = self._working.records
        found = (known.get(each.digest) or self._hits.get(each.digest) for each in ancestors(node))
        return tuple(each for each in found if isinstance(each, Record))

    def _identity(self, node: Node) -> Task[str]:
        return self._once(self._identities, node, self._identity_of)

    def _result(self, node: Node) -> Task[Outcome]:
        return self._once(self._results, node, self._result_of)

    def _once(self, tasks: dict[Digest, Task[T]], node: Node, steps: Callable[[Node], Steps[T]]) -> Task[T]:
        with self._lock:
            task = tasks.get(node.digest)
            if task is None:
                task = tasks[node.digest] = self._schedule.add(steps(node), self._orders[node.digest])
            return task

    def _load(self, imports: Imports) -> Steps[None]:
        """Read what caches elsewhere hold, while sources are looked at."""
        yield LONG
        self._working.elsewhere = imports(lambda name: self._telling.errand(name, self._cancel))
        self._cancel.check()

    def _identity_of(self, node: Node) -> Steps[str]:
        if isinstance(node.operation, keys.SOURCES):
            if not isinstance(node.operation, IMAGES):  # what these are was found out while the file was read
                yield LONG
            return self._working.identify(node)
        inputs = [self._identity(each) for each in node.inputs]
        yield inputs
        key = self._key(node, [each.value for each in inputs])
        if node.ignore_cache:
            return key
        hit: Record | Found | None = self._cache.find(key)
        if hit is None and self._loading is not None:
            yield [self._loading]
            hit = self._working.find_elsewhere(key)
        if hit is None:
            return key
        self._hits[node.digest] = hit
        return hit.identity

    def _result_of(self, node: Node) -> Steps[Outcome]:
        identity = self._identity(node)
        yield [identity]
        hit = self._hits.get(node.digest)
        if isinstance(hit, Record):
            self._tell_below(node)
            return self._working.found(node, hit)
        if isinstance(node.operation, keys.SOURCES):
            yield LONG
            return self._working.fetch(node, identity.value)
        if hit is not None:
            yield LONG
            return self._working.take(node, hit)
        inputs = [self._result(each) for each in node.inputs]
        yield inputs
        found = tuple(each.value for each in inputs)
        key = self._key(node, [each.identity for each in found])
        yield LONG
        return self._working.reach(Step(node, found, key, identity.value))

    def _key(self, node: Node, inputs: Sequence[str]) -> str:
        """Return a node's key; where the cache isn't to be used, one that nobody else has."""
        key = keys.key(node, inputs)
        return f"{key}-{self._nonce}" if node.ignore_cache else key

    def _tell_below(self, node: Node) -> None:
        """Tell of what a node that was found is on, that nobody asks for it."""
        for each in ancestors(*node.inputs):
            hit = self._hits.get(each.digest)
            if isinstance(hit, Record):
                self._telling.completed(each, cached=True, result=hit.id)
            elif isinstance(each.operation, IMAGES) and each.digest not in self._results:
                self._telling.completed(each, cached=True, result=self._working.image_name(each))


def _needs_no_doing(node: Node) -> bool:
    """Whether a node that nobody asked for was found, or is an image that need not be fetched then."""
    return not isinstance(node.operation, keys.SOURCES) or isinstance(node.operation, IMAGES)
