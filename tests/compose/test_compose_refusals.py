"""What the orchestrator on one machine refuses, and what it does when its parts fail."""

import socket
import threading

import pytest
from attrs import evolve
from compose.orchestrating import Orchestrated, place
from moby_metadata.sqlite.store import Store
from moby_orchestrator.compose.calling import Engine as Called
from moby_orchestrator.compose.keeping import checking
from moby_orchestrator.compose.keeping.doing import Hands
from moby_orchestrator.compose.keeping.parts import Parts
from moby_orchestrator.compose.keeping.shelf import Shelf
from moby_orchestrator.compose.keeping.values import Kept
from networks.wired import Ledger, Veths

from moby.contracts.containers import ContainerConfig
from moby.contracts.networks import Network
from moby.contracts.orchestrator import (
    Application,
    ConfigSpec,
    FileReference,
    Mode,
    NetworkSpec,
    Placement,
    PublishedPort,
    Reservations,
    Restart,
    SecretSpec,
    ServiceSpec,
    UpdatePolicy,
    VolumeSpec,
)
from moby.errors import Conflict, Corrupt, HostUnfit, Invalid, NotFound, Unavailable, Unsupported
from moby.host.mounts import mount
from moby.testing.bundles import PROGRAMS, make_rootfs
from moby.testing.mounted import own_mounts
from moby.testing.net_namespaces import own_network


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    rootfs = make_rootfs(tmp_path_factory.mktemp("image") / "rootfs", PROGRAMS)
    parts = {"drivers": {"veths": Veths()}, "discovery": Ledger()}
    folder = tmp_path_factory.mktemp("engine")
    with own_mounts(shared=True), own_network(), Orchestrated(folder, rootfs, **parts) as engine:
        yield engine


def spec(name="shop_web", **more):
    given = {"application": "shop", "replicas": 0, **more}
    return ServiceSpec(name, ContainerConfig("box", ("sleep", "1000")), **given)


@pytest.mark.parametrize(
    ("application", "words"),
    [
        (Application("shop", (spec(application="store"),)), "is of the application 'store', not 'shop'"),
        (Application("shop", (spec(), spec())), "shop_web is there more than once"),
        (Application("shop", secrets=(SecretSpec("a b", b"x"),)), "secret: the name 'a b'"),
        (Application("shop", secrets=(SecretSpec("s", b"x" * 512_001),)), "secret s has more than 500 KiB"),
        (Application("shop", configs=(ConfigSpec("c", b"x" * 1_024_001),)), "config c has more than 1000 KiB"),
        (Application("shop", secrets=(SecretSpec("s", external=True),)), "secret s: external ones"),
        (Application("shop", secrets=(SecretSpec("s", driver="x"),)), "secret s: external ones"),
        (Application("shop", configs=(ConfigSpec("c", b"x", templating="golang"),)), "config c: external ones"),
        (Application("shop", (spec(replicas=2, ports=(PublishedPort(80, 80),)),)), "can't all have the host's port 80"),
        (Application("shop", (spec(restart=Restart(max_attempts=-3)),)), "restart.max_attempts must be 0 or more"),
        (Application("shop", (spec(restart=Restart(delay_ns=-1)),)), "restart.delay_ns must be 0 or more, not -1"),
        (Application("shop", (spec(restart=Restart(window_ns=-1)),)), "restart.window_ns must be 0 or more"),
        (
            Application("shop", (spec(update=UpdatePolicy(-1)),)),
            "update: parallelism, delay and monitor can't be below 0",
        ),
        (
            Application("shop", (spec(rollback=UpdatePolicy(max_failure_ratio=2)),)),
            "rollback: the failure ratio is from 0 to 1, not 2",
        ),
        (
            Application("shop", (spec(placement=Placement(max_replicas_per_node=-1)),)),
            "max replicas per node must be 0 or more, not -1",
        ),
        (
            Application("shop", (spec(reservations=Reservations(-1)),)),
            "the reservation of CPUs must be 0 or more, not -1",
        ),
        (
            Application("shop", (spec(reservations=Reservations(generic={"fish": -2})),)),
            "the reservation of fish must be 0 or more, not -2",
        ),
    ],
)
def test_applications_that_can_t_be(engine, application, words):
    with pytest.raises(Invalid, match=words):
        engine.orchestrator.apply(application)
    assert engine.orchestrator.services() == ()


