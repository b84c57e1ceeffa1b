"""What the orchestrator began, the unmodified docker compose goes on with, and the other way round."""

import json
import subprocess

import pytest
from attrs import evolve, fields
from compose.orchestrating import Orchestrated, place
from moby_frontend.docker.plugin import Config, make
from moby_orchestrator.compose.describing import application
from moby_orchestrator.compose.files.reading import Asked, read
from networks.wired import Ledger, Veths
from peers.binaries import environment, file

from moby.contracts.orchestrator import Change, Dependency, Outcome, TaskState
from moby.testing.bundles import PROGRAMS, make_rootfs
from moby.testing.mounted import own_mounts
from moby.testing.net_namespaces import own_network
from moby.testing.orchestrator import eventually

pytestmark = pytest.mark.slow
FILE = """
name: shop
services:
  db:
    image: box
    command: [sleep, "1000"]
    stop_signal: SIGKILL
    networks: {back: {aliases: [store]}}
    restart: always
    environment: {GREETING: hello, LESS: null}
    volumes: ["data:/data", "/kept", {type: tmpfs, target: /fast, tmpfs: {size: 1m}}]
    tmpfs: ["/tmp:size=64k"]
    ulimits: {nofile: 1000}
    cap_drop: [NET_RAW]
    hostname: store
    working_dir: /tmp
    labels: {of: the shop}
    shm_size: 1m
    read_only: true
    extra_hosts: ["other:192.0.2.7"]
    healthcheck: {test: "true", interval: 1m, start_interval: 100ms, start_period: 10s, retries: 2}
    logging: {driver: json-file, options: {max-size: 1m}}
    deploy: {resources: {limits: {memory: 64M, pids: 50}}}
    expose: ["5432"]
  web:
    {image: box, command: [sleep, "1000"], stop_signal: SIGKILL, networks: [back], restart: always, depends_on: [db]}
networks:
  back: {driver: veths}
volumes:
  data: {}
"""


