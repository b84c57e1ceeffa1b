"""Real parts around what runs RUN, and what its tests do again and again."""

import io
import os
import time
from contextlib import ExitStack

from moby_builder.dockerfile.effects.cache_mounts import CacheMounts
from moby_builder.dockerfile.effects.running import Running
from moby_builder.dockerfile.effects.workspace import Workspace
from moby_builder.dockerfile.operations import EmptySource, Node, Run
from moby_builder.dockerfile.solver.effects import Cancel, Tree
from moby_events.ring.ring import Ring
from moby_ipam.default.plugin import Config as IpamConfig
from moby_ipam.default.plugin import make as make_ipam
from moby_metadata.sqlite.store import Store
from moby_network_driver.host.driver import HostNetwork
from moby_network_driver.none.driver import NoNetwork
from moby_networks.registry.plugin import Config as NetworksConfig
from moby_networks.registry.plugin import make as make_networks
from moby_runtime.native.runtime import Native
from moby_snapshotter.overlay.snapshots import Overlay
from moby_supervisor.local.local import Local
from networks.wired import Ledger, Veths

from moby.contracts.ambient import Place
from moby.contracts.networks import Network
from moby.errors import NotFound
from moby.oci import layer
from moby.oci.pack import Packing
from moby.testing.holding import SameProcess
from moby.testing.mortal import Mortal

PATH = "PATH=/bin"


class Clock:
    now_ns = staticmethod(time.time_ns)
    monotonic_ns = staticmethod(time.monotonic_ns)


class Lines:
    """A log that keeps what is written."""

    def __init__(self):
        self.lines = []

    def _take(self, message, **fields):
        self.lines.append((message, fields))

    debug = info = warning = error = _take


def place(root, name):
    found = Place(root / "state" / name, root / "run" / name, root / "cache" / name, "builder-suite")
    for each in (found.state, found.run, found.cache):
        each.mkdir(parents=True, exist_ok=True)
    return found


class Lender:
    """A session that lends secrets and agents."""

    key = ""

    def __init__(self, secrets=None, agents=None):
        self.secrets, self.agents = secrets or {}, agents or {}

    def secret(self, name):
        if name not in self.secrets:
            raise NotFound(f"secret {name}: not found")
        return self.secrets[name]

    def ssh(self, name):
        if name not in self.agents:
            raise NotFound(f"no agent {name}")
        return self.agents[name]()


class Ear:
    """A watch that keeps what is told."""

    def __init__(self):
        self.cancel = Cancel()
        self.said = {1: b"", 2: b""}

    def log(self, stream, data):
        self.said[stream] += data

    def progress(self, name, current=0, total=0, *, done=False):
        pass


class Kitchen:
    """Parts, and a root with a few programs."""

    def __init__(self, root, rootfs, **options):
        self.root, self.rootfs, self.options = root, rootfs, options
        self.log = Lines()

    def __enter__(self):
        self.stack = ExitStack()
        self.metadata = self.stack.enter_context(Store(place(self.root, "metadata").state / "db"))
        self.snapshotter = self.stack.enter_context(Overlay(place(self.root, "snapshots").state, self.metadata))
        keeper = SameProcess()
        self.stack.callback(keeper.close)
        runtimes = {"native": Mortal(Native(place(self.root, "runtime")))}
        self.supervisor = self.stack.enter_context(
            Local(runtimes, {}, keeper, place(self.root, "supervisor"), Clock(), self.log)
        )
        self.networks = self.stack.enter_context(self._networks())
        self.networks.create(Network("", "one", "veths", "", ipam=({"Subnet": "10.1.0.0/24"},)))
        self.snapshotter.prepare("filling")
        self.snapshotter.apply("filling", self._layer())
        self.snapshotter.commit("base", "filling")
        self.place = place(self.root, "builder")
        self.workspace = Workspace(self.snapshotter, self.place.run / "mounts")
        self.caches = CacheMounts(self.snapshotter, self.workspace, self.metadata, self.place.run / "locks", Clock())
        self.running = Running(self.supervisor, self.networks, self.workspace, self.caches, self.log, **self.options)
        return self

    def __exit__(self, *_):
        self.running.close()
        left = [each.path for each in os.scandir(self.place.run / "mounts")]
        tasks = [each.id for each in self.supervisor.list()]
        active = [each.key for each in self.snapshotter.list() if each.key.startswith("builder/active/")]
        joined = {name: dict(self.networks.get(name).containers) for name in ("one", "none")}
        self.stack.close()
        assert (left, tasks, active, joined) == ([], [], [], {"one": {}, "none": {}})

    def _networks(self):
        return make_networks(
            NetworksConfig(),
            drivers={"none": NoNetwork(), "host": HostNetwork(), "veths": Veths()},
            ipams={"default": make_ipam(IpamConfig(), metadata=self.metadata)},
            discovery=Ledger(),
            metadata=self.metadata,
            events=Ring(Clock()),
            place=place(self.root, "networks"),
            clock=Clock(),
            log=self.log,
        )

    def _layer(self):
        fd = os.open(self.rootfs, os.O_RDONLY | os.O_DIRECTORY)
        try:
            return io.BytesIO(layer.write(Packing(fd).entries()).read())
        finally:
            os.close(fd)

    def run(self, script, *, on="base", inputs=(), session=None, ear=None, **options):
        """Run a script on a snapshot; return what was told, and the tree that came of it."""
        ear = ear or Ear()
        arguments = ("/bin/sh", "-c", script) if isinstance(script, str) else script
        operation = Run(arguments, **{"environment": (PATH,), "network": "none", **options})
        node = Node(operation, (Node(EmptySource()), *(Node(EmptySource()) for _ in inputs)))
        tree = self.running.run(node, (Tree(on), *inputs), session or Lender(), ear)
        return ear.said, tree

    def files(self, tree):
        """Return all paths that a snapshot changed."""
        import tarfile

        data = b"".join(self.snapshotter.diff(tree.snapshot))
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            return {each.name: each for each in tar.getmembers()}

    def read(self, tree, path):
        with self.workspace.reading(tree) as root:
            return (root / path).read_text()
