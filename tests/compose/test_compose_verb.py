"""`compose` of the distribution itself, and docker compose beside it: what one began the other goes on with."""

import contextlib
import json
import select
import subprocess

import pytest
from clients.engine import opened_moby
from peers.binaries import file
from peers.box import archive
from peers.sandbox import TEMPORARY, until

pytestmark = pytest.mark.slow
FOLDER = TEMPORARY / "app"
APPLICATION = """
services:
  db:
    image: localhost/box
    command: sh -c "echo >/ready; sleep 1000"
    stop_signal: SIGKILL
    healthcheck: {test: "[ -f /ready ]", interval: 1s, start_interval: 100ms, start_period: 10s}
    networks: {back: {aliases: [store]}}
    volumes: ["/kept"]
  once:
    image: localhost/box
    command: sh -c "exit 0"
    networks: [back]
  web:
    image: localhost/box
    command: sh -c "echo up; sleep 1000"
    stop_signal: SIGKILL
    depends_on:
      db: {condition: service_healthy}
      once: {condition: service_completed_successfully}
    ports: ["127.0.0.1:8081:80"]
    volumes: ["data:/data", "./bound:/bound:ro"]
    env_file: more.env
    environment: {GREETING: hello}
    networks: [front, back]
    secrets: [key, spoken]
    configs: [{source: text, target: /etc/text, mode: 0400}]
    ulimits: {nofile: 1000}
    deploy: {resources: {limits: {memory: 64M, pids: 50}}}
  tool:
    image: localhost/box
    command: sleep 1000
    profiles: [tools]
    network_mode: none
networks:
  front: {}
  back: {internal: true}
volumes:
  data: {}
secrets:
  key: {file: ./key}
  spoken: {environment: SPOKEN}
configs:
  text: {content: "of ${GREETING:-nobody}\\n"}
"""
DB, ONCE, WEB = "app-db-1", "app-once-1", "app-web-1"


class Application:
    def __init__(self, engine):
        self.engine = engine
        self.folder = engine.sandbox.seen(FOLDER)
        self.folder.mkdir()
        self.write(APPLICATION)
        (self.folder / "key").write_text("open sesame\n")
        (self.folder / "more.env").write_text("MORE=from a file\n")
        (self.folder / "bound").mkdir()
        engine.sandbox.environment["SPOKEN"] = "a word"

    def write(self, text):
        (self.folder / "compose.yaml").write_text(text)

    def argv(self, *words):
        return self.engine.argv("compose", "--project-directory", FOLDER, *words)

    def ours(self, *words, **options):
        return self.engine.sandbox.run(*self.argv(*words), **options)

    def theirs(self, *words):
        return self.engine.sandbox.run("docker", "compose", "--project-directory", FOLDER, *words)

    def cat(self, path):
        """Return what is in a file in `web`; nothing where there is none."""
        return self.ours("exec", "-T", "web", "cat", path, check=False).stdout

    def docker(self, *words):
        return self.engine.sandbox.run("docker", *words).stdout

    def there(self):
        """Return ids of the project's containers by their names."""
        listed = self.docker("ps", "--all", "--no-trunc", "--format", "{{.Names}} {{.ID}}").splitlines()
        return dict(each.split() for each in listed)

    def inspected(self, name):
        (found,) = json.loads(self.docker("inspect", name))
        return found


@pytest.fixture(scope="module")  # whose processes are this one's children, for which others wait
def app(tmp_path_factory, docker_pyz):
    file("usr/libexec/docker/cli-plugins/docker-compose", "compose")
    folder = tmp_path_factory.mktemp("compose")
    image = archive(folder / "image.tar", folder / "rootfs")
    with opened_moby(folder / "engine", image, docker_pyz) as engine:
        found = Application(engine)
        found.ours("up", "--detach", "--timeout", "1")
        yield found
        found.write(APPLICATION)
        found.ours("--profile", "*", "down", "--volumes", "--timeout", "1", "--remove-orphans")
        left = [found.docker(*each) for each in (["ps", "--all"], ["network", "ls"], ["volume", "ls"])]
        assert not [line for text in left for line in text.splitlines() if "app" in line]
        engine.check_gone()


