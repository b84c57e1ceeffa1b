"""One compose file through each orchestrator, over real parts: what it makes, what a change changes, what is left."""

import os
import time
from contextlib import ExitStack

import pytest
from moby_orchestrator.compose.describing import application
from moby_orchestrator.compose.files.reading import Asked, read
from swarm.swarm_engine import MANIFEST, Engine, plan
from swarm.test_swarm_names import Servers, ask, inside, resolve

from moby.contracts.containers import Status
from moby.contracts.log_driver import LogQuery
from moby.contracts.orchestrator import ClusterSpec, Outcome, TaskState
from moby.errors import Conflict, Invalid, Unsupported
from moby.testing.boxes import read_all
from moby.testing.bundles import PROGRAMS, make_rootfs
from moby.testing.mounted import own_mounts
from moby.testing.net_namespaces import own_network
from moby.testing.orchestrator import eventually

pytestmark = [pytest.mark.slow, pytest.mark.beside]
FILE = """
name: shop
services:
  db:
    image: box
    command: [sh, -c, "echo kept >/data/file; echo >/ready; while :; do sleep 1000; done"]
    stop_signal: SIGKILL
    healthcheck: {test: "[ -f /ready ]", interval: 1s, start_interval: 100ms, start_period: 10s}
    networks: {back: {aliases: [store]}}
    volumes: ["data:/data"]
    ports: ["127.0.0.1:8080:80"]
  web:
    image: box
    command: [sh, -c, "cat /data/file /etc/text; echo $$GREETING; while :; do sleep 1000; done"]
    stop_signal: SIGKILL
    depends_on: {db: {condition: service_healthy}}
    environment: {GREETING: hello, PLACE: town}
    labels: {tier: front}
    configs: [{source: text, target: /etc/text}]
    networks: [front, back]
    volumes: ["data:/data:ro", {type: tmpfs, target: /scratch}]
    mem_limit: 64M
    deploy: {replicas: 2, labels: {team: sales}}
networks: {front: {labels: {side: outer}}, back: {}}
volumes: {data: {labels: {kept: long}}}
configs: {text: {content: "of a file"}}
"""
FISH = "{discrete_resource_spec: {kind: fish, value: 1}}"
ON_COMPOSE = MANIFEST.replace("swarm-suite", "compose-suite").replace("[swarm]", "[docker]")
ON_COMPOSE += "  orchestrator: compose\n"
MANIFESTS = {"compose": ON_COMPOSE, "swarm": MANIFEST}


@pytest.fixture(scope="module", autouse=True)
def apart():
    """Engines here mount, and make networks, in the namespaces that they find."""
    with own_mounts(shared=True), own_network():
        yield


@pytest.fixture(scope="module", params=MANIFESTS)
def engine(request, tmp_path_factory, apart):
    rootfs = make_rootfs(tmp_path_factory.mktemp("image") / "rootfs", PROGRAMS)
    chosen = plan(tmp_path_factory.mktemp("plan"), MANIFESTS[request.param])
    with Engine(tmp_path_factory.mktemp("engine"), rootfs, chosen) as engine:
        if request.param == "swarm":
            engine.orchestrator.cluster().create(ClusterSpec())
        yield engine


class Shop:
    """The file's application on an engine."""

    def __init__(self, engine, folder):
        self.engine, self.folder, self.kind = engine, folder, engine.plan.name.removesuffix("-suite")
        self.orchestrator = engine.orchestrator

    def described(self, text=FILE):
        (self.folder / "compose.yaml").write_text(text)
        return application(read(Asked(files=(str(self.folder / "compose.yaml"),)), {}).used())

    def apply(self, text=FILE, **more):
        """Apply a file, wait until all tasks are as it says, and return what became of each thing."""
        wanted = self.described(text)
        applied = self.orchestrator.apply(wanted, **more)
        for each in wanted.services:
            eventually(lambda each=each: self.settled(each), f"{each.name} runs")
        return {(each.type, each.name): each.outcome for each in applied.changes}

    def settled(self, spec):
        service, tasks = self.orchestrator.service(spec.name), self.tasks(spec.name)
        return len(tasks) == spec.replicas and all(each.template == service.template for each in tasks)

    def tasks(self, name):
        found = self.orchestrator.tasks(name)
        return sorted((each for each in found if each.status.state is TaskState.RUNNING), key=lambda each: each.slot)

    def begun(self):
        """Whether a task is more than planned."""
        return {each.status.state for each in self.orchestrator.tasks("shop_db")} - {TaskState.NEW, TaskState.PENDING}

    def containers(self, name):
        return [self.engine.containers.get(each.status.container_id) for each in self.tasks(name)]

    def ids(self):
        """Return the containers that run, by service."""
        return {name: {each.id for each in self.containers(name)} for name in ("shop_db", "shop_web")}

    def there(self):
        """Return names of all that an engine has."""
        networks = {each.name for each in self.engine.networks.list()}
        return ({each.id for each in self.engine.containers.list()}, networks - {"ingress", "docker_gwbridge"},
                {each.name for each in self.engine.volumes.list()})  # fmt: skip

    def said(self, name, words):
        """Wait until each task of a service has said something."""
        eventually(lambda: all(self.log(each) == words for each in self.tasks(name)), f"{name} says {words!r}")

    def log(self, task):
        descriptor = self.orchestrator.logs(task.id, LogQuery(framed=False))
        try:
            return read_all(descriptor)
        finally:
            os.close(descriptor)


