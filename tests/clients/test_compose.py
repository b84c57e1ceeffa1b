"""The unmodified `docker compose` on our engine: an application of two services from its first line to its last."""

import json

import pytest
from peers.binaries import file
from peers.sandbox import until

pytestmark = pytest.mark.slow
FOLDER = "/var/lib/peers/app"
APPLICATION = """
services:
  db:
    image: localhost/box
    command: sleep 1000
    stop_signal: SIGKILL
    healthcheck: {test: ["CMD", "true"], interval: 1s}
    networks: {back: {aliases: [store]}}
  web:
    image: localhost/box
    command: sh -c "echo up; sleep 1000"
    stop_signal: SIGKILL
    depends_on:
      db: {condition: service_healthy}
    ports: ["127.0.0.1:8081:80"]
    volumes: ["data:/data"]
    environment: {GREETING: hello}
    networks: [front, back]
    secrets: [key]
networks:
  front: {}
  back: {internal: true}
volumes:
  data: {}
secrets:
  key: {file: ./key}
"""


class Application:
    def __init__(self, engine):
        self.engine = engine
        folder = engine.sandbox.seen(FOLDER)
        folder.mkdir()
        (folder / "compose.yaml").write_text(APPLICATION)
        (folder / "key").write_text("open sesame\n")
        self.folder = folder

    def compose(self, *args, **options):
        return self.engine.sandbox.run("docker", "compose", "--project-directory", FOLDER, *args, **options).stdout

    def docker(self, *args):
        return self.engine.sandbox.run("docker", *args).stdout

    def there(self):
        """Services by container's name, and how each is."""
        lines = self.compose("ps", "--all", "--format", "json").splitlines()
        found = [json.loads(each) for each in lines]
        return {each["Name"]: (each["Service"], each["State"], each["Health"]) for each in found}


@pytest.fixture(scope="module")
def app(moby):
    file("usr/libexec/docker/cli-plugins/docker-compose", "compose")
    found = Application(moby)
    found.compose("up", "--detach")
    yield found
    found.compose("down", "--volumes", "--timeout", "1")
    assert "app" not in found.docker("ps", "--all") + found.docker("network", "ls") + found.docker("volume", "ls")


DB, WEB = "app-db-1", "app-web-1"
UP = {DB: ("db", "running", "healthy"), WEB: ("web", "running", "")}


def test_it_is_up_in_the_order_of_what_it_depends_on(app):
    assert app.there() == UP
    started = [json.loads(app.docker("inspect", each))[0]["State"]["StartedAt"] for each in (DB, WEB)]
    assert started == sorted(started)


def test_nothing_to_do(app):
    before = app.docker("ps", "--quiet", "--no-trunc")
    app.compose("up", "--detach")
    assert app.docker("ps", "--quiet", "--no-trunc") == before


def test_what_it_says(app):
    until(lambda: "up" in app.compose("logs", "--no-log-prefix", "web"), "its word")


def test_commands_inside(app):
    assert (
        app.compose("exec", "-T", "web", "sh", "-c", "echo $GREETING; cat /run/secrets/key") == "hello\nopen sesame\n"
    )
    failed = app.engine.sandbox.run(
        "docker", "compose", "--project-directory", FOLDER, "exec", "-T", "web", "sh", "-c", "exit 7", check=False
    )
    assert failed.returncode == 7


def test_its_networks(app):
    """Both services are on one that leads nowhere else; one is on another, by which its port is published."""
    networks = json.loads(app.docker("inspect", WEB))[0]["NetworkSettings"]["Networks"]
    assert sorted(networks) == ["app_back", "app_front"]
    assert networks["app_back"]["Gateway"] == ""
    (back,) = json.loads(app.docker("network", "inspect", "app_back"))
    assert back["Internal"]
    assert sorted(each["Name"] for each in back["Containers"].values()) == [DB, WEB]
    assert app.docker("port", WEB) == "80/tcp -> 127.0.0.1:8081\n"
    database = json.loads(app.docker("inspect", DB))[0]["NetworkSettings"]["Networks"]["app_back"]
    assert {"db", "store", DB} <= set(database["DNSNames"])


def test_more_and_fewer(app):
    app.compose("up", "--detach", "--scale", "db=3")
    assert sorted(app.there()) == [DB, "app-db-2", "app-db-3", WEB]
    app.compose("up", "--detach", "--scale", "db=1")
    assert app.there() == UP


def test_only_what_changed_is_made_anew(app):
    before = {each: app.docker("inspect", "--format", "{{.Id}}", each) for each in (DB, WEB)}
    (app.folder / "compose.yaml").write_text(APPLICATION.replace("hello", "good morning"))
    app.compose("up", "--detach")
    after = {each: app.docker("inspect", "--format", "{{.Id}}", each) for each in (DB, WEB)}
    assert (before[DB] == after[DB], before[WEB] == after[WEB]) == (True, False)
    assert app.compose("exec", "-T", "web", "sh", "-c", "echo $GREETING") == "good morning\n"


def test_it_keeps_its_volume(app):
    app.compose("exec", "-T", "web", "sh", "-c", "echo kept >/data/file")
    app.compose("up", "--detach", "--force-recreate", "--no-deps", "web")
    assert app.compose("exec", "-T", "web", "cat", "/data/file") == "kept\n"


def test_files_in_and_out(app):
    app.engine.sandbox.seen("/var/lib/peers/in").write_text("text\n")
    app.compose("cp", "/var/lib/peers/in", "web:/tmp-in")
    app.compose("cp", "web:/tmp-in", "/var/lib/peers/out")
    assert app.engine.sandbox.seen("/var/lib/peers/out").read_text() == "text\n"


def test_one_more_for_once(app):
    assert app.compose("run", "--rm", "--no-deps", "-T", "web", "echo", "once") == "once\n"
    assert sorted(app.there()) == [DB, WEB]


def test_stopping_and_starting(app):
    app.compose("stop")
    assert {each[1] for each in app.there().values()} == {"exited"}
    app.compose("start")
    assert app.there()[WEB][1] == "running"
    app.compose("pause")
    assert {each[1] for each in app.there().values()} == {"paused"}
    app.compose("unpause")
    app.compose("restart", "web")
    assert app.there()[WEB][1] == "running"
    assert "sleep 1000" in app.compose("top", "web")


def test_what_is_no_part_any_more_is_removed(app):
    (app.folder / "compose.yaml").write_text(
        APPLICATION.replace("  db:\n    image", "  base:\n    image").replace("db: {c", "base: {c")
    )
    app.compose("up", "--detach", "--remove-orphans")
    assert sorted(app.there()) == ["app-base-1", WEB]