def test_it_is_up(app):
    assert sorted(app.there()) == [DB, ONCE, WEB]
    web = app.inspected(WEB)
    assert web["State"]["Status"] == "running"
    assert web["HostConfig"]["Memory"] == 64 << 20
    started = [app.inspected(each)["State"]["StartedAt"] for each in (DB, WEB)]
    assert started == sorted(started)
    assert app.inspected(ONCE)["State"]["ExitCode"] == 0
    said = app.ours("exec", "-T", "web", "sh", "-c", "echo $GREETING $MORE; cat /run/secrets/key /etc/text").stdout
    assert said == "hello from a file\nopen sesame\nof nobody\n"
    assert app.ours("exec", "-T", "web", "cat", "/run/secrets/spoken").stdout == "a word"


def test_nothing_to_do(app):
    before = app.there()
    app.ours("up", "--detach")
    assert app.there() == before


def test_docker_compose_takes_it_over(app):
    """It makes nothing anew, and neither do we of what it made."""
    before = app.there()
    app.theirs("up", "--detach")
    assert app.there() == before
    app.theirs("up", "--detach", "--force-recreate", "--timeout", "1")
    made = app.there()
    assert not set(made.values()) & set(before.values())
    app.ours("up", "--detach")
    assert app.there() == made


def test_labels_are_docker_composes(app):
    """All but those of who was replaced."""
    theirs = app.inspected(WEB)["Config"]["Labels"]
    app.ours("up", "--detach", "--force-recreate", "--no-deps", "--timeout", "1", "web")
    ours = app.inspected(WEB)["Config"]["Labels"]
    for labels in (theirs, ours):
        labels.pop("com.docker.compose.replace", None)
        on = labels["com.docker.compose.depends_on"].split(",")
        labels["com.docker.compose.depends_on"] = ",".join(sorted(on))
    narrowed = {"com.docker.compose.depends_on": "", "com.docker.compose.config-hash": ""}
    assert ours | narrowed == theirs | narrowed
    app.ours("up", "--detach", "--timeout", "1")


def test_containers_are_as_docker_compose_makes_them(app):
    def told(name):
        found = app.inspected(name)
        host, config = found["HostConfig"], found["Config"]
        host["Mounts"] = sorted(host.get("Mounts") or [], key=lambda each: each["Target"])
        for key in ("Hostname", "Labels"):
            del config[key]
        config["Env"].sort()
        aliases = {key: each["Aliases"] for key, each in found["NetworkSettings"]["Networks"].items()}
        return {**host, **config, "aliases": aliases}

    app.theirs("up", "--detach", "--force-recreate", "--timeout", "1")
    theirs = [told(each) for each in (DB, ONCE, WEB)]
    app.ours("up", "--detach", "--force-recreate", "--timeout", "1")
    for name, before in zip((DB, ONCE, WEB), theirs, strict=True):
        after = told(name)
        assert {key: (after.get(key), each) for key, each in before.items() if after.get(key) != each} == {}


def test_only_what_changed_is_made_anew(app):
    before = app.there()
    app.write(APPLICATION.replace("GREETING: hello", "GREETING: good morning"))
    app.ours("up", "--detach", "--timeout", "1")
    after = app.there()
    assert [name for name in before if before[name] != after[name]] == [WEB]
    assert app.ours("exec", "-T", "web", "sh", "-c", "echo $GREETING").stdout == "good morning\n"
    app.write(APPLICATION)
    app.ours("up", "--detach", "--timeout", "1")


def test_anonymous_volumes_stay(app):
    app.ours("exec", "-T", "db", "sh", "-c", "echo here >/kept/file")
    app.ours("up", "--detach", "--force-recreate", "--timeout", "1", "db")
    assert app.ours("exec", "-T", "db", "cat", "/kept/file").stdout == "here\n"


