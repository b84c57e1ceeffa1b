"""What is tried inside a sandbox, where an etcd may listen; test_metadata_etcd.py runs this file there."""

import signal
import subprocess
import sys
import time

import pytest
from moby_metadata.etcd import store as stores
from moby_metadata.etcd.client import Client, _refuse
from moby_metadata.etcd.protocol import Found, Range, Revoke
from moby_metadata.etcd.store import Store
from moby_orchestrator.reconciling.changes import created
from moby_orchestrator.swarm.manager import Manager
from moby_orchestrator.swarm.membership import Membership
from moby_orchestrator.swarm.sealing import fresh_tokens, new_key
from moby_orchestrator.swarm.store import Store as Cluster
from moby_orchestrator.swarm.world import CLUSTER, Settled
from peers.binaries import environment, need
from supervisor.ambient import ListLog

from moby.contracts.containers import ContainerConfig
from moby.contracts.orchestrator import ClusterSpec, Node, NodeDescription, ServiceSpec, TaskState
from moby.errors import Corrupt, HostUnfit, Invalid, Unavailable, Unsupported
from moby.grpc.client import Failed
from moby.surroundings import SystemClock
from moby.testing.metadata import MetadataSuite
from moby.testing.orchestrator import eventually

URL = "http://127.0.0.1:2379"
PATIENCE_S = 60


@pytest.fixture(scope="module")
def etcd(tmp_path_factory):
    folder = tmp_path_factory.mktemp("etcd")
    words = [
        need("etcd", "etcd"),
        "--data-dir",
        folder / "data",
        "--listen-client-urls",
        URL,
        "--advertise-client-urls",
        URL,
    ]
    words += ["--log-level=error"]
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(words, stdout=log, stderr=log, env=environment()) as process,
    ):
        until = time.monotonic() + PATIENCE_S
        client = Client([URL], 5)
        while True:
            try:
                client.ask("KV/Range", Range(b"x"), Found)
                break
            except Unavailable:
                assert process.poll() is None, (folder / "log").read_text()
                assert time.monotonic() < until
                time.sleep(0.05)
        yield client
        client.close()
        process.terminate()


@pytest.fixture
def store(etcd, request):
    made = []

    def open_one(*endpoints):
        made.append(Store(Client(endpoints or (URL,), 10), f"/{request.node.nodeid}/"))
        return made[-1].__enter__()

    yield open_one
    for each in made:
        each.__exit__(None, None, None)


class TestEtcd(MetadataSuite):
    @pytest.fixture
    def store(self, store):
        return store


def test_another_member_is_asked_where_one_is_gone(store):
    one = store("http://127.0.0.1:1", URL)
    one.bucket("b").put("k", 1)
    assert one.bucket("b").get("k") == 1


def test_nobody_answers(store):
    with pytest.raises(Unavailable, match=r"no etcd answers at 127\.0\.0\.1:1"):
        Store(Client(["http://127.0.0.1:1"], 1), "/x/").bucket("b").get("k")


@pytest.mark.parametrize("endpoints", [(), ("127.0.0.1:2379",), ("ftp://x:1",)])
def test_endpoints_that_are_none(endpoints):
    with pytest.raises(Invalid, match="endpoint"):
        Client(endpoints, 1)


def test_what_etcd_refuses(etcd):
    with pytest.raises(Unavailable, match="etcd refuses: "):
        etcd.ask("KV/Range", Range(b"x", revision=999999999), Found)
    with pytest.raises(HostUnfit, match="etcd takes no more: mvcc: database space exceeded"):
        _refuse(Failed(8, "mvcc: database space exceeded"))


@pytest.mark.parametrize("most", [1, 63, 64, 128, 4095])
def test_many_changes_at_once(store, most):
    one = store()
    with one.transaction():
        for number in range(most):
            one.bucket("b").put(str(number), number)
        one.bucket("b").put("0", "changed")
    assert store().bucket("b").count() == most
    gone = [str(number) for number in range(min(most, 150))]
    with pytest.raises(KeyError), one.transaction():
        for each in gone:
            one.bucket("b").delete(each)
        raise KeyError
    assert store().bucket("b").get("0") == "changed"
    with one.transaction():
        for each in gone:
            assert one.bucket("b").delete(each)
    assert store().bucket("b").count() == most - len(gone)