def test_what_an_application_lacks(engine):
    for kind, given in (("secret", "secrets"), ("config", "configs")):
        lacking = spec(**{given: (FileReference("no", "x"),)})
        with pytest.raises(NotFound, match=f"{kind} no not found"):
            engine.orchestrator.apply(Application("shop", (lacking,)))
        with pytest.raises(NotFound, match=f"{kind} no not found"):
            engine.orchestrator.create(lacking)
    with pytest.raises(Unsupported, match="the mode global isn't supported"):
        engine.orchestrator.apply(Application("shop", (spec(mode=Mode.GLOBAL),)))


def test_what_others_have(engine):
    engine.networks.create(Network("", "theirs", "veths", ""))
    engine.volumes.create("theirs")
    with pytest.raises(Conflict, match="the network theirs exists and belongs"):
        engine.orchestrator.apply(Application("shop", networks=(NetworkSpec(Network("", "theirs", "veths", "")),)))
    with pytest.raises(Conflict, match="the volume theirs exists and belongs"):
        engine.orchestrator.apply(Application("shop", volumes=(VolumeSpec("theirs"),)))


def test_modes_don_t_change(engine):
    made = engine.orchestrator.create(spec("lone", application=""))
    with pytest.raises(Unsupported, match="can't have another mode"):
        engine.orchestrator.update("lone", evolve(made.spec, mode=Mode.GLOBAL))
    with pytest.raises(Unsupported, match="can't be renamed"):
        engine.orchestrator.update("lone", evolve(made.spec, application="shop"))
    engine.orchestrator.remove("lone")


def test_a_prefix_of_several():
    two = [Kept(each, spec(), "") for each in ("ab1", "ab2")]
    with pytest.raises(Invalid, match="more than one: ab1, ab2"):
        checking.unique(NotFound, "service ab not found", two)


def test_documents_that_can_t_be_read(tmp_path):
    with Store(place(tmp_path, "metadata").state / "db") as metadata:
        metadata.bucket("orchestrator/compose").put("service/x", {"id": 1})
        with pytest.raises(Corrupt, match="the document service/x can't be read"):
            Shelf(metadata, tmp_path / "data").load()


def test_data_that_is_gone(tmp_path):
    with Store(place(tmp_path, "metadata").state / "db") as metadata:
        shelf = Shelf(metadata, tmp_path / "data")
        with pytest.raises(NotFound, match="secret s not found"):
            shelf.data("shop", "secrets", "s")
        shelf.store("shop", "secrets", {"s": b"x"})
        assert shelf.data("shop", "secrets", "s") == b"x"
        assert (tmp_path / "data/shop/secrets/s").stat().st_mode & 0o777 == 0o600
        shelf.discard("shop")
        with pytest.raises(NotFound):
            shelf.data("shop", "secrets", "s")


def test_a_full_disk(tmp_path):
    """What can't be written is said with its place; what was there stays, and room is all that it takes."""
    with own_mounts(), Store(place(tmp_path, "metadata").state / "db") as metadata:
        small = tmp_path / "small"
        small.mkdir()
        mount("tmpfs", str(small), "tmpfs", 0, "size=64k")
        shelf = Shelf(metadata, small)
        shelf.store("shop", "secrets", {"s": b"first"})
        (small / "filler").write_bytes(b"x" * 40_000)
        with pytest.raises(HostUnfit, match=r"the secrets of shop can.t be written to .*: No space left on device"):
            shelf.store("shop", "secrets", {"s": b"x" * 40_000})
        assert shelf.data("shop", "secrets", "s") == b"first"
        (small / "filler").unlink()
        shelf.store("shop", "secrets", {"s": b"second"})
        assert shelf.data("shop", "secrets", "s") == b"second"


class Failing:
    """Images whose registry can't be reached in a way that nobody foresaw."""

    def get(self, name):
        raise NotFound(f"No such image: {name}")

    def pull(self, reference, credentials=None, *, platform=None):
        raise ConnectionResetError("reset by peer")


def test_an_image_that_can_t_be_pulled(engine):
    parts = Parts(
        engine.containers, Failing(), engine.networks, engine.volumes, engine.events, engine.clock, engine.log
    )
    with pytest.raises(Unavailable, match="the image box can't be pulled: reset by peer"):
        Hands(parts, lambda *_: b"").image("box", None)


def test_an_engine_that_ends_in_the_middle(tmp_path):
    """Of an answer: Unavailable."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        server.listen()

        def end():
            connection, _ = server.accept()
            connection.recv(65536)
            connection.close()

        thread = threading.Thread(target=end)
        thread.start()
        with pytest.raises(Unavailable, match="the engine didn't answer"):
            Called(tmp_path / "s").get("info")
        thread.join()
