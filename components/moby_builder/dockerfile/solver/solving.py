"""Solving: what a graph's nodes make, from the cache as far as it goes, else by doing them.

A node has an identity, of which the keys of nodes on it are made, and a result, its files. Identities are asked for
from the sources up, which needs no files but what sources are told apart by; results from the roots down, so that
nothing is done below what was found. Where a node wasn't found by its inputs' identities it is looked for again once
their files are there, by what it reads of them; it is then known by the identity of the one that it was found as.
"""

import os
import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import TypeVar

from moby.contracts.builder import BuildFailed
from moby.contracts.types import Digest
from moby.errors import Conflict, Invalid, MobyError, NotFound
from moby.values import frozen
from moby_builder.dockerfile.operations import EmptySource, ImageSource, LayoutSource, LocalSource, Node, Run, ancestors
from moby_builder.dockerfile.solver import keys
from moby_builder.dockerfile.solver.cache import Cache
from moby_builder.dockerfile.solver.effects import Cancel, Effects, Tree, Watch
from moby_builder.dockerfile.solver.flights import Flights, Slots
from moby_builder.dockerfile.solver.imported import Found, Imported, Imports, nothing
from moby_builder.dockerfile.solver.reasons import places_of, why
from moby_builder.dockerfile.solver.records import Made, Record
from moby_builder.dockerfile.solver.schedule import Schedule, Steps, Task
from moby_builder.dockerfile.solver.telling import Telling

__all__ = ["Outcome", "Shared", "Solving"]

T = TypeVar("T")

_IMAGES = (ImageSource, LayoutSource)
_MOST_THREADS = 64
"""Of one build; most of them wait for somebody else."""
_THE_FILE = (Conflict, Invalid, NotFound)
"""What is wrong with the Dockerfile where a step of it raises this."""


@frozen
class Shared:
    """What all builds of an engine share."""

    flights: Flights
    runs: Slots

    @classmethod
    def new(cls, parallel: int = 0) -> "Shared":
        """Return it for so many RUNs at a time; 0 is somewhat more than there are processors."""
        return cls(Flights(), Slots(parallel or len(os.sched_getaffinity(0)) + 2))


@frozen
class Outcome:
    """What a node made."""

    tree: Tree
    identity: str
    record: str = ""
    """Id of its record; sources have none."""


