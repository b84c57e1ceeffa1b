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
from peers.binaries import environment, need

from moby.errors import Corrupt, HostUnfit, Invalid, Unavailable, Unsupported
from moby.grpc.client import Failed
from moby.testing.metadata import MetadataSuite

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
