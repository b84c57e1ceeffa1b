"""An orchestrator of one service and one node, whose membership is what a test says."""

import os

from attrs import evolve
from moby_events.ring.ring import Ring
from supervisor.ambient import RealClock

from moby.contracts.containers import ContainerConfig
from moby.contracts.events import Event
from moby.contracts.orchestrator import (
    ClusterSpec,
    ClusterState,
    Config,
    ConfigSpec,
    Manager,
    Node,
    NodeDescription,
    NodeSpec,
    Role,
    Secret,
    Service,
    ServiceSpec,
    Task,
    Tokens,
)
from moby.errors import Conflict, Denied, NotFound, Unavailable, Unsupported

STATE = ClusterState(
    "n" * 25, True, False, "c" * 25, ClusterSpec(), 9, Tokens("w", "m"), "1.2.3.4:2377", ("1.2.3.4:2377",)
)
SPEC = ServiceSpec("web", ContainerConfig("box"))
NODE = Node(
    "n" * 25, NodeSpec(role=Role.MANAGER), NodeDescription("vm"), address="1.2.3.4",
    manager=Manager(True, True, "1.2.3.4:2377"), version=3,
)  # fmt: skip


class FakeOrchestrator:
    """Is its own cluster. What its calls were given is in `calls`."""

    def __init__(self, state=STATE, clusters=True):
        self.found, self.clusters, self.calls = state, clusters, []
        self.kept = Service("s" * 25, SPEC, "t1", 5)
        self.ring = Ring(RealClock())

    def cluster(self):
        if not self.clusters:
            raise Unsupported("one machine alone")
        return self

    def state(self):
        if isinstance(self.found, Exception):
            raise self.found
        return self.found

    def create(self, spec, **more):
        self.calls.append(("create", spec, more))
        return NODE.id if isinstance(spec, ClusterSpec) else evolve(self.kept, spec=spec)

    def join(self, addresses, token, **more):
        self.calls.append(("join", addresses, token, more))
        if token == "late":
            raise Conflict("this machine is part of one by now")

    def leave(self, *, force=False):
        self.calls.append(("leave", force))

    def unlock(self, key):
        if key == "late":
            raise Conflict("swarm is not locked")
        if key != "right":
            raise Denied("invalid key")

    def nodes(self):
        if self.found.version == 0:
            raise Unavailable("the store is away")
        return (NODE,)

    def node(self, name):
        if name in {NODE.id, "vm", "self"}:
            return NODE
        raise NotFound(f"node {name} not found")

    def update_node(self, name, spec, version=None):
        self.calls.append(("update_node", name, spec))
        return NODE

    def services(self, application=""):
        return (self.kept,)

    def service(self, name):
        if name in {self.kept.id, "web"}:
            return self.kept
        raise NotFound(f"service {name} not found")

    def update(self, name, spec, version=None, **more):
        if isinstance(name, ClusterSpec):
            self.calls.append(("update", name, spec, more))
            return None
        self.calls.append(("update", spec, version, more))
        if version == 6:  # somebody else was quicker, between the look and the change
            self.kept = evolve(self.kept, version=7)
            raise Conflict("update out of sequence")
        if spec.ports:
            raise Conflict("port '90' is already in use by service 'x' (y) as an ingress port")
        return self.kept

    def roll_back(self, name, version=None):
        self.calls.append(("roll_back", name, version))
        return self.kept

    def tasks(self, service="", node=""):
        return (Task("t" * 25, self.kept.id, SPEC, "t1", 1), Task("u" * 25, self.kept.id, SPEC, "t0", 2))

    def secrets(self):
        return (Secret("i" * 25, "key", 4, 1, 2),)

    def secret(self, name):
        if name == "key":
            return self.secrets()[0]
        raise NotFound(f"secret {name} not found")

    def create_secret(self, spec):
        raise Unsupported("this orchestrator has no secrets of their own")

    def label_secret(self, name, labels, version=None, *, data=b""):
        raise Denied("nobody may")

    def configs(self):
        return (Config("j" * 25, ConfigSpec("text", b"x"), 4, 1, 2),)

    def config(self, name):
        raise NotFound(f"config {name} not found")

    def logs(self, name, query):
        self.calls.append(("logs", name, query))
        reading, writing = os.pipe()
        os.write(writing, b"a line")
        os.close(writing)
        return reading

    def watch(self, since_ns=0):
        return self.ring.subscribe(since_ns)

    def tell(self, kind, action, **attributes):
        self.ring.publish(Event(kind, action, "x" * 25, attributes, scope="swarm"))