@frozen
class _Step:
    """A node whose inputs are there."""

    node: Node
    inputs: tuple[Outcome, ...]
    key: str
    first_key: str
    """By which it was looked for before."""

    @property
    def trees(self) -> list[Tree]:
        return [each.tree for each in self.inputs]

    @property
    def identities(self) -> list[str]:
        return [each.identity for each in self.inputs]

    def keys(self, contents: Mapping[int, Digest]) -> tuple[str, ...]:
        """Return all that it can be found by, where this is what it reads."""
        by_content = (keys.content_key(self.node, self.identities, contents),) if contents else ()
        return (*by_content, self.key, self.first_key)


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
        self._effects = effects
        self._telling = telling
        self._cancel = cancel
        self._shared = shared
        self._elsewhere: Sequence[Imported] = ()
        self._schedule = Schedule(1 if sequential else _MOST_THREADS, cancel)
        self._lock = threading.RLock()
        self._identities: dict[Digest, Task[str]] = {}
        self._results: dict[Digest, Task[Outcome]] = {}
        self._orders: dict[Digest, int] = {}
        self._hits: dict[Digest, Record | Found] = {}
        self._records: dict[Digest, Record] = {}
        self._stood_for: dict[Digest, str] = {}
        self._loading = None if imports is nothing else self._schedule.add(self._load(imports), -1)
        self._nonce = secrets.token_hex(8)

    def solve(self, *nodes: Node) -> tuple[Outcome, ...]:
        """Return what nodes make; raise the first failure once all else has stopped."""
        self._prepare(*nodes)
        tasks = [self._result(each) for each in nodes]
        try:
            self._schedule.run(*tasks)
        finally:
            self._cache.count()
        for each in ancestors(*nodes):
            if not self._telling.is_completed(each):
                self._telling.completed(each, cached=self._is_cached(each))
        return tuple(each.value for each in tasks)

    def stood_for(self, node: Node) -> Mapping[Digest, str]:
        """Return what the sources below a node stand for, as effects identified them."""
        return {each.digest: self._stood_for[each.digest] for each in ancestors(node) if each.digest in self._stood_for}

    def records(self, node: Node) -> tuple[Record, ...]:
        """Return the records of all steps up to a node that has been solved, those included that weren't needed."""
        found = (self._records.get(each.digest) or self._hits.get(each.digest) for each in ancestors(node))
        return tuple(each for each in found if isinstance(each, Record))

    def _is_cached(self, node: Node) -> bool:
        """Whether a node that wasn't needed was found anyhow, or is what need not be fetched then."""
        return not isinstance(node.operation, keys.SOURCES) or isinstance(node.operation, _IMAGES)

    # Tasks

    def _prepare(self, *nodes: Node) -> None:
        for each in ancestors(*nodes):
            self._orders.setdefault(each.digest, len(self._orders))
            self._telling.planned(each)

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
        self._elsewhere = imports(lambda name: self._telling.errand(name, self._cancel))
        self._cancel.check()
        return
        yield

    def _identity_of(self, node: Node) -> Steps[str]:
        if isinstance(node.operation, keys.SOURCES):
            return self._identify_source(node)
        inputs = [self._identity(each) for each in node.inputs]
        yield inputs
        key = self._key(node, [each.value for each in inputs])
        if node.ignore_cache:
            return key
        record = self._cache.find(key)
        if record is not None:
            self._hits[node.digest] = record
            return record.identity
        if self._loading is None:
            return key
        yield [self._loading]
        found = self._find_elsewhere(key)
        if found is None:
            return key
        self._hits[node.digest] = found
        return found.identity

    def _result_of(self, node: Node) -> Steps[Outcome]:
        identity = self._identity(node)
        yield [identity]
        if isinstance(node.operation, keys.SOURCES):
            return self._fetch(node, identity.value)
        hit = self._hits.get(node.digest)
        if isinstance(hit, Record):
            self._tell_below(node)
            return self._found(node, hit)
        if hit is not None:
            return self._take(node, hit)
        inputs = [self._result(each) for each in node.inputs]
        yield inputs
        found = tuple(each.value for each in inputs)
        key = self._key(node, [each.identity for each in found])
        return self._reach(_Step(node, found, key, identity.value))

    def _key(self, node: Node, inputs: Sequence[str]) -> str:
        """Return a node's key; where the cache isn't to be used, one that nobody else has."""
        key = keys.key(node, inputs)
        return f"{key}-{self._nonce}" if node.ignore_cache else key

    # Sources

    def _identify_source(self, node: Node) -> str:
        if isinstance(node.operation, EmptySource):
            return keys.EMPTY
        watch = self._telling.watch(node, self._cancel)
        if not isinstance(node.operation, _IMAGES) and not self._telling.is_completed(node):
            self._telling.started(node)
        found = self._stood_for[node.digest] = self._doing(node, lambda: self._effects.identify(node, watch))
        if isinstance(node.operation, LocalSource):
            self._telling.completed(node)  # it is here now
        return keys.source_key(found)

    def _fetch(self, node: Node, identity: str) -> Outcome:
        if isinstance(node.operation, EmptySource):
            self._telling.completed(node, cached=True)
            return Outcome(Tree(), identity)
        watch = self._telling.watch(node, self._cancel)
        is_image = isinstance(node.operation, _IMAGES)
        if is_image and not self._telling.is_completed(node):
            self._telling.started(node)
        tree = self._doing(node, lambda: self._effects.perform(node, (), watch))
        self._telling.completed(node, cached=is_image and not watch.heard)
        return Outcome(tree, identity)

    # Steps

    def _reach(self, step: _Step) -> Outcome:
        """Return a step's result: found after all, or made now."""
        told = self._telling.watch(step.node, self._cancel)
        with self._shared.flights.turn(step.key, told) as watch:
            if step.node.ignore_cache:
                return self._perform(step, {}, watch)
            found = self._again(step.node, step.keys({}), watch)
            if found is not None:
                return found
            contents = self._doing(step.node, lambda: self._contents(step, watch))
            found = self._again(step.node, step.keys(contents), watch) if contents else None
            return found or self._perform(step, contents, watch)

    def _again(self, node: Node, by: Sequence[str], watch: Watch) -> Outcome | None:
        """Look for a node by further keys."""
        record = self._cache.find(*by)
        if record is not None:
            return self._found(node, record)
        elsewhere = self._find_elsewhere(*by)
        return None if elsewhere is None else self._bring(node, elsewhere, by, watch)

    def _find_elsewhere(self, *by: str) -> Found | None:
        found = (cache.find(key) for key in by for cache in self._elsewhere)
        return next((each for each in found if each is not None), None)

    def _contents(self, step: _Step, watch: Watch) -> dict[int, Digest]:
        """Return the digests of what a step reads of its inputs, where it reads only a part."""
        found = {
            number: self._effects.content(step.node, step.trees, number, watch) for number in range(1, len(step.inputs))
        }
        return {number: digest for number, digest in found.items() if digest is not None}

    def _files(self, step: _Step, contents: Mapping[int, Digest]) -> dict[str, str]:
        """Return short digests of the files that a step reads, where that can be had at once."""
        found: dict[str, str] = {}
        for number in contents:
            found.update(self._effects.files(step.node, step.trees, number))
        return found

    def _perform(self, step: _Step, contents: Mapping[int, Digest], watch: Watch) -> Outcome:
        node = step.node
        made = Made(
            node.name, keys.facts_of(node), tuple(step.identities), tuple(each.name for each in node.inputs),
            {str(number): str(digest) for number, digest in contents.items()}, self._files(step, contents),
        )  # fmt: skip
        places = places_of(node, step.identities)
        with self._shared.runs.one(self._cancel) if isinstance(node.operation, Run) else nullcontext():
            missed = "the cache is not to be used" if node.ignore_cache else why(made, self._cache.last, places)
            self._telling.started(node, missed=missed)
            tree = self._doing(node, lambda: self._effects.perform(node, step.trees, watch))
        by = [keys.key(node, step.identities)] if node.ignore_cache else step.keys(contents)
        record = self._cache.keep(
            tree, step.key, by, description=node.name, made=made, places=places,
            parents=[each.record for each in step.inputs[:1] if each.record],
        )  # fmt: skip
        return self._found(node, record, cached=False)

    def _take(self, node: Node, found: Found) -> Outcome:
        """Bring a node's result from elsewhere, unless somebody has just done so."""
        with self._shared.flights.turn(found.key, self._telling.watch(node, self._cancel)) as watch:
            record = self._cache.find(found.key)
            if record is not None:
                return self._found(node, record)
            return self._bring(node, found, (found.key,), watch)

    def _bring(self, node: Node, found: Found, by: Sequence[str], watch: Watch) -> Outcome:
        self._telling.started(node)
        tree = self._doing(node, lambda: found.bring(watch))
        return self._found(node, self._cache.keep(tree, found.identity, by, description=node.name))

    def _found(self, node: Node, record: Record, *, cached: bool = True) -> Outcome:
        """Note that a record is a node's."""
        self._records[node.digest] = record
        self._telling.completed(node, cached=cached, result=record.id)
        return Outcome(Tree(record.snapshot), record.identity, record.id)

    def _tell_below(self, node: Node) -> None:
        """Tell of what a node that was found is on, that nobody asks for it."""
        for each in ancestors(*node.inputs):
            hit = self._hits.get(each.digest)
            if isinstance(hit, Record):
                self._telling.completed(each, cached=True, result=hit.id)
            elif isinstance(each.operation, _IMAGES) and each.digest not in self._results:
                self._telling.completed(each, cached=True)

    def _doing(self, node: Node, do: Callable[[], T]) -> T:
        """Do something for a node; say of a failure whose it is."""
        try:
            self._cancel.check()
            return do()
        except BaseException as error:
            if self._cancel.is_set():
                self._telling.failed(node, "context canceled")
                raise
            self._telling.failed(node, error.message if isinstance(error, MobyError) else str(error))
            if isinstance(error, BuildFailed) or (isinstance(error, _THE_FILE) and node.ranges):
                raise _located(error, node) from error
            raise


def _located(error: MobyError, node: Node) -> BuildFailed:
    """Return a failure with the node that it is of."""
    code = error.code if isinstance(error, BuildFailed) else None
    return BuildFailed(error.message, code=code, vertex=node.digest, ranges=node.ranges, hint=error.hint)
