"""Exports with real parts below: an images' store, and a client that keeps what it is given."""

import io
import time
from contextlib import contextmanager
from pathlib import Path

from attrs import define, field
from images.store_parts import parts, store_of
from moby_builder.dockerfile.effects.cache_mounts import CacheMounts
from moby_builder.dockerfile.effects.workspace import Workspace
from moby_builder.dockerfile.exports.caches.mounts import CarriedMounts
from moby_builder.dockerfile.exports.caches.reading import Reading
from moby_builder.dockerfile.exports.service import Exporting
from moby_builder.dockerfile.exports.solution import Kept, Origin, Solution, Solved
from moby_builder.dockerfile.exports.times import Times
from moby_builder.dockerfile.solver.effects import Cancel
from moby_image_registry.distribution.registry import Distribution
from moby_image_registry.distribution.settings import Settings
from moby_metadata.sqlite.store import Store

from moby.contracts.types import Platform
from moby.errors import NotFound
from moby.oci.digest import sha256
from moby.surroundings import Roots, Surroundings
from moby.testing.snapshotter import commit

HOST = Platform.host()
EPOCH = 1_600_000_000


@define
class Heard:
    """A watch that keeps what is told."""

    name: str
    told: list
    cancel: Cancel = field(factory=Cancel)

    def log(self, stream, data):
        self.told.append((self.name, data.decode()))

    def progress(self, name, current=0, total=0, *, done=False):
        if done:
            self.told.append((self.name, name))


class Stream(io.BytesIO):
    """What a client takes in."""

    def close(self):
        self.taken = self.getvalue()
        super().close()


@define
class Blobs:
    """A store of the client's."""

    kept: dict = field(factory=dict)

    def read(self, digest):
        if digest not in self.kept:
            raise NotFound(f"no blob {digest}")
        return io.BytesIO(self.kept[digest])

    def write(self, digest, size_bytes, chunks):
        data = b"".join(chunks)
        assert (sha256(data), len(data)) == (digest, size_bytes)
        self.kept[digest] = data


@define
class Client:
    """A session that takes what is given away."""

    streams: dict = field(factory=dict)
    folders: dict = field(factory=dict)
    stores: dict = field(factory=dict)

    def credentials(self, host):
        return None

    def blobs(self, name):
        return self.stores.setdefault(name, Blobs())

    def deliver_stream(self, number):
        self.streams[number] = Stream()
        return self.streams[number]

    def deliver_folder(self, number, folder):
        found = {}
        for each in folder.entries():
            data = b""
            if each.mode & 0o170000 == 0o100000 and not each.link:
                with folder.open(each.path) as file:
                    data = file.read()
            found[each.path] = (each, data)
        self.folders[number] = found


class Yard:
    """An engine's parts, as far as exports need them."""

    def __init__(self, base: Path, metadata):
        self.parts = parts(base, metadata)
        around = Surroundings(Roots.under(base / "engine", "tests"))
        self.registry = Distribution(Settings(), around.clock, around.log("image-registry"))
        self.images = store_of(self.parts, self.registry)
        self.snapshotter, self.content = self.parts.snapshotter, self.parts.content
        self.workspace = Workspace(self.snapshotter, base / "mounts")
        self.mounts = CacheMounts(self.snapshotter, self.workspace, metadata, base / "locks", self.parts.clock)
        carried = CarriedMounts(self.mounts, self.snapshotter, self.content)
        self.exporting = Exporting(
            self.images, self.content, self.snapshotter, self.registry, metadata, self.workspace, carried
        )
        self.reading = Reading(self.images, self.content, self.registry, Times(self.snapshotter, metadata), carried)
        self.client = Client()
        self.told = []

    @contextmanager
    def begin(self, name):
        yield Heard(name, self.told)

    def layer(self, key, data, parent=""):
        """Commit a layer as a builder would."""
        return commit(self.snapshotter, f"builder/{key}", data, parent)

    def export(self, solution, *exports, caches=()):
        return self.exporting.export(solution, exports, caches, self.client, self.begin)


@contextmanager
def opened_yard(base):
    """Lend parts that are closed afterwards."""
    base.mkdir(exist_ok=True)
    with Store(base / "metadata.db") as metadata:
        yield Yard(base, metadata)


def config(*created_by, **run):
    """Return a config with a step for each layer."""
    return {
        "architecture": HOST.architecture, "os": HOST.os, "config": run,
        "history": [{"created_by": each} for each in created_by],
    }  # fmt: skip


def solution(*targets, epoch_s=None, **origin):
    now = time.time_ns()
    return Solution(targets, Origin(**{"started_ns": now, "completed_ns": now, **origin}), epoch_s)


def solved(snapshot, *created_by, platform=HOST, base="", kept=(), root=None, **run):
    return Solved(platform, snapshot, config(*created_by, **run), base, root, kept=tuple(kept))


def kept(snapshot, key):
    """Return a step's result as the cache has it."""
    return Kept((sha256(key.encode()).hex,), f"identity-{key}", snapshot, 1_700_000_000_000_000_000)