def test_what_is_told(app):
    until(lambda: app.inspected(DB)["State"]["Health"]["Status"] == "healthy", "the database's health")
    until(lambda: app.ours("logs", "web").stdout == "web-1  | up\n", "what web says")
    listed = [json.loads(each) for each in app.ours("ps", "--all", "--format", "json").stdout.splitlines()]
    theirs = [json.loads(each) for each in app.theirs("ps", "--all", "--format", "json").stdout.splitlines()]
    keys = ("ID", "Name", "Service", "State", "Health", "ExitCode", "Project")
    both = [sorted([each[key] for key in keys] for each in found) for found in (listed, theirs)]
    assert both[0] == both[1]
    assert app.ours("ps", "--services").stdout.split() == ["db", "web"]
    assert app.ours("ps", "--quiet", "web").stdout == app.there()[WEB] + "\n"
    assert "127.0.0.1:8081->80/tcp" in app.ours("ps").stdout
    assert app.ours("port", "web", "80").stdout == "127.0.0.1:8081\n"
    assert app.ours("logs", "--no-log-prefix", "--tail", "1", "web").stdout == "up\n"
    assert "sleep 1000" in app.ours("top", "web").stdout
    assert "running(2)" in app.ours("ls").stdout
    assert json.loads(app.ours("images", "--format", "json", "web").stdout)[0]["Repository"] == "localhost/box"
    assert app.ours("version", "--short").stdout == "2.26.1\n"
    assert app.ours("config", "--services").stdout.split() == ["db", "once", "web"]


def test_config_is_docker_composes(app):
    assert app.ours("config").stdout == app.theirs("config").stdout


def test_more_and_fewer(app):
    app.ours("up", "--detach", "--scale", "db=3", "--timeout", "1")
    assert sorted(app.there()) == [DB, "app-db-2", "app-db-3", ONCE, WEB]
    app.ours("scale", "db=1")
    assert sorted(app.there()) == [DB, ONCE, WEB]


def test_stopping_and_starting(app):
    def states():
        return {app.inspected(each)["State"]["Status"] for each in (DB, WEB)}

    app.ours("stop", "--timeout", "1")
    assert states() == {"exited"}
    app.ours("start")
    assert states() == {"running"}
    app.ours("pause")
    assert states() == {"paused"}
    app.ours("unpause")
    app.ours("restart", "--timeout", "1", "web")
    assert states() == {"running"}
    app.ours("kill", "web")
    until(lambda: app.inspected(WEB)["State"]["Status"] == "exited", "web to end")
    app.ours("rm", "--force", "web")
    assert WEB not in app.there()
    app.ours("up", "--detach", "--timeout", "1")
    assert WEB in app.there()


def test_files_in_and_out(app):
    (app.folder / "in").write_text("text\n")
    app.ours("cp", FOLDER / "in", "web:/tmp-in")
    app.ours("cp", "web:/tmp-in", FOLDER / "out")
    assert (app.folder / "out").read_text() == "text\n"


def test_one_more_for_once(app):
    assert app.ours("run", "--rm", "-T", "-e", "MORE=x", "web", "sh", "-c", "echo once $MORE").stdout == "once x\n"
    assert app.ours("run", "--rm", "-T", "web", "sh", "-c", "exit 7", check=False).returncode == 7
    assert sorted(app.there()) == [DB, ONCE, WEB]
    assert app.ours("exec", "-T", "web", "sh", "-c", "exit 5", check=False).returncode == 5


def test_profiles(app):
    app.ours("--profile", "tools", "up", "--detach", "--timeout", "1")
    assert "app-tool-1" in app.there()
    app.ours("--profile", "tools", "rm", "--force", "--stop", "tool")
    assert "app-tool-1" not in app.there()


