"""Parts of the orchestrator by themselves: what is sealed, what is kept, what is refused."""

import pytest
from attrs import evolve
from metadata.few import Few
from moby_metadata.sqlite.store import Store as Metadata
from moby_orchestrator.reconciling.changes import created
from moby_orchestrator.swarm import files, finding, placeholders, sealing, specs
from moby_orchestrator.swarm.codec import decode, encode
from moby_orchestrator.swarm.containering import task_of
from moby_orchestrator.swarm.manager import Manager
from moby_orchestrator.swarm.membership import Membership
from moby_orchestrator.swarm.parts import Parts
from moby_orchestrator.swarm.services import Services
from moby_orchestrator.swarm.store import Store
from moby_orchestrator.swarm.working import Work
from moby_orchestrator.swarm.world import CLUSTER, Settled, World

from moby.contracts.containers import Container, ContainerConfig, State
from moby.contracts.network_driver import Port
from moby.contracts.orchestrator import (
    ClusterSpec,
    Dependency,
    EndpointMode,
    FileReference,
    Mode,
    Node,
    NodeDescription,
    Placement,
    Problem,
    PublishedPort,
    PublishMode,
    Reason,
    Service,
    ServiceSpec,
    Task,
    TaskState,
    TaskStatus,
    UpdatePolicy,
)  # fmt: skip
from moby.contracts.supervisor import HealthCheck
from moby.errors import Conflict, Corrupt, Denied, Invalid, Unavailable, Unsupported

SPEC = ServiceSpec("web", ContainerConfig("box"))


@pytest.mark.parametrize(
    "value",
    [
        evolve(SPEC, container=ContainerConfig("box", command=(), health=HealthCheck(("NONE",)), init=False)),
        Task("t", "s", SPEC, "x", status=TaskStatus(TaskState.FAILED, exit_code=3, ports=(Port("tcp", 1, "::", 2),))),
        Task("t", "s", SPEC, "x", problems=(Problem(Reason.PORT, 3, "80/tcp"),)),
        Node("n", description=NodeDescription("host", plugins=frozenset({("volume", "local"), ("log", "none")}))),
        Service("s", SPEC, "x", previous=SPEC, ports=(PublishedPort(80),), addresses={"n": "10.0.0.2/24"}),
    ],
)
def test_values_come_back(value):
    assert decode(type(value), encode(value)) == value


def test_what_is_sealed():
    key, text = sealing.new_key(), b"\0\0what is said\0"
    one, other = sealing.sealed(key, text), sealing.sealed(key, text)
    assert one != other and text not in one
    assert sealing.opened(key, one) == sealing.opened(key, other) == text
    assert sealing.opened(key, sealing.sealed(key, b"")) == b""
    for bad in (one[:-1], bytes([one[0] ^ 1]) + one[1:], one[:-1] + bytes([one[-1] ^ 1]), b""):
        with pytest.raises(Denied):
            sealing.opened(key, bad)
    with pytest.raises(Denied):
        sealing.opened(sealing.new_key(), one)
    assert sealing.read_key(sealing.written_key(key)) == key


@pytest.fixture
def stores(tmp_path):
    """Two managers' stores over one metadata."""
    membership = Membership(tmp_path)
    with Metadata(tmp_path / "db") as metadata:
        seen = []
        one = Store(metadata, membership, lambda before, after: seen.append((before, after)))
        with pytest.raises(Unavailable):
            one.world()
        membership.begin("me", sealing.new_key())
        with one.change() as draft:
            draft.clusters[CLUSTER] = Settled("c", ClusterSpec(), sealing.fresh_tokens("c"), 1, 1)
        yield one, Store(metadata, membership, lambda before, after: None), seen, metadata


def test_two_managers(stores):
    """Each sees what the other has changed, and changes what is there; what changed has the revision as its version."""
    one, other, _, _ = stores
    with other.change() as draft:
        draft.services["s"] = Service("s", SPEC, "x")
    assert one.world().services["s"].version == 2 == one.world().revision
    with one.change() as draft:
        draft.services["t"] = Service("t", evolve(SPEC, name="api"), "x")
    assert other.world().services.keys() == {"s", "t"}
    assert [each.version for each in other.world().services.values()] == [2, 3]


