"""What a command of runc's kind can do wrong, and which errors that comes to."""

import errno
import json
import os
import signal
import threading
import time
from fnmatch import fnmatch
from types import SimpleNamespace

import pytest
from moby_runtime.images import folders
from moby_runtime.oci_command import bundle, call, command, failures, first, hooks, images, locked, runtime, tool
from moby_runtime.oci_command.records import Record, Records
from moby_runtime.oci_command.runtime import OciCommand
from moby_runtime.records.first import boot_id
from moby_runtime.runc import RUNC

from moby.contracts.runtime import DIE_WITH_PARENT, CheckpointOptions
from moby.contracts.types import Stdio
from moby.errors import Conflict, Corrupt, HostUnfit, Invalid, NotFound, Unavailable, Unsupported
from moby.host import capabilities
from moby.host.cgroups import Group, Hierarchy
from moby.host.processes import process_stat
from moby.oci.bundle import possible_beside
from moby.testing.boxes import children, place_in
from moby.testing.bundles import config

PLAIN = CheckpointOptions()


def script(path, text):
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """A function that makes a runtime of a script, which is asked for its version first."""
    monkeypatch.setattr(tool, "_KNOWN", {})

    def make(text, version="1.1.15"):
        path = script(tmp_path / "fake", f'[ "$1" = --version ] && echo runc version {version} && exit\n{text}')
        return OciCommand(place_in(tmp_path / f"place-{time.monotonic_ns()}"), RUNC, path)

    return make


@pytest.fixture
def bundled(tmp_path):
    def make(**fields):
        folder = tmp_path / f"bundle-{time.monotonic_ns()}"
        (folder / "rootfs").mkdir(parents=True)
        data = config(["true"])
        for path, value in fields.items():
            inner = data
            *above, last = path.split("__")
            for name in above:
                inner = inner.setdefault(name, {})
            inner[last] = value
        (folder / "config.json").write_text(json.dumps(data))
        return folder

    return make


def created(made, folder):
    fd = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    try:
        return made.create("a", folder, Stdio(fd, fd, fd))
    finally:
        os.close(fd)


class TestTool:
    def test_not_on_path(self, monkeypatch, tmp_path):
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(HostUnfit, match="runc isn't on PATH") as caught:
            tool.find(RUNC)
        assert caught.value.hint == "apt install runc"

    def test_not_where_it_should_be(self, tmp_path):
        with pytest.raises(HostUnfit, match=f"no program at {tmp_path}") as caught:
            tool.find(RUNC, str(tmp_path))
        assert "option `binary`" in caught.value.hint

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("echo runc version 1.0.3", "version 1.0; at least 1.1 is needed"),
            ("echo hello", "doesn't tell its version: hello"),
            ("echo broken >&2; exit 1", "doesn't tell its version: broken"),
        ],
    )
    def test_not_one_that_serves(self, tmp_path, text, message):
        with pytest.raises(HostUnfit, match=message):
            tool.find(RUNC, script(tmp_path / "runc", text))

    def test_no_program_at_all(self, tmp_path):
        path = tmp_path / "runc"
        path.write_text("nonsense")
        path.chmod(0o755)
        with pytest.raises(HostUnfit, match="cannot run"):
            tool.find(RUNC, str(path))

    def test_asked_once(self, tmp_path):
        path = script(tmp_path / "runc", f"echo asked >> {tmp_path}/log; echo 1.2.3")
        assert {tool.find(RUNC, path).version for _ in range(3)} == {(1, 2)}
        assert (tmp_path / "log").read_text() == "asked\n"

    def test_what_it_tells_of_itself(self, fake):
        made = fake("", version="1.1.15+ds1; echo commit: 1.1.15+ds1-2")
        assert made.programs() == {"runc": ("1.1.15+ds1", "1.1.15+ds1-2")}

    def test_nothing_is_told_where_it_tells_nothing(self, fake):
        assert fake("", version="nonsense").programs() == {}

    def test_both_versions_of_control_groups(self, monkeypatch):
        monkeypatch.setattr(command, "version", lambda trees: "hybrid")
        from moby_runtime.crun import CRUN

        with pytest.raises(HostUnfit, match="crun refuses a host with both cgroup v1 and v2"):
            command.Command(CRUN).binary()


