"""The conformance suite of runtimes: seccomp profiles."""

# ruff: noqa: D102 - the name of a test says what it holds a runtime to
import errno
import os
import signal
from typing import Any

import pytest

from moby.contracts.runtime import RuntimeFeature
from moby.errors import Invalid, Unsupported
from moby.testing.boxes import Boxes, run_inside
from moby.testing.runtime_offers import lacks, offers

__all__ = ["SeccompProfiles"]


class SeccompProfiles:
    """Seccomp profiles."""

    def test_seccomp_is_refused_unless_offered(self, boxes: Boxes) -> None:
        if offers(boxes, RuntimeFeature.SECCOMP):
            return
        with pytest.raises(Unsupported, match="seccomp"):
            boxes.create(self._filtered(boxes))

    def test_seccomp(self, boxes: Boxes) -> None:
        lacks(boxes, RuntimeFeature.SECCOMP)
        code, text = boxes.run_config(self._filtered(boxes))
        assert code == 0
        assert "refused" in text
        assert "Operation not permitted" in text

    def test_seccomp_with_an_error_of_its_own(self, boxes: Boxes) -> None:
        lacks(boxes, RuntimeFeature.SECCOMP)
        _, text = boxes.run_config(self._filtered(boxes, errnoRet=errno.EXDEV))
        assert os.strerror(errno.EXDEV) in text

    def test_seccomp_that_kills(self, boxes: Boxes) -> None:
        lacks(boxes, RuntimeFeature.SECCOMP)
        data = self._filtered(boxes, action="SCMP_ACT_KILL_PROCESS")
        data["process"]["args"] = ["mkdir", "/tmp/new"]
        assert boxes.run_config(data) == (128 + signal.SIGSYS, "")

    def test_seccomp_by_argument(self, boxes: Boxes) -> None:
        lacks(boxes, RuntimeFeature.SECCOMP)
        data = boxes.config("sh", "-c", "umask 022 && echo taken; umask 077 || echo refused; umask")
        rule = {"index": 0, "value": 0o077, "op": "SCMP_CMP_EQ"}
        data["linux"]["seccomp"] = {
            "defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{"names": ["umask"], "action": "SCMP_ACT_KILL_PROCESS", "args": [rule]}],
        }
        code, text = boxes.run_config(data)
        assert (code, text) == (128 + signal.SIGSYS, "taken\n")

    def test_seccomp_holds_for_exec(self, boxes: Boxes) -> None:
        lacks(boxes, RuntimeFeature.SECCOMP)
        lacks(boxes, RuntimeFeature.EXEC)
        data = self._filtered(boxes)
        data["process"]["args"] = ["sh", "-c", "echo up; exec sleep 1000"]
        box = boxes.started(data)
        box.until("up")
        code, text = run_inside(boxes, box.id, "mkdir", "/tmp/new")
        assert code == 1
        assert "Operation not permitted" in text

    @pytest.mark.parametrize(
        ("change", "named"),
        [
            pytest.param({"defaultAction": "SCMP_ACT_DANCE"}, "SCMP_ACT_DANCE", id="action"),
            pytest.param({"architectures": ["SCMP_ARCH_ABACUS"]}, "ABACUS", id="architecture"),
        ],
    )
    def test_seccomp_that_makes_no_sense_is_invalid(self, boxes: Boxes, change: dict[str, Any], named: str) -> None:
        lacks(boxes, RuntimeFeature.SECCOMP)
        data = self._filtered(boxes)
        data["linux"]["seccomp"] |= change
        with pytest.raises(Invalid, match=named):
            boxes.create(data)
        assert boxes.runtime.list() == ()

    @staticmethod
    def _filtered(boxes: Boxes, **rule: Any) -> dict[str, Any]:
        data = boxes.config("sh", "-c", "mkdir /tmp/new 2>&1 || echo refused")
        data["linux"]["seccomp"] = {
            "defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", **rule}],
        }
        return data
