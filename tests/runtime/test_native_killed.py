"""The native runtime killed between any two of its steps: what is left is found, and gone after `reclaim`."""

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from moby_runtime.native.runtime import Native

from moby.host import processes
from moby.testing.boxes import Boxes, MakeRuntime, cgroup_folders, children
from moby.testing.runtime import RuntimeFixtures
from moby.testing.runtime_offers import needs_root

POINTS = 30
_KERNEL = frozenset({"posix", "_socket", "_io", "fcntl"})


class Steps:
    """Counts what a process asks of the kernel, and ends it at one such step, as SIGKILL does."""

    def __init__(self, last: int = -1) -> None:
        self.count = 0
        self._last = last
        self._owner = os.getpid()

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        if os.getpid() != self._owner:
            return
        asks = event == "c_call" and getattr(argument, "__module__", None) in _KERNEL
        asks = asks or (event == "call" and frame.f_globals.get("__name__", "").startswith("moby.host."))
        if asks:
            self.count += 1
            if self.count == self._last:
                os.kill(self._owner, signal.SIGKILL)


def steps_of(act: Callable[[], object]) -> int:
    """Return how many steps something takes, done in a copy of this process, which ends with it."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        steps = Steps()
        try:
            sys.setprofile(steps)
            act()
            sys.setprofile(None)
            os.write(write, str(steps.count).encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as told:
        count = int(told.read())
    os.waitpid(pid, 0)
    return count


def killed_at(step: int, act: Callable[[], object]) -> int:
    """Do something in a copy of this process, which is killed at one step of it; return the signal that ended it."""
    pid = os.fork()
    if pid == 0:
        sys.setprofile(Steps(step))
        with contextlib.suppress(BaseException):
            act()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def await_end(boxes: Boxes, before: frozenset[int]) -> None:
    """Wait until nothing of killed runtimes runs any more, as this process's children or in control groups."""
    deadline = time.monotonic() + 60
    while children() - before or cgroup_folders(boxes.place.engine):
        for pid in children() - before:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        assert time.monotonic() < deadline, (children() - before, cgroup_folders(boxes.place.engine))
        time.sleep(0.005)


@pytest.mark.slow
class TestKilled(RuntimeFixtures):
    @pytest.fixture
    def make_runtime(self) -> MakeRuntime:
        return Native

    @pytest.fixture(autouse=True)
    def subreaper(self) -> None:
        processes.set_child_subreaper()

    def bundle(self, boxes: Boxes, kind: str) -> Path:
        data = boxes.config("sleep", "1000")
        data["linux"]["resources"] = {"pids": {"limit": 20}}
        if kind == "whole":
            needs_root(boxes, "an ordinary user maps one id by itself")
            mapping = [{"containerID": 0, "hostID": 100000, "size": 65536}]
            data["linux"]["namespaces"].append({"type": "user"})
            data["linux"] |= {"uidMappings": mapping, "gidMappings": mapping}
            folder = boxes.bundles.folder / "mapped"  # of a file system that ids can be mapped on, as /etc needn't be
            folder.mkdir()
            data["mounts"].append({"destination": "/tmp/e", "source": str(folder), "options": ["bind", "idmap"]})
            data["hooks"] = {name: [{"path": "/bin/true"}] for name in ("prestart", "createContainer", "poststop")}
        return boxes.bundles.make(kind, data)

    @pytest.mark.parametrize("kind", ["plain", "whole"])
    def test_while_it_creates(self, boxes: Boxes, kind: str) -> None:
        bundle, before = self.bundle(boxes, kind), children()

        def create() -> None:
            boxes.create_in(bundle, "half")

        total = steps_of(create)
        boxes.runtime.delete("half", force=True)
        await_end(boxes, before)
        assert total > POINTS, "these must be steps"
        ends = set()
        for step in range(1, total, max(1, total // POINTS)):
            ends.add(killed_at(step, create))
            other = Native(boxes.place)
            for state in other.list():
                assert state.id == "half"
                other.delete(state.id, force=True)
            other.reclaim()
            assert list(boxes.place.run.iterdir()) == [], step
            await_end(boxes, before)
        # The last ones may not be reached, since waiting for a hook takes more or less steps.
        assert -signal.SIGKILL in ends

    def test_while_it_deletes(self, boxes: Boxes) -> None:
        bundle, before = self.bundle(boxes, "plain" if boxes.rootless else "whole"), children()

        def delete() -> None:
            Native(boxes.place).delete("half", force=True)

        box = boxes.create_in(bundle, "half")
        total = steps_of(delete)
        box.close()
        await_end(boxes, before)
        for step in range(1, total, max(1, total // 10)):
            box = boxes.create_in(bundle, "half")
            killed_at(step, delete)
            Native(boxes.place).reclaim()
            assert list(boxes.place.run.iterdir()) == [], step
            box.close()
            await_end(boxes, before)
