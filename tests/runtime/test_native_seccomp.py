"""Seccomp in containers of the native runtime: what is filtered from when on, by exec too, and listeners."""

import contextlib
import errno
import json
import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from moby_runtime.native import seccomp
from moby_runtime.native.messages import number_of
from moby_runtime.native.records import Record
from moby_runtime.native.runtime import Native
from moby_runtime.programs import executable
from moby_runtime.records import remembered
from seccomp_agent import agent  # noqa: F401 - a fixture

from moby.contracts.types import TaskStatus
from moby.errors import Corrupt, HostUnfit, Invalid, Unavailable
from moby.host.seccomp import FLAGS
from moby.oci.seccomp import compiler
from moby.oci.seccomp.architectures import call_numbers, current
from moby.oci.seccomp.default import default_profile, running_kernel
from moby.oci.seccomp.filter import Filter
from moby.testing.as_user import as_nobody
from moby.testing.boxes import Boxes, MakeRuntime, place_in, run_inside
from moby.testing.bundles import Bundles
from moby.testing.runtime import RuntimeFixtures
from moby.testing.runtime_offers import needs_root

STARTS = pytest.mark.parametrize("no_new_privileges", [False, True], ids=["privileges", "no-new-privileges"])
KINDS = ("SCMP_ACT_KILL_PROCESS", "SCMP_ACT_ERRNO")
MADE_AT_START = (
    "accept accept4 recvfrom sendto recvmsg sendmsg openat2 fchdir getcwd close_range capset prctl setuid setresuid "
    "setresgid setgroups umask fchown setsid keyctl unshare readlink mount"
)
"""What the runtime does before, which no profile needs to let through."""


def profile(names: str = "", action: str = "SCMP_ACT_ERRNO", default: str = "SCMP_ACT_ALLOW", **more: Any) -> Any:
    rules = [{"names": names.split(), "action": action}] if names else []
    return {"defaultAction": default, "syscalls": rules, **more}


def filtered(boxes: Boxes, wanted: Any, *arguments: str, **process: Any) -> dict[str, Any]:
    data = boxes.config(*arguments, **process)
    data["linux"]["seccomp"] = wanted
    return data


def lines(text: str) -> dict[str, str]:
    return {key: value.strip() for key, _, value in (line.partition(":") for line in text.splitlines())}


