"""A user namespace on the native runtime where no proc is seen whole, as in a container: none can be mounted."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from moby_runtime.native.runtime import Native

from moby.errors import HostUnfit
from moby.host import mounts, namespaces
from moby.testing.boxes import Boxes, MakeRuntime
from moby.testing.runtime import RuntimeFixtures

IDS = [{"containerID": 0, "hostID": 100000, "size": 65536}]


@pytest.fixture
def masked() -> Iterator[None]:
    """Cover a file of /proc, in a mount namespace for this test alone."""
    if os.geteuid():
        pytest.skip("only root may cover a file of the machine's /proc")
    here = Path.cwd()
    with Path("/proc/self/ns/mnt").open() as before:
        namespaces.unshare(namespaces.FLAGS["mount"])
        try:
            mounts.set_propagation("/", "rprivate")
            mounts.mount("/dev/null", "/proc/uptime", "", mounts.FLAGS["bind"], "")
            yield
        finally:
            namespaces.join(before.fileno(), namespaces.FLAGS["mount"])
            os.chdir(here)


class TestMaskedProc(RuntimeFixtures):
    """mount_namespaces(7), Restrictions: a new proc would take a mask off that the machine's has."""

    @pytest.fixture
    def make_runtime(self) -> MakeRuntime:
        return Native

    def test_nothing_is_mounted_in_its_place(self, boxes: Boxes, masked: None) -> None:
        """Above all no folder of the host's: a container with anything but a proc at /proc isn't made."""
        data = boxes.config("true")
        data["linux"]["namespaces"].append({"type": "user"})
        data["linux"]["uidMappings"] = data["linux"]["gidMappings"] = IDS
        with pytest.raises(HostUnfit, match=r"cannot mount proc on /proc .*not permitted") as caught:
            boxes.create(data)
        assert "/proc and /sys must not be masked" in caught.value.hint
        assert list(boxes.place.run.iterdir()) == []

    def test_who_needs_none_has_none(self, boxes: Boxes, masked: None) -> None:
        data = boxes.config("sh", "-c", "echo /proc/*")
        data["linux"]["namespaces"].append({"type": "user"})
        data["linux"]["uidMappings"] = data["linux"]["gidMappings"] = IDS
        data["linux"] |= {"maskedPaths": [], "readonlyPaths": []}
        data["mounts"] = [each for each in data["mounts"] if each["type"] != "proc"]
        assert boxes.run_config(data) == (0, "/proc/*\n")
