"""The solver with effects that do nothing but note what they are asked for."""

import itertools
import threading
import time
from collections import Counter
from contextlib import contextmanager

from attrs import define, field, frozen
from moby_builder.dockerfile.operations import Copy as CopyFiles
from moby_builder.dockerfile.operations import CopySource, LocalSource, Node, Run
from moby_builder.dockerfile.solver.cache import Cache
from moby_builder.dockerfile.solver.effects import Cancel, Tree
from moby_builder.dockerfile.solver.leases import Leases
from moby_builder.dockerfile.solver.records import Records
from moby_builder.dockerfile.solver.solving import Solving
from moby_builder.dockerfile.solver.telling import Telling
from moby_builder.dockerfile.solver.working import Shared
from moby_metadata.sqlite.store import Store

from moby.contracts.builder import BuildFailed, Vertex
from moby.contracts.snapshotter import Snapshot, SnapshotKind, Usage
from moby.contracts.types import Digest
from moby.errors import NotFound
from moby.oci.digest import sha256


class Clock:
    def now_ns(self):
        return time.time_ns()

    def monotonic_ns(self):
        return time.monotonic_ns()


@define
class Snapshots:
    """Committed snapshots that are names alone."""

    parents: dict = field(factory=dict)
    numbers: object = field(factory=itertools.count)
    aliases: dict = field(factory=dict)

    def stat(self, key):
        if key not in self.parents:
            raise NotFound(f"no snapshot {key!r} is here")
        return Snapshot(key, SnapshotKind.COMMITTED, self.parents[key], aliases=self.aliases.get(key, ()))

    def list(self):
        return tuple(self.stat(key) for key in sorted(self.parents))

    def usage(self, key):
        self.stat(key)
        return Usage(1000, 1)

    def remove(self, key):
        self.stat(key)
        del self.parents[key]


@define
class Effects:
    """What is done is counted by names of nodes; `given` is what sources stand for, and what steps read of them."""

    snapshots: Snapshots
    given: dict = field(factory=dict)
    bad: dict = field(factory=dict)
    """Errors by names of nodes."""
    slow: dict = field(factory=dict)
    """By names of nodes, events that they wait for."""
    done: list = field(factory=list)
    asked: Counter = field(factory=Counter)
    begun: dict = field(factory=dict)
    at_once: int = 0
    most_at_once: int = 0
    lock: object = field(factory=threading.Lock)

    def identify(self, node, watch):
        self.asked[node.name] += 1
        if node.name in self.bad:
            raise self.bad[node.name]
        return str(self.given.get(node.name, node.name))

    def content(self, node, inputs, number, watch):
        if not isinstance(node.operation, CopyFiles):
            return None
        source = node.inputs[number]
        read = [each.path for each in node.operation.sources if each.input == number]
        found = self.given.get(source.name)
        if not isinstance(found, dict):
            return None
        return sha256(repr([found.get(path) for path in read]).encode())

    def files(self, node, inputs, number):
        return {path.lstrip("/"): str(found) for path, found in self.given.get(node.inputs[number].name, {}).items()}

    def perform(self, node, inputs, watch):
        with self.lock:
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
            self.begun.setdefault(node.name, threading.Event()).set()
        try:
            self._wait(node, watch)
            if node.name in self.bad:
                raise self.bad[node.name]
        finally:
            with self.lock:
                self.at_once -= 1
                self.done.append(node.name)
        if not node.inputs:
            return Tree(folder=None, snapshot=f"sha256:{node.name}")
        with self.lock:
            key = f"builder/{next(self.snapshots.numbers):024x}"
            self.snapshots.parents[key] = inputs[0].snapshot
        return Tree(key)

    def _wait(self, node, watch):
        if node.name in self.slow:
            stop = threading.Event()
            back = watch.cancel.add(stop.set)
            while not self.slow[node.name].wait(0.001) and not stop.is_set():
                pass
            back()
            watch.cancel.check()


@frozen
class Bench:
    """Everything that builds share."""

    folder: object
    metadata: object
    snapshots: Snapshots = field(factory=Snapshots)
    shared: Shared = field(factory=lambda: Shared.new(4))

    @classmethod
    @contextmanager
    def at(cls, folder):
        with Store(folder / "metadata.db") as metadata:
            yield cls(folder, metadata)

    @property
    def records(self):
        return Records(self.metadata)

    @property
    def leases(self):
        return Leases(self.folder)

    def effects(self, **more):
        return Effects(self.snapshots, **more)

    def build(self, effects, *, cancel=None, lease=None, **more):
        return Building(self, effects, cancel or Cancel(), lease or self.leases.open(), **more)


class Building:
    """One build."""

    def __init__(self, bench, effects, cancel, lease, **more):
        self.events = []
        self.cancel = cancel
        self.lease = lease
        self.solving = Solving(
            Cache(bench.records, bench.snapshots, lease, Clock()), effects, Telling(self.events.append, Clock()),
            cancel, bench.shared, **more,
        )  # fmt: skip

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.lease.close()

    def solve(self, *nodes):
        return self.solving.solve(*nodes)

    def vertex(self, name):
        """What was told of a vertex last."""
        return [each for each in self.events if isinstance(each, Vertex) and each.name == name][-1]


def source(name, **more):
    return Node(LocalSource(name), name=name, **more)


def run(name, *inputs, environment=(), **more):
    return Node(Run((name,), tuple(environment)), inputs, name=name, **more)


def copy(name, root, files, path="/a", target="/", **more):
    return Node(CopyFiles((CopySource(1, path),), target), (root, files), name=name, **more)


def failure(message="it failed", code=1):
    return BuildFailed(message, code=code)


def digest(text):
    return Digest("sha256", text)