class TestNativeSeccomp(RuntimeFixtures):
    @pytest.fixture
    def make_runtime(self) -> MakeRuntime:
        return Native

    @STARTS
    def test_the_default_profile(self, boxes: Boxes, no_new_privileges: bool) -> None:
        wanted = default_profile(current(), [], running_kernel())
        data = filtered(boxes, wanted, "cat", "/proc/self/status", noNewPrivileges=no_new_privileges)
        code, text = boxes.run_config(data)
        found = lines(text)
        assert code == 0
        assert (found["Seccomp"], found["Seccomp_filters"]) == ("2", "1")
        assert found["NoNewPrivs"] == str(int(no_new_privileges))

    @STARTS
    def test_what_is_kept_for_the_filter_is_gone(self, boxes: Boxes, no_new_privileges: bool) -> None:
        user = {"uid": 0, "gid": 0} if boxes.rootless else {"uid": 1000, "gid": 1000}
        data = filtered(
            boxes, profile("acct"), "cat", "/proc/self/status",
            capabilities={}, user=user, noNewPrivileges=no_new_privileges,
        )  # fmt: skip
        _, text = boxes.run_config(data)
        found = lines(text)
        assert found["Seccomp"] == "2"
        assert {found[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}

    @pytest.mark.parametrize("action", KINDS)
    @STARTS
    def test_a_start_needs_little(self, boxes: Boxes, no_new_privileges: bool, action: str) -> None:
        """What is done between the installation and the program, a profile must let through: execveat alone."""
        data = filtered(boxes, profile(MADE_AT_START, action), "true", noNewPrivileges=no_new_privileges)
        assert boxes.run_config(data) == (0, "")

    @STARTS
    def test_exec_has_the_filter(self, boxes: Boxes, no_new_privileges: bool) -> None:
        wanted = profile(f"mkdir mkdirat {MADE_AT_START}", defaultErrnoRet=None)
        wanted["syscalls"][0]["errnoRet"] = errno.EXDEV
        box = boxes.started(filtered(boxes, wanted, "sleep", "1000"))
        code, text = run_inside(boxes, box.id, "mkdir", "/tmp/new", noNewPrivileges=no_new_privileges)
        assert code == 1
        assert "Invalid cross-device link" in text

    def test_the_caller_is_not_filtered(self, boxes: Boxes) -> None:
        boxes.started(filtered(boxes, profile("mkdir"), "sleep", "1000"))
        assert lines(Path("/proc/self/status").read_text(encoding="ascii"))["Seccomp"] == "0"

    def test_a_killed_call(self, boxes: Boxes) -> None:
        code, _ = boxes.run_config(
            filtered(boxes, profile("mkdir mkdirat", "SCMP_ACT_KILL_PROCESS"), "mkdir", "/tmp/a")
        )
        assert code == 128 + 31

    def test_an_empty_one_asks_for_nothing(self, boxes: Boxes) -> None:
        _, text = boxes.run_config(filtered(boxes, {}, "cat", "/proc/self/status"))
        assert lines(text)["Seccomp"] == "0"

    def test_mistakes_are_told_with_all_others(self, boxes: Boxes) -> None:
        data = filtered(boxes, profile("read", "nothing"), "true")
        data["process"]["cwd"] = "tmp"
        with pytest.raises(Invalid, match=r"(?s)process\.cwd.*linux\.seccomp\.syscalls\[0\]\.action is 'nothing'"):
            boxes.create(data)

    @pytest.mark.parametrize("wanted", [[], "x", 7], ids=["list", "text", "number"])
    def test_what_is_no_object(self, boxes: Boxes, wanted: Any) -> None:
        with pytest.raises(Invalid, match=r"linux\.seccomp must be an object"):
            boxes.create(filtered(boxes, wanted, "true"))

    def test_one_that_lets_no_program_start(self, boxes: Boxes) -> None:
        with pytest.raises(Invalid, match=r"linux\.seccomp\.syscalls refuse execveat") as caught:
            boxes.create(filtered(boxes, profile("read write", "SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO"), "true"))
        assert "let execveat through" in caught.value.hint
        with pytest.raises(Invalid, match=r"linux\.seccomp\.syscalls refuse read"):
            wanted = profile("mkdir", "SCMP_ACT_NOTIFY", listenerPath="/run/agent.sock")
            wanted["syscalls"].append({"names": ["read"], "action": "SCMP_ACT_ERRNO"})
            boxes.create(filtered(boxes, wanted, "true"))

    @pytest.mark.parametrize("action", KINDS)
    @STARTS
    def test_one_that_knows_no_execveat(self, boxes: Boxes, no_new_privileges: bool, action: str) -> None:
        """Profiles that were made for runtimes that use execve(2)."""
        wanted = profile("execveat capset prctl setresuid fchdir openat2", action)
        script = "echo $0 is up; exec sleep 1000"
        box = boxes.started(filtered(boxes, wanted, "sh", "-c", script, noNewPrivileges=no_new_privileges))
        box.until("sh is up")
        assert run_inside(boxes, box.id, "echo", "here", noNewPrivileges=no_new_privileges) == (0, "here\n")

    def test_a_script_where_there_is_no_execveat(self, boxes: Boxes) -> None:
        wanted = profile("execveat", "SCMP_ACT_KILL_PROCESS")
        data = filtered(boxes, wanted, "/scripts/hello", "a", "b")
        (boxes.bundles.folder / "scripts").mkdir()
        script = boxes.bundles.folder / "scripts/hello"
        script.write_text("#!/bin/sh -e\necho $0 $1 $2\n")
        script.chmod(0o755)
        data["mounts"].append({"destination": "/scripts", "source": str(script.parent), "options": ["bind"]})
        assert boxes.run_config(data) == (0, "/scripts/hello a b\n")

    def test_no_execveat_and_no_proc(self, boxes: Boxes) -> None:
        data = filtered(boxes, profile("execveat"), "true")
        data["mounts"] = [each for each in data["mounts"] if each["destination"] != "/proc"]
        data["linux"] |= {"maskedPaths": [], "readonlyPaths": []}
        box = boxes.create(data)
        with pytest.raises(Invalid, match=r"refuses execveat, and without it a program is started only by /proc"):
            boxes.runtime.start(box.id)
        assert box.code() == 126

    def test_a_kernel_without(self, boxes: Boxes, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(seccomp.seccomp, "actions", frozenset)
        with pytest.raises(HostUnfit, match=r"no seccomp filters \(config\.json: linux\.seccomp\)") as caught:
            boxes.create(filtered(boxes, profile("mkdir"), "true"))
        assert "CONFIG_SECCOMP_FILTER" in caught.value.hint

    def test_a_kernel_without_a_flag(self, boxes: Boxes, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(seccomp.seccomp, "flags", lambda: frozenset({"LOG"}))
        with pytest.raises(HostUnfit, match=r"no SECCOMP_FILTER_FLAG_TSYNC \(config\.json: linux\.seccomp\.flags\)"):
            wanted = profile("mkdir", flags=["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_TSYNC"])
            boxes.create(filtered(boxes, wanted, "true"))

    def test_a_filter_that_the_kernel_refuses(self, boxes: Boxes, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*arguments: Any, **options: Any) -> int:
            raise OSError(errno.EACCES, "no")

        monkeypatch.setattr(seccomp.seccomp, "install", refuse)
        box = boxes.create(filtered(boxes, profile("mkdir"), "true"))
        with pytest.raises(HostUnfit, match=r"install the seccomp filter \(config\.json: linux\.seccomp\): Permission"):
            boxes.runtime.start(box.id)
        assert box.code() == 126
        assert boxes.runtime.state(box.id).status is TaskStatus.STOPPED

    @pytest.mark.parametrize("flags", [None, [], [f"SECCOMP_FILTER_FLAG_{name}" for name in FLAGS]])
    def test_flags(self, boxes: Boxes, flags: list[str] | None) -> None:
        wanted = profile("mkdir mkdirat", flags=flags) if flags is not None else profile("mkdir mkdirat")
        code, text = boxes.run_config(filtered(boxes, wanted, "mkdir", "/tmp/new"))
        assert code == 1
        assert "Operation not permitted" in text

    def test_the_kept_filter_is_damaged(self, boxes: Boxes) -> None:
        box = boxes.started(filtered(boxes, profile("mkdir"), "sleep", "1000"))
        path = boxes.place.run / box.id / "state.json"
        found = json.loads(path.read_text(encoding="utf-8"))
        for kept in ({"program": 7}, {"program": "é", "flags": None}, {"program": "", "flags": 7}, [1], {"x": 1}):
            path.write_text(json.dumps({**found, "seccomp": kept}), encoding="utf-8")
            with pytest.raises(Corrupt, match="no seccomp filter that can be read"):
                run_inside(boxes, box.id, "true")

    # --- listeners ----------------------------------------------------------------------------------------------

    def listening(self, tmp_path: Path, names: str, **more: Any) -> Any:
        return profile(names, "SCMP_ACT_NOTIFY", listenerPath=str(tmp_path / "agent.sock"), **more)

    @STARTS
    def test_a_listener_answers(self, boxes: Boxes, agent: Any, tmp_path: Path, no_new_privileges: bool) -> None:  # noqa: F811
        needs_root(boxes, "an ordinary user may not look into a process that hides from its container")
        found = agent(errno.EXDEV)
        wanted = self.listening(tmp_path, "mkdir mkdirat", listenerMetadata="of this test")
        data = filtered(boxes, wanted, "mkdir", "/tmp/new", noNewPrivileges=no_new_privileges)
        data["annotations"] = {"a": "b"}
        box = boxes.create(data)
        boxes.runtime.start(box.id)
        assert "Invalid cross-device link" in box.text()
        assert box.code() == 1
        (state,) = found.states
        assert state["ociVersion"] == state["state"]["ociVersion"]
        assert (state["fds"], state["pid"], state["metadata"]) == (["seccompFd"], box.process.pid, "of this test")
        assert state["state"] | {"ociVersion": ""} == {
            "ociVersion": "", "id": box.id, "status": "created", "pid": box.process.pid,
            "bundle": str(box.bundle), "annotations": {"a": "b"},
        }  # fmt: skip
        assert set(found.calls) & {call_numbers(current()).get(name) for name in ("mkdir", "mkdirat")}

    def test_a_listener_of_everything(self, boxes: Boxes, agent: Any, tmp_path: Path) -> None:  # noqa: F811
        """Also of what the start itself needs, which goes on once the listener has it."""
        needs_root(boxes, "an ordinary user may not look into a process that hides from its container")
        found = agent(0)
        wanted = self.listening(tmp_path, "mkdir", defaultAction="SCMP_ACT_NOTIFY")
        assert boxes.run_config(filtered(boxes, wanted, "true")) == (0, "")
        assert {call_numbers(current())[name] for name in ("read", "execveat", "exit_group")} <= set(found.calls)

    @STARTS
    def test_a_listener_of_exec(self, boxes: Boxes, agent: Any, tmp_path: Path, no_new_privileges: bool) -> None:  # noqa: F811
        needs_root(boxes, "an ordinary user may not look into a process that hides from its container")
        found = agent(errno.EXDEV)
        box = boxes.started(filtered(boxes, self.listening(tmp_path, "mkdir mkdirat"), "sleep", "1000"))
        code, text = run_inside(boxes, box.id, "mkdir", "/tmp/new", noNewPrivileges=no_new_privileges)
        assert code == 1
        assert "Invalid cross-device link" in text
        first, second = found.states
        assert first["pid"] == first["state"]["pid"] == second["state"]["pid"] == box.process.pid
        assert second["pid"] != box.process.pid
        assert second["state"]["status"] == "running"

    def test_an_agent_that_hangs_up_early(self, boxes: Boxes, agent: Any, tmp_path: Path, monkeypatch) -> None:  # noqa: F811
        needs_root(boxes, "an ordinary user may not look into a process that hides from its container")
        agent(0)
        send = seccomp.send_descriptor

        def heard(connection: Any, data: bytes, fd: int) -> int:
            sent = send(connection, data, fd)
            connection.shutdown(socket.SHUT_WR)  # after which any send fails, as to who has hung up
            return sent

        monkeypatch.setattr(seccomp, "send_descriptor", heard)
        assert boxes.run_config(filtered(boxes, self.listening(tmp_path, "mkdir"), "true")) == (0, "")

    def test_nobody_listens(self, boxes: Boxes, tmp_path: Path) -> None:
        needs_root(boxes, "an ordinary user may not look into a process that hides from its container")
        box = boxes.create(filtered(boxes, self.listening(tmp_path, "mkdir"), "true"))
        with pytest.raises(Invalid, match=r"send the seccomp listener to .*linux\.seccomp\.listenerPath.*No such file"):
            boxes.runtime.start(box.id)
        assert box.code() == 137
        assert boxes.runtime.state(box.id).status is TaskStatus.STOPPED

    def test_nobody_listens_to_exec(self, boxes: Boxes, agent: Any, tmp_path: Path) -> None:  # noqa: F811
        needs_root(boxes, "an ordinary user may not look into a process that hides from its container")
        agent(0)
        box = boxes.started(filtered(boxes, self.listening(tmp_path, "mkdir"), "sleep", "1000"))
        (tmp_path / "agent.sock").unlink()
        with pytest.raises(Invalid, match=r"linux\.seccomp\.listenerPath"):
            run_inside(boxes, box.id, "true")
        assert boxes.runtime.pids(box.id) == (box.process.pid,)

    @STARTS
    def test_an_ordinary_user(self, boxes: Boxes, no_new_privileges: bool) -> None:
        if boxes.rootless:
            pytest.skip("the tests above are an ordinary user's; runs as root")

        def run() -> None:
            with _boxes_of_an_ordinary_user(boxes) as own:
                wanted = profile(f"mkdir mkdirat {MADE_AT_START}")
                code, text = own.run_config(
                    filtered(own, wanted, "mkdir", "/tmp/new", noNewPrivileges=no_new_privileges)
                )
                assert (code, "Operation not permitted" in text) == (1, True)
                box = own.started(filtered(own, wanted, "sleep", "1000"))
                code, text = run_inside(own, box.id, "mkdir", "/tmp/new", noNewPrivileges=no_new_privileges)
                assert (code, "Operation not permitted" in text) == (1, True)

        as_nobody(run)

    def test_a_listener_for_an_ordinary_user(self, boxes: Boxes, tmp_path: Path) -> None:
        """Who may not look into a process that hides from its container can't take its listener."""
        if boxes.rootless:
            pytest.skip("runs as root")

        def run() -> None:
            with _boxes_of_an_ordinary_user(boxes) as own:
                box = own.create(filtered(own, self.listening(tmp_path, "mkdir"), "true"))
                with pytest.raises(HostUnfit, match="take the seccomp listener of process") as caught:
                    own.runtime.start(box.id)
                assert "user namespace" in caught.value.hint
                assert box.code() == 137

        as_nobody(run)

    def test_a_caller_that_dies_before_it_has_the_listener(
        self, boxes: Boxes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The program is not run, since nobody would answer its calls."""
        box = boxes.create(filtered(boxes, self.listening(tmp_path, "mkdir"), "sleep", "1000"))
        monkeypatch.setattr(seccomp, "pass_listener", lambda *arguments: os._exit(3))
        pid = os.fork()
        if pid == 0:
            try:
                boxes.runtime.start(box.id)
            finally:
                os._exit(4)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 3
        assert box.code() == 70

    def test_a_listener_that_does_not_come(self, boxes: Boxes, agent: Any, tmp_path: Path, monkeypatch) -> None:  # noqa: F811
        agent(0)
        monkeypatch.setattr(seccomp, "_PATIENCE_S", 0.01)
        monkeypatch.setattr(seccomp.seccomp, "take_descriptor", _absent)
        box = boxes.create(filtered(boxes, self.listening(tmp_path, "mkdir"), "true"))
        with pytest.raises(Unavailable, match="install the seccomp filter: something delays it"):
            boxes.runtime.start(box.id)
        assert box.code() == 137

    def test_a_listener_that_may_not_be_taken(self, boxes: Boxes, agent: Any, tmp_path: Path, monkeypatch) -> None:  # noqa: F811
        agent(0)
        monkeypatch.setattr(seccomp.seccomp, "take_descriptor", _forbidden)
        box = boxes.create(filtered(boxes, self.listening(tmp_path, "mkdir"), "true"))
        with pytest.raises(HostUnfit, match="take the seccomp listener of process"):
            boxes.runtime.start(box.id)
        assert box.code() == 137


@contextlib.contextmanager
def _boxes_of_an_ordinary_user(boxes: Boxes) -> Iterator[Boxes]:
    with tempfile.TemporaryDirectory() as folder:
        place = place_in(Path(folder) / "place")
        own = Boxes(Native(place), place, Bundles(Path(folder) / "bundles", boxes.bundles.rootfs))
        try:
            yield own
        finally:
            own.close()


def _absent(pidfd: int, number: int) -> int:
    raise OSError(errno.EBADF, "not yet")


def _forbidden(pidfd: int, number: int) -> int:
    raise OSError(errno.EPERM, "no")


def test_a_program_that_is_replaced_before_it_is_pinned(tmp_path: Path) -> None:
    (tmp_path / "program").touch()
    folder = os.open(tmp_path, os.O_PATH)
    try:
        found = (tmp_path / "program").stat()
        right = executable._Opened(folder, "program", (found.st_dev, found.st_ino))
        assert Path(executable._pinned(right)).samefile(tmp_path / "program")
        with pytest.raises(OSError, match="replaced at this moment"):
            executable._pinned(executable._Opened(folder, "program", (found.st_dev, found.st_ino + 1)))
        assert not executable._is("/bin/sh", right), "as a false /proc would lead there"
    finally:
        os.close(folder)


def test_a_word_of_a_listener_in_pieces() -> None:
    assert number_of(b"L1") is None
    assert number_of(b"L12\n") == 12
    assert number_of(b'["a", "b\n"]') is None


def test_the_filter_is_kept_as_it_is() -> None:
    wanted = seccomp.filter_of(
        profile("mkdir", "SCMP_ACT_NOTIFY", listenerPath="/a", flags=["SECCOMP_FILTER_FLAG_LOG"])
    )
    record = Record(id="a", bundle="/b", boot="c", seccomp=json.loads(json.dumps(seccomp.stored(wanted))))
    assert seccomp.restored(record) == wanted
    assert seccomp.restored(Record(id="a", bundle="/b", boot="c", seccomp=seccomp.stored(None))) is None


def test_a_profile_is_compiled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remembered, "RESULTS", {})
    first = seccomp.filter_of(profile("mkdir"))
    monkeypatch.setattr(compiler, "compiled", lambda data, native: Filter(b"anew"))
    assert seccomp.filter_of(profile("mkdir")) == first
    assert seccomp.filter_of(profile("rmdir")) == Filter(b"anew")
    assert seccomp.filter_of({**profile("mkdir"), "flags": [object()]}) == Filter(b"anew")


def test_a_profile_that_is_large_is_compiled_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remembered, "RESULTS", {})
    seccomp.filter_of({**profile("mkdir"), "comment": "x" * (1 << 17)})
    assert remembered.RESULTS == {}
