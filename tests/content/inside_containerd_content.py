"""What is tried inside a sandbox, where containerd runs; test_containerd_content.py runs this file there."""

import hashlib
import io
import subprocess
from contextlib import closing

import pytest
from moby_content.local.containerd import plugin, protocol
from moby_content.local.containerd.service import Service
from moby_content.local.containerd.store import RemoteStore
from peers.tried import containerd

from moby.contracts.ambient import Place
from moby.contracts.types import Digest
from moby.errors import HostUnfit, NotFound, Unavailable
from moby.grpc.client import Client
from moby.oci.digest import sha256
from moby.testing.content import ContentSuite, put
from moby.testing.content_mutants import MUTANTS


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    with containerd(tmp_path_factory.mktemp("c")) as address:
        yield address


@pytest.fixture
def service(address):
    with closing(Service(Client(address, "moby"))) as service:
        yield service
        for each in tuple(service.all()):
            service.delete(each.digest)


@pytest.fixture
def opened(tmp_path, service):
    return lambda: RemoteStore(tmp_path / "state", service)


class TestContainerdContent(ContentSuite):
    @pytest.fixture
    def store(self, opened):
        return opened


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_mutant_is_caught(mutant, opened):
    with pytest.raises(BaseException) as caught:  # an assertion, pytest.fail, or what the fault raises
        getattr(ContentSuite(), mutant.test)(lambda: mutant.wrap(opened()), *mutant.given)
    assert not isinstance(caught.value, KeyboardInterrupt | AttributeError | TypeError)


def ctr(address, *words):
    done = subprocess.run(["ctr", "-a", address, "-n", "moby", *words], check=True, capture_output=True)
    return done.stdout


def test_containerd_s_own_client_sees_them(opened, address, tmp_path):
    data = bytes(range(256)) * 20_000
    with opened().lease() as lease:
        blob = put(opened(), data, lease)
    assert ctr(address, "content", "get", str(blob.digest)) == data
    ctr(address, "content", "prune", "references")
    assert opened().info(blob.digest) == blob
    assert list((tmp_path / "state/ingest").iterdir()) == []


def test_what_others_put_there_is_there(opened, address):
    subprocess.run(["ctr", "-a", address, "-n", "moby", "content", "ingest", "theirs"], input=b"theirs", check=True)
    with opened().open(sha256(b"theirs")) as file:
        assert file.read() == b"theirs"


def test_a_large_blob_is_read_piece_by_piece(opened):
    part = hashlib.sha512(b"x").digest() * 16384
    with opened().lease() as lease, opened().writer("a", lease) as writer:
        for _ in range(24):
            writer.write(part)
        digest = writer.commit().digest
    with opened().open(digest, size_bytes=24 << 20) as file:
        pieces = [file.read(100_000) for _ in range(5)]
        assert sum(map(len, pieces)) > 5 * 10_000
        rest = file.read()
    assert len(b"".join(pieces)) + len(rest) == 24 << 20
    with opened().open(digest) as file:
        assert file.read(10) == part[:10]  # and no more: whoever closes it gives the rest up
    assert opened().info(digest).size_bytes == 24 << 20


def test_a_large_blob_that_is_there_is_fine(service):
    """containerd says so after the first of it, and gives the call up."""
    data = hashlib.sha512(b"y").digest() * 65536
    for _ in range(5):
        service.write(sha256(data), len(data), io.BytesIO(data))
    assert [each.size_bytes for each in service.all()] == [len(data)]


def test_what_it_refuses_is_told_and_kept(opened, service, monkeypatch):
    monkeypatch.setattr(service, "_client", Client(service._client.address, "moby"))
    usual = protocol.Write
    monkeypatch.setattr(
        "moby_content.local.containerd.service.protocol.Write",
        lambda action, ref, total, *more: usual(action, ref, total + 1, *more),
    )
    with opened().lease() as lease:
        with pytest.raises(HostUnfit, match="containerd's content store can't write"):
            put(opened(), b"data", lease, ref="mine")
        monkeypatch.undo()
        assert [(each.ref, each.offset_bytes) for each in opened().ingests()] == [("mine", 4)]
        with opened().writer("mine", lease) as writer:
            assert writer.commit().size_bytes == 4


def test_two_engines_take_nothing_from_each_other(address, tmp_path):
    """Though they use one containerd, and neither says by which name."""
    config = plugin.Config(address=address)
    one, other = (
        plugin.make(config, place=Place(*[tmp_path / each] * 3)) for each in ("one", "other")
    )  # fmt: skip
    with one, other:
        for each in (one, other):
            with each.lease() as lease:
                put(each, b"data", lease)
        assert len(one.collect(list).blobs) == 1
        assert (one.list(), len(other.list())) == ((), 1)
        other.collect(list)


def test_nobody_listens(tmp_path):
    config = plugin.Config(address=str(tmp_path / "nobody"))
    with plugin.make(config, place=Place(*[tmp_path / "state"] * 3)) as made:
        made._service._client._patience_s = 0.1
        with pytest.raises(Unavailable, match=r"doesn't answer content\.v1\.Content/Info"):
            made.info(sha256(b"x"))
        with pytest.raises(Unavailable, match=r"doesn't answer content\.v1\.Content/List"):
            made.list()


def test_what_is_not_there(opened):
    with pytest.raises(NotFound, match="isn't in containerd's content store"):
        opened().info(sha256(b"absent"))
    with pytest.raises(NotFound):
        opened().info(Digest("sha512", "0" * 128))