def test_orphans(app):
    app.write(APPLICATION.replace("  tool:", "  other:"))
    app.ours("--profile", "tools", "up", "--detach", "--timeout", "1")
    app.write(APPLICATION)
    assert "Found orphan containers (app-other-1)" in app.ours("up", "--detach", "--timeout", "1").stderr
    app.ours("up", "--detach", "--remove-orphans", "--timeout", "1")
    assert sorted(app.there()) == [DB, ONCE, WEB]


def test_an_up_that_is_interrupted_stops_all(app):
    app.ours("stop", "--timeout", "1")
    process = subprocess.Popen(
        app.engine.sandbox.argv(*app.argv("up", "--timeout", "1")),
        env=app.engine.sandbox.environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    with process:
        assert any("web-1" in line and "up" in line for line in process.stdout)
        inside = [pid for pid, words in app.engine.sandbox.processes().items() if " compose " in words]
        app.engine.sandbox.run("kill", "-INT", str(inside[-1]))
        assert process.wait(60) == 130
    assert app.inspected(WEB)["State"]["Status"] == "exited"
    app.ours("up", "--detach", "--timeout", "1")


def test_being_attached(app):
    process = subprocess.Popen(
        app.engine.sandbox.argv(*app.argv("attach", "--no-stdin", "web")),
        env=app.engine.sandbox.environment, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    with process:
        until(lambda: any(" attach " in each for each in app.engine.sandbox.processes().values()), "it to attach")
        until(lambda: _heard(app, process), "what is written to come")
        app.ours("kill", "web")
        assert process.wait(60) == 137
    app.ours("up", "--detach", "--timeout", "1")
    refused = app.ours("attach", "nothing", check=False)
    assert 'service "nothing" is not running' in refused.stderr


def _heard(app, process):
    """Whether what a container's first process writes comes, which it is made to again and again."""
    app.ours("exec", "-T", "web", "sh", "-c", "echo heard >/proc/1/fd/1")
    return select.select([process.stdout], [], [], 0.2)[0] and process.stdout.readline() == "heard\n"


def test_what_they_use(app):
    told = app.ours("stats", "--no-stream", "--format", "{{.Name}} {{.PIDs}}").stdout.splitlines()
    assert {each.split()[0] for each in told} == {DB, WEB}
    assert app.ours("stats", "--no-stream", "--format", "{{.Name}}", "web").stdout == f"{WEB}\n"
    assert "no such service: nothing" in app.ours("stats", "nothing", check=False).stderr
    assert "no container runs" in app.ours("stats", "once", check=False).stderr


WATCHED = """
    develop:
      watch:
        - {action: sync, path: ./source, target: /copied, ignore: [node/]}
        - {action: sync+restart, path: ./settings, target: /settings}
        - {action: sync+exec, path: ./hooked, target: /hooked, exec: {command: [sh, -c, "echo ran >>/hooks"]}}
"""


@contextlib.contextmanager
def ending(sandbox):
    """Interrupt the verb at the end, whatever came before."""
    try:
        yield
    finally:
        inside = [pid for pid, words in sandbox.processes().items() if " compose " in words]
        for pid in inside[-1:]:
            sandbox.run("kill", "-INT", str(pid))


def test_watching(app):
    """What changes comes into the container, what is gone goes there, and it is restarted where that is said."""
    for name in ("source/node", "hooked"):
        (app.folder / name).mkdir(parents=True, exist_ok=True)
    (app.folder / "settings").write_text("1")
    app.write(APPLICATION.replace("    ulimits:", WATCHED.lstrip("\n") + "    ulimits:"))
    process = subprocess.Popen(
        app.engine.sandbox.argv(*app.argv("watch")),
        env=app.engine.sandbox.environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    with process, ending(app.engine.sandbox):
        assert any("Watch enabled" in line for line in process.stderr)
        (app.folder / "source/sub").mkdir(exist_ok=True)
        (app.folder / "source/sub/file").write_text("text\n")
        (app.folder / "source/node/big").write_text("no\n")
        until(lambda: app.cat("/copied/sub/file") == "text\n", "a new file to come")
        (app.folder / "source/sub/file").unlink()
        until(lambda: app.cat("/copied/sub/file") == "", "a removed file to go")
        assert app.cat("/copied/node/big") == ""
        (app.folder / "whole").write_text("text\n")
        (app.folder / "whole").rename(app.folder / "hooked/file")  # seen once, not empty before
        until(lambda: app.cat("/hooks") == "ran\n", "the command to run")
        before = app.inspected(WEB)["State"]["StartedAt"]
        (app.folder / "settings").write_text("2")
        until(lambda: app.inspected(WEB)["State"]["StartedAt"] != before, "a restart")
        until(lambda: app.cat("/settings") == "2", "the new settings")
    assert process.returncode == 130
    app.write(APPLICATION)
    assert "none of the selected services is configured for watch" in app.ours("watch", check=False).stderr
    app.ours("up", "--detach", "--timeout", "1")


BOX = "image: localhost/box, command: sleep 1000, network_mode: none, stop_signal: SIGKILL"
HEALTH = "healthcheck: {test: 'exit 1', interval: 100ms, start_interval: 100ms, retries: 1}"
ENDS = BOX.replace("sleep 1000", "'sh -c \"exit 4\"'")
WRONG = [
    ("a: {image: localhost/box, command: 'true', network_mode: none}", "up --exit-code-from no", "no such service: no"),
    (f"a: {{{BOX}}}", "start no", "no such service: no"),
    (f"a: {{{BOX}}}", "wait a", "no containers for project 'wrong'"),
    (f"a: {{{BOX}}}", "stats no", "no such service: no"),
    (f"a: {{{BOX}}}", "exec -T a", "no command"),
    (f"a: {{{BOX}}}", "cp /x /y", "one of both is SERVICE:PATH"),
    (f"a: {{{BOX}}}", "ps no", "no such service: no"),
    (f"a: {{{BOX}}}", "attach a", 'service "a" is not running'),
    (f"a: {{{BOX}}}", "up -d --pull never --scale a=x", "'a=x' is no SERVICE=NUMBER"),
    (f"a: {{{BOX}, container_name: one}}", "up -d --scale a=2", "2 containers of a can't all be called one"),
    (f"a: {{{BOX.replace('none', 'service:b')}}}, b: {{{BOX}}}", "up -d --scale b=0", "nothing can be shared"),
    (
        f"a: {{{BOX}, depends_on: {{b: {{condition: service_healthy}}}}}}, b: {{{BOX}}}", "up -d --scale b=0",
        "dependency b has no container",
    ),
    (
        f"a: {{{BOX}, depends_on: {{b: {{condition: service_healthy}}}}}}, b: {{{BOX}}}", "up -d",
        "wrong-b-1 has no healthcheck configured",
    ),
    (
        f"a: {{{BOX}, depends_on: {{b: {{condition: service_healthy}}}}}}, b: {{{BOX}, {HEALTH}}}", "up -d",
        "wrong-b-1 is unhealthy",
    ),
    (
        f"a: {{{BOX}, depends_on: {{b: {{condition: service_healthy}}}}}}, b: {{{ENDS}, {HEALTH}}}", "up -d",
        "wrong-b-1 exited (4)",
    ),
    ("a: {image: localhost/absent}", "up -d --pull never", "the image localhost/absent of service a isn't there"),
    ("a: {image: localhost:1/absent}", "pull", "localhost:1"),
    ("a: {build: {context: ., dockerfile_inline: 'FROM nonesuch AS'}}", "build", "the image of a can't be built"),
    ("a: {build: {context: ., isolation: x}}", "build", "services.a.build.isolation isn't supported"),
    (f"a: {{{BOX}, develop: {{watch: [{{path: ./no, action: restart}}]}}}}", "watch", "no isn't there"),
    ("a: {image: x, networks: [n]}\nnetworks: {n: {external: true, name: no}}", "up -d --pull never", "isn't there"),
    ("a: {image: localhost/box}\nnetworks: {default: {external: true, name: no}}", "up -d", "network no declared"),
    (f"a: {{{BOX}, volumes: ['vol:/v']}}\nvolumes: {{vol: {{external: true, name: no}}}}", "up -d", '"no" not found'),
    (f"a: {{{BOX}, secrets: [s]}}\nsecrets: {{s: {{external: true}}}}", "up -d", "secrets.s.external needs a swarm"),
    (f"a: {{{BOX}, configs: [c]}}\nconfigs: {{c: {{environment: NONESUCH}}}}", "up -d", "NONESUCH isn't set"),
]  # fmt: skip


@pytest.mark.parametrize(("services", "words", "message"), WRONG, ids=[each[2] for each in WRONG])
def test_errors_of_verbs(app, services, words, message):
    """What failed is said with its name, and the exit code isn't 0."""
    folder = app.engine.sandbox.seen(TEMPORARY / "wrong")
    folder.mkdir(exist_ok=True)
    head, _, rest = services.partition("\n")
    (folder / "compose.yaml").write_text(f"name: wrong\nservices: {{{head}}}\n{rest}\n")
    given = app.engine.argv("compose", "--project-directory", TEMPORARY / "wrong")
    try:
        done = app.engine.sandbox.run(*given, *words.split(), check=False)
        assert message in done.stderr
        assert done.returncode not in (0, 70)
    finally:
        app.engine.sandbox.run(*given, "down", "--timeout", "1", "--remove-orphans", check=False)


def test_a_name_that_is_taken(app):
    """By a container of others': said, and the rest of the application stays as it is."""
    app.docker("run", "-d", "--name", "wrong-a-1", "--network", "none", "localhost/box", "sleep", "1000")
    folder = app.engine.sandbox.seen(TEMPORARY / "wrong")
    folder.mkdir(exist_ok=True)
    (folder / "compose.yaml").write_text(f"name: wrong\nservices: {{a: {{{BOX}}}, b: {{{BOX}}}}}\n")
    given = app.engine.argv("compose", "--project-directory", TEMPORARY / "wrong")
    done = app.engine.sandbox.run(*given, "up", "-d", check=False)
    assert (done.returncode, 'The container name "/wrong-a-1" is already in use' in done.stderr) == (1, True)
    app.docker("rm", "--force", "wrong-a-1")
    app.engine.sandbox.run(*given, "up", "-d")
    assert {"wrong-a-1", "wrong-b-1"} <= app.there().keys()
    app.engine.sandbox.run(*given, "down", "--timeout", "1")


def test_what_goes_wrong(app):
    def fails(*words):
        done = app.ours(*words, check=False)
        assert done.returncode != 0
        return done.stderr

    assert "no such service: nothing" in fails("up", "--detach", "nothing")
    assert 'service "nothing" is not running' in fails("exec", "nothing", "true")
    assert "no port 81/tcp for container app-web-1" in fails("port", "web", "81")
    assert "is no SERVICE=NUMBER" in fails("scale", "db")
    assert "is no time" in fails("logs", "--since", "never")
    assert "are incompatible" in fails("up", "--force-recreate", "--no-recreate")
    app.write(APPLICATION.replace('sh -c "exit 0"', 'sh -c "exit 3"'))
    assert "didn't complete successfully: exit 3" in fails("up", "--detach", "--timeout", "1")
    app.write(APPLICATION + "  extra: {file: x, content: y}\n")
    assert f"{FOLDER}/compose.yaml:" in fails("config")
    app.write(APPLICATION.replace("    ulimits:", "    cpu_count: 2\n    ulimits:"))
    assert "services.web.cpu_count isn't supported" in fails("up", "--detach")
    app.write(APPLICATION)
    app.ours("up", "--detach", "--timeout", "1")
