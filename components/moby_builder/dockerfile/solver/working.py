"""Working: what one node makes, once its inputs are there; found after all, brought from elsewhere, or done."""

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, nullcontext
from typing import TypeVar

from moby.contracts.builder import BuildFailed
from moby.contracts.types import Digest
from moby.errors import Conflict, Invalid, MobyError, NotFound
from moby.values import frozen
from moby_builder.dockerfile.operations import EmptySource, ImageSource, LayoutSource, LocalSource, Node, Run
from moby_builder.dockerfile.solver import keys
from moby_builder.dockerfile.solver.cache import Cache
from moby_builder.dockerfile.solver.effects import Cancel, Effects, Tree, Watch
from moby_builder.dockerfile.solver.flights import Flights, Slots
from moby_builder.dockerfile.solver.imported import Found, Imported
from moby_builder.dockerfile.solver.reasons import places_of, why
from moby_builder.dockerfile.solver.records import Made, Record
from moby_builder.dockerfile.solver.telling import Telling

__all__ = ["IMAGES", "Outcome", "Shared", "Step", "Working"]

T = TypeVar("T")

IMAGES = (ImageSource, LayoutSource)
_SHORT = 12
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
class Step:
    """A node whose inputs are there."""

    node: Node
    inputs: tuple[Outcome, ...]
    key: str
    first_key: str
    """By which it was looked for before."""

    @property
    def trees(self) -> list[Tree]:
        """What its inputs made."""
        return [each.tree for each in self.inputs]

    @property
    def identities(self) -> list[str]:
        """Its inputs' identities."""
        return [each.identity for each in self.inputs]

    def keys(self, contents: Mapping[int, Digest]) -> tuple[str, ...]:
        """Return all that it can be found by, where this is what it reads."""
        by_content = (keys.content_key(self.node, self.identities, contents),) if contents else ()
        return (*by_content, self.key, self.first_key)