def test_what_is_forgotten_in_part_is_no_cluster(stores, monkeypatch):
    """As it goes in portions, of which one may fail; whoever tries again forgets the rest."""
    one, other, _, metadata = stores
    with one.change() as draft:
        draft.services["s"] = Service("s", SPEC, "x")
    transaction, left = metadata.transaction, [1]

    def failing():
        if not left:
            raise Unavailable("the disk is away")
        left.pop()
        return transaction()

    monkeypatch.setattr("moby_orchestrator.swarm.store._PORTION", 1)
    with monkeypatch.context() as patch, pytest.raises(Unavailable, match="the disk is away"):
        patch.setattr(metadata, "transaction", failing)
        one.clear()
    for each in (one, other):
        assert (each.world().cluster, set(each.world().services)) == (None, {"s"})
    one.clear()
    assert not one.used()
    assert one.world() == other.world() == World()


def test_it_is_forgotten_in_portions_as_small_as_the_metadata_take(stores, monkeypatch):
    one, other, _, metadata = stores
    with one.change() as draft:
        draft.services = {str(each): Service(str(each), SPEC, "x") for each in range(20)}
    few = Few(metadata, Unsupported)
    store = Store(few, one._membership, None)
    monkeypatch.setattr("metadata.few.MOST", 3)
    store.clear()
    assert not other.used()
    metadata.bucket("swarm").put("revision", 1)
    monkeypatch.setattr("metadata.few.MOST", 0)
    with pytest.raises(Unsupported, match="a transaction of 1 changes"):
        store.clear()


def test_a_plan_that_is_too_much_at_once_is_written_in_portions(stores, monkeypatch):
    """Reports too, of which those that were written aren't told again; a single change that is too much is refused."""
    one, write, sizes, most = stores[0], Store._write, [], 3

    def limited(store, key, before, draft):
        sizes.append(sum(each is not before.tasks.get(name) for name, each in draft.tasks.items()))
        if sizes[-1] > most:
            raise Unsupported("too much")
        return write(store, key, before, draft)

    with one.change() as draft:
        draft.services["s"] = created("s", evolve(SPEC, replicas=10), 1)
        draft.nodes["n"] = Node("n", description=NodeDescription("here"))
    monkeypatch.setattr(Store, "_write", limited)
    manager = Manager(one, Clock(), None, None, None)
    manager._changed([], 5)
    assert {each.slot for each in one.world().tasks.values()} == {*range(1, 11)}
    reports = [(each, {"state": TaskState.RUNNING}) for each in one.world().tasks]
    manager._changed(reports, 5)
    assert {each.status.state for each in one.world().tasks.values()} == {TaskState.RUNNING}
    assert (reports, sizes[0]) == ([], 10)
    most, reports = 0, [(each, {"state": TaskState.COMPLETE}) for each in one.world().tasks]
    with pytest.raises(Unsupported, match="too much"):
        manager._changed(reports, 5)
    assert len(reports) == 10


def test_a_plan_of_ever_more_portions_lets_others_have_their_turn(stores, monkeypatch):
    """What is left of the reports comes before those that came meanwhile, at once; who has ended writes no more."""
    one, write = stores[0], Store._write

    def limited(store, key, before, draft):
        if sum(each is not before.tasks.get(name) for name, each in draft.tasks.items()) > 1:
            raise Unsupported("too much")
        return write(store, key, before, draft)

    with one.change() as draft:
        draft.services["s"] = created("s", evolve(SPEC, replicas=9), 1)
        draft.nodes["n"] = Node("n", description=NodeDescription("here"))
    manager = Manager(one, Clock(), None, None, None)
    manager._changed([], 5)
    reports = [(each, {"state": TaskState.RUNNING}) for each in one.world().tasks]
    monkeypatch.setattr(Store, "_write", limited)
    monkeypatch.setattr("moby_orchestrator.swarm.manager._MOST_CHANGES", 7)
    manager.report("later", {})
    before = one.world().revision
    assert manager._changed(list(reports), 5) == Clock().now_ns()
    written = one.world().revision - before
    assert 0 < written < 7
    assert manager._reports == [*reports[written:], ("later", {})]
    manager._ended.set()
    manager._changed(list(reports), 5)
    assert one.world().revision - before == written


