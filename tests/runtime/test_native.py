"""The native runtime beyond its contract: threads, its caller's death, control groups of version 2, and its errors."""

import contextlib
import json
import os
import signal
import threading
from pathlib import Path

import pytest
from guests.cover import needs
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from moby_runtime.native import placement, spec
from moby_runtime.native.runtime import Native
from moby_runtime.records.failures import Failure, error_of

from moby.contracts.runtime import DIE_WITH_PARENT
from moby.contracts.types import TaskStatus
from moby.errors import HostUnfit, Invalid, MobyError
from moby.host import cgroups, syscalls
from moby.testing.as_user import as_nobody
from moby.testing.boxes import Boxes, MakeRuntime, place_in, run_inside
from moby.testing.bundles import Bundles
from moby.testing.runtime import RuntimeFixtures


class TestNativeItself(RuntimeFixtures):
    @pytest.fixture
    def make_runtime(self) -> MakeRuntime:
        return Native

    def test_a_container_dies_with_its_caller(self, boxes: Boxes) -> None:
        data = boxes.config("sleep", "1000")
        data["annotations"] = {DIE_WITH_PARENT: "true"}
        bundle = boxes.bundles.make("mortal", data)
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            box = boxes.create_in(bundle, "mortal")
            boxes.runtime.start("mortal")
            os.write(write, b"%d" % box.process.pid)
            os._exit(0)
        first = os.pidfd_open(int(os.read(read, 20)))
        os.waitpid(pid, 0)
        for fd in (read, write):
            os.close(fd)
        with os.fdopen(first):
            assert boxes.runtime.list()[0].id == "mortal"
            import select

            assert select.select([first], [], [], 60)[0], "it must end when its maker has"
            with contextlib.suppress(ChildProcessError):  # this process may be who takes in orphans
                os.waitid(os.P_PIDFD, first, os.WEXITED)
        boxes.runtime.delete("mortal")

    @pytest.mark.slow
    def test_a_caller_with_threads(self, boxes: Boxes) -> None:
        stop = threading.Event()
        threads = [
            threading.Thread(target=lambda: [None for _ in iter(lambda: stop.wait(0.001), True)]) for _ in range(2)
        ]
        for each in threads:
            each.start()
        try:
            for _ in range(20):
                assert boxes.run("true") == (0, "")
        finally:
            stop.set()
            for each in threads:
                each.join()

    def test_what_a_start_calls_is_found_before_the_copy_of_the_caller(self, boxes: Boxes, monkeypatch) -> None:
        """Each copy would search all libraries anew, which takes longer than the call."""

        def look(library: object, name: str) -> None:
            raise AssertionError(f"{name} is looked for")

        boxes.sleeping("first")
        assert run_inside(boxes, "first", "true")[0] == 0  # by now the caller has what it needs itself
        monkeypatch.setattr(type(syscalls.libc), "__getattr__", look)
        assert boxes.run("true") == (0, "")
        assert run_inside(boxes, "first", "true")[0] == 0

    def test_control_groups_of_version_2_alone(self, boxes: Boxes, monkeypatch) -> None:
        trees = tuple(tree for tree in cgroups.hierarchies() if tree.version == 2 and tree.writable)
        if boxes.rootless:
            pytest.skip("only root rules devices; runs as root")
        needs(trees, "tree of version 2", "uml", "qemu")
        monkeypatch.setattr(placement, "hierarchies", lambda: trees)
        data = boxes.config("sh", "-c", "cat /dev/zero > /dev/full || echo full; echo up; exec sleep 1000")
        data["linux"]["resources"] = {"devices": [{"allow": False, "access": "rwm"}]}
        box = boxes.started(data)
        box.until("up")
        assert boxes.runtime.pids(box.id) == (box.process.pid,)
        boxes.runtime.pause(box.id)
        assert boxes.runtime.state(box.id).status is TaskStatus.PAUSED
        boxes.runtime.kill(box.id, signal.SIGKILL)
        assert box.code() == 137

    def test_an_ordinary_user_s_limit_is_refused_by_name(self, boxes: Boxes) -> None:
        if boxes.rootless:
            pytest.skip("the suite tests it; runs as root")

        def run() -> None:
            import tempfile

            folder = Path(tempfile.mkdtemp())
            place = place_in(folder / "place")
            own = Boxes(Native(place), place, Bundles(folder / "bundles", boxes.bundles.rootfs))
            for asked, field in (
                ({"resources": {"pids": {"limit": 3}}}, r"linux\.resources\.pids\.limit"),
                ({"cgroupsPath": "/mine"}, r"linux\.cgroupsPath"),
            ):
                data = own.config("true")
                data["linux"] |= asked
                with pytest.raises(HostUnfit, match=field) as caught:
                    own.create(data)
                assert "delegated" in caught.value.hint
            assert list(place.run.iterdir()) == []
            import shutil

            shutil.rmtree(folder)

        as_nobody(run)

    def test_an_ordinary_user_without_a_user_namespace(self, boxes: Boxes) -> None:
        if boxes.rootless:
            pytest.skip("runs as root")

        def run() -> None:
            with pytest.raises(Invalid, match="user namespace"):
                boxes.create_in(bundle, "plain")

        bundle = boxes.bundles.make("plain", boxes.config("true"))
        as_nobody(run)

    @pytest.mark.parametrize(
        ("path", "value", "error", "named"),
        [
            pytest.param(("linux", "sysctl"), {"vm.swappiness": "1"}, Invalid, "vm.swappiness", id="sysctl-host"),
            pytest.param(("linux", "uidMappings"), [{"containerID": 0}], Invalid, "hostID", id="mapping"),
            pytest.param(("linux", "namespaces"), [{"type": "mount"}], Invalid, "hostname", id="hostname-host"),
            pytest.param(("process", "user"), {"uid": -1}, Invalid, "uid", id="uid"),
            pytest.param(("process", "rlimits"), [{"type": "RLIMIT_MOON"}], Invalid, "rlimits", id="rlimit"),
            pytest.param(("linux", "rootfsPropagation"), "public", Invalid, "rootfsPropagation", id="propagation"),
            pytest.param(("linux", "devices"), [{"path": "/dev/x", "type": "z"}], Invalid, "devices", id="device"),
            pytest.param(("process", "args"), ["a\0b"], Invalid, "args", id="zero-byte"),
            pytest.param(("process", "selinuxLabel"), "a:b:c:s0", HostUnfit, "selinuxLabel", id="selinux"),
            pytest.param(("process", "terminal"), True, Invalid, "terminal", id="terminal-without-one"),
        ],
    )
    def test_what_is_refused_says_where(self, boxes: Boxes, path, value, error, named) -> None:
        data = boxes.config("true")
        data[path[0]][path[1]] = value
        with pytest.raises(error, match=named):
            boxes.create(data)

    @pytest.mark.parametrize("part", ["", "linux", "process", "root"])
    def test_a_field_that_nobody_knows_is_passed_over(self, boxes: Boxes, part: str) -> None:
        data = boxes.config("true")
        (data[part] if part else data)["telepathy"] = {"level": 1}
        assert boxes.started(data).code() == 0

    def test_without_a_process_it_can_be_made_and_not_started(self, boxes: Boxes) -> None:
        data = boxes.config("true")
        del data["process"]
        box = boxes.create(data)
        for _ in range(2):
            with pytest.raises(Invalid, match="no process"):
                boxes.runtime.start(box.id)
            assert boxes.runtime.state(box.id).status is TaskStatus.CREATED
        boxes.runtime.kill(box.id, signal.SIGKILL)
        assert box.code() == 137

    @pytest.mark.slow
    @settings(
        max_examples=150,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
    )
    @given(data=st.data())
    def test_any_configuration_is_read_or_refused(self, tmp_path: Path, data) -> None:
        base = {
            "root": {"path": "."},
            "process": {"args": ["a"], "cwd": "/"},
            "linux": {"namespaces": [{"type": "mount"}]},
        }
        anything = st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=4),
            lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES | st.text(max_size=3), inner, max_size=3),
            max_leaves=6,
        )
        part = data.draw(st.sampled_from(["root", "process", "linux", "mounts", "annotations"]))
        base[part] = data.draw(st.dictionaries(NAMES, anything, max_size=3) | anything)
        (tmp_path / "config.json").write_text(json.dumps(base))
        with contextlib.suppress(MobyError):
            assert spec.read(tmp_path).bundle == tmp_path


NAMES = st.sampled_from(
    [
        "args",
        "cwd",
        "env",
        "user",
        "uid",
        "gid",
        "rlimits",
        "type",
        "soft",
        "hard",
        "capabilities",
        "namespaces",
        "path",
        "uidMappings",
        "containerID",
        "hostID",
        "size",
        "devices",
        "major",
        "resources",
        "memory",
        "limit",
        "cpu",
        "quota",
        "blockIO",
        "unified",
        "sysctl",
        "destination",
        "options",
        "source",
    ]
)


@pytest.mark.parametrize(
    ("number", "where", "error", "fix"),
    [
        (28, "make the namespaces", HostUnfit, "user.max_"),
        (1, "make the namespaces", HostUnfit, "run as root"),
        (38, "make the namespaces", HostUnfit, "5.12"),
        (24, "start a process", MobyError, "descriptors"),
        (19, "mount zfs on /z", HostUnfit, "module"),
    ],
)
def test_a_failed_step_says_what_to_change(number, where, error, fix) -> None:
    found = error_of(Failure(where, "", number))
    assert isinstance(found, error)
    assert fix in found.hint
