"""Hooks on the native runtime: their order, where they run, what they are told, and what comes of one that fails."""

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from moby_runtime.native.runtime import Native
from moby_runtime.native.spec import read

from moby.contracts.types import TaskStatus
from moby.errors import Invalid, NotFound
from moby.testing.boxes import Boxes, MakeRuntime
from moby.testing.runtime import RuntimeFixtures
from moby.testing.runtime_offers import needs_root

IN_CREATE = ("prestart", "createRuntime", "createContainer")
IN_START = ("startContainer", "poststart")
ALL = (*IN_CREATE, *IN_START, "poststop")
OF_THE_HOST = ("prestart", "createRuntime", "poststart", "poststop")
TELL = (
    'read -r state; echo "{name} $(readlink /proc/self/ns/mnt) $(readlink /proc/self/ns/pid) $PWD $state" >> {log}/log'
)


class Logs:
    """Keeps what the runtime warns of."""

    def __init__(self) -> None:
        self.warnings: list[tuple[str, object]] = []

    def warning(self, message: str, **fields: object) -> None:
        self.warnings.append((message, fields.get("field")))


def shell(script: str, **more: Any) -> dict[str, Any]:
    return {"path": "/bin/sh", "args": ["sh", "-c", script], **more}


def commands() -> Iterator[bytes]:
    """Yield what is run in each process of this machine, any of which may end meanwhile."""
    for each in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            yield each.read_bytes()


@pytest.fixture
def log(boxes: Boxes) -> Path:
    folder = boxes.bundles.folder / "log"
    folder.mkdir()
    return folder


def hooked(boxes: Boxes, log: Path, hooks: dict[str, Any], *args: str) -> dict[str, Any]:
    """Return a config.json with hooks, in whose container the log's folder is where it is outside."""
    data = boxes.config(*(args or ("true",)))
    data["mounts"].append({"destination": str(log), "source": str(log), "options": ["bind"]})
    data["annotations"] = {"org.example.a": "b"}
    data["hooks"] = hooks
    return data


def telling(log: Path, *names: str) -> dict[str, Any]:
    return {name: [shell(TELL.format(name=name, log=log))] for name in names}


def told(log: Path) -> list[tuple[str, str, str, str, dict[str, Any]]]:
    """Return what hooks wrote: name, mount and PID namespace, folder, state."""
    with contextlib.suppress(FileNotFoundError):
        lines = [line.split(" ", 4) for line in (log / "log").read_text().splitlines()]
        return [(name, mount, pid, folder, json.loads(state)) for name, mount, pid, folder, state in lines]
    return []


def names(log: Path) -> list[str]:
    return [each[0] for each in told(log)]


