"""A machine's membership: begun, locked, changed, left."""

import json

import pytest
from attrs import evolve
from swarm_engine import Engine

from moby.contracts.containers import ContainerConfig, LogChoice
from moby.contracts.networks import Network
from moby.contracts.orchestrator import (
    Availability,
    ClusterSpec,
    NodeSpec,
    Reservations,
    Role,
    SecretSpec,
    ServiceSpec,
    TaskState,
)  # fmt: skip
from moby.errors import Conflict, Corrupt, Denied, Invalid, NotFound, Unavailable, Unsupported
from moby.testing.orchestrator import eventually

pytestmark = [pytest.mark.slow]
FOREVER = ContainerConfig("box", command=("sh", "-c", "while :; do sleep 1000; done"), stop_signal="SIGKILL")
SECRET = b"another-particular-secret"


@pytest.fixture(scope="module")
def alone(tmp_path_factory, rootfs, swarm_plan, apart):
    """An engine that is part of no cluster yet."""
    with Engine(tmp_path_factory.mktemp("engine"), rootfs, swarm_plan) as engine:
        yield engine


@pytest.fixture
def cluster(alone):
    """The membership of an engine that is part of no cluster, and leaves the one that it is in at the end."""
    yield alone.orchestrator.cluster()
    own = alone.orchestrator.cluster()
    if own.state() is not None:
        own.leave(force=True)


def node_file(engine):
    [found] = engine.root.rglob("node.json")
    return found


def test_no_cluster(alone, cluster):
    assert cluster.state() is None
    for call in (alone.orchestrator.services, alone.orchestrator.nodes, alone.orchestrator.secrets, cluster.unlock_key):
        with pytest.raises(Unavailable, match=r"This node is not a swarm manager\. Use"):
            call()
    with pytest.raises(Unavailable, match="not part of a swarm"):
        cluster.leave(force=True)
    with pytest.raises(Conflict, match="swarm is not locked"):
        cluster.unlock("SWMKEY-1-x")


def test_begun_and_left(alone, cluster):
    node_id = cluster.create(ClusterSpec(labels={"a": "b"}), advertise="10.1.2.3:2377")
    state = cluster.state()
    assert (state.node_id, state.manager, state.spec.labels) == (node_id, True, {"a": "b"})
    assert (state.address, state.managers) == ("10.1.2.3", ("10.1.2.3:2377",))
    assert len(node_id) == len(state.id) == 25
    assert state.tokens.worker.startswith("SWMTKN-1-") and state.tokens.worker != state.tokens.manager
    [node] = alone.orchestrator.nodes()
    assert (node.id, node.spec.role) == (node_id, Role.MANAGER) and node == alone.orchestrator.node("self")
    assert alone.networks.get("ingress").ingress
    with pytest.raises(Conflict, match="already part of a swarm"):
        cluster.create(ClusterSpec())
    assert cluster.create(ClusterSpec(), force=True) == node_id
    with pytest.raises(Conflict, match="already part of a swarm"):
        cluster.join(("10.0.0.1:2377",), state.tokens.worker)
    alone.orchestrator.create(ServiceSpec("web", FOREVER, replicas=2))
    eventually(lambda: len(alone.containers.list()) == 2, "tasks are made")
    with pytest.raises(Conflict, match="participating as a manager"):
        cluster.leave()
    cluster.leave(force=True)
    assert cluster.state() is None and not alone.containers.list()
    with pytest.raises(NotFound):
        alone.networks.get("ingress")
    cluster.create(ClusterSpec())
    assert alone.orchestrator.services() == ()


def test_joining(cluster):
    with pytest.raises(Denied, match="A valid join token is necessary"):
        cluster.join(("10.0.0.1:2377",), "mine")
    with pytest.raises(Invalid, match="at least one RemoteAddr"):
        cluster.join((), "SWMTKN-1-x")
    with pytest.raises(Unsupported, match="can't join the cluster at"):
        cluster.join(("10.0.0.1:2377",), "SWMTKN-1-x")


