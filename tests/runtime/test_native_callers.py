"""Who calls the native runtime: processes that live for one call below a subreaper, and one that lives on."""

import os
import signal
import socket
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from moby_runtime.native.runtime import Native

from moby.contracts.types import Stdio
from moby.host import namespaces, processes, vfork
from moby.testing.boxes import Boxes, MakeRuntime, read_all, run_inside
from moby.testing.runtime import RuntimeFixtures


def in_starter(call: Callable[[], tuple[bytes, list[int]]]) -> tuple[bytes, list[int]]:
    """Make a call in a copy of this process that ends at once; return what it sends, with its descriptors."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                data, fds = call()
                socket.send_fds(theirs, [data], fds)
                code = 0
            finally:
                os._exit(code)
        theirs.close()
        data, fds, _, _ = socket.recv_fds(ours, 4096, 4)
        assert os.waitid(os.P_PID, pid, os.WEXITED).si_status == 0
    return data, list(fds)


def ended(exit_fd: int) -> tuple[int, int]:
    """Wait for a process that has become ours; return how it ended."""
    result = os.waitid(os.P_PIDFD, exit_fd, os.WEXITED)
    os.close(exit_fd)
    assert result is not None
    return result.si_code, result.si_status


class TestCallers(RuntimeFixtures):
    @pytest.fixture
    def make_runtime(self) -> MakeRuntime:
        return Native

    def created_by_starter(self, boxes: Boxes, bundle: Path, stdio: Stdio) -> tuple[int, list[int]]:
        def create() -> tuple[bytes, list[int]]:
            process = boxes.runtime.create("box", bundle, stdio)
            fds = [process.exit_fd, *([process.terminal_fd] if process.terminal_fd >= 0 else [])]
            return b"%d" % process.pid, fds

        data, fds = in_starter(create)
        return int(data), fds

    @pytest.mark.parametrize("terminal", [False, True], ids=["streams", "terminal"])
    def test_each_call_in_a_process_of_its_own(self, boxes: Boxes, terminal: bool) -> None:
        bundle = boxes.bundles.make("box", boxes.config("sh", "-c", "echo out; exit 7", terminal=terminal))
        read, write = os.pipe()
        null = os.open("/dev/null", os.O_RDWR)
        stdio = Stdio(terminal=True) if terminal else Stdio(null, write, write)
        pid, fds = self.created_by_starter(boxes, bundle, stdio)
        os.close(write)
        os.close(null)
        found = boxes.runtime.state("box")
        assert (found.status, found.pid) == ("created", pid)
        in_starter(lambda: (boxes.runtime.start("box"), (b".", []))[1])
        assert read_all(fds[1] if terminal else read).split() == ["out"]
        for fd in (read, *fds[1:]):
            os.close(fd)
        # The starter has ended, and its child is ours, who take in orphans.
        assert ended(fds[0]) == (os.CLD_EXITED, 7)
        assert boxes.runtime.state("box").status == "stopped"
        in_starter(lambda: (boxes.runtime.delete("box"), (b".", []))[1])
        assert boxes.runtime.list() == ()

    def test_a_further_program_and_an_end_by_others(self, boxes: Boxes) -> None:
        null = os.open("/dev/null", os.O_RDWR)
        stdio = Stdio(null, null, null)
        bundle = boxes.bundles.make("box", boxes.config("sleep", "1000"))
        _, fds = self.created_by_starter(boxes, bundle, stdio)
        boxes.runtime.start("box")

        def add() -> tuple[bytes, list[int]]:
            process = boxes.runtime.exec("box", boxes.config("sh", "-c", "exit 5")["process"], stdio)
            return b"%d" % process.pid, [process.exit_fd]

        _, more = in_starter(add)
        assert ended(more[0]) == (os.CLD_EXITED, 5)
        in_starter(lambda: (boxes.runtime.kill("box", signal.SIGKILL), (b".", []))[1])
        assert ended(fds[0]) == (os.CLD_KILLED, signal.SIGKILL)
        boxes.runtime.delete("box")
        os.close(null)

    @pytest.mark.parametrize("lends", [True, False], ids=["on our memory", "by a copy"])
    def test_a_further_program_is_where_its_container_is(self, boxes: Boxes, monkeypatch, lends: bool) -> None:
        monkeypatch.setattr(vfork, "possible", lambda: lends)
        box = boxes.sleeping()
        kinds = sorted(each for each in namespaces.PROC_NAMES.values() if Path("/proc/self/ns", each).exists())
        script = f"for each in {' '.join(kinds)}; do readlink /proc/self/ns/$each; done"
        arguments = Path("/proc/self/cmdline").read_bytes()
        code, text = run_inside(boxes, box.id, "sh", "-c", script)
        first = Path("/proc", str(box.process.pid))
        expected = [os.readlink(first / "ns" / each) for each in kinds]  # noqa: PTH115
        assert (code, text.splitlines()) == (0, expected)
        assert run_inside(boxes, box.id, "cat", "/proc/self/cgroup") == run_inside(
            boxes, box.id, "cat", "/proc/1/cgroup"
        )
        assert (Path("/proc/self/cmdline").read_bytes(), processes.is_dumpable()) == (arguments, True)

    def test_a_caller_that_shows_nothing_goes_on_so(self, boxes: Boxes) -> None:
        box = boxes.sleeping()
        processes.set_dumpable(False)
        try:
            assert run_inside(boxes, box.id, "true") == (0, "")
            assert not processes.is_dumpable()
        finally:
            processes.set_dumpable(True)

    def test_a_caller_that_lives_on_keeps_nothing_and_imports_once(self, boxes: Boxes) -> None:
        null = os.open("/dev/null", os.O_RDWR)
        bundle = boxes.bundles.make("box", boxes.config("true"))

        def whole() -> None:
            process = boxes.runtime.create("box", bundle, Stdio(null, null, null))
            boxes.runtime.start("box")
            assert ended(process.exit_fd) == (os.CLD_EXITED, 0)
            boxes.runtime.delete("box")

        whole()
        modules, descriptors = set(sys.modules), opened()
        for _ in range(5):
            whole()
        assert not Counter(opened()) - Counter(descriptors), "others' may have been closed meanwhile"
        assert set(sys.modules) == modules
        os.close(null)


def opened() -> list[str]:
    """Return what this process has open, but for what looking opens."""
    return [str(each.readlink()) for each in sorted(Path("/proc/self/fd").iterdir()) if each.exists()]