def test_too_many_changes_at_once(store):
    one = store()
    with pytest.raises(Unsupported, match="a transaction of 4096 changes"), one.transaction():
        for number in range(4096):
            one.bucket("b").put(str(number), number)
    assert one.bucket("b").count() == 0


def test_too_large_a_change_at_once(store):
    """Refused before it is sent, whole; etcd takes what is as large as it may be."""
    one, text = store().bucket("b"), "x" * 100_000
    most = (1536 << 10) - 1000
    one.put_text("k", "x" * most)
    with pytest.raises(Unsupported, match=r"a change of 1573\d+ bytes; etcd takes 1572864 at once at most"):
        one.put_text("k", "y" * (most + 1000))
    other = store()
    with pytest.raises(Unsupported, match=r"a change of 16\d+ bytes"), other.transaction():
        for number in range(16):
            other.bucket("b").put_text(str(number), text)
    with other.transaction():
        for number in range(15):
            other.bucket("c").put_text(str(number), text)
    assert (one.count(), one.text("k")) == (1, "x" * most)
    assert other.bucket("c").count() == 15


def test_a_plan_of_a_cluster_that_is_more_than_etcd_takes_at_once(store, tmp_path):
    """A manager writes it in portions; and forgets it so."""
    membership = Membership(tmp_path)
    membership.begin("me", new_key())
    cluster = Cluster(store(), membership, lambda before, after: None)
    container = ContainerConfig("box", environment=("X=" + "x" * 20_000,))
    service = created("s", ServiceSpec("web", container, replicas=200), 1)
    with cluster.change() as draft:
        draft.clusters[CLUSTER] = Settled("c", ClusterSpec(), fresh_tokens("c"), 1, 1)
        draft.services["s"] = service
        draft.nodes["me"] = Node("me", description=NodeDescription("me"))
    log = ListLog()
    manager = Manager(cluster, SystemClock(), log, lambda world: None, lambda: False)
    manager.start()
    try:
        eventually(lambda: len(cluster.world().tasks) == 200, "all tasks are there")
        running = [(each, {"state": TaskState.RUNNING}) for each in cluster.world().tasks]
        for task_id, changed in running:
            manager.report(task_id, changed)
        states = {TaskState.RUNNING}
        eventually(lambda: {each.status.state for each in cluster.world().tasks.values()} == states, "all run")
    finally:
        manager.stop()
    assert {each.slot for each in cluster.world().tasks.values()} == {*range(1, 201)}
    assert cluster.world().revision > 4
    assert log.lines == []
    cluster.clear()
    assert not cluster.used()


def test_what_is_no_json(store):
    store().bucket("b").put_text("k", "{")
    with pytest.raises(Corrupt, match="'k' of b is no JSON"):
        store().bucket("b").get("k")


HOLDS = """
import os, sys
from moby_metadata.etcd.client import Client
from moby_metadata.etcd.store import Store
store = Store(Client([sys.argv[1]], 5), sys.argv[2])
with store.transaction():
    store.bucket("b").put("k", "lost")
    print("held", flush=True)
    sys.stdin.read()
"""


def test_one_that_is_killed_lets_others_in_once_its_lease_ends(store, request):
    words = [sys.executable, "-c", HOLDS, URL, f"/{request.node.nodeid}/"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b"held\n"
        holder.send_signal(signal.SIGKILL)
    one = store()
    assert one.bucket("b").get("k") is None  # reading waits for nobody
    one.bucket("b").put("k", "there")
    with one.transaction():
        assert one.bucket("b").get("k") == "there"


def test_others_are_waited_for_but_not_for_ever(store, monkeypatch):
    monkeypatch.setattr(stores, "_WAIT_S", 0.05)
    one, other = store(), store()
    with one.transaction():
        with pytest.raises(Unavailable, match="somebody else writes metadata"):
            other.bucket("b").put("k", 1)
        with pytest.raises(Unavailable, match="somebody else writes metadata"), other.transaction():
            pass


def test_a_lock_that_was_lost(store, etcd):
    one = store()
    with pytest.raises(Unavailable, match="its lock was lost"), one.transaction():
        one.bucket("b").put("k", 1)
        etcd.ask("Lease/LeaseRevoke", Revoke(one._lease), Found)
    one._lease = 0
    assert one.bucket("b").get("k") is None
