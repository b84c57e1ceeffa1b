"""A runtime that is killed between any two steps, or that has no room: what is left is found, and gone afterwards."""

import os
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from moby_runtime.native.runtime import Native

from moby.contracts.types import Stdio, TaskStatus
from moby.errors import MobyError, NotFound, Unavailable
from moby.host import mounts, namespaces, processes
from moby.testing.boxes import Boxes, MakeRuntime, cgroup_folders, children
from moby.testing.runtime import RuntimeFixtures

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="mounts and limits of root's; run by root this is covered")
PATIENCE_S = 60
MOMENTS = 14
"""At how many lines of a call its process is killed; MOBY_FAULT_MOMENTS asks for others."""
ASKED = int(os.environ.get("MOBY_FAULT_MOMENTS", MOMENTS))


def in_a_copy(action: Callable[[], object], at: int = 0, *, first: bool = False) -> int:
    """Do something in a copy of this process, killed at its nth line; return how many lines there were.

    With `first` it is the copy's child, a container's first process, that is killed, and whose lines count.
    """
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        own, count = os.getpid(), 0

        def trace(frame: FrameType, event: str, argument: Any) -> Any:
            nonlocal count
            if (os.getpid() == own) != first:
                count += 1
                if count == at:
                    os.kill(os.getpid(), signal.SIGKILL)
            return trace

        try:
            sys.settrace(trace)
            with suppress(MobyError):
                action()
            sys.settrace(None)
            os.write(write, b"%d" % count)
        except BaseException as error:
            os.write(write, repr(error).encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as file:
        told = file.read()
    os.waitpid(pid, 0)
    assert not told or told.isdigit(), told
    return int(told or 0)


def gone(boxes: Boxes, before: frozenset[int]) -> None:
    """Reap who lost its parent, and see that nothing is there any more."""
    deadline = time.monotonic() + PATIENCE_S
    while left := children() - before:
        for pid in left:
            with suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        assert time.monotonic() < deadline, f"{left} don't end"
        time.sleep(0.002)
    assert list(boxes.place.run.iterdir()) == []
    assert cgroup_folders(boxes.place.engine) == ()
    assert str(boxes.place.run) not in Path("/proc/self/mountinfo").read_text(encoding="utf-8")


def streams() -> Stdio:
    null = os.open("/dev/null", os.O_RDWR)
    return Stdio(null, null, null)


class TestKilled(RuntimeFixtures):
    @pytest.fixture
    def make_runtime(self) -> MakeRuntime:
        return Native

    @pytest.fixture
    def calls(self, boxes: Boxes) -> dict[str, Callable[[], object]]:
        """The calls that are killed, each on its own container `a`."""
        data = boxes.config("sleep", "1000")
        data["hooks"] = {
            name: [{"path": "/bin/true"}] for name in ("createRuntime", "createContainer", "poststart", "poststop")
        }
        bundle = boxes.bundles.make("killed", data)
        runtime = boxes.runtime
        return {
            "create": lambda: runtime.create("a", bundle, streams()),
            "start": lambda: runtime.start("a"),
            "exec": lambda: runtime.exec("a", boxes.config("true")["process"], streams()),
            "delete": lambda: runtime.delete("a", force=True),
        }

    @pytest.mark.slow
    @pytest.mark.parametrize("name", ["create", "start", "exec", "delete"])
    def test_between_two_steps_of_a_call(self, boxes: Boxes, calls: dict[str, Callable[[], object]], name: str) -> None:
        before = children()
        order = ["create", "start", "exec", "delete"]
        earlier = [each for each in order[: order.index(name)] if each != "exec"]

        def clear() -> None:
            fresh = Native(boxes.place)
            for each in fresh.list():
                assert each.id == "a"
            fresh.reclaim()
            with pytest.raises(NotFound):
                fresh.state("a")
            gone(boxes, before)

        def prepared() -> None:
            in_a_copy(lambda: [calls[each]() for each in earlier])

        prepared()
        lines = in_a_copy(calls[name])
        clear()
        assert lines > MOMENTS
        for moment in range(ASKED):
            prepared()
            in_a_copy(calls[name], 1 + moment * lines // ASKED)
            clear()

    @pytest.mark.slow
    def test_the_first_process_while_it_is_made(
        self, boxes: Boxes, calls: dict[str, Callable[[], object]], monkeypatch
    ) -> None:
        """Who makes a container whose process is killed gets an error, not a wait, and nothing is left."""
        before = children()
        for moment in (1, 2, 5, 12, 30, 70, 150, 300, 600, 1000, 1500):
            in_a_copy(calls["create"], moment, first=True)
            runtime = Native(boxes.place)
            if runtime.list():  # it was far enough to be a container, if one that has ended
                assert runtime.state("a").status in (TaskStatus.CREATED, TaskStatus.STOPPED)
                runtime.delete("a", force=True)
            gone(boxes, before)

    def test_while_another_looks(self, boxes: Boxes) -> None:
        """A container that is being made is `creating` to others, and is removed by force, once its maker is gone."""
        data = boxes.config("true")
        read, write = os.pipe()
        data["hooks"] = {"createRuntime": [{"path": "/bin/sh", "args": ["sh", "-c", "sleep 1000"]}]}
        bundle = boxes.bundles.make("seen", data)
        before = children()
        pid = os.fork()
        if pid == 0:
            os.close(read)
            boxes.runtime.create("seen", bundle, streams())
            os._exit(0)
        os.close(write)
        os.close(read)
        deadline = time.monotonic() + PATIENCE_S
        other = Native(boxes.place)
        while not any(each.pid for each in other.list()):
            assert time.monotonic() < deadline
            time.sleep(0.002)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        other.delete("seen", force=True)
        for orphan in children() - before:  # the hook, which no container holds
            with suppress(ProcessLookupError):
                os.kill(orphan, signal.SIGKILL)
        gone(boxes, before)

    def test_a_bundle_that_is_deleted_meanwhile(self, boxes: Boxes) -> None:
        """Once it is made a container needs no bundle, to start, to be looked at and to go."""
        import shutil

        box = boxes.create(boxes.config("true"))
        shutil.rmtree(box.bundle)
        boxes.runtime.start(box.id)
        assert box.code() == 0
        assert boxes.runtime.state(box.id).status is TaskStatus.STOPPED
        boxes.runtime.delete(box.id)

    @pytest.mark.parametrize("broken", [0, 4, 5, 6])
    def test_a_mount_that_fails_half_way(self, boxes: Boxes, broken: int) -> None:
        data = boxes.config("true")
        data["mounts"] += [
            {"destination": "/one", "type": "tmpfs", "source": "t"},
            {"destination": "/two", "type": "tmpfs", "source": "t"},
        ]
        data["mounts"].insert(broken, {"destination": "/bad", "type": "tmpfs", "source": "t", "options": ["no=such"]})
        before = Path("/proc/self/mountinfo").read_text(encoding="utf-8")
        with pytest.raises(MobyError, match=rf"mounts\[{broken}\]"):
            boxes.create(data)
        assert Path("/proc/self/mountinfo").read_text(encoding="utf-8") == before
        assert list(boxes.place.run.iterdir()) == []


def is_open(number: int) -> bool:
    """Whether this process has a descriptor."""
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def with_limit(limit: int, soft: int, action: Callable[[], object]) -> None:
    """Do something under a limit of this process."""
    before = resource.getrlimit(limit)
    resource.setrlimit(limit, (soft, before[1]))
    try:
        action()
    finally:
        resource.setrlimit(limit, before)


class TestWithoutRoom(RuntimeFixtures):
    @pytest.fixture
    def make_runtime(self) -> MakeRuntime:
        return Native

    @pytest.mark.slow
    def test_too_few_descriptors(self, boxes: Boxes) -> None:
        """However many there are: an error that says so, or a container; and nothing is left open."""
        bundle = boxes.bundles.make("few", boxes.config("true"))
        given = streams()
        free = [number for number in range(4096) if not is_open(number)]
        refused = 0

        def create() -> None:
            os.close(boxes.runtime.create("few", bundle, given).exit_fd)

        for spare in range(40):
            try:
                with_limit(resource.RLIMIT_NOFILE, free[spare], create)  # which is the first that may not be had
            except MobyError as error:
                refused += 1
                assert isinstance(error, Unavailable), str(error)
                assert "open files" in str(error)
            except OSError as error:
                pytest.fail(f"with {spare} descriptors: {error!r}")
            else:
                boxes.runtime.delete("few", force=True)
            for pid in children():
                with suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)
            assert list(boxes.place.run.iterdir()) == []
        os.close(given.stdin)
        assert 0 < refused < 40

    @AS_ROOT
    @pytest.mark.parametrize("room", ["0", "inodes"])
    def test_a_full_disk(self, boxes: Boxes, room: str) -> None:
        """The folder of containers is on a disk that is full."""
        folder = Path(tempfile.mkdtemp(dir=boxes.bundles.folder))
        bundle = boxes.bundles.make("full", boxes.config("true"))
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            told = b"no error"
            try:
                namespaces.unshare(namespaces.FLAGS["mount"])
                mounts.set_propagation("/", "rslave")
                mounts.mount("tmpfs", str(folder), "tmpfs", 0, "size=64k,nr_inodes=12")
                runtime = Native(type(boxes.place)(folder, folder / "run", folder, boxes.place.engine))
                (folder / "run").mkdir()
                fill(folder, room)
                try:
                    runtime.create("a", bundle, streams())
                except MobyError as error:
                    told = f"{type(error).__name__}: {error} ({error.hint})".encode()
                left = [each.name for each in (folder / "run").iterdir()]
                told += f"; left {left}; {cgroup_folders(boxes.place.engine)}".encode()
            except BaseException as error:
                told = repr(error).encode()
            finally:
                os.write(write, told)
                os._exit(0)
        os.close(write)
        with os.fdopen(read) as file:
            text = file.read()
        os.waitpid(pid, 0)
        assert "No space left on device" in text
        assert text.endswith("left []; ()")
        assert "fix" in text or "free" in text or "room" in text

    @AS_ROOT
    def test_too_few_processes(self, boxes: Boxes) -> None:
        """The user may have no more processes (RLIMIT_NPROC, which binds whoever isn't root)."""
        from moby.testing.as_user import as_nobody
        from moby.testing.boxes import place_in
        from moby.testing.bundles import Bundles

        def run() -> None:
            folder = Path(tempfile.mkdtemp())
            place = place_in(folder / "place")
            own = Boxes(Native(place), place, Bundles(folder / "bundles", boxes.bundles.rootfs))
            bundle = own.bundles.make("few", own.config("true"))

            def create() -> None:
                with pytest.raises(MobyError, match="Resource temporarily unavailable"):
                    own.runtime.create("few", bundle, streams())

            with_limit(resource.RLIMIT_NPROC, 0, create)
            assert list(place.run.iterdir()) == []
            import shutil

            shutil.rmtree(folder)

        as_nobody(run)


def fill(folder: Path, room: str) -> None:
    """Leave no byte, or no file, on a small disk."""
    with suppress(OSError):
        if room == "inodes":
            for number in range(20):
                (folder / f"filler{number}").touch()
        else:
            with (folder / "filler").open("wb", buffering=0) as file:
                while True:
                    file.write(b"x" * 1024)


@pytest.fixture(autouse=True)
def none_left() -> Iterator[None]:
    """Whoever is orphaned comes to this process."""
    processes.set_child_subreaper()
    yield
