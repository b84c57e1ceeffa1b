"""The conformance suite of runtimes: what a container may use and has used, changed and watched while it runs."""

# ruff: noqa: D102 - the name of a test says what it holds a runtime to
import os
import signal
import stat
import time
from typing import Any

import pytest

from moby.contracts.runtime import RuntimeFeature
from moby.errors import Conflict, Unsupported
from moby.testing.boxes import Box, Boxes, readable
from moby.testing.runtime_offers import lacks, needs_groups, needs_root, offers

__all__ = ["Limits"]

MIB = 2**20
FILLING = "x=0123456789; while :; do x=$x$x; done"
"""What takes more and more memory of its own."""
ODD = {"path": "/dev/odd", "type": "c", "major": 240, "minor": 7, "fileMode": 0o666, "uid": 0, "gid": 0}
"""A device that no driver serves: who may open it is told ENXIO, who may not EPERM."""
ALLOW = {"allow": True, "type": "c", "major": 240, "minor": 7, "access": "rwm"}
DENY_ALL = {"allow": False, "access": "rwm"}


class Limits:
    """Limits, statistics, OOM kills, and rules for devices."""

    def test_stats_are_refused_unless_offered(self, boxes: Boxes) -> None:
        if offers(boxes, RuntimeFeature.STATS):
            return
        box = boxes.sleeping()
        with pytest.raises(Unsupported):
            boxes.runtime.stats(box.id)

    def test_stats(self, boxes: Boxes) -> None:
        lacks(boxes, RuntimeFeature.STATS)
        needs_groups(boxes)
        script = "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; sleep 1000 & echo up; wait"
        data = boxes.config("sh", "-c", script)
        data["linux"]["resources"] = {"memory": {"limit": 64 * MIB}, "pids": {"limit": 20}}
        box = boxes.started(data)
        box.until("up")
        before = time.time_ns()
        found = boxes.runtime.stats(box.id)
        assert before <= found.time_ns <= time.time_ns()
        assert found.cpu_ns is not None
        assert found.cpu_ns > 1_000_000
        assert found.memory_bytes is not None
        assert 0 < found.memory_bytes <= 64 * MIB
        assert (found.memory_limit_bytes, found.pids_limit, found.oom_kills) == (64 * MIB, 20, 0)
        assert found.pids == len(boxes.runtime.pids(box.id)) == 2

    def test_stats_without_limits(self, boxes: Boxes) -> None:
        lacks(boxes, RuntimeFeature.STATS)
        needs_groups(boxes)
        found = boxes.runtime.stats(boxes.sleeping().id)
        assert (found.memory_limit_bytes, found.pids_limit) == (0, 0)

    def test_stats_tell_of_each_container_alone(self, boxes: Boxes) -> None:
        lacks(boxes, RuntimeFeature.STATS)
        needs_groups(boxes)
        quiet = boxes.sleeping()
        script = "read go; i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done; echo up; exec sleep 1000"
        busy = boxes.started(boxes.config("sh", "-c", script), stdin=True)
        before = [boxes.runtime.stats(each.id).cpu_ns or 0 for each in (quiet, busy)]
        os.write(busy.stdin, b"\n")
        busy.until("up")
        after = [boxes.runtime.stats(each.id).cpu_ns or 0 for each in (quiet, busy)]
        first, second = (late - early for early, late in zip(before, after, strict=True))
        assert first * 2 < second

    def test_stats_of_a_stopped_one_are_those_at_its_end(self, boxes: Boxes) -> None:
        lacks(boxes, RuntimeFeature.STATS)
        needs_groups(boxes)
        box = boxes.sleeping()
        boxes.runtime.kill(box.id, signal.SIGKILL)
        box.code()
        try:
            found = boxes.runtime.stats(box.id)
        except Conflict:
            return
        assert found.pids in (None, 0)
        assert found.cpu_ns

    def test_oom_is_refused_unless_offered(self, boxes: Boxes) -> None:
        if offers(boxes, RuntimeFeature.OOM):
            return
        box = boxes.sleeping()
        with pytest.raises(Unsupported):
            boxes.runtime.watch_oom(box.id)

    def test_oom_kills_are_told(self, boxes: Boxes) -> None:
        lacks(boxes, RuntimeFeature.OOM)
        needs_groups(boxes)
        data = boxes.config("sh", "-c", f"echo up; read line; sh -c '{FILLING}'; echo killed; exec sleep 1000")
        data["linux"]["resources"] = {"memory": {"limit": 16 * MIB}}
        box = boxes.started(data, stdin=True)
        box.until("up")
        first, second = boxes.runtime.watch_oom(box.id), boxes.runtime.watch_oom(box.id)
        try:
            if readable(first, 0):
                os.read(first, 4096)
            os.write(box.stdin, b"go\n")
            assert readable(first)
            assert readable(second)
            os.read(first, 4096)
            assert not os.get_inheritable(first)
        finally:
            for fd in (first, second):
                os.close(fd)
        box.until("killed")
        if offers(boxes, RuntimeFeature.STATS):
            assert (boxes.runtime.stats(box.id).oom_kills or 0) >= 1

    def test_oom_watch_is_quiet_while_there_is_enough(self, boxes: Boxes) -> None:
        lacks(boxes, RuntimeFeature.OOM)
        needs_groups(boxes)
        box = boxes.sleeping()
        fd = boxes.runtime.watch_oom(box.id)
        try:
            assert not readable(fd, 0.3)
            boxes.runtime.delete(box.id, force=True)
            assert readable(fd), "whoever watches must learn that there is nothing to watch any more"
        finally:
            os.close(fd)

    def test_update_of_memory_and_cpu(self, boxes: Boxes) -> None:
        lacks(boxes, RuntimeFeature.UPDATE)
        lacks(boxes, RuntimeFeature.STATS)
        needs_groups(boxes)
        data = boxes.config("sh", "-c", "echo up; exec sleep 1000")
        data["linux"]["resources"] = {"memory": {"limit": 32 * MIB}, "pids": {"limit": 20}}
        box = boxes.started(data)
        box.until("up")
        boxes.runtime.update(box.id, {"memory": {"limit": 64 * MIB}, "cpu": {"quota": 50000, "period": 100000}})
        found = boxes.runtime.stats(box.id)
        assert found.memory_limit_bytes == 64 * MIB
        assert found.pids_limit == 20, "what isn't named stays as it is"
        boxes.runtime.update(box.id, {"memory": {"limit": 64 * MIB}})
        assert boxes.runtime.stats(box.id).memory_limit_bytes == 64 * MIB

    @staticmethod
    def _with_device(boxes: Boxes, *rules: dict[str, Any]) -> Box:
        """Start what tells, for each line that it is given, whether it may open a device."""
        script = 'echo up; while read line; do (: < /dev/odd) 2>&1; echo "answer $line"; done'
        data = boxes.config("sh", "-c", script)
        if offers(boxes, RuntimeFeature.MOUNTS):
            data["linux"]["devices"] = [ODD]
        elif not (node := boxes.bundles.rootfs / "dev/odd").exists():
            os.mknod(node, 0o666 | stat.S_IFCHR, os.makedev(240, 7))
        data["linux"]["resources"] = {"devices": list(rules)}
        box = boxes.started(data, stdin=True)
        box.until("up")
        return box

    @staticmethod
    def _may_open(box: Box, turn: str) -> bool:
        os.write(box.stdin, f"{turn}\n".encode())
        text = box.until(f"answer {turn}")
        assert ("Operation not permitted" in text) != ("No such device" in text), text
        return "No such device" in text

    @pytest.mark.parametrize("allowed", [True, False])
    def test_rules_for_devices(self, boxes: Boxes, allowed: bool) -> None:
        lacks(boxes, RuntimeFeature.CGROUPS)
        needs_root(boxes, "an ordinary user makes no devices")
        box = self._with_device(boxes, DENY_ALL, *([ALLOW] if allowed else []))
        assert self._may_open(box, "once") is allowed

    def test_update_of_rules_for_devices(self, boxes: Boxes) -> None:
        lacks(boxes, RuntimeFeature.UPDATE)
        needs_root(boxes, "an ordinary user makes no devices")
        box = self._with_device(boxes, DENY_ALL)
        assert not self._may_open(box, "first")
        try:
            boxes.runtime.update(box.id, {"devices": [DENY_ALL, ALLOW]})
        except Unsupported as error:
            assert "devices" in str(error)
            return
        assert self._may_open(box, "second")
        boxes.runtime.update(box.id, {"devices": [DENY_ALL]})
        assert not self._may_open(box, "third")