@pytest.fixture
def shop(engine, tmp_path):
    found = Shop(engine, tmp_path)
    before = found.there()
    yield found
    engine.orchestrator.remove_application("shop", volumes=True)
    eventually(lambda: found.there() == before, "nothing is left of it")
    assert engine.orchestrator.applications() == ()
    assert engine.orchestrator.services() == ()
    assert engine.orchestrator.remove_application("shop", volumes=True) == ()


def plain(container):
    """Return what a file says of a container, without what is its orchestrator's own."""
    config = container.config
    labels = {key: value for key, value in config.labels.items() if not key.startswith(("com.docker.", "io.moby."))}
    mounts = {(each.type, each.name, each.destination, each.read_write) for each in container.mounts}
    return {
        "environment": sorted({*config.environment} - {"PATH=/bin"}),
        "labels": labels,
        "mounts": sorted(each for each in mounts if each[2] != "/etc/text"),  # which may be a mount, or copied
        "networks": sorted({each.network for each in container.endpoints} - {"ingress"}),
        "memory": config.resources.memory_bytes,
        "health": container.state.health.status if config.health else "",
    }


def test_the_same_containers(shop):
    made = shop.apply()
    assert set(made.values()) == {Outcome.CREATED}
    assert {each for each in made if each[0] != "config"} == {
        ("service", "shop_db"), ("service", "shop_web"), ("network", "shop_front"), ("network", "shop_back"),
        ("volume", "shop_data"),
    }  # fmt: skip
    [database], web = shop.containers("shop_db"), shop.containers("shop_web")
    assert plain(database) == {
        "environment": [], "labels": {}, "mounts": [("volume", "shop_data", "/data", True)], "networks": ["shop_back"],
        "memory": 0, "health": "healthy",
    }  # fmt: skip
    wanted = {
        "environment": ["GREETING=hello", "PLACE=town"], "labels": {"tier": "front"},
        "mounts": [("tmpfs", "", "/scratch", True), ("volume", "shop_data", "/data", False)],
        "networks": ["shop_back", "shop_front"], "memory": 64 << 20, "health": "",
    }  # fmt: skip
    assert [plain(each) for each in web] == [wanted] * 2
    shop.said("shop_web", "kept\nof a filehello\n")
    [first] = shop.tasks("shop_db")
    assert all(first.status.started_ns <= each.status.started_ns for each in shop.tasks("shop_web"))
    assert shop.orchestrator.service("shop_web").spec.labels["team"] == "sales"
    assert shop.engine.networks.get("shop_front").labels["side"] == "outer"
    assert shop.engine.volumes.get("shop_data").labels["kept"] == "long"


def test_the_same_names(shop):
    """Lead to the same tasks, whether by one address or by several; so does the port."""
    shop.apply()
    tasks = [*shop.tasks("shop_db"), *shop.tasks("shop_web")]
    names = {each.id: f"{each.spec.name}.{each.slot}" for each in tasks}
    with ExitStack() as stack:
        servers = Servers(shop.engine, stack)
        for each in tasks:
            servers.serve(each)

        def answers(task, name):
            try:
                addresses = inside(shop.engine, task, lambda: resolve(name))
                found = [inside(shop.engine, task, lambda at=at: ask(at)) for at in addresses for _ in range(2)]
            except OSError:
                return set()
            return {names[each] for each in found}

        web, database = {"shop_web.1", "shop_web.2"}, {"shop_db.1"}
        for task in tasks:
            for name, wanted in (("db", database), ("store", database), ("web", web)):
                eventually(lambda task=task, name=name, wanted=wanted: answers(task, name) == wanted, name)

        def published():
            try:
                return names[ask("127.0.0.1", 8080)]
            except OSError:
                return ""

        eventually(lambda: published() == "shop_db.1", "the port leads to it")


