"""The conformance suite of runtimes: every call in every state."""

# ruff: noqa: D102 - the name of a test says what it holds a runtime to
import os
import signal
from collections.abc import Callable, Mapping

import pytest

from moby.contracts.runtime import RuntimeFeature
from moby.errors import Conflict, MobyError, NotFound
from moby.testing.boxes import Box, Boxes, delegated, run_inside
from moby.testing.runtime_offers import lacks, needs_groups, offers

__all__ = ["States"]

Call = Callable[[Boxes, str], object]


def _watch(boxes: Boxes, name: str) -> None:
    os.close(boxes.runtime.watch_oom(name))


CALLS: Mapping[str, tuple[str, Call]] = {
    "state": ("", lambda boxes, name: boxes.runtime.state(name)),
    "pids": ("", lambda boxes, name: boxes.runtime.pids(name)),
    "stats": (RuntimeFeature.STATS, lambda boxes, name: boxes.runtime.stats(name)),
    "watch_oom": (RuntimeFeature.OOM, _watch),
    "update": (RuntimeFeature.UPDATE, lambda boxes, name: boxes.runtime.update(name, {"pids": {"limit": 50}})),
    "resume": (RuntimeFeature.PAUSE, lambda boxes, name: boxes.runtime.resume(name)),
    "exec": (RuntimeFeature.EXEC, lambda boxes, name: run_inside(boxes, name, "true")),
    "delete": ("", lambda boxes, name: boxes.runtime.delete(name)),
    "pause": (RuntimeFeature.PAUSE, lambda boxes, name: boxes.runtime.pause(name)),
    "kill": ("", lambda boxes, name: boxes.runtime.kill(name, signal.SIGCONT)),
    "start": ("", lambda boxes, name: boxes.runtime.start(name)),
}
"""The feature that a call needs, and the call; those first that change nothing in the state where they are right."""

NEEDS_GROUPS = ("stats", "watch_oom", "update")
REFUSED: Mapping[str, Mapping[str, type[MobyError]]] = {
    "unknown": dict.fromkeys(CALLS, NotFound),
    "created": dict.fromkeys(("resume", "exec", "delete", "pause"), Conflict),
    "running": dict.fromkeys(("resume", "delete", "start"), Conflict),
    "paused": dict.fromkeys(("exec", "delete", "pause", "start"), Conflict),
    "stopped": dict.fromkeys(("watch_oom", "update", "resume", "exec", "pause", "kill", "start"), Conflict),
}
ALLOWED_EITHER_WAY = {("stats", "stopped"), ("resume", "paused"), ("delete", "stopped")}
"""What changes the state, or what the contract leaves open; each has a test of its own."""


class States:
    """Which calls a container takes in which state, and which error the others get."""

    @pytest.mark.parametrize("state", REFUSED)
    def test_calls_in_a_state(self, boxes: Boxes, state: str) -> None:
        name = self._container(boxes, state)
        groups = not boxes.rootless or delegated()
        wrong = []
        for call, (feature, run) in CALLS.items():
            if (feature and not offers(boxes, feature)) or (call, state) in ALLOWED_EITHER_WAY:
                continue
            expected = REFUSED[state].get(call)
            if expected is None and call in NEEDS_GROUPS and not groups:
                continue
            found: type[BaseException] | None = None
            try:
                run(boxes, name)
            except MobyError as error:
                found = type(error)
            if found is not expected:
                wrong.append(f"{call}: {found}, not {expected}")
        assert wrong == []

    @staticmethod
    def _container(boxes: Boxes, state: str) -> str:
        if state == "unknown":
            return "nobody"
        if state == "paused":
            lacks(boxes, RuntimeFeature.PAUSE)
            needs_groups(boxes)
        box: Box = boxes.create(boxes.config("sleep", "1000"))
        if state != "created":
            boxes.runtime.start(box.id)
        if state == "paused":
            boxes.runtime.pause(box.id)
        if state == "stopped":
            boxes.runtime.kill(box.id, signal.SIGKILL)
            box.code()
        return box.id

    def test_a_created_one_can_be_killed_and_deleted(self, boxes: Boxes) -> None:
        box = boxes.create(boxes.config("true"))
        boxes.runtime.kill(box.id, signal.SIGKILL)
        assert box.code() == 137
        boxes.runtime.delete(box.id)
        assert boxes.runtime.list() == ()
