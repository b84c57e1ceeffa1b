"""The conformance suite of runtimes: limits, refused or set, and changed while it runs."""

# ruff: noqa: D102 - the name of a test says what it holds a runtime to
import os
from typing import Any

import pytest

from moby.contracts.runtime import RuntimeFeature
from moby.errors import HostUnfit, Invalid, Unsupported
from moby.testing.boxes import Boxes
from moby.testing.runtime_offers import lacks, needs_groups, offers

__all__ = ["Updates"]


class Updates:
    """Limits, refused or set, and changed while it runs."""

    def test_limits_are_refused_unless_offered(self, boxes: Boxes) -> None:
        if offers(boxes, RuntimeFeature.CGROUPS):
            return
        with pytest.raises(Unsupported, match="resources"):
            boxes.create(self._limited(boxes, 3))

    def test_limits_that_cannot_be_had_are_the_hosts_fault(self, boxes: Boxes) -> None:
        lacks(boxes, RuntimeFeature.CGROUPS)
        if not boxes.rootless:
            pytest.skip("root has control groups; runs as an ordinary user")
        try:
            box = boxes.create(self._limited(boxes, 3))
        except HostUnfit as error:
            assert "linux.resources.pids.limit" in str(error)
            assert error.hint
        else:
            boxes.runtime.delete(box.id, force=True)

    @staticmethod
    def _limited(boxes: Boxes, processes: int) -> dict[str, Any]:
        """Return a configuration in which a shell starts processes until it can't."""
        data = boxes.config("sh", "-c", "read line; sleep 0.1 & sleep 0.1 & sleep 0.1 & sleep 0.1 & wait; echo all")
        data["linux"]["resources"] = {"pids": {"limit": processes}}
        return data

    def test_a_limit_of_processes(self, boxes: Boxes) -> None:
        lacks(boxes, RuntimeFeature.CGROUPS)
        needs_groups(boxes)
        for limit, enough in ((3, False), (50, True)):
            box = boxes.started(self._limited(boxes, limit), stdin=True)
            os.write(box.stdin, b"go\n")
            assert ("all" in box.text().splitlines()) is enough
            box.code()

    def test_a_limit_of_memory(self, boxes: Boxes) -> None:
        lacks(boxes, RuntimeFeature.CGROUPS)
        needs_groups(boxes)
        # What is written to a tmpfs counts as memory of who writes it; a runtime's own start may need some, too.
        whole = offers(boxes, RuntimeFeature.MOUNTS)
        data = boxes.config("sh", "-c", f"exec cat /dev/zero > {'/much' if whole else '/tmp'}/file")
        if whole:
            data["mounts"].append({"destination": "/much", "type": "tmpfs", "source": "tmpfs", "options": ["size=64m"]})
        data["linux"]["resources"] = {"memory": {"limit": 32 * 2**20}}
        assert boxes.run_config(data)[0] == 137

    def test_update_is_refused_unless_offered(self, boxes: Boxes) -> None:
        if offers(boxes, RuntimeFeature.UPDATE):
            return
        box = boxes.sleeping()
        with pytest.raises(Unsupported):
            boxes.runtime.update(box.id, {"pids": {"limit": 10}})

    def test_update(self, boxes: Boxes) -> None:
        lacks(boxes, RuntimeFeature.UPDATE)
        needs_groups(boxes)
        box = boxes.started(self._limited(boxes, 50), stdin=True)
        boxes.runtime.update(box.id, {"pids": {"limit": 3}})
        os.write(box.stdin, b"go\n")
        assert "all" not in box.text().splitlines()

    def test_update_refuses_by_name(self, boxes: Boxes) -> None:
        lacks(boxes, RuntimeFeature.UPDATE)
        box = boxes.sleeping()
        with pytest.raises(Invalid, match="pids"):
            boxes.runtime.update(box.id, {"pids": {"limit": "many"}})
