"""An ordinary user's engine through docker's command."""

import io
import json
import os
import tarfile

import pytest
from peers.box import NAME
from peers.sandbox import until
from rootless_engine import HOME, PROGRAMS, UID

pytestmark = pytest.mark.slow
USERS = ["0", str(UID), "1", "1", "100000", "65536"]
GROUPS = ["0", str(UID), "1", "1", "100000", "30000", "30001", "200000", "35536"]


def test_root_inside_is_the_user_outside(engine):
    found = engine.said("sh", "-c", "id -u; cat /proc/self/uid_map /proc/self/gid_map; touch /file && echo written")
    assert found.split() == ["0", *USERS, *GROUPS, "written"]
    engine.said("touch", "/home/made", options=["-v", f"{HOME}:/home"])
    made = engine.sandbox.seen(f"{HOME}/made")
    assert (made.stat().st_uid, made.stat().st_gid) == (UID, UID)
    made.unlink()
    user = engine.said("sh", "-c", "id -u; chown 7:8 /tmp && ls -dn /tmp", options=["--user", "0"])
    assert "7 8" in " ".join(user.split())
    assert engine.said("id", options=["--user", "1000:1000"]) == "uid=1000(user) gid=1000(user) groups=1000(user)"


def test_nothing_is_roots_outside(engine):
    name = engine.up()
    engine("exec", "--user", "1000", "-d", name, "sleep", "1000")
    ours = [pid for pid in engine.sandbox.processes() if _owner(engine, pid) != 0]
    owners = {_owner(engine, pid) for pid in ours}
    assert owners == {UID, 100000 + 999}
    rest = [words for pid, words in engine.sandbox.processes().items() if pid not in ours]
    assert all("setpriv" in words or "docker" not in words for words in rest), rest


def _owner(engine, pid):
    try:
        return engine.sandbox.seen(f"/proc/{pid}").stat().st_uid
    except FileNotFoundError:
        return UID


def test_exec_logs_stop_and_remove(engine):
    name = engine.up()
    assert engine("exec", name, "sh", "-c", "echo in; exit 6", check=False).returncode == 6
    assert engine.out("logs", name) == "up"
    engine("stop", "-t", "60", name)
    assert engine.inspect(name, ".State.ExitCode") == 3
    engine("start", name)
    engine("restart", "-t", "60", name)
    engine("kill", name)
    until(lambda: engine.inspect(name, ".State.Status") == "exited", "its end")
    engine("rm", name)


def test_the_working_folder(engine):
    """It is the same inside; one that is gone is no trouble."""
    engine.sandbox.run("sh", "-c", f"mkdir {HOME}/there && chown {UID}:{UID} {HOME}/there && touch {HOME}/there/seen")
    words = engine.argv("run", "--rm", "-v", "./:/x", NAME, "ls", "/x")
    assert engine.sandbox.run("sh", "-c", f'cd {HOME}/there && exec "$@"', "sh", *words).stdout == "seen\n"
    gone = f'cd {HOME}/there && rm -r {HOME}/there && exec "$@"'
    engine.sandbox.run("sh", "-c", gone, "sh", *engine.argv("ps", "-q"))


def test_a_terminal(engine):
    terminal = engine.terminal("run", "--rm", "-it", "--network=none", NAME, "sh", "-c", "tty; read x; exit 4")
    terminal.read_until("/dev/pts/0")
    terminal.write("\n")
    assert terminal.code() == 4


def test_a_build_a_commit_and_what_differs(engine):
    folder = engine.sandbox.seen(f"{HOME}/context")
    folder.mkdir()
    os.chown(folder, UID, UID)
    (folder / "Dockerfile").write_text(f"FROM {NAME}\nRUN echo built >/file && chown 5:6 /file && rm /bin/yes\n")
    engine("build", "-q", "-t", "made", f"{HOME}/context")
    assert engine.said("sh", "-c", "cat /file; ls -n /file; ls /bin/yes || true", image="made").split()[::3][:2] == [
        "built",
        "5",
    ]
    name = engine.up(image="made")
    engine("exec", name, "sh", "-c", "rm -r /home; touch /new")
    assert {"D /home", "A /new"} <= set(engine.out("diff", name).splitlines())
    engine("commit", name, "again")
    assert engine.said("sh", "-c", "ls -d /new /home 2>&1 || true", image="again").count("/new") == 1
    engine("cp", f"{name}:/file", f"{HOME}/context/copied")
    assert (folder / "copied").read_text() == "built\n"
    engine("rm", "-f", name)
    engine("rmi", "again", "made")
    engine.verb("builder", "prune", "-af")
    for each in folder.iterdir():
        each.unlink()
    folder.rmdir()


