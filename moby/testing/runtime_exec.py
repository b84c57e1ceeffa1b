"""The conformance suite of runtimes: further programs in a running container."""

# ruff: noqa: D102 - the name of a test says what it holds a runtime to
import os
import signal
from pathlib import Path

import pytest

from moby.contracts.runtime import RuntimeFeature
from moby.contracts.types import Stdio, TaskStatus
from moby.errors import Conflict, Invalid, NotFound, Unsupported
from moby.testing.boxes import Boxes, exit_code, run_inside, with_pipe
from moby.testing.runtime_isolation import UPWARDS
from moby.testing.runtime_offers import lacks, offers

__all__ = ["Execs"]


class Execs:
    """Further programs in a running container."""

    def test_exec_is_refused_unless_offered(self, boxes: Boxes) -> None:
        if offers(boxes, RuntimeFeature.EXEC):
            return
        box = boxes.sleeping()
        with pytest.raises(Unsupported):
            run_inside(boxes, box.id, "true")

    def test_exec(self, boxes: Boxes) -> None:
        lacks(boxes, RuntimeFeature.EXEC)
        box = boxes.sleeping()
        name = "box" if offers(boxes, RuntimeFeature.NAMESPACES) else os.uname().nodename
        script = "cat /proc/sys/kernel/hostname; readlink /proc/self/ns/pid; echo $A; readlink /proc/self/cwd; exit 5"
        code, text = run_inside(boxes, box.id, "sh", "-c", script, env=["PATH=/bin", "A=b"], cwd="/etc")
        assert code == 5
        inside = str(Path(f"/proc/{box.process.pid}/ns/pid").readlink())
        assert text.splitlines() == [name, inside, "b", "/etc"]

    def test_exec_has_the_capabilities_asked_for(self, boxes: Boxes) -> None:
        lacks(boxes, RuntimeFeature.EXEC)
        box = boxes.sleeping()
        _, text = run_inside(boxes, box.id, "cat", "/proc/self/status", capabilities={})
        lines = dict(line.split(":\t") for line in text.splitlines() if line.startswith("Cap"))
        assert {int(value, 16) for value in lines.values()} == {0}

    @pytest.mark.parametrize("folder", ["/proc/self/fd", "/proc/1/fd"])
    def test_exec_in_a_descriptor_is_no_way_out(self, boxes: Boxes, folder: str) -> None:
        """CVE-2024-21626, as for the first process."""
        lacks(boxes, RuntimeFeature.EXEC)
        box = boxes.sleeping()
        for number in range(3, 31):
            try:
                code, text = run_inside(
                    boxes, box.id, "sh", "-c", f"ls {UPWARDS}; echo; ls /", cwd=f"{folder}/{number}"
                )
            except Invalid as error:
                assert "process.cwd" in str(error)
            else:
                above, _, inside = text.partition("\n\n")
                assert (code, above) == (0, inside.strip())

    def test_exec_is_among_the_pids(self, boxes: Boxes) -> None:
        lacks(boxes, RuntimeFeature.EXEC)
        box = boxes.sleeping()
        before = set(boxes.runtime.pids(box.id))
        read, write = os.pipe()
        null = os.open("/dev/null", os.O_RDWR)
        started = boxes.runtime.exec(box.id, boxes.config("sleep", "1000")["process"], Stdio(null, null, write))
        for fd in (read, write, null):
            os.close(fd)
        after = set(boxes.runtime.pids(box.id))
        boxes.runtime.kill(box.id, signal.SIGKILL)
        assert exit_code(started) == 137
        assert after - before == {started.pid}

    def test_exec_of_what_is_not_there_is_invalid(self, boxes: Boxes) -> None:
        lacks(boxes, RuntimeFeature.EXEC)
        box = boxes.sleeping()
        with pytest.raises(Invalid, match="absent"):
            run_inside(boxes, box.id, "absent")
        assert boxes.runtime.state(box.id).status is TaskStatus.RUNNING

    def test_exec_of_a_pipe_is_invalid_and_not_waited_for(self, boxes: Boxes) -> None:
        """Who waits inside for a container, as a copy of the caller, is there for all to look into."""
        lacks(boxes, RuntimeFeature.EXEC)
        box = boxes.started(with_pipe(boxes, boxes.config("sh", "-c", "echo up; exec sleep 1000")))
        box.until("up")
        with pytest.raises(Invalid, match="/pipe"):
            run_inside(boxes, box.id, "/pipe")

    @pytest.mark.parametrize("state", ["created", "stopped", "unknown"])
    def test_exec_wants_a_running_one(self, boxes: Boxes, state: str) -> None:
        lacks(boxes, RuntimeFeature.EXEC)
        name = "nobody"
        if state != "unknown":
            box = boxes.create(boxes.config("true"))
            name = box.id
            if state == "stopped":
                boxes.runtime.start(name)
                box.code()
        with pytest.raises(NotFound if state == "unknown" else Conflict):
            run_inside(boxes, name, "true")