class TestCall:
    def test_output(self):
        assert call.run(call.Call(["/bin/sh", "-c", "cat; echo out"], input=b"in\n")) == b"in\nout\n"

    @pytest.mark.parametrize(
        ("said", "told"),
        [
            ("plain words", "plain words"),
            ('{"level":"error","msg":"first"}\\n{"level":"error","msg":"last"}', "last"),
            ('{"level":"error","msg":"told"}\\n{"level":"warning","msg":"no matter"}', "told"),
            ('{"msg":"{\\\\"msg\\\\":\\\\"inner\\\\",\\\\"level\\\\":\\\\"error\\\\"}","level":"error"}', "inner"),
            ("", "it ended with 3"),
        ],
    )
    def test_last_words(self, said, told):
        with pytest.raises(call.Failed) as caught:
            call.run(call.Call(["/bin/sh", "-c", f"printf '%b' '{said}' >&2; exit 3"]))
        assert (caught.value.told, caught.value.code) == (told, 3)

    @pytest.mark.parametrize("watched", [False, True])
    def test_one_that_takes_too_long_is_ended(self, watched):
        before = children()
        stdio = Stdio(terminal=True) if watched else None
        with pytest.raises(Unavailable, match=r"took more than 0\.2 s"):
            call.run(call.Call(["/bin/sleep", "1000"], stdio, timeout_s=0.2))
        assert children() == before

    def test_an_interrupted_one_is_ended(self, monkeypatch):
        before = children()

        def interrupted(pidfd, timeout_s):
            raise KeyboardInterrupt

        monkeypatch.setattr(call, "_wait", interrupted)
        with pytest.raises(KeyboardInterrupt):
            call.run(call.Call(["/bin/sleep", "1000"]))
        assert children() == before

    def test_no_program(self):
        with pytest.raises(HostUnfit, match="cannot run /no/such"):
            call.run(call.Call(["/no/such"]))

    def test_what_a_failed_one_left_is_taken(self):
        before = children()
        with pytest.raises(call.Failed):
            call.run(call.Call(["/bin/sh", "-c", "sleep 1000 & exit 1"], Stdio(terminal=True)))
        assert children() == before

    def test_from_many_threads(self):
        found = []

        def run():
            found.append(call.run(call.Call(["/bin/sh", "-c", "echo $$"], input=b"x")))

        threads = [threading.Thread(target=run) for _ in range(8)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        assert len(set(found)) == 8

    def test_signals_are_at_their_defaults(self):
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        try:
            text = call.run(call.Call(["/bin/cat", "/proc/self/status"])).decode()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        found = dict(line.split(":\t") for line in text.splitlines() if line.startswith("Sig"))
        assert {int(found[name], 16) for name in ("SigBlk", "SigIgn")} == {0}


class TestFailures:
    @pytest.mark.parametrize(
        ("told", "number"),
        [
            ("open /x: no such file or directory", errno.ENOENT),
            ("open `/x`: No such file or directory", errno.ENOENT),
            ('exec: "a": executable file not found in $PATH', errno.ENOENT),
            ("mkdir: no space left on device", errno.ENOSPC),
            ("something is odd", 0),
        ],
    )
    def test_numbers(self, told, number):
        assert failures.number_in(told) == number

    @pytest.mark.parametrize(
        ("told", "error"),
        [
            ("x: invalid argument", Invalid), ("x is odd", Invalid), ("x: cannot allocate memory", Unavailable),
            ("x: operation not permitted", HostUnfit), ("x: no space left on device", HostUnfit),
        ],
    )  # fmt: skip
    def test_classes(self, told, error):
        assert type(failures.error_of("runc", "create", told)) is error

    def test_fields(self):
        data = config(["true"], cwd="/some/where", rlimits=[{"type": "RLIMIT_ODD"}])
        data["mounts"].append({"destination": "/data", "source": "/host/data"})
        data["hooks"] = {"prestart": [{"path": "/bin/a"}], "createRuntime": [{"path": "/bin/a"}, {"path": "/bin/b"}]}
        data["linux"] |= {"sysctl": {"net.odd": "1"}, "devices": [{"path": "/dev/odd"}]}
        rows = {
            "chdir to /some/where": "process.cwd",
            "current working directory is outside of the root": "process.cwd",
            "mount to /data": "mounts[4]",
            "stat /host/data": "mounts[4].source",
            "stat /host/data2": "",
            "open /proc/sys/net/odd": "linux.sysctl.net.odd",
            "mknod /dev/odd": "linux.devices[0]",
            "bad RLIMIT_ODD": "process.rlimits[0].type",
            "run `/bin/b`": "hooks.createRuntime[1]",
            "run `/bin/a`": "hooks.prestart[0] or hooks.createRuntime[0]",
            "running hook #1: exit": "hooks.prestart[1] or hooks.createRuntime[1]",
            "who knows": "",
        }
        assert {told: failures.field_in(told, data) for told in rows} == rows

    def test_a_program_that_is_not_taken(self):
        assert isinstance(failures.not_run("a", hooked=False).__cause__, OSError)
        assert "hooks.startContainer" in str(failures.not_run("a", hooked=True))
        assert failures.program_error("a", "something else") is None


class TestBundles:
    @pytest.mark.parametrize(
        ("fields", "error", "named"),
        [
            ({"process": 5}, Invalid, "process must be an object"),
            ({"mounts": {"a": 1}}, Invalid, "mounts must be an array"),
            ({"root": {}}, Invalid, r"root\.path"),
            ({"process__args": [""]}, Invalid, r"process\.args"),
            ({"linux__namespaces": [5]}, Invalid, r"linux\.namespaces\[0\]"),
            ({"linux__resources": {"cpu": {"quota": True}}}, Invalid, r"linux\.resources\.cpu\.quota"),
            ({"linux__timeOffsets": {"boottime": {"secs": 1}}}, Unsupported, r"linux\.timeOffsets.*"),
            ({"domainname": "x", "linux__namespaces": []}, Unsupported, "domainname"),
            ({"linux__namespaces": [{"type": "uts", "path": "/etc/passwd"}]}, Invalid, "no namespace of the type uts"),
        ],
    )
    def test_refused(self, bundled, fields, error, named):
        with pytest.raises(error, match=named) as caught:
            bundle.read(bundled(**fields), RUNC, tool.Binary("runc", (1, 1)))
        if error is Unsupported:
            assert "as runc 1.2 does" in caught.value.hint

    def test_the_command_is_not_the_parent_to_die_with(self, bundled, tmp_path):
        """It has ended once it has made the container."""
        folder = bundled(annotations={DIE_WITH_PARENT: "true", "other": "kept"})
        bundle.read(folder, RUNC, tool.Binary("runc", (1, 1))).write(tmp_path / "written", "")
        assert json.loads((tmp_path / "written/config.json").read_text())["annotations"] == {"other": "kept"}

    @pytest.mark.parametrize(
        ("wanted", "expected"),
        [
            ("", "/user/moby-*/a"),
            ("b/c", "/user/moby-*/b/c"),
            ("/user/own/c", "/user/own/c"),
            ("/elsewhere", "/user/elsewhere"),
        ],
    )
    def test_an_ordinary_users_group_is_in_what_was_given_to_it(self, bundled, tmp_path, monkeypatch, wanted, expected):
        monkeypatch.setattr(bundle, "is_host_root", lambda: False)
        monkeypatch.setattr(bundle, "delegated", lambda trees: (Hierarchy("/at", 2, frozenset()), "/user"))
        read = bundle.read(bundled(linux__cgroupsPath=wanted), RUNC, tool.Binary("runc", (1, 2)))
        assert fnmatch(read.group(place_in(tmp_path), "a"), expected)

    def test_an_ordinary_user_to_whom_none_was_given_does_without(self, bundled, tmp_path, monkeypatch):
        monkeypatch.setattr(bundle, "is_host_root", lambda: False)
        monkeypatch.setattr(bundle, "delegated", lambda trees: None)
        monkeypatch.setattr(os, "geteuid", lambda: 1000)
        place = place_in(tmp_path)
        for wanted in ("", "b/c", "/user/own"):
            read = bundle.read(bundled(linux__cgroupsPath=wanted), RUNC, tool.Binary("runc", (1, 2)))
            assert read.group(place, "a") == wanted

    def test_way_is_made_for_limits_alone(self, bundled, tmp_path, monkeypatch):
        (tmp_path / "user").mkdir()
        monkeypatch.setattr(bundle, "is_host_root", lambda: False)
        monkeypatch.setattr(bundle, "delegated", lambda trees: (Hierarchy(str(tmp_path), 2, frozenset()), "/user"))
        binary = tool.Binary("runc", (1, 2))
        bundle.read(bundled(), RUNC, binary).make_way("/user/a")
        assert not (tmp_path / "user/a").exists()
        limited = bundle.read(bundled(linux__resources={"pids": {"limit": 5}}), RUNC, binary)
        limited.make_way("")
        limited.make_way("/user/a")
        assert (tmp_path / "user/a").is_dir()
        (tmp_path / "user/file").touch()
        with pytest.raises(HostUnfit, match=r"group /user/file/a \(config.json: linux.cgroupsPath\): Not a directory"):
            limited.make_way("/user/file/a")

    def test_what_a_user_namespace_cannot_take_from_a_mount_is_kept(self, tmp_path, monkeypatch):
        """Linux refuses to remount without it, and runc 1.1 only knows `ro`."""
        monkeypatch.setattr(locked.os, "statvfs", lambda path: SimpleNamespace(f_flag=os.ST_NOSUID | os.ST_NODEV))
        kept = {
            options: locked.keep_locked({"source": "/", "options": list(options)})["options"]
            for options in (("bind", "ro"), ("bind", "nosuid"), ("bind", "suid"))
        }
        assert kept == {
            ("bind", "ro"): ["bind", "ro", "nosuid", "nodev"],
            ("bind", "nosuid"): ["bind", "nosuid", "nodev"],
            ("bind", "suid"): ["bind", "suid", "nodev"],
        }
        monkeypatch.undo()
        gone = {"source": str(tmp_path / "gone"), "options": ["bind"]}
        assert locked.keep_locked(gone) == gone

    @pytest.mark.parametrize(
        ("root", "kind", "kept"), [(True, "uts", False), (True, "user", True), (False, "uts", True)]
    )
    def test_binds_in_a_user_namespace(self, bundled, tmp_path, monkeypatch, root, kind, kept):
        monkeypatch.setattr(bundle, "is_host_root", lambda: root)
        monkeypatch.setattr(bundle, "keep_locked", lambda mount: {"options": ["kept"]})
        bind = {"destination": "/b", "type": "bind", "source": "rootfs", "options": ["bind"]}
        folder = bundled(mounts=[bind], linux__namespaces=[{"type": kind}])
        bundle.read(folder, RUNC, tool.Binary("runc", (1, 2))).write(tmp_path / "written", "")
        written = json.loads((tmp_path / "written/config.json").read_text())["mounts"][0]
        assert written["source"] == str(folder / "rootfs")
        assert written["options"] == (["kept"] if kept else ["bind"])

    def test_a_newer_version_has_it(self, bundled):
        folder = bundled(domainname="x", mounts=[{"destination": "/a", "type": "tmpfs", "uidMappings": [{}]}])
        assert bundle.read(folder, RUNC, tool.Binary("runc", (1, 2))).data["domainname"] == "x"
        with pytest.raises(Unsupported, match=r"mounts\[0\]\.uidMappings|domainname"):
            bundle.read(folder, RUNC, tool.Binary("runc", (1, 1)))

    def test_a_domain_of_its_own_is_set_where_a_version_passes_it_over(self, bundled, monkeypatch):
        monkeypatch.setattr(bundle, "is_host_root", lambda: True)
        folder = bundled(domainname="x", linux__namespaces=[{"type": "uts"}])
        read = bundle.read(folder, RUNC, tool.Binary("runc", (1, 1))).data
        assert (read["linux"]["sysctl"], "domainname" in read) == ({"kernel.domainname": "x"}, False)

    def test_capabilities_that_nobody_has_are_left_out(self, bundled, tmp_path, monkeypatch):
        """But in a user namespace of its own, where all can be had."""
        monkeypatch.setattr(capabilities, "bounding", lambda: frozenset({0}))
        wanted = {"bounding": ["CAP_CHOWN", "CAP_KILL"], "permitted": ["CAP_KILL"]}
        for kind, kept in (("uts", {"bounding": ["CAP_CHOWN"], "permitted": []}), ("user", wanted)):
            folder = bundled(process__capabilities=wanted, linux__namespaces=[{"type": kind}])
            bundle.read(folder, RUNC, tool.Binary("runc", (1, 2))).write(tmp_path / kind, "")
            assert json.loads((tmp_path / kind / "config.json").read_text())["process"]["capabilities"] == kept

    def test_capabilities_of_what_enters_a_user_namespace_are_kept(self, monkeypatch):
        monkeypatch.setattr(capabilities, "bounding", lambda: frozenset({0}))
        process = {"args": ["a"], "capabilities": {"bounding": ["CAP_CHOWN", "CAP_KILL"]}}
        assert possible_beside(process, os.getpid())["capabilities"] == {"bounding": ["CAP_CHOWN"]}
        monkeypatch.setattr(os, "readlink", str)  # of each process another one
        assert possible_beside(process, os.getpid()) == process


class TestRuntime:
    def test_what_is_left_of_a_record_is_told(self, tmp_path):
        records = Records(tmp_path)
        records.reserve(Record("a", "/b", boot_id()))
        folder = records.folder("a")
        (folder.path / "record.json").write_text("{")
        with pytest.raises(Corrupt, match="can't be read"):
            records.read("a")
        (folder.path / "record.json").write_text(json.dumps({"format": 99}))
        with pytest.raises(Corrupt, match="another version"):
            records.read("a")

    def test_a_command_that_hands_over_no_terminal(self, fake, bundled):
        made = fake('for each; do [ "$before" = --pid-file ] && echo $$ > "$each"; before=$each; done; exit 0')
        with pytest.raises(Unavailable, match="handed over no terminal"):
            made.create("a", bundled(process__terminal=True), Stdio(terminal=True))
        assert made.list() == ()

    def test_a_command_that_fails_leaves_nothing(self, fake, bundled):
        said = '{"level":"error","msg":"x: no space left on device"}'
        made = fake(f'for each; do [ "$before" = --log ] && echo \'{said}\' > "$each"; before=$each; done; exit 1')
        folder = bundled()
        with pytest.raises(HostUnfit, match="runc can't create the container: x: no space left on device"):
            created(made, folder)
        assert made.list() == ()

    def test_calls_of_containers_that_are_half_made(self, fake, tmp_path):
        made = fake("exit 0")
        made._records.reserve(Record("a", "/b", boot_id()))
        assert made.state("a").status == "creating"
        with pytest.raises(HostUnfit, match="no control group"):
            made.stats("a")
        with pytest.raises(Conflict):
            made.pause("a")
        made.reclaim()
        assert made.list() == ()

    def test_none_is_paused_without_a_group(self, fake):
        """Which some commands pass over in silence."""
        made = fake("exit 0")
        stat = process_stat(os.getpid())
        made._records.reserve(
            Record("a", "/b", boot_id(), pid=os.getpid(), start_ticks=stat.start_ticks, restored=True)
        )
        with pytest.raises(HostUnfit, match="no control group"):
            made.pause("a")

    def test_limits_that_the_command_does_not_change(self, fake):
        made = fake("exit 0")
        made._records.reserve(Record("a", "/b", boot_id()))
        with pytest.raises(Unsupported, match=r"linux\.resources\.rdma"):
            made.update("a", {"rdma": {"mlx5_1": {"hcaHandles": 3}}})

    def test_images_without_criu(self, fake, bundled, monkeypatch, tmp_path):
        made = fake("exit 0")
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(HostUnfit, match="criu") as caught:
            made.restore("a", bundled(), tmp_path / "image", Stdio(0, 1, 2), PLAIN)
        assert caught.value.hint == "apt install criu"

    def test_an_image_that_fails_is_as_it_was(self, tmp_path):
        image = tmp_path / "image"
        with pytest.raises(RuntimeError), folders.writing(image):
            image.mkdir()
            (image / "part.img").touch()
            raise RuntimeError
        assert not image.exists()
        image.mkdir()
        with pytest.raises(RuntimeError), folders.writing(image):
            (image / "part.img").touch()
            raise RuntimeError
        assert list(image.iterdir()) == []
        with pytest.raises(NotFound):
            folders.check(tmp_path / "absent")

    def test_the_errors_of_an_image(self, tmp_path):
        (tmp_path / "dump.log").write_text(
            "(00.1) Error (criu/a.c:1): Can't do it\n(00.2) Error (b.c:2): Dumping FAILED.\n"
            "(00.2) Error (criu/a.c:2): and this\n(00.2) Error (criu/a.c:3): so that it fails\n"
            "(00.3) Error (criu/cgroup.c:9): cg: cgroupd: recv req error: No such file or directory\n"
        )
        assert folders.reason(tmp_path) == "Can't do it ... so that it fails"
        assert folders.reason(tmp_path / "absent") == ""
        assert images.flags(CheckpointOptions(True, True, True)) == (
            "--tcp-established",
            "--ext-unix-sk",
            "--file-locks",
        )

    def test_a_group_that_never_freezes(self, monkeypatch):
        monkeypatch.setattr(runtime, "_FREEZE_S", 0.05)
        assert not runtime._becomes(lambda: False)
        assert runtime._becomes(lambda: True)

    def test_a_process_that_never_becomes_a_program(self, monkeypatch):
        monkeypatch.setattr(first, "_PATIENCE_S", 0.05)
        pid = os.fork()
        if pid == 0:
            signal.pause()
        try:
            with pytest.raises(Unavailable, match="doesn't begin"):
                first.becomes_program(pid)
        finally:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        assert first.becomes_program(pid), "what is gone can't be asked any more"

    def test_a_process_that_ends_before_it_is_one(self):
        pid = os.fork()
        if pid == 0:
            os._exit(1)
        assert not first.becomes_program(pid)
        first.discard(os.pidfd_open(pid))

    @pytest.mark.slow
    def test_hooks_that_fail_are_told(self):
        failing = [{"path": "/bin/sh", "args": ["sh", "-c", "echo why; exit 3"]}, {"path": "/no/such"}]
        slow = [{"path": "/bin/sleep", "args": ["sleep", "1000"], "timeout": 1}]
        told = dict(hooks.run([*failing, *slow, {"path": "/bin/true"}], b"{}"))
        assert told == {
            0: "exit code 3: why",
            1: "No such file or directory",
            2: "it took longer than its timeout of 1 s",
        }

    def test_only_own_groups_are_a_containers(self):
        assert first.groups_of(os.getpid(), "") == Group(())
        assert first.groups_of(os.getpid(), "/of/somebody/else") == Group(())
        first.remove_groups("relative")