def test_pushed_and_pulled(engine):
    """By an image registry in the engine's own network; what images say of owners is kept."""
    config = {
        "version": 0.1, "log": {"level": "error"}, "http": {"addr": "127.0.0.1:5000", "secret": "s"},
        "storage": {"inmemory": {}},
    }  # fmt: skip
    engine.sandbox.seen(f"{HOME}/registry.json").write_text(json.dumps(config))
    words = ("/usr/bin/docker-registry", "serve", "/home/registry.json")
    engine("run", "-d", "--name", "registry", "--network=host", *PROGRAMS, NAME, *words)
    engine("tag", NAME, "127.0.0.1:5000/box")
    until(lambda: engine("push", "127.0.0.1:5000/box", check=False).returncode == 0, "the image registry")
    engine("rmi", "127.0.0.1:5000/box")
    engine("pull", "127.0.0.1:5000/box")
    assert engine.said("echo", "pulled", image="127.0.0.1:5000/box") == "pulled"
    engine("rmi", "127.0.0.1:5000/box")
    engine("rm", "-f", "registry")


@pytest.mark.parametrize(("owner", "kept"), [(65535, True), (70_000, False)])
def test_owners_of_an_image(engine, owner, kept):
    """What is subordinate is kept; what is not is an error that says what helps."""
    made = engine.sandbox.seen(f"{HOME}/layer.tar")
    with tarfile.open(made, "w") as out:
        entry = tarfile.TarInfo("file")
        entry.uid = entry.gid = owner
        out.addfile(entry)
    done = engine("import", f"{HOME}/layer.tar", "owned", check=False)
    if kept:
        name = engine.out("create", "owned", "true")
        whose = engine.sandbox.run(*engine.command("cp", f"{name}:/file", "-")).stdout
        with tarfile.open(fileobj=io.BytesIO(whose.encode("latin-1"))) as found:
            assert found.getmember("file").uid == owner
        engine("rm", name)
        engine("rmi", "owned")
    else:
        assert done.returncode == 1
        assert "/etc/subuid" in done.stderr
    made.unlink()


def test_what_takes_more_than_root_of_a_namespace(engine):
    """Devices by mounts, the host's /proc as it is; a privileged container is no more than its user."""
    for more in ([], ["--privileged"]):
        options = ["--device=/dev/null:/dev/nothing", *more]
        assert engine.said("sh", "-c", "echo x >/dev/nothing && echo y", options=options) == "y"
    assert f"/proc/{engine.pid()}\n" in engine.said("ls", "-d", f"/proc/{engine.pid()}", options=["--pid=host"]) + "\n"
    script = "mount -t tmpfs x /mnt 2>&1 || mount -t tmpfs x /tmp && echo mounted; echo 1 >/proc/sys/kernel/panic"
    done = engine.run("sh", "-c", script, options=["--privileged"])
    assert "mounted" in done.stdout
    assert "denied" in done.stderr.lower() or "read-only" in done.stderr.lower()
    done = engine.run("true", options=["--oom-score-adj=-500"])
    assert "process.oomScoreAdj" in done.stderr


def test_limits_without_a_delegated_group(engine):
    """What somebody asked for is refused by its name, and nothing else is."""
    done = engine.run("true", options=["-m", "50m"])
    assert done.returncode == 125
    assert "linux.resources.memory.limit" in done.stderr
    assert "Delegate=yes" in done.stderr
    name = engine.up()
    done = engine("pause", name, check=False)
    assert "no control group" in done.stderr
    engine("rm", "-f", name)


def test_what_info_says(engine):
    found = engine.out("info", "--format", "{{json .SecurityOptions}} {{.CgroupDriver}} {{.MemoryLimit}}")
    assert found == '["name=seccomp,profile=builtin","name=rootless","name=cgroupns"] none false'
    assert "WARNING: Running in rootless-mode without cgroups" in engine("info").stderr


def test_a_compose_application(engine):
    folder = engine.sandbox.seen(f"{HOME}/app")
    folder.mkdir()
    (folder / "compose.yaml").write_text(_APPLICATION)
    engine("compose", "--project-directory", f"{HOME}/app", "up", "-d", "--wait")
    assert engine.asked("127.0.0.1", 8085).startswith("tcp ")
    words = ("exec", "-T", "client", "/home/python", "/home/ask.py", "web", "80", "tcp")
    assert engine.out("compose", "--project-directory", f"{HOME}/app", *words).startswith("tcp ")
    engine("compose", "--project-directory", f"{HOME}/app", "down", "-v", "-t", "0")
    assert engine.out("ps", "-aq", "--filter", "label=com.docker.compose.project=app") == ""
    (folder / "compose.yaml").unlink()
    folder.rmdir()


_VOLUMES = f'["/usr:/usr:ro", "/usr/lib:/lib:ro", "/usr/lib64:/lib64:ro", "{HOME}:/home:ro"]'
_APPLICATION = f"""
services:
  web:
    image: {NAME}
    command: ["/home/python", "-u", "/home/server.py", "0.0.0.0", "80"]
    volumes: {_VOLUMES}
    ports: ["127.0.0.1:8085:80"]
    healthcheck: {{test: ["CMD", "true"], interval: 1s}}
    networks: [back]
  client:
    image: {NAME}
    command: sleep 1000
    volumes: {_VOLUMES}
    depends_on: {{web: {{condition: service_healthy}}}}
    stop_signal: SIGKILL
    networks: [back]
networks:
  back: {{}}
"""