@pytest.mark.parametrize(
    ("old", "new", "db", "web"),
    [
        pytest.param("", "", 1, 2, id="nothing"),
        pytest.param("GREETING: hello", "GREETING: goodbye", 1, 0, id="environment"),
        pytest.param("tier: front", "tier: back", 1, 0, id="label"),
        pytest.param("/scratch", "/elsewhere", 1, 0, id="mount"),
        pytest.param("[store]", "[store, shelf]", 0, 2, id="alias"),
        pytest.param("replicas: 2", "replicas: 3", 1, 2, id="more"),
        pytest.param("replicas: 2", "replicas: 1", 1, 1, id="fewer"),
        pytest.param("team: sales", "team: all", 1, 0, id="label-of-the-service"),
    ],
)
def test_a_change_changes_the_same(shop, old, new, db, web):
    """By containers of each service that stay; and where it was done, there is nothing more to do."""
    shop.apply()
    before = shop.ids()
    changed = {name for (_, name), each in shop.apply(FILE.replace(old, new)).items() if each is not Outcome.UNCHANGED}
    after = shop.ids()
    stay = {name: len(before[name] & after[name]) for name in before}
    assert (stay, changed) == ({"shop_db": db, "shop_web": web}, {f"shop_{each}" for each in names_of(old)})
    assert set(shop.apply(FILE.replace(old, new)).values()) == {Outcome.UNCHANGED}


def names_of(words):
    """Return the service in whose part of the file some words are."""
    return () if not words else ("db",) if FILE.index(words) < FILE.index("  web:") else ("web",)


def test_taken_down_while_it_comes_up(shop):
    """Nothing is made after that, or stays."""
    described, before = shop.described(), shop.there()
    for number in range(20):
        shop.orchestrator.apply(described)
        if number % 2:
            eventually(shop.begun, "a container is about to be made")
        shop.orchestrator.remove_application("shop", volumes=True)
        eventually(lambda: shop.there() == before, "nothing is left of it")


def test_what_is_not_described_any_more(shop):
    """Goes where that is asked for, and else is told of."""
    shop.apply()
    before = shop.ids()["shop_db"]
    less = FILE[: FILE.index("  web:")] + FILE[FILE.index("networks: {front") :]
    assert shop.orchestrator.apply(shop.described(less)).orphans == ("shop_web",)
    assert shop.apply(less, prune=True)["service", "shop_web"] is Outcome.REMOVED
    assert [each.spec.name for each in shop.orchestrator.services()] == ["shop_db"]
    eventually(lambda: shop.there()[0] == before, "its containers go")


@pytest.mark.parametrize(
    ("old", "new", "refusals"),
    [
        pytest.param("replicas: 2", "mode: global", {"compose": (Unsupported, "the mode global")}, id="mode"),
        pytest.param(
            "networks: [front, back]", "networks: [front, back]\n    ports: ['8081:80']",
            {"compose": (Invalid, "can't all have the host's port 8081")}, id="port",
        ),
        pytest.param(
            "[store]", "[store], ipv4_address: 10.9.0.9",
            {"swarm": (Invalid, "ipv4_address of shop_back")}, id="address",
        ),
        pytest.param(
            "replicas: 2", "replicas: 2, placement: {max_replicas_per_node: 3}", {}, id="fewer-than-may-be-on-a-node",
        ),
        pytest.param(
            "replicas: 2", "replicas: 4, placement: {max_replicas_per_node: 3}",
            {"compose": (Unsupported, "max_replicas_per_node is 3")}, id="more-than-may-be-on-a-node",
        ),
        pytest.param(
            "deploy: {", f"deploy: {{resources: {{reservations: {{generic_resources: [{FISH}]}}}}, ",
            {"compose": (Unsupported, "named resources, as fish")}, id="named-resources",
        ),
    ],
)  # fmt: skip
def test_what_one_of_both_cannot_do(shop, old, new, refusals):
    """Is refused by its name, before anything is begun."""
    before, described = shop.there(), shop.described(FILE.replace(old, new))
    if shop.kind in refusals:
        error, words = refusals[shop.kind]
        with pytest.raises(error, match=words):
            shop.orchestrator.apply(described)
        assert shop.there() == before
    else:
        shop.orchestrator.apply(described)
        assert shop.orchestrator.applications() == ("shop",)


def test_data_that_changes(shop):
    """Is refused where a config has a life of its own, as the contract says; else tasks that have it are replaced."""
    shop.apply()
    new, before = FILE.replace("of a file", "of another"), shop.ids()
    if shop.kind == "swarm":
        with pytest.raises(Conflict, match="config shop_text has changed"):
            shop.apply(new)
        assert shop.ids() == before
    else:
        shop.apply(new)
        assert (shop.ids()["shop_db"], shop.ids()["shop_web"] & before["shop_web"]) == (before["shop_db"], set())
        shop.said("shop_web", "kept\nof anotherhello\n")


def test_what_ends_with_the_engine_is_not_replaced(shop):
    """By who keeps services, until an engine is there again."""
    shop.apply(FILE.replace("image: box", "image: box\n    restart: always"))
    engine = shop.engine
    engine.engine.wind_down(5)
    made = {each.id for each in engine.containers.list()}
    time.sleep(1)  # in which it would have been
    assert {each.id for each in engine.containers.list()} == made
    assert {each.state.status for each in engine.containers.list()} == {Status.EXITED}
    engine.restart()
    shop.orchestrator = engine.orchestrator
    for each in shop.described().services:
        eventually(lambda each=each: shop.settled(each), f"{each.name} runs again")