class Shop:
    """An engine with the orchestrator in it, and docker compose at its socket."""

    def __init__(self, engine, socket, folder):
        self.engine, self.socket, self.folder = engine, socket, folder
        (folder / "compose.yaml").write_text(FILE)

    def compose(self, *words):
        program = file("usr/libexec/docker/cli-plugins/docker-compose", "compose")
        done = subprocess.run(
            [program, *words], env=environment(DOCKER_HOST=f"unix://{self.socket}", HOME="/nonexistent"),
            cwd=self.folder, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done

    def application(self):
        """Return what the file describes."""
        return application(read(Asked(files=(str(self.folder / "compose.yaml"),)), {"SPOKEN": "a word"}).used())

    def there(self):
        """Return the ids of containers that run, by name."""
        return {each.name: each.id for each in self.engine.containers.list() if each.state.pid}

    def up(self, *names):
        eventually(lambda: sorted(self.there()) == sorted(names), f"{names} run")
        return self.there()


@pytest.fixture
def shop(tmp_path):
    rootfs = make_rootfs(tmp_path / "rootfs", PROGRAMS)
    parts = {"store": True, "drivers": {"veths": Veths()}, "discovery": Ledger()}
    with own_mounts(shared=True), own_network(), Orchestrated(tmp_path / "engine", rootfs, **parts) as engine:
        engine.add_image()
        frontend = make(
            Config(), containers=engine.containers, images=engine.images, volumes=engine.volumes,
            networks=engine.networks, events=engine.events, supervisor=engine.supervisor, image_registry=None,
            builder=None, tracer=None, orchestrator=engine.orchestrator, place=place(tmp_path / "engine", "frontend"),
            clock=engine.clock, log=engine.log,
        )  # fmt: skip
        with frontend:
            frontend.listen([f"unix://{tmp_path}/d.sock"])
            yield Shop(engine, f"{tmp_path}/d.sock", tmp_path)
            for each in engine.orchestrator.applications():
                engine.orchestrator.remove_application(each)


DB, WEB = "shop-db-1", "shop-web-1"


def test_they_make_the_same_containers(shop):
    """Field by field, but for what is the orchestrator's own."""

    def told(container):
        config = container.config
        labels = {key: each for key, each in config.labels.items() if key in ("of", "com.docker.compose.config-hash")}
        endpoints = {each.network: sorted(each.config.aliases) for each in container.endpoints}
        mounts = sorted((each.target, each.type, each.source, each.read_only) for each in config.mounts)
        return evolve(
            config, labels=labels, endpoints={}, environment=tuple(sorted(config.environment)), hostname="", mounts=(),
            attach_stdout=False, attach_stderr=False, image="",
            exposed_ports=tuple(sorted(each.removesuffix("/tcp") for each in config.exposed_ports)),
        ), endpoints, mounts  # fmt: skip

    shop.compose("up", "--detach")
    shop.up(DB, WEB)
    theirs = {each.name: told(each) for each in shop.engine.containers.list()}
    shop.compose("down", "--timeout", "1")
    shop.engine.orchestrator.apply(shop.application())
    shop.up(DB, WEB)
    ours = {each.name: told(each) for each in shop.engine.containers.list()}
    for name, (config, *rest) in theirs.items():
        assert _differences(ours[name][0], config) == {}
        assert ours[name][1:] == tuple(rest)


def _differences(one, other):
    names = [each.name for each in fields(type(one))]
    both = {name: (getattr(one, name), getattr(other, name)) for name in names}
    return {name: each for name, each in both.items() if each[0] != each[1]}


def test_docker_compose_goes_on(shop):
    """It finds nothing to do, sees its own project, and takes it down."""
    shop.engine.orchestrator.apply(shop.application())
    before = shop.up(DB, WEB)
    shop.compose("up", "--detach")
    assert shop.there() == before
    listed = [json.loads(each) for each in shop.compose("ps", "--format", "json").stdout.splitlines()]
    assert {(each["Service"], each["ID"]) for each in listed} == {("db", before[DB][:12]), ("web", before[WEB][:12])}
    shop.compose("down", "--timeout", "1")
    assert shop.there() == {}
    eventually(lambda: shop.engine.orchestrator.services() == (), "the orchestrator forgets it")
    assert "shop_back" not in {each.name for each in shop.engine.networks.list()}


def test_going_on_with_docker_composes(shop):
    """What it began is seen, left alone by the same description, scaled, and removed."""
    shop.compose("up", "--detach")
    before = shop.up(DB, WEB)
    orchestrator = shop.engine.orchestrator
    assert orchestrator.applications() == ("shop",)
    web = orchestrator.service("shop_web")
    assert (web.spec.dependencies, web.spec.replicas) == ((Dependency("shop_db"),), 1)
    assert web.spec.networks["shop_back"].aliases
    assert orchestrator.task("shop_web.1").status.container_id == before[WEB]
    applied = orchestrator.apply(shop.application())
    assert {each.outcome for each in applied.changes} == {Outcome.UNCHANGED}
    assert shop.there() == before
    orchestrator.scale("shop_web", 2)
    more = shop.up(DB, WEB, "shop-web-2")
    assert more | before == more
    shop.compose("up", "--detach", "--timeout", "1")
    assert shop.up(DB, WEB)[WEB] == before[WEB]
    assert Change("service", "shop_web", Outcome.REMOVED) in orchestrator.remove_application("shop")
    eventually(lambda: shop.engine.containers.list() == (), "all go")
    eventually(lambda: "shop_back" not in {each.name for each in shop.engine.networks.list()}, "the network goes")


def test_each_makes_anew_what_the_other_began(shop):
    """And neither interferes with the other's work."""
    shop.engine.orchestrator.apply(shop.application())
    before = shop.up(DB, WEB)
    shop.compose("up", "--detach", "--force-recreate", "--timeout", "1")
    anew = shop.up(DB, WEB)
    assert not set(before.values()) & set(anew.values())
    found = {each.spec.name: each for each in shop.engine.orchestrator.services()}
    assert sorted(found) == ["shop_db", "shop_web"]
    shop.engine.orchestrator.update("shop_web", found["shop_web"].spec)
    eventually(lambda: shop.there().get(WEB) not in (None, anew[WEB]), "it is made anew")
    assert shop.up(DB, WEB)[DB] == anew[DB]
    assert {each.status.state for each in shop.engine.orchestrator.tasks()} == {TaskState.RUNNING}


def test_a_container_removed_by_hand_stays_away(shop):
    """Until it is applied again; of a service without any, nothing is kept."""
    orchestrator = shop.engine.orchestrator
    orchestrator.apply(shop.application())
    shop.up(DB, WEB)

    shop.engine.containers.remove(WEB, force=True)
    eventually(lambda: [each.spec.name for each in orchestrator.services()] == ["shop_db"], "it is forgotten")

    assert list(shop.there()) == [DB]
    orchestrator.apply(shop.application())
    shop.up(DB, WEB)
