"""The conformance suite of runtimes: namespaces that are joined, mapped and shifted."""

# ruff: noqa: D102 - the name of a test says what it holds a runtime to
from pathlib import Path
from typing import Any

import pytest

from moby.contracts.runtime import RuntimeFeature
from moby.errors import Invalid, MobyError, NotFound, Unsupported
from moby.testing.boxes import Boxes
from moby.testing.runtime_offers import lacks, needs_root, offers

__all__ = ["Namespaces"]


def _join(data: dict[str, Any], kind: str, path: str) -> None:
    """Have a container join a namespace by its path."""
    for each in data["linux"]["namespaces"]:
        if each["type"] == kind:
            each["path"] = path


class Namespaces:
    """Namespaces by path, several mappings, clocks."""

    def test_joining_is_refused_unless_offered(self, boxes: Boxes) -> None:
        if offers(boxes, RuntimeFeature.JOINING):
            return
        data = boxes.config("true")
        data["linux"].setdefault("namespaces", [{"type": "network"}])
        _join(data, "network", "/proc/self/ns/net")
        with pytest.raises(Unsupported, match="namespaces"):
            boxes.create(data)

    @pytest.mark.parametrize(("kind", "name"), [("network", "net"), ("ipc", "ipc"), ("uts", "uts"), ("pid", "pid")])
    def test_a_namespace_can_be_joined(self, boxes: Boxes, kind: str, name: str) -> None:
        lacks(boxes, RuntimeFeature.JOINING)
        needs_root(boxes, "an ordinary user joins no namespace of a container of its own")
        other = boxes.sleeping()
        path = f"/proc/{other.process.pid}/ns/{name}"
        data = boxes.config("sh", "-c", f"readlink /proc/self/ns/{name}; cat /proc/sys/kernel/hostname")
        _join(data, kind, path)
        if kind == "uts":
            del data["hostname"]
        assert boxes.run_config(data) == (0, f"{Path(path).readlink()}\nbox\n")

    def test_several_namespaces_can_be_joined(self, boxes: Boxes) -> None:
        lacks(boxes, RuntimeFeature.JOINING)
        needs_root(boxes, "an ordinary user joins no namespace of a container of its own")
        other = boxes.sleeping()
        data = boxes.config("sh", "-c", "readlink /proc/self/ns/net; readlink /proc/self/ns/ipc")
        paths = [f"/proc/{other.process.pid}/ns/{name}" for name in ("net", "ipc")]
        for kind, path in zip(("network", "ipc"), paths, strict=True):
            _join(data, kind, path)
        assert boxes.run_config(data) == (0, "".join(f"{Path(path).readlink()}\n" for path in paths))

    def test_a_namespace_that_is_not_there_is_named(self, boxes: Boxes) -> None:
        lacks(boxes, RuntimeFeature.JOINING)
        data = boxes.config("true")
        _join(data, "network", "/no/such/namespace")
        with pytest.raises((Invalid, NotFound), match=r"linux\.namespaces"):
            boxes.create(data)
        assert boxes.runtime.list() == ()

    def test_a_namespace_of_another_type_is_refused(self, boxes: Boxes) -> None:
        lacks(boxes, RuntimeFeature.JOINING)
        data = boxes.config("true")
        _join(data, "network", "/proc/self/ns/uts")
        with pytest.raises(Invalid, match=r"linux\.namespaces|network|/proc/self/ns/uts"):
            boxes.create(data)
        assert boxes.runtime.list() == ()

    def test_several_mappings(self, boxes: Boxes) -> None:
        lacks(boxes, RuntimeFeature.USERNS)
        needs_root(boxes, "an ordinary user maps one id by itself")
        data = boxes.config("sh", "-c", "cat /proc/self/uid_map; echo; cat /proc/self/gid_map; id -u")
        data["process"]["user"] = {"uid": 12, "gid": 0}
        data["linux"]["namespaces"].append({"type": "user"})
        maps = [(0, 100000, 10), (10, 200000, 5)]
        mappings = [{"containerID": inside, "hostID": outside, "size": size} for inside, outside, size in maps]
        data["linux"] |= {"uidMappings": mappings, "gidMappings": mappings[:1]}
        code, text = boxes.run_config(data)
        assert code == 0
        uids, gids = ([tuple(map(int, line.split())) for line in part.splitlines()] for part in text.split("\n\n"))
        assert uids == maps
        assert gids == [*maps[:1], (12,)]

    def test_a_program_is_its_user_outside_too(self, boxes: Boxes) -> None:
        lacks(boxes, RuntimeFeature.USERNS)
        needs_root(boxes, "an ordinary user maps one id by itself")
        data = boxes.config("sh", "-c", "echo up; exec sleep 1000")
        data["process"]["user"] = {"uid": 3, "gid": 4}
        data["linux"]["namespaces"].append({"type": "user"})
        mapping = [{"containerID": 0, "hostID": 100000, "size": 1000}]
        data["linux"] |= {"uidMappings": mapping, "gidMappings": mapping}
        box = boxes.started(data)
        box.until("up")
        found = Path(f"/proc/{box.process.pid}").stat()
        assert (found.st_uid, found.st_gid) == (100003, 100004)

    @staticmethod
    def _shifted(boxes: Boxes) -> dict[str, Any]:
        data = boxes.config("sh", "-c", "cat /proc/uptime; readlink /proc/self/ns/time")
        data["linux"].setdefault("namespaces", []).append({"type": "time"})
        data["linux"]["timeOffsets"] = {"boottime": {"secs": 1_000_000, "nanosecs": 0}}
        return data

    def test_a_clock_of_its_own_is_refused_unless_offered(self, boxes: Boxes) -> None:
        if offers(boxes, RuntimeFeature.TIMENS):
            return
        with pytest.raises(Unsupported, match=r"timeOffsets|namespaces"):
            boxes.create(self._shifted(boxes))

    def test_a_clock_of_its_own(self, boxes: Boxes) -> None:
        lacks(boxes, RuntimeFeature.TIMENS)
        if not Path("/proc/self/ns/time").exists():  # this kernel has none
            with pytest.raises(MobyError):
                boxes.create(self._shifted(boxes))
            return
        ours = float(Path("/proc/uptime").read_text(encoding="ascii").split()[0])
        code, text = boxes.run_config(self._shifted(boxes))
        assert code == 0
        uptime, namespace = text.splitlines()
        assert float(uptime.split()[0]) >= ours + 1_000_000 - 1
        assert namespace != str(Path("/proc/self/ns/time").readlink())
