"""The conformance suite of runtimes: user namespaces, other users than the caller, and ordinary users as callers."""

# ruff: noqa: D102 - the name of a test says what it holds a runtime to
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest

from moby.contracts.runtime import RuntimeFeature
from moby.errors import Unsupported
from moby.testing.as_user import as_nobody
from moby.testing.boxes import Boxes, MakeRuntime, place_in
from moby.testing.bundles import Bundles
from moby.testing.runtime_offers import lacks, offers

__all__ = ["Users"]


class Users:
    """User namespaces, other users than the caller, and ordinary users as callers."""

    def test_user_namespace_is_refused_unless_offered(self, boxes: Boxes) -> None:
        if offers(boxes, RuntimeFeature.USERNS):
            return
        # An ordinary user's own id alone is mapped by whatever runtime offers `rootless`.
        data = self._mapped(boxes)
        mapping = {"containerID": 0, "hostID": 100000, "size": 1000}
        data["linux"] |= {"uidMappings": [mapping], "gidMappings": [mapping]}
        with pytest.raises(Unsupported, match=r"namespaces|uidMappings"):
            boxes.create(data)

    def test_user_namespace(self, boxes: Boxes) -> None:
        lacks(boxes, RuntimeFeature.USERNS)
        code, text = boxes.run_config(self._mapped(boxes))
        assert code == 0
        first, *rest = text.splitlines()
        assert first.split() == ["0", str(os.geteuid() or 100000), str(1 if boxes.rootless else 1000)]
        assert rest == ["0"]

    @staticmethod
    def _mapped(boxes: Boxes) -> dict[str, Any]:
        data = boxes.config("sh", "-c", "cat /proc/self/uid_map; id -u")
        if not boxes.rootless:
            data["linux"].setdefault("namespaces", []).append({"type": "user"})
            mapping = {"containerID": 0, "hostID": 100000, "size": 1000}
            data["linux"] |= {"uidMappings": [mapping], "gidMappings": [mapping]}
        return data

    def test_other_users_are_refused_unless_offered(self, boxes: Boxes) -> None:
        if offers(boxes, RuntimeFeature.USERS):
            return
        with pytest.raises(Unsupported, match=r"process\.user\.uid|uidMappings"):
            boxes.create(boxes.config("true", user={"uid": 1000, "gid": 1001}))

    def test_user_and_groups(self, boxes: Boxes) -> None:
        lacks(boxes, RuntimeFeature.USERS)
        if boxes.rootless:
            pytest.skip("an ordinary user has one id to give; runs as root")
        _, text = boxes.run("cat", "/proc/self/status", user={"uid": 1000, "gid": 1001, "additionalGids": [5, 6]})
        found = {key: value.split() for key, _, value in (line.partition(":") for line in text.splitlines())}
        assert found["Uid"] == ["1000"] * 4
        assert found["Gid"] == ["1001"] * 4
        assert found["Groups"] == ["5", "6"]
        assert int(found["CapEff"][0], 16) == 0

    @staticmethod
    def _sealed(boxes: Boxes) -> dict[str, Any]:
        """Return what tries to run a program from a mount that is noexec, and shows another."""
        programs = boxes.bundles.folder / "programs"
        programs.mkdir()
        shutil.copy2(boxes.bundles.rootfs / "bin/true", programs / "true")
        data = boxes.config("sh", "-c", "/in/true; echo $?; cat /proc/self/mountinfo")
        data["mounts"] = [
            *data.get("mounts", ()),
            {"destination": "/data", "type": "tmpfs", "source": "t", "options": ["noexec"]},
            {"destination": "/in", "source": str(programs), "options": ["bind", "noexec"]},
        ]
        return data

    def test_noexec_is_refused_unless_offered(self, boxes: Boxes) -> None:
        if offers(boxes, RuntimeFeature.NOEXEC):
            return
        whole = offers(boxes, RuntimeFeature.MOUNTS)
        with pytest.raises(Unsupported, match=r"mounts\[4\]\.options.*noexec" if whole else "mounts"):
            boxes.create(self._sealed(boxes))

    def test_noexec(self, boxes: Boxes) -> None:
        lacks(boxes, RuntimeFeature.NOEXEC)
        _, text = boxes.run_config(self._sealed(boxes))
        assert "126" in text.splitlines(), "a program that may not be run ends with 126"
        (found,) = [line.split() for line in text.splitlines() if " /data " in line]
        assert "noexec" in found[5].split(",")

    def test_an_ordinary_user(self, boxes: Boxes, make_runtime: MakeRuntime) -> None:
        lacks(boxes, RuntimeFeature.ROOTLESS)
        if boxes.rootless:
            assert boxes.run("id", "-u") == (0, "0\n")
            return

        def run() -> None:
            folder = Path(tempfile.mkdtemp())
            place = place_in(folder / "place")
            own = Boxes(make_runtime(place), place, Bundles(folder / "bundles", boxes.bundles.rootfs))
            try:
                assert own.run("id", "-u") == (0, "0\n")
            finally:
                own.close()
                shutil.rmtree(folder)

        as_nobody(run)