def reap(pid: int) -> None:
    """Wait for what has become this process's child, where it is a subreaper."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(pid, 0) and pid < 0:
            pass


class TestHooks(RuntimeFixtures):
    @pytest.fixture
    def make_runtime(self) -> MakeRuntime:
        return Native

    def test_all_of_them_in_their_order_and_places(self, boxes: Boxes, log: Path) -> None:
        box = boxes.create(hooked(boxes, log, telling(log, *ALL), "sleep", "1000"))
        assert names(log) == list(IN_CREATE)
        boxes.runtime.start(box.id)
        assert names(log) == [*IN_CREATE, *IN_START]
        inside = tuple(str(Path(f"/proc/{box.process.pid}/ns/{name}").readlink()) for name in ("mnt", "pid"))
        outside = tuple(str(Path(f"/proc/self/ns/{name}").readlink()) for name in ("mnt", "pid"))
        boxes.runtime.kill(box.id, signal.SIGKILL)
        box.code()
        assert names(log) == [*IN_CREATE, *IN_START]
        boxes.runtime.delete(box.id)
        found = told(log)
        assert [each[0] for each in found] == list(ALL)
        for name, mount, pid, folder, state in found:
            of_host = name in OF_THE_HOST
            assert not of_host or Path(folder).samefile(box.bundle), name
            assert (mount, pid) == (outside if of_host else inside), name
            assert state.pop("pid") == {"poststop": 0}.get(name, box.process.pid if of_host else 1), name
            assert state == {
                "ociVersion": "1.3.0",
                "id": box.id,
                "status": {"startContainer": "created", "poststart": "running", "poststop": "stopped"}.get(
                    name, "creating"
                ),
                "bundle": str(box.bundle),
                "annotations": {"org.example.a": "b"},
            }
        assert found[2][3] == str(box.bundle / "rootfs") or Path(found[2][3]).samefile(box.bundle / "rootfs")
        assert found[3][3] == "/"

    def test_paths_are_the_host_s_until_the_root_is_entered(self, boxes: Boxes, log: Path) -> None:
        program = boxes.bundles.folder / "program"
        program.write_text(f"#!/bin/sh\ntest -e /tmp && test -e proc/version && echo here >> {log}/here\n")
        program.chmod(0o755)
        # The mounts are there already, below the folder that the hook finds itself in.
        box = boxes.started(hooked(boxes, log, {"createContainer": [{"path": str(program)}]}))
        assert (box.code(), (log / "here").read_text()) == (0, "here\n")
        with pytest.raises(Invalid, match=r"hooks\.startContainer\[0\]"):
            boxes.started(hooked(boxes, log, {"startContainer": [{"path": str(program)}]}))

    def test_arguments_environment_and_descriptors_are_exact(self, boxes: Boxes, log: Path) -> None:
        for name in IN_CREATE:
            env = {"path": "/usr/bin/env", "args": ["odd name"], "env": ["A=1", "B=x y"]}
            script = f'echo "$0 $*"; env -i ls -l /proc/self/fd >> {log}/{name}; exec >> {log}/{name}; echo "$0 $*"'
            hooks = {name: [env, shell(script)]}
            hooks[name][1]["args"] += ["zero", "one", "t w o"]
            boxes.started(hooked(boxes, log, hooks)).code()
            *listed, last = (log / name).read_text().splitlines()
            assert last == "zero one t w o"
            numbers = [line.split(" -> ")[0].split()[-1] for line in listed if " -> " in line]
            assert numbers == ["0", "1", "2", "3"], "the last is the folder that ls reads"
        with pytest.raises(Invalid, match=r"exit code 3: A=1\nB=x y\n  fix"):
            boxes.create(hooked(boxes, log, {"prestart": [shell("env | grep -v PWD; exit 3", env=["A=1", "B=x y"])]}))

    @pytest.mark.parametrize("name", IN_CREATE)
    def test_one_that_fails_in_create(self, boxes: Boxes, log: Path, name: str) -> None:
        hooks = telling(log, *ALL)
        hooks[name] = [shell("exit 0"), shell("echo too bad >&2; exit 7"), *hooks[name]]
        data = hooked(boxes, log, hooks)
        with pytest.raises(Invalid) as caught:
            boxes.create(data, "failing")
        assert str(caught.value).startswith(
            f"cannot run the hook /bin/sh (config.json: hooks.{name}[1]): exit code 7: too bad\n"
        )
        assert names(log) == [*IN_CREATE[: IN_CREATE.index(name)], "poststop"]
        assert (boxes.runtime.list(), list(boxes.place.run.iterdir())) == ((), [])

    def test_what_fails_before_any_hook_runs_none(self, boxes: Boxes, log: Path) -> None:
        data = hooked(boxes, log, telling(log, *ALL))
        data["mounts"].append({"destination": "/x", "source": "/no/such", "options": ["bind"]})
        with pytest.raises(Invalid, match="mounts"):
            boxes.create(data)
        assert told(log) == []

    @pytest.mark.parametrize("name", IN_START)
    def test_one_that_fails_in_start(self, boxes: Boxes, log: Path, name: str) -> None:
        hooks = telling(log, *ALL)
        hooks[name] = [shell("echo no; exit 1")]
        box = boxes.create(hooked(boxes, log, hooks, "sh", "-c", "echo program; exec sleep 1000"))
        with pytest.raises(Invalid, match=rf"hooks\.{name}\[0\]\): exit code 1: no"):
            boxes.runtime.start(box.id)
        assert box.code() == (126 if name == "startContainer" else 137)
        if name == "startContainer":
            assert box.text() == ""
        assert names(log) == [*IN_CREATE, *IN_START[: IN_START.index(name)], "poststop"]
        with pytest.raises(NotFound):
            boxes.runtime.state(box.id)

    def test_one_that_fails_at_the_end_is_told_and_passed_over(self, boxes: Boxes, log: Path) -> None:
        logs = Logs()
        boxes.runtime = Native(boxes.place, logs)
        hooks = {"poststop": [shell("echo woe; exit 9"), {"path": "/no/such"}, *telling(log, "poststop")["poststop"]]}
        assert boxes.run_config(hooked(boxes, log, hooks)) == (0, "")
        assert names(log) == ["poststop"]
        assert logs.warnings == [
            ("cannot run the hook /bin/sh: exit code 9: woe", "hooks.poststop[0]"),
            ("cannot run the hook /no/such: No such file or directory", "hooks.poststop[1]"),
        ]
        assert list(boxes.place.run.iterdir()) == []

    def test_the_command_logs_one_that_fails_at_the_end(self, boxes: Boxes, log: Path) -> None:
        box = boxes.started(hooked(boxes, log, {"poststop": [shell("echo woe; exit 9")]}))
        box.code()
        command = [sys.executable, "-m", "moby_runtime.native.cli", "--log", log / "told", "--log-format", "json"]
        subprocess.run([*command, "--root", boxes.place.run, "delete", box.id], check=True, timeout=60)
        told = [json.loads(line) for line in (log / "told").read_text().splitlines()]
        assert [(each["level"], each["msg"]) for each in told] == [
            ("warning", "cannot run the hook /bin/sh: exit code 9: woe (hooks.poststop[0])")
        ]

    def test_the_command_s_caller_may_ignore_its_children(self, boxes: Boxes, log: Path) -> None:
        bundle = boxes.bundles.make("ignored", hooked(boxes, log, telling(log, "prestart"), "sh", "-c", "exit 7"))
        command = [
            sys.executable,
            "-m",
            "moby_runtime.native.cli",
            "--root",
            log / "run",
            "run",
            "--bundle",
            bundle,
            "i",
        ]
        ignore = (
            "import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])"
        )
        done = subprocess.run(
            [sys.executable, "-c", ignore, *command], stdin=subprocess.DEVNULL, timeout=60, check=False
        )
        assert (done.returncode, names(log)) == (7, ["prestart"])

    @pytest.mark.slow
    def test_one_that_takes_too_long_ends_with_its_children(self, boxes: Boxes, log: Path) -> None:
        mark = f"10{os.getpid()}"
        hooks = {"createRuntime": [shell(f"echo working; sleep {mark} & sleep {mark}", timeout=3)]}
        with pytest.raises(Invalid, match=r"createRuntime\[0\]\): it took longer than its timeout of 3 s: working"):
            boxes.create(hooked(boxes, log, hooks))
        deadline = time.monotonic() + 60
        while any(mark.encode() in line and line.startswith(b"sleep") for line in commands()):
            assert time.monotonic() < deadline, "they were killed, and don't end"
            time.sleep(0.01)
        reap(-1)

    def test_what_one_leaves_behind_keeps_nobody(self, boxes: Boxes, log: Path) -> None:
        hooks = {"createRuntime": [shell(f"sleep 1000 & echo $! > {log}/pid")]}
        box = boxes.started(hooked(boxes, log, hooks))
        left = int((log / "pid").read_text())
        os.kill(left, signal.SIGKILL)
        reap(left)
        assert box.code() == 0

    @pytest.mark.parametrize("name", [*IN_CREATE, "startContainer"])
    @pytest.mark.parametrize(
        ("path", "reason"),
        [("/no/such", "No such file"), ("/etc", "Permission denied"), ("/etc/passwd", "Permission denied")],
    )
    def test_one_that_cannot_be_run(self, boxes: Boxes, log: Path, name: str, path: str, reason: str) -> None:
        with pytest.raises(Invalid, match=rf"the hook {path} \(config.json: hooks\.{name}\[0\]\): {reason}"):
            boxes.started(hooked(boxes, log, {name: [{"path": path}]}))

    def test_a_program_without_a_name_is_no_hook(self, boxes: Boxes, log: Path) -> None:
        with pytest.raises(Invalid, match=r"createRuntime\[0\]\): Invalid argument"):
            boxes.create(hooked(boxes, log, {"createRuntime": [{"path": "/bin/sh", "args": [""]}]}))

    def test_the_container_s_hook_is_never_the_host_s_interpreter(self, boxes: Boxes, log: Path) -> None:
        with pytest.raises(Invalid, match=r"startContainer\[0\]"):
            boxes.started(hooked(boxes, log, {"startContainer": [{"path": "/proc/self/exe", "args": ["sh"]}]}))

    def test_the_container_s_hook_is_its_user(self, boxes: Boxes, log: Path) -> None:
        needs_root(boxes, "an ordinary user has one id to give")
        log.chmod(0o777)
        data = hooked(boxes, log, {"startContainer": [shell(f"id -u > {log}/uid")]})
        data["process"]["user"] = {"uid": 7, "gid": 8}
        boxes.started(data).code()
        assert (log / "uid").read_text() == "7\n"

    def test_the_last_ones_survive_their_maker_and_its_bundle(self, boxes: Boxes, log: Path) -> None:
        box = boxes.started(hooked(boxes, log, telling(log, "poststop")))
        box.code()
        shutil.rmtree(box.bundle)
        Native(boxes.place).delete(box.id)
        assert names(log) == ["poststop"]

    def test_a_maker_that_is_killed_in_a_hook(self, boxes: Boxes, log: Path) -> None:
        os.mkfifo(log / "pipe")
        hooks = {**telling(log, "poststop"), "createRuntime": [shell(f"echo $$ > {log}/pipe; exec sleep 1000")]}
        bundle = boxes.bundles.make("half", hooked(boxes, log, hooks))
        maker = os.fork()
        if maker == 0:
            try:
                boxes.create_in(bundle, "half")
            finally:
                os._exit(1)
        hook = int((log / "pipe").read_text())
        os.kill(maker, signal.SIGKILL)
        os.waitpid(maker, 0)
        os.kill(hook, signal.SIGKILL)
        state = boxes.runtime.state("half")
        first = json.loads((boxes.place.run / "half/state.json").read_text())["pid"]
        with contextlib.suppress(ProcessLookupError), os.fdopen(os.pidfd_open(first)) as ended:
            assert select.select([ended], [], [], 60)[0], "what waits for its maker ends with it"
        assert state.status in (TaskStatus.RUNNING, TaskStatus.CREATED, TaskStatus.STOPPED)
        boxes.runtime.delete("half", force=True)
        reap(-1)
        assert names(log) == ["poststop"]
        assert list(boxes.place.run.iterdir()) == []

    def test_one_may_change_the_container_s_network(self, boxes: Boxes, log: Path) -> None:
        script = f'read -r s; pid=${{s#*pid\\": }}; readlink /proc/${{pid%%,*}}/ns/net > {log}/net'
        box = boxes.started(hooked(boxes, log, {"prestart": [shell(script)]}, "readlink", "/proc/self/ns/net"))
        assert (log / "net").read_text() == box.text()

    @pytest.mark.parametrize(
        ("hook", "message"),
        [
            ({"path": "sh"}, r"hooks\.poststop\[0\]\.path must be an absolute path, not 'sh'"),
            ({}, r"hooks\.poststop\[0\]\.path must be an absolute path, not None"),
            ({"path": "/bin/sh", "timeout": 0}, r"hooks\.poststop\[0\]\.timeout must be greater than zero"),
            ({"path": "/bin/sh", "timeout": "1"}, r"hooks\.poststop\[0\]\.timeout must be an integer"),
            ({"path": "/bin/sh", "args": "x"}, r"hooks\.poststop\[0\]\.args must be an array"),
        ],
    )
    def test_what_is_no_hook(self, boxes: Boxes, hook: dict[str, Any], message: str) -> None:
        data = boxes.config("true")
        data["hooks"] = {"poststop": [hook]}
        with pytest.raises(Invalid, match=message):
            read(boxes.bundles.make("wrong", data))
