"""Secrets and configs reach those containers that they are for, in memory, and are seen nowhere else."""

import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from attrs import evolve
from moby_orchestrator.swarm.codec import encode
from swarm_engine import Engine
from swarm_process import Process

from moby.contracts.containers import ContainerConfig
from moby.contracts.log_driver import LogQuery
from moby.contracts.orchestrator import (
    ConfigSpec,
    FileReference,
    Restart,
    RestartCondition,
    SecretSpec,
    ServiceSpec,
    TaskState,
)  # fmt: skip
from moby.errors import Conflict, Invalid, NotFound, Unsupported
from moby.testing.boxes import read_all
from moby.testing.orchestrator import eventually

pytestmark = [pytest.mark.slow]
SECRET = b"a-quite-particular-secret-4711"
NEVER = Restart(RestartCondition.NONE)


@pytest.fixture(autouse=True)
def nothing_left(engine):
    yield
    for each in engine.orchestrator.services():
        engine.orchestrator.remove(each.id)
    eventually(lambda: not engine.containers.list() and not engine.orchestrator.tasks(), "all containers go")
    for each in engine.orchestrator.secrets():
        engine.orchestrator.remove_secret(each.id)
    for each in engine.orchestrator.configs():
        engine.orchestrator.remove_config(each.id)


def create(engine, script, **more):
    config = ContainerConfig("box", command=("sh", "-c", script), stop_signal="SIGKILL", **more.pop("config", {}))
    return engine.orchestrator.create(ServiceSpec(more.pop("name", "web"), config, restart=NEVER, **more))


def over(engine, name="web"):
    """Return the text of a service's only task, once it is over."""

    def look():
        [task] = engine.orchestrator.tasks(name) or [None]
        return task and task.status.state in (TaskState.COMPLETE, TaskState.FAILED, TaskState.REJECTED) and task

    task = eventually(look, "it is over")
    if task.status.state is TaskState.REJECTED:
        return task.status.error
    fd = engine.orchestrator.logs(name, LogQuery(framed=False))
    try:
        return read_all(fd)
    finally:
        os.close(fd)


def test_in_a_container(engine):
    """At their places, with owners and modes as asked for, read-only, in memory."""
    engine.orchestrator.create_secret(SecretSpec("key", SECRET))
    engine.orchestrator.create_config(ConfigSpec("motd", b"welcome\n"))
    create(
        engine,
        "cat /run/secrets/key /run/secrets/deep/key /etc/motd; stat -c '%a %u %g' /run/secrets/deep/key;"
        "stat -f -c %T /run/secrets /etc/motd; touch /run/secrets/more 2>/dev/null || echo no",
        secrets=(FileReference("key", "key"), FileReference("key", "deep/key", uid=7, gid=8, mode=0o440)),
        configs=(FileReference("motd", "/etc/motd"),),
    )
    assert over(engine) == f"{SECRET.decode()}{SECRET.decode()}welcome\n440 7 8\ntmpfs\ntmpfs\nno\n"
    [memory] = [Path(line.split()[4]) for line in mounts() if line.split()[4].endswith("/files")]
    eventually(lambda: not [*memory.iterdir()], "they go once it is over")


def test_who_has_none(engine):
    """Others' containers have none."""
    engine.orchestrator.create_secret(SecretSpec("key", SECRET))
    create(engine, "while :; do sleep 1000; done", name="one", secrets=(FileReference("key", "key"),))
    create(engine, "ls /run/secrets 2>/dev/null || echo none", name="other")
    assert over(engine, "other") == "none\n"


def test_nowhere_else(engine):
    """In no file of the engine's, no log, no inspect; what the task had goes with it."""
    made = engine.orchestrator.create_secret(SecretSpec("key", SECRET))
    assert SECRET.decode() not in repr(made)
    create(engine, "while :; do sleep 1000; done", secrets=(FileReference("key", "key"),))
    eventually(lambda: [each for each in engine.orchestrator.tasks() if each.status.started_ns], "it runs")
    [container] = engine.containers.list()
    assert SECRET.decode() not in repr(container) + json.dumps(encode(container.config))
    [memory] = [Path(line.split()[4]) for line in mounts() if line.split()[4].endswith("/files")]
    assert [each.read_bytes() for each in memory.rglob("*") if each.is_file()] == [SECRET]
    assert [path for path, data in files(engine.root) if SECRET in data] == []
    assert [line for line in mounts() if str(memory) == line.split()[4] and " - tmpfs " in line]
    engine.orchestrator.remove("web")
    eventually(lambda: not engine.containers.list() and not [*memory.iterdir()], "all of it goes")


def mounts():
    return Path("/proc/thread-self/mountinfo").read_text().splitlines()


def files(root):
    """Yield plain files and their data, without those of containers' roots, which are mounted there."""
    for below, folders, names in os.walk(root):
        folders[:] = [each for each in folders if not os.path.ismount(Path(below, each)) and each != "netns"]
        for path in (Path(below, each) for each in names):
            with contextlib.suppress(FileNotFoundError):  # the engine is at work
                if path.is_file():
                    yield path, path.read_bytes()