def test_settings(cluster):
    cluster.create(ClusterSpec())
    before = cluster.state()
    with pytest.raises(Conflict, match="update out of sequence"):
        cluster.update(before.spec, before.version + 1)
    cluster.update(evolve(before.spec, task_history=2), before.version, rotate=frozenset({"worker"}))
    after = cluster.state()
    assert after.version > before.version and after.spec.task_history == 2
    assert after.tokens.worker != before.tokens.worker and after.tokens.manager == before.tokens.manager
    for wrong, words in (
        (evolve(before.spec, task_history=-1), "task history"),
        (evolve(before.spec, heartbeat_ns=-1), "heartbeat"),
        (evolve(before.spec, certificate_ns=1), "certificate"),
        (evolve(before.spec, address_pools=("10.0.0.1/8",)), "address pool"),
        (evolve(before.spec, subnet_prefix=4), "don't fit"),
    ):
        with pytest.raises(Invalid, match=words):
            cluster.update(wrong, after.version)
    with pytest.raises(Invalid, match="no 'all' to rotate"):
        cluster.update(before.spec, after.version, rotate=frozenset({"all"}))


@pytest.mark.parametrize("address", ["eth0", "10.0.0"])
def test_addresses_that_are_none(cluster, address):
    with pytest.raises(Invalid, match="is no address"):
        cluster.create(ClusterSpec(), advertise=address)


def test_locked(alone, cluster):
    """What is kept can't be read without the key, which isn't here; tasks go on meanwhile."""
    cluster.create(ClusterSpec(autolock=True))
    key = cluster.unlock_key()
    assert key.startswith("SWMKEY-1-")
    alone.orchestrator.create_secret(SecretSpec("key", SECRET))
    alone.orchestrator.create(ServiceSpec("web", FOREVER))
    eventually(
        lambda: [each for each in alone.orchestrator.tasks() if each.status.state is TaskState.RUNNING], "it runs"
    )
    [before] = alone.containers.list()
    alone.restart()
    cluster = alone.orchestrator.cluster()
    assert cluster.state().locked
    for call in (alone.orchestrator.services, cluster.unlock_key):
        with pytest.raises(Unavailable, match="Swarm is encrypted and needs to be unlocked"):
            call()
    assert json.loads(node_file(alone).read_text())["key"] == ""
    for wrong in ("mine", "SWMKEY-1-AAAA"):
        with pytest.raises(Denied, match="invalid key string"):
            cluster.unlock(wrong)
    with pytest.raises(Denied, match="invalid key"):
        cluster.unlock("SWMKEY-1-" + "A" * 43)
    cluster.unlock(key)
    assert [each.name for each in alone.orchestrator.secrets()] == ["key"]
    assert [each.id for each in alone.containers.list()] == [before.id]
    state = cluster.state()
    cluster.update(state.spec, state.version, rotate=frozenset({"unlock"}))
    other = cluster.unlock_key()
    assert other != key
    alone.restart()
    cluster = alone.orchestrator.cluster()
    with pytest.raises(Denied, match="invalid key"):
        cluster.unlock(key)
    cluster.unlock(other)
    cluster.update(evolve(state.spec, autolock=False), cluster.state().version)
    assert cluster.unlock_key() == ""
    alone.restart()
    assert not alone.orchestrator.cluster().state().locked


def test_a_locked_one_is_left(alone, cluster):
    """With its tasks' containers, and none that has their labels."""
    cluster.create(ClusterSpec(autolock=True))
    alone.orchestrator.create(ServiceSpec("web", FOREVER))
    [task] = eventually(alone.containers.list, "its task is made")
    copy = alone.containers.create(evolve(FOREVER, labels=task.config.labels)).id
    alone.restart()
    cluster = alone.orchestrator.cluster()
    with pytest.raises(Unavailable, match="needs to be unlocked"):
        cluster.create(ClusterSpec())
    cluster.leave(force=True)
    assert cluster.state() is None
    assert [each.id for each in alone.containers.list()] == [copy]
    alone.containers.remove(copy)


def test_networks_of_one_that_is_left(alone, cluster):
    """Go, unless they are also others'."""
    cluster.create(ClusterSpec())
    for name in ("shop", "open"):
        alone.networks.create(Network("", name, "overlay", "", attachable=name == "open", services_only=name == "shop"))
    cluster.leave(force=True)
    assert {"shop", "open", "ingress"} & {each.name for each in alone.networks.list()} == {"open"}
    alone.networks.remove("open")