def test_nothing_is_half_written(stores):
    one, _, seen, _ = stores
    before, told = one.world(), len(seen)

    class Stop(Exception):
        pass

    with pytest.raises(Stop), one.change() as draft:
        draft.services["s"] = Service("s", SPEC, "x")
        raise Stop
    assert one.world() is before and len(seen) == told
    with one.change():
        pass
    assert one.world() is before


def test_documents_are_sealed(stores):
    one, _, _, metadata = stores
    with one.change() as draft:
        draft.services["s"] = Service("s", SPEC, "x")
    assert "web" not in "".join(text for _, text in metadata.bucket("swarm").texts())
    metadata.bucket("swarm").put_text("services/s", '"AAAA"')
    metadata.bucket("swarm").put("revision", 99)
    with pytest.raises(Corrupt, match="services/s of the cluster's store can't be read"):
        one.world()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": "-web"}, "invalid name '-web'"),
        ({"container": ContainerConfig("")}, "image reference must be provided"),
        ({"replicas": -1}, "replicas: "),
        ({"update": UpdatePolicy(parallelism=-1)}, "update: parallelism"),
        ({"rollback": UpdatePolicy(max_failure_ratio=2)}, "rollback: the failure ratio"),
        ({"placement": Placement(("node.role=worker",))}, "neither KEY==VALUE nor KEY!=VALUE"),
        ({"placement": Placement(spread=("zone",))}, "is no key of a node"),
        ({"placement": Placement(max_replicas_per_node=1), "mode": Mode.GLOBAL}, "max replicas per node"),
        ({"ports": (PublishedPort(0),)}, "invalid port 0:0"),
        ({"ports": (PublishedPort(80, protocol="ip"),)}, "invalid protocol 'ip'"),
        ({"ports": (PublishedPort(80),), "endpoint_mode": EndpointMode.DNSRR}, "can't be used with dnsrr mode"),
        ({"ports": (PublishedPort(80, 90), PublishedPort(81, 90))}, "duplicate published ports"),
    ],
)
def test_specs_that_can_t_be(changes, words):
    with pytest.raises(Invalid, match=words):
        specs.check(evolve(SPEC, **changes))


def test_ports():
    """One that was chosen stays; one in another mode is of another sort."""
    made = Service("s", evolve(SPEC, ports=(PublishedPort(80),)), "x", ports=(PublishedPort(80, 30005),))
    [kept] = specs.published(made.spec, "s", {"s": made})
    assert kept.published == 30005
    [other] = specs.published(evolve(SPEC, ports=(PublishedPort(81),)), "t", {"s": made})
    assert other.published == 30000
    ports = (PublishedPort(80, 30005, mode=PublishMode.HOST),)
    assert specs.published(evolve(SPEC, ports=ports), "t", {"s": made}) == ports
    with pytest.raises(Conflict, match="port '30005' is already in use by service 'web' \\(s\\) as an ingress port"):
        specs.published(evolve(SPEC, ports=(PublishedPort(80, 30005),)), "t", {"s": made})


def test_a_port_of_one_that_goes():
    """Is free, unless another one has it by now."""
    ports = (PublishedPort(80, 30005),)
    stays = Service("s", evolve(SPEC, ports=ports), "x", ports=ports)
    goes = evolve(stays, id="g", removing=True)
    assert specs.published(stays.spec, "t", {"g": goes}) == ports
    for there in ([stays, goes], [goes, stays]):
        with pytest.raises(Conflict, match="port '30005' is already in use by service 'web' \\(s\\)"):
            specs.published(stays.spec, "t", {each.id: each for each in there})


def test_no_port_is_left():
    every = tuple(PublishedPort(80, number) for number in range(30000, 32768))
    full = Service("s", evolve(SPEC, ports=every), "x", ports=every)
    with pytest.raises(Conflict, match="no port is left to publish 80/tcp at"):
        specs.published(evolve(SPEC, ports=(PublishedPort(80),)), "t", {"s": full})


def test_what_words_mean():
    """A name before a prefix of an id; what several are called is refused."""
    tasks = {
        name: Task(name, "s", SPEC, "x", slot=slot, attempt=attempt)
        for name, slot, attempt in (("ab1", 1, 1), ("ab2", 1, 2), ("cd3", 2, 1))
    }
    assert finding.task("web.1", tasks).id == "ab2"
    assert finding.task("cd", tasks).id == "cd3"
    with pytest.raises(Invalid, match="task ab is ambiguous"):
        finding.task("ab", tasks)
    nodes = {each: Node(each, description=NodeDescription("same")) for each in ("n1", "n2")}
    assert finding.node("self", nodes, "n2").id == "n2"
    with pytest.raises(Invalid, match=r"node same is ambiguous \(2 matches found\)"):
        finding.node("same", nodes, "n1")


