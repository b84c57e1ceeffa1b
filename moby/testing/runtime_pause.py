"""The conformance suite of runtimes: pausing and resuming."""

# ruff: noqa: D102 - the name of a test says what it holds a runtime to
import os
import signal

import pytest

from moby.contracts.runtime import RuntimeFeature
from moby.contracts.types import TaskStatus
from moby.errors import Conflict, Unsupported
from moby.testing.boxes import Boxes, readable
from moby.testing.runtime_offers import lacks, needs_groups, offers

__all__ = ["Pauses"]


class Pauses:
    """Pausing and resuming."""

    @pytest.mark.parametrize("call", ["pause", "resume"])
    def test_pause_is_refused_unless_offered(self, boxes: Boxes, call: str) -> None:
        if offers(boxes, RuntimeFeature.PAUSE):
            return
        box = boxes.sleeping()
        with pytest.raises(Unsupported):
            getattr(boxes.runtime, call)(box.id)

    def test_pause_and_resume(self, boxes: Boxes) -> None:
        lacks(boxes, RuntimeFeature.PAUSE)
        needs_groups(boxes)
        box = boxes.started(boxes.config("sh", "-c", "while read line; do echo got $line; done"), stdin=True)
        os.write(box.stdin, b"one\n")
        box.until("one")
        boxes.runtime.pause(box.id)
        assert boxes.runtime.state(box.id).status is TaskStatus.PAUSED
        os.write(box.stdin, b"two\n")
        assert not readable(box.output, 0.3)
        boxes.runtime.resume(box.id)
        assert boxes.runtime.state(box.id).status is TaskStatus.RUNNING
        box.until("two")

    def test_pause_wants_a_running_one_and_resume_a_paused_one(self, boxes: Boxes) -> None:
        lacks(boxes, RuntimeFeature.PAUSE)
        needs_groups(boxes)
        box = boxes.create(boxes.config("sleep", "1000"))
        for call in (boxes.runtime.pause, boxes.runtime.resume):
            with pytest.raises(Conflict):
                call(box.id)
        boxes.runtime.start(box.id)
        with pytest.raises(Conflict):
            boxes.runtime.resume(box.id)
        boxes.runtime.pause(box.id)
        with pytest.raises(Conflict):
            boxes.runtime.pause(box.id)

    def test_a_paused_one_can_be_killed(self, boxes: Boxes) -> None:
        lacks(boxes, RuntimeFeature.PAUSE)
        needs_groups(boxes)
        box = boxes.sleeping()
        boxes.runtime.pause(box.id)
        boxes.runtime.kill(box.id, signal.SIGKILL)
        assert box.code() == 137
