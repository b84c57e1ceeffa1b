"""The conformance suite of runtimes: terminals of the container's own, with a size, that hang up and control."""

# ruff: noqa: D102 - the name of a test says what it holds a runtime to
import os
import termios

import pytest

from moby.contracts.runtime import RuntimeFeature
from moby.errors import Invalid, Unsupported
from moby.testing.boxes import Boxes, run_inside
from moby.testing.runtime_offers import lacks, offers

__all__ = ["Terminals"]


class Terminals:
    """Terminals of the container's own, with a size, that hang up and control."""

    def test_terminal_is_refused_unless_offered(self, boxes: Boxes) -> None:
        if offers(boxes, RuntimeFeature.TERMINAL):
            return
        with pytest.raises(Unsupported, match="terminal"):
            boxes.create(boxes.config("true", terminal=True), terminal=True)

    def test_terminal(self, boxes: Boxes) -> None:
        lacks(boxes, RuntimeFeature.TERMINAL)
        script = "tty; stat -c %F /dev/console; echo x > /dev/tty && echo owned; read line; echo got $line"
        box = boxes.started(boxes.config("sh", "-c", script, terminal=True), terminal=True)
        before = box.until("owned")
        os.write(box.stdin, b"words\n")
        text = box.text()
        assert "character special file" in before
        assert before.startswith("/dev/pts/0"), "it is the first of the container's own, and has its name there"
        assert "got words" in text
        assert box.code() == 0

    def test_terminal_has_the_size_asked_for(self, boxes: Boxes) -> None:
        lacks(boxes, RuntimeFeature.TERMINAL)
        size = {"height": 33, "width": 77}
        box = boxes.create(boxes.config("true", terminal=True, consoleSize=size), terminal=True)
        assert termios.tcgetwinsize(box.output) == (33, 77)
        assert not os.get_inheritable(box.output)

    def test_terminal_is_all_three_streams(self, boxes: Boxes) -> None:
        lacks(boxes, RuntimeFeature.TERMINAL)
        script = "readlink /proc/self/fd/0 /proc/self/fd/1 /proc/self/fd/2; echo /proc/self/fd/*"
        box = boxes.started(boxes.config("sh", "-c", script, terminal=True), terminal=True)
        *three, descriptors = box.text().split("\r\n")[:4]
        assert three == ["/dev/pts/0"] * 3
        assert {int(word.rpartition("/")[2]) for word in descriptors.split()} - {3} == {0, 1, 2}

    def test_terminal_hangs_up(self, boxes: Boxes) -> None:
        lacks(boxes, RuntimeFeature.TERMINAL)
        # A first process that doesn't say what it does at a signal is spared of it.
        script = "trap 'exit 9' HUP; echo up; while :; do sleep 0.05; done"
        box = boxes.started(boxes.config("sh", "-c", script, terminal=True), terminal=True)
        box.until("up")
        os.close(box.output)
        box.output = box.stdin = -1
        assert box.code() == 9

    @pytest.mark.parametrize("one", ["configuration", "caller"])
    def test_terminal_for_one_side_alone_is_invalid(self, boxes: Boxes, one: str) -> None:
        lacks(boxes, RuntimeFeature.TERMINAL)
        with pytest.raises(Invalid, match=r"process\.terminal"):
            boxes.create(boxes.config("true", terminal=one == "configuration"), terminal=one == "caller")
        assert boxes.runtime.list() == ()

    def test_exec_with_a_terminal(self, boxes: Boxes) -> None:
        lacks(boxes, RuntimeFeature.EXEC)
        lacks(boxes, RuntimeFeature.TERMINAL)
        box = boxes.sleeping()
        script = "tty; echo x > /dev/tty && echo owned; exit 4"
        code, text = run_inside(boxes, box.id, "sh", "-c", script, terminal=True)
        assert code == 4
        assert text.startswith("/dev/pts/")
        assert "owned" in text

    def test_exec_in_one_that_has_a_terminal(self, boxes: Boxes) -> None:
        lacks(boxes, RuntimeFeature.EXEC)
        lacks(boxes, RuntimeFeature.TERMINAL)
        box = boxes.started(boxes.config("sh", "-c", "echo up; exec sleep 1000", terminal=True), terminal=True)
        box.until("up")
        assert run_inside(boxes, box.id, "tty", terminal=True) == (0, "/dev/pts/1\r\n")
        code, text = run_inside(boxes, box.id, "tty")
        assert (code, text.strip()) == (1, "not a tty")

    def test_terminal_controls_it(self, boxes: Boxes) -> None:
        lacks(boxes, RuntimeFeature.TERMINAL)
        script = "trap 'echo interrupted; exit 9' INT; echo up; while :; do sleep 0.05; done"
        box = boxes.started(boxes.config("sh", "-c", script, terminal=True), terminal=True)
        box.until("up")
        os.write(box.stdin, b"\x03")
        box.until("interrupted")
        assert box.code() == 9