@pytest.mark.parametrize(
    ("target", "found"),
    [("key", "/run/secrets/key"), ("a/b", "/run/secrets/a/b"), ("/etc/key", "/etc/key"), ("", "/run/secrets/name")],
)
def test_where_secrets_are(target, found):
    assert files._target(FileReference("name", target), "/run/secrets") == found


@pytest.mark.parametrize("target", ["..", "../key", "/", "a/../../../etc/passwd"])
def test_where_secrets_can_t_be(target):
    with pytest.raises(Invalid, match="target"):
        files._target(FileReference("name", target), "/run/secrets")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("{{.Service.Name}}-{{ .Task.Slot }}", "web-3"),
        ('{{index .Service.Labels "a.b"}}', "c"),
        ("{{.Node.Hostname}}", "here"),
        ('{{index .Service.Labels "none"}}', ""),
        ("{ {", "{ {"),
    ],
)
def test_placeholders(text, found):
    task = Task("t", "s", evolve(SPEC, labels={"a.b": "c"}), "x", slot=3)
    node = Node("n", description=NodeDescription("here"))
    assert placeholders.expand(text, placeholders.context_of(task, node)) == found


@pytest.mark.parametrize("text", ["{{.Service}}", "{{nothing}}", "{{.A.B}}", '{{index .Task "}}', '{{env "A"}}'])
def test_placeholders_that_are_none(text):
    with pytest.raises(Invalid, match="expanding template"):
        placeholders.expand(text, placeholders.context_of(Task("t", "s", SPEC, "x"), None))


def container(own="", /, **labels):
    names = {f"com.docker.swarm.{name}.id": value for name, value in labels.items()}
    return Container("c", "x", "", ContainerConfig("box", labels=names, task=own), "", "", (), State())


@pytest.mark.parametrize(
    ("found", "task"),
    [
        pytest.param(container("t", node="n", task="t"), "t", id="as it is made"),
        pytest.param(container("gone", node="n", task="gone"), "gone", id="of a task that is gone"),
        pytest.param(container("t", node="other", task="t"), "", id="of another node"),
        pytest.param(container(node="n", task="t"), "", id="by labels alone"),
        pytest.param(container(node="n", task="mine"), "mine", id="by labels alone, as its task says"),
        pytest.param(container(), "", id="of nobody"),
    ],
)
def test_whose_a_container_is(found, task):
    tasks = {
        "t": Task("t", "s", SPEC, "x", status=TaskStatus(container_id="another")),
        "mine": Task("mine", "s", SPEC, "x", status=TaskStatus(container_id="c")),
    }
    assert task_of(found, "n", tasks) == task


def test_a_name_that_somebody_s_container_has(tmp_path):
    """It isn't taken for that of the task, however it came to the name."""

    class Taken:
        def create(self, config, name=""):
            raise Conflict("the name is in use")

        def get(self, name):
            return container("t", node="n", task="t")

    parts = Parts(Taken(), *[None] * 9)
    work = Work(parts, files.Files(tmp_path), lambda *_: None)
    assert work._created(ContainerConfig("box", task="t"), "x") == "c"
    with pytest.raises(Conflict, match="the name is in use"):
        work._created(ContainerConfig("box", task="other"), "x")


class Clock:
    def now_ns(self):
        return 10**18


def test_tasks_follow_those_that_they_depend_on(stores):
    """A change of a service makes those anew that say so, and those that depend on them; others stay."""
    services = Services(stores[0], None, Clock())
    following = {"db": (), "api": (Dependency("db", restart=True),), "web": (Dependency("api", restart=True),)}
    following["lone"] = (Dependency("db"),)
    made = {name: services.create(evolve(SPEC, name=name, dependencies=on), None) for name, on in following.items()}
    services.update("db", evolve(made["db"].spec, force=1), None, None)
    renewed = {each.spec.name for each in services.list("") if each.template != made[each.spec.name].template}
    assert renewed == {"db", "api", "web"}