class Working:
    """Does the nodes of one graph. Thread-safe."""

    def __init__(self, cache: Cache, effects: Effects, telling: Telling, cancel: Cancel, shared: Shared) -> None:
        self._cache = cache
        self._effects = effects
        self._telling = telling
        self._cancel = cancel
        self._shared = shared
        self.made: Callable[[Node, Record], None] = _nobody
        """Hears of each node that is done, and what came of it."""
        self.elsewhere: Sequence[Imported] = ()
        """Caches that are asked where nothing is here."""
        self.records: dict[Digest, Record] = {}
        """By digests of nodes, what they were found as, or made."""
        self.stood_for: dict[Digest, str] = {}
        """By digests of sources, what they stand for."""

    # Sources

    def identify(self, node: Node) -> str:
        """Return a source's identity."""
        if isinstance(node.operation, EmptySource):
            return keys.EMPTY
        watch = self._telling.watch(node, self._cancel)
        if not isinstance(node.operation, IMAGES) and not self._telling.is_completed(node):
            self._telling.started(node)
        found = self.stood_for[node.digest] = self._doing(node, lambda: self._effects.identify(node, watch))
        if isinstance(node.operation, LocalSource):
            self._telling.completed(node)  # it is here now
        return keys.source_key(found)

    def fetch(self, node: Node, identity: str) -> Outcome:
        """Return a source's files."""
        if isinstance(node.operation, EmptySource):
            self._telling.completed(node, cached=True)
            return Outcome(Tree(), identity)
        watch = self._telling.watch(node, self._cancel)
        is_image = isinstance(node.operation, IMAGES)
        if is_image and not self._telling.is_completed(node):
            self._telling.started(node)
        tree = self._doing(node, lambda: self._effects.perform(node, (), watch))
        self._telling.completed(node, cached=is_image and not watch.heard, result=self.image_name(node))
        return Outcome(tree, identity)

    def image_name(self, node: Node) -> str:
        """Return the short name of the image that a source stands for; empty where it is none, or isn't known yet."""
        kind, _, digest = self.stood_for.get(node.digest, "").partition(":sha256:")
        return digest[:_SHORT] if kind == "image" else ""

    # Steps

    def find_elsewhere(self, *by: str) -> Found | None:
        """Find a result in the caches that are elsewhere."""
        found = (cache.find(key) for key in by for cache in self.elsewhere)
        return next((each for each in found if each is not None), None)

    def found(self, node: Node, record: Record, *, cached: bool = True) -> Outcome:
        """Take a record as a node's result."""
        self.records[node.digest] = record
        self._telling.completed(node, cached=cached, result=record.id)
        return Outcome(Tree(record.snapshot), record.identity, record.id)

    def take(self, node: Node, found: Found) -> Outcome:
        """Bring a node's result from elsewhere, unless somebody has just done so."""
        with ExitStack() as stack:
            watch = self._turn(stack, node, found.key)
            record = self._cache.find(found.key)
            return self._bring(node, found, (found.key,), watch) if record is None else self.found(node, record)

    def reach(self, step: Step) -> Outcome:
        """Return a step's result: found after all, or made now."""
        with ExitStack() as stack:
            watch = self._turn(stack, step.node, step.key)
            if step.node.ignore_cache:
                return self._perform(step, {}, watch)
            found = self._again(step.node, step.keys({}), watch)
            if found is not None:
                return found
            contents = self._doing(step.node, lambda: self._contents(step, watch))
            found = self._again(step.node, step.keys(contents), watch) if contents else None
            return found or self._perform(step, contents, watch)

    def _turn(self, stack: ExitStack, node: Node, key: str) -> Watch:
        """Wait until nobody else does what a key stands for."""
        told = self._telling.watch(node, self._cancel)
        turn = self._shared.flights.turn(key, told, lambda: self._telling.started(node))
        return self._doing(node, lambda: stack.enter_context(turn))

    def _again(self, node: Node, by: Sequence[str], watch: Watch) -> Outcome | None:
        """Look for a node by further keys."""
        record = self._cache.find(*by)
        if record is not None:
            return self.found(node, record)
        elsewhere = self.find_elsewhere(*by)
        return None if elsewhere is None else self._bring(node, elsewhere, by, watch)

    def _bring(self, node: Node, found: Found, by: Sequence[str], watch: Watch) -> Outcome:
        self._telling.started(node)
        tree = self._doing(node, lambda: found.bring(watch))
        return self.found(node, self._cache.keep(tree, found.identity, by, description=node.name))

    def _contents(self, step: Step, watch: Watch) -> dict[int, Digest]:
        """Return the digests of what a step reads of its inputs, where it reads only a part."""
        found = {
            number: self._effects.content(step.node, step.trees, number, watch) for number in range(1, len(step.inputs))
        }
        return {number: digest for number, digest in found.items() if digest is not None}

    def _made(self, step: Step, contents: Mapping[int, Digest]) -> Made:
        """Return what a step is made of, down to the files that it reads where these are known anyhow."""
        files: dict[str, str] = {}
        for number in contents:
            files.update(self._effects.files(step.node, step.trees, number))
        return Made(
            step.node.name, keys.facts_of(step.node), tuple(step.identities),
            tuple(each.name for each in step.node.inputs),
            {str(number): str(digest) for number, digest in contents.items()}, files,
        )  # fmt: skip

    def _perform(self, step: Step, contents: Mapping[int, Digest], watch: Watch) -> Outcome:
        node, made = step.node, self._made(step, contents)
        places = places_of(node, step.identities)
        slot = self._shared.runs.one(self._cancel) if isinstance(node.operation, Run) else nullcontext()
        with slot:
            missed = "the cache is not to be used" if node.ignore_cache else why(made, self._cache.last, places)
            self._telling.started(node, missed=missed)
            tree = self._doing(node, lambda: self._effects.perform(node, step.trees, watch))
        by = [keys.key(node, step.identities)] if node.ignore_cache else step.keys(contents)
        record = self._cache.keep(
            tree, step.key, by, description=node.name, made=made, places=places,
            parents=[each.record for each in step.inputs[:1] if each.record],
        )  # fmt: skip
        self.made(node, record)
        return self.found(node, record, cached=False)

    def _doing(self, node: Node, do: Callable[[], T]) -> T:
        """Do something for a node; say of a failure whose it is."""
        try:
            self._cancel.check()
            return do()
        except BaseException as error:
            if self._cancel.is_set():
                self._telling.failed(node, "context canceled")
                raise
            # A folder that isn't lent may only have been looked for, as that of the Dockerfile is.
            looked = isinstance(error, NotFound) and isinstance(node.operation, LocalSource)
            self._telling.failed(node, "" if looked else error.message if isinstance(error, MobyError) else str(error))
            if isinstance(error, BuildFailed) or (isinstance(error, _THE_FILE) and node.ranges):
                raise _located(error, node) from error
            raise


def _nobody(node: Node, record: Record) -> None:
    """Where nobody hears of what is done."""


def _located(error: MobyError, node: Node) -> BuildFailed:
    """Return a failure with the node that it is of."""
    code = error.code if isinstance(error, BuildFailed) else None
    return BuildFailed(error.message, code=code, vertex=node.digest, ranges=node.ranges, hint=error.hint)