def dumped(process, folder):
    """End a process as a bug would; return whether the kernel dumped its core, and what lies in its folder then."""
    resource.prlimit(process.pid, resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    process.send_signal(signal.SIGSEGV)
    _, status = os.waitpid(process.pid, 0)
    process.returncode = -os.WTERMSIG(status)
    assert process.returncode == -signal.SIGSEGV
    return os.WCOREDUMP(status), b"".join(each.read_bytes() for each in folder.iterdir() if each.is_file())


def test_not_in_a_core_dump(tmp_path, rootfs, swarm_plan):
    """An engine with a secret that comes to a bad end leaves none, where another process leaves it for all to read."""
    plain, ours = tmp_path / "plain", tmp_path / "ours"
    plain.mkdir()
    ours.mkdir()
    other = subprocess.Popen(
        [sys.executable, "-c", f"key = {SECRET!r}; print(flush=True); input()"],
        cwd=plain, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    with other:
        other.stdout.readline()
        core, text = dumped(other, plain)
        assert core
        assert SECRET in text or not plain_files()  # elsewhere, where the kernel pipes cores to a program
    process = Process(tmp_path / "engine", rootfs, swarm_plan, cwd=ours)
    process.ask("orchestrator.cluster().create(ClusterSpec())")
    process.ask(f"orchestrator.create_secret(SecretSpec('key', {SECRET!r}))")
    assert SECRET.decode() in process.ask("orchestrator._store.world().secrets.popitem()[1].data")
    core, text = dumped(process.process, ours)
    process.kill()
    with Engine(tmp_path / "engine", rootfs, swarm_plan) as engine:
        assert [each.name for each in engine.orchestrator.secrets()] == ["key"]
    assert (core, SECRET in text) == (False, False)


def plain_files():
    """Whether the kernel writes cores as files into a process's folder (core(5))."""
    pattern = Path("/proc/sys/kernel/core_pattern").read_text()
    return not pattern.startswith(("|", "/", "@"))


def test_templates(engine):
    """A config may say who has it."""
    engine.orchestrator.create_secret(SecretSpec("key", SECRET))
    engine.orchestrator.create_config(
        ConfigSpec("it", b'{{.Service.Name}}.{{.Task.Slot}} {{env "A"}} {{secret "key"}}\n', templating="golang")
    )
    create(
        engine,
        'cat /it; echo "$B"',
        config={"environment": ("A=one", "B={{.Service.Name}}-{{.Task.Slot}}")},
        secrets=(FileReference("key", "key"),),
        configs=(FileReference("it", ""),),
    )
    assert over(engine) == f"web.1 one {SECRET.decode()}\nweb-1\n"


@pytest.mark.parametrize(
    ("config", "words"),
    [
        pytest.param({"environment": ("A={{.Nobody.Knows}}",)}, "expanding template {{.Nobody.Knows}} failed"),
        pytest.param({"hostname": "{{.Task}}"}, "expanding template {{.Task}} failed"),
    ],
)
def test_placeholders_that_nobody_knows(engine, config, words):
    create(engine, "exit 0", config=config)
    assert over(engine) == words


@pytest.mark.parametrize("target", ["../../etc/passwd", "/"])
def test_targets_that_can_t_be(engine, target):
    engine.orchestrator.create_secret(SecretSpec("key", SECRET))
    create(engine, "exit 0", secrets=(FileReference("key", target),))
    assert "key" in over(engine)


def test_refused(engine):
    orchestrator = engine.orchestrator
    with pytest.raises(Invalid, match="secret data must be larger than 0 and less than 512000 bytes"):
        orchestrator.create_secret(SecretSpec("key"))
    with pytest.raises(Invalid, match="invalid secret name"):
        orchestrator.create_secret(SecretSpec("-", b"x"))
    with pytest.raises(Invalid, match="templating driver"):
        orchestrator.create_config(ConfigSpec("it", b"x", templating="jinja"))
    with pytest.raises(Unsupported, match="secret driver 'vault' isn't there"):
        orchestrator.create_secret(SecretSpec("key", b"x", driver="vault"))
    made = orchestrator.create_secret(SecretSpec("key", SECRET))
    with pytest.raises(Conflict, match="secret key already exists"):
        orchestrator.create_secret(SecretSpec("key", SECRET))
    with pytest.raises(Conflict, match="update out of sequence"):
        orchestrator.label_secret("key", {}, made.version + 1)
    with pytest.raises(Invalid, match="only updates to Labels are allowed"):
        orchestrator.label_secret("key", {}, data=b"other")
    assert orchestrator.label_secret("key", {"a": "b"}, made.version, data=SECRET).labels == {"a": "b"}
    with pytest.raises(NotFound, match="secret other not found"):
        create(engine, "exit 0", secrets=(FileReference("other", "other"),))
    spec = create(engine, "exit 0", secrets=(FileReference("key", "key"),)).spec
    with pytest.raises(Conflict, match="secret 'key' is in use by the following service: web"):
        orchestrator.remove_secret("key")
    with pytest.raises(Invalid, match="secret references have a conflicting target: 'key'"):
        orchestrator.update("web", evolve(spec, secrets=(*spec.secrets, FileReference("key", "key"))))
