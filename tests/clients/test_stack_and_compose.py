"""One compose file on one engine: as `docker compose`, our own `compose` and `docker stack deploy` make it."""

import json

import pytest
from clients.test_networks import inside
from peers.binaries import file
from peers.sandbox import until

pytestmark = pytest.mark.slow
FOLDER = "/var/lib/peers/one"
FILE = """
services:
  db:
    image: localhost/box
    command: sleep 1000
    stop_signal: SIGKILL
    networks: {back: {aliases: [store]}}
    volumes: ["data:/data"]
    ports: ["8083:80"]
  web:
    image: localhost/box
    command: [sh, -c, "echo $$GREETING; cat /etc/text; exec sleep 1000"]
    stop_signal: SIGKILL
    depends_on: [db]
    environment: {GREETING: hello, PLACE: town}
    labels: {tier: front}
    configs: [{source: text, target: /etc/text}]
    networks: [front, back]
    volumes: ["data:/data:ro", {type: tmpfs, target: /scratch}]
    deploy: {replicas: 2, resources: {limits: {memory: 64M}}}
networks: {front: {labels: {side: outer}}, back: {}}
volumes: {data: {}}
configs: {text: {file: ./text}}
"""
RESOLVE = "import socket; print(len(socket.getaddrinfo('{}', 80, socket.AF_INET, socket.SOCK_STREAM)) > 0)"


class Way:
    """How the file is brought up, and taken down."""

    def __init__(self, engine, up, down, label):
        self.engine, self.up, self.down, self.label = engine, up, down, label

    def ids(self):
        """Return ids of containers by service."""
        found = {"db": set(), "web": set()}
        shown = f'{{{{.ID}}}} {{{{.Label "{self.label}"}}}}'
        for each in self.engine.out("ps", "--no-trunc", "--format", shown).splitlines():
            container, service = each.split()
            found[service.removeprefix("one_")].add(container)
        return found

    def bring(self, text, web):
        """Have it as the file says, and return its containers by service."""
        (self.engine.sandbox.seen(FOLDER) / "compose.yaml").write_text(text)
        self.engine.sandbox.run(*self.up)
        until(lambda: {name: len(ids) for name, ids in self.ids().items()} == {"db": 1, "web": web}, "all of it")
        return self.ids()


@pytest.fixture(scope="module")
def engine(swarm):
    file("usr/libexec/docker/cli-plugins/docker-compose", "compose")
    swarm("swarm", "init", "--advertise-addr", "127.0.0.1")
    folder = swarm.sandbox.seen(FOLDER)
    folder.mkdir()
    (folder / "text").write_text("of a file\n")
    yield swarm
    swarm("swarm", "leave", "--force")


@pytest.fixture(params=["docker compose", "compose", "docker stack"])
def way(engine, request):
    before = there(engine)
    path, service = f"{FOLDER}/compose.yaml", "com.docker.compose.service"
    compose = {"docker compose": ["docker", "compose"], "compose": engine.argv("compose")}.get(request.param)
    if compose:
        words = [*compose, "-p", "one", "-f", path]
        found = Way(engine, [*words, "up", "--detach"], [*words, "down", "--volumes"], service)
    else:
        up = ["docker", "stack", "deploy", "--resolve-image", "never", "-c", path, "one"]
        found = Way(engine, up, ["docker", "stack", "rm", "one"], "com.docker.swarm.service.name")
    yield found
    engine.sandbox.run(*found.down)
    until(lambda: not engine.out("ps", "--all", "--quiet"), "its containers are gone")
    if not compose:  # which keeps a stack's volumes
        engine("volume", "rm", "one_data")
    until(lambda: there(engine) == before, "nothing of it is left")


def there(engine):
    return [engine.out(kind, "ls", "--format", "{{.Name}}") for kind in ("network", "volume", "config")]


def plain(engine, name):
    """Return what the file says of a container, without what is its maker's own."""
    (shown,) = json.loads(engine.out("inspect", name))
    config = shown["Config"]
    mounts = [[each["Type"], each.get("Name", ""), each["Destination"], each["RW"]] for each in shown["Mounts"]]
    networks = shown["NetworkSettings"]["Networks"]
    return {
        "command": config["Cmd"],
        "environment": sorted(each for each in config["Env"] if not each.startswith("PATH=")),
        "labels": {key: text for key, text in config["Labels"].items() if not key.startswith("com.docker.")},
        "mounts": sorted(each for each in mounts if each[2] != "/etc/text"),
        "memory": shown["HostConfig"]["Memory"],
        "networks": sorted({*networks} - {"ingress"}),
    }


WEB = {
    "command": ["sh", "-c", "echo $GREETING; cat /etc/text; exec sleep 1000"],
    "environment": ["GREETING=hello", "PLACE=town"],
    "labels": {"tier": "front"},
    "mounts": [["tmpfs", "", "/scratch", True], ["volume", "one_data", "/data", False]],
    "memory": 64 << 20,
    "networks": ["one_back", "one_front"],
}
DB = {
    "command": ["sleep", "1000"],
    "environment": [],
    "labels": {},
    "mounts": [["volume", "one_data", "/data", True]],
    "memory": 0,
    "networks": ["one_back"],
}


def test_one_file(engine, way):
    """The same containers, found by the same names, of which a change makes the same anew; and nothing left of it."""
    before = way.bring(FILE, 2)
    (database,) = before["db"]
    assert plain(engine, database) == DB
    assert [plain(engine, each) for each in before["web"]] == [WEB] * 2
    for each in before["web"]:
        until(lambda each=each: engine.out("logs", each) == "hello\nof a file", "what it says")
    for each in (database, *before["web"]):
        for name in ("db", "store", "web"):
            words = (*inside(engine, each), "python3", "-c", RESOLVE.format(name))
            until(lambda words=words: engine.sandbox.run(*words, check=False).stdout == "True\n", f"{name} is found")
    more = FILE.replace("replicas: 2", "replicas: 3")
    kept = way.bring(more, 3)
    assert (kept["db"], kept["web"] >= before["web"]) == (before["db"], True)
    way.bring(more.replace("hello", "goodbye"), 3)
    until(lambda: not way.ids()["web"] & kept["web"] and len(way.ids()["web"]) == 3, "others are there")
    assert way.ids()["db"] == before["db"]
    for each in way.ids()["web"]:
        assert plain(engine, each) == {**WEB, "environment": ["GREETING=goodbye", "PLACE=town"]}
