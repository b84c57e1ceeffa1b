"""The conformance suite of runtimes: containers that are written into an image, and made of one again."""

# ruff: noqa: D102 - the name of a test says what it holds a runtime to
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from moby.contracts.runtime import CheckpointOptions, RuntimeFeature
from moby.contracts.types import Stdio, TaskStatus
from moby.errors import Conflict, Corrupt, NotFound, Unsupported
from moby.testing.boxes import Box, Boxes
from moby.testing.runtime_offers import lacks, needs_root, offers

__all__ = ["Checkpoint"]

COUNTING = "i=0; while :; do i=$((i+1)); echo at $i.; sleep 0.05; done"
PLAIN = CheckpointOptions()


def _numbers(text: str) -> list[int]:
    """Return the numbers that a counting container has told."""
    return [int(word) for word in text.replace("at ", "").split(".\n") if word.isdigit()]


class Checkpoint:
    """Images of processes."""

    def test_checkpoint_is_refused_unless_offered(self, boxes: Boxes) -> None:
        if offers(boxes, RuntimeFeature.CHECKPOINT):
            return
        box = boxes.sleeping()
        folder = boxes.bundles.folder
        with pytest.raises(Unsupported):
            boxes.runtime.checkpoint(box.id, folder / "image", PLAIN)
        with pytest.raises(Unsupported):
            boxes.runtime.restore("again", box.bundle, folder / "image", Stdio(0, 1, 2), PLAIN)

    @staticmethod
    def _counting(boxes: Boxes) -> Box:
        lacks(boxes, RuntimeFeature.CHECKPOINT)
        needs_root(boxes, "an ordinary user writes no images")
        data: dict[str, Any] = boxes.config("sh", "-c", COUNTING)
        # One of its own would have to be locked, by tools for which firewall the host has.
        data["linux"]["namespaces"] = [each for each in data["linux"]["namespaces"] if each["type"] != "network"]
        box = boxes.started(data)
        box.until("at 3.")
        return box

    @staticmethod
    def _restored(boxes: Boxes, bundle: Path, image: Path) -> Box:
        stdin, end = os.pipe()
        output, out = os.pipe()
        try:
            process = boxes.runtime.restore("again", bundle, image, Stdio(stdin, out, out), PLAIN)
        except BaseException:
            os.close(output)
            raise
        finally:
            for fd in (stdin, end, out):
                os.close(fd)
        return boxes.keep(Box("again", bundle, process, output))

    def test_checkpoint_and_restore(self, boxes: Boxes) -> None:
        box = self._counting(boxes)
        image = boxes.bundles.folder / "image"
        boxes.runtime.checkpoint(box.id, image, PLAIN)
        assert box.code() == 128 + signal.SIGKILL
        assert boxes.runtime.state(box.id).status is TaskStatus.STOPPED
        last = max(_numbers(box.text()), default=3)
        boxes.runtime.delete(box.id)
        again = self._restored(boxes, box.bundle, image)
        state = boxes.runtime.state(again.id)
        assert (state.status, state.pid) == (TaskStatus.RUNNING, again.process.pid)
        first = _numbers(again.until(".\n"))[0]
        assert first in (last, last + 1)
        boxes.runtime.kill(again.id, signal.SIGKILL)
        assert again.code() == 137
        boxes.runtime.delete(again.id)
        assert (image / "inventory.img").exists() or any(image.iterdir()), "the image stays"

    def test_checkpoint_that_leaves_it_running(self, boxes: Boxes) -> None:
        box = self._counting(boxes)
        boxes.runtime.checkpoint(box.id, boxes.bundles.folder / "image", PLAIN, leave_running=True)
        assert boxes.runtime.state(box.id).status is TaskStatus.RUNNING
        before = _numbers(box.until(".\n"))[-1]
        box.until(f"at {before + 3}.")

    def test_checkpoint_wants_a_running_one_and_a_new_folder(self, boxes: Boxes) -> None:
        box = self._counting(boxes)
        image = boxes.bundles.folder / "image"
        image.mkdir()
        (image / "mine").touch()
        with pytest.raises(Conflict):
            boxes.runtime.checkpoint(box.id, image, PLAIN)
        assert [each.name for each in image.iterdir()] == ["mine"]
        created = boxes.create(boxes.config("true"))
        with pytest.raises(Conflict):
            boxes.runtime.checkpoint(created.id, boxes.bundles.folder / "other", PLAIN)
        assert not (boxes.bundles.folder / "other").exists()
        assert boxes.runtime.state(box.id).status is TaskStatus.RUNNING

    @pytest.mark.parametrize("state", ["absent", "nonsense"])
    def test_restore_wants_an_image(self, boxes: Boxes, state: str) -> None:
        lacks(boxes, RuntimeFeature.CHECKPOINT)
        image = boxes.bundles.folder / "image"
        if state == "nonsense":
            image.mkdir()
            (image / "inventory.img").write_text("no image", encoding="ascii")
        bundle = boxes.bundles.make("again", boxes.config("true"))
        with pytest.raises(NotFound if state == "absent" else Corrupt):
            self._restored(boxes, bundle, image)
        assert boxes.runtime.list() == ()