def test_a_key_that_is_lost(alone, cluster):
    """The store can't be read; only force begins another cluster."""
    cluster.create(ClusterSpec())
    alone.stack.close()
    node_file(alone).unlink()
    alone._open()
    cluster = alone.orchestrator.cluster()
    with pytest.raises(Conflict, match="has a cluster already"):
        cluster.create(ClusterSpec())
    cluster.create(ClusterSpec(), force=True)
    assert alone.orchestrator.services() == ()


def test_a_file_that_is_damaged(alone, cluster):
    cluster.create(ClusterSpec())
    alone.stack.close()
    before = node_file(alone).read_text()
    node_file(alone).write_text("{")
    with pytest.raises(Corrupt, match=r"node\.json can't be read"):
        alone._open()
    node_file(alone).write_text(json.dumps(json.loads(before) | {"key": "A" * 43 + "="}))
    with pytest.raises(Corrupt, match="of the cluster's store can't be read"):
        alone._open()
    node_file(alone).write_text(before)
    alone._open()
    assert alone.orchestrator.nodes()


def test_nodes(alone, cluster):
    cluster.create(ClusterSpec())
    orchestrator = alone.orchestrator
    node = orchestrator.node("self")
    orchestrator.create(ServiceSpec("web", FOREVER, replicas=2))
    eventually(lambda: len(alone.containers.list()) == 2, "tasks are made")
    with pytest.raises(Conflict, match="update out of sequence"):
        orchestrator.update_node(node.id, node.spec, node.version + 1)
    with pytest.raises(Conflict, match="attempting to demote the last manager of the swarm"):
        orchestrator.update_node("self", NodeSpec())
    with pytest.raises(Conflict, match="is a cluster manager"):
        orchestrator.remove_node("self", force=True)
    orchestrator.update_node("self", evolve(node.spec, availability=Availability.DRAIN, labels={"zone": "a"}))
    eventually(
        lambda: all(each.status.state is not TaskState.RUNNING for each in orchestrator.tasks()), "its tasks end"
    )
    pending = eventually(lambda: [each for each in orchestrator.tasks("web") if each.problems], "others wait")
    assert pending[0].status.error == "no suitable node (not available for new tasks on 1 node)"
    orchestrator.update_node("self", evolve(node.spec, labels={"zone": "a"}))
    eventually(
        lambda: sum(each.status.state is TaskState.RUNNING for each in orchestrator.tasks()) == 2, "two run again"
    )


def test_what_a_node_says_of_itself(alone, cluster):
    """Its name, its room and its drivers; what none has is why a task waits."""
    cluster.create(ClusterSpec())
    description = alone.orchestrator.node("self").description
    assert description.hostname and description.nano_cpus and description.memory_bytes and description.engine_version
    assert {("volume", "local"), ("network", "bridge"), ("log", "json-file")} <= description.plugins
    alone.orchestrator.create(ServiceSpec("web", evolve(FOREVER, log=LogChoice("nobody"))))
    [task] = eventually(lambda: [each for each in alone.orchestrator.tasks() if each.problems], "it waits")
    assert task.status.error == "no suitable node (missing plugin on 1 node)"
    assert task.problems[0].detail == "log driver nobody"
    large = Reservations(memory_bytes=description.memory_bytes + 1)
    alone.orchestrator.create(ServiceSpec("large", FOREVER, reservations=large))
    [task] = eventually(lambda: [each for each in alone.orchestrator.tasks("large") if each.problems], "it waits")
    assert task.status.error == "no suitable node (insufficient resources on 1 node)"


def test_back_and_forth(alone, cluster):
    """Who rolls back a second time goes forth again, as with docker."""
    cluster.create(ClusterSpec())
    made = alone.orchestrator.create(ServiceSpec("web", FOREVER))
    with pytest.raises(Conflict, match=f"service {made.id} does not have a previous spec"):
        alone.orchestrator.roll_back("web")
    alone.orchestrator.update("web", evolve(made.spec, force=1))
    assert [alone.orchestrator.roll_back("web").spec.force for _ in range(3)] == [0, 1, 0]
