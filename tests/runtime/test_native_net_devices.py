"""Network devices of the host that become a container's, in a network namespace that stands for the host's."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from moby_runtime.native.runtime import Native

from moby.errors import Invalid
from moby.host import link_transfer, namespaces
from moby.testing.boxes import Boxes, MakeRuntime
from moby.testing.runtime import RuntimeFixtures

LINKS = """set -e
ip link set lo up
ip link add card0 type veth peer name far0
ip link add card1 type veth peer name far1
ip link set far0 up
ip link set card0 up mtu 1400
ip addr add 10.7.0.1/24 dev card0 brd +
ip addr add 10.7.0.2/32 dev card0
ip -6 addr add fd00:7::1/64 dev card0 nodad
ip -6 addr add fe80::77/64 dev card0 nodad
"""


def shown(pid: int | str = "self") -> dict[str, dict[str, Any]]:
    """Return the devices of a process's network namespace, as ip(8) tells of them."""
    command = ["nsenter", f"--net=/proc/{pid}/ns/net", "ip", "-j", "addr"]
    listed = json.loads(subprocess.run(command, check=True, capture_output=True, timeout=60).stdout)
    return {each["ifname"]: each for each in listed}


def addresses(device: dict[str, Any]) -> set[str]:
    return {f"{each['local']}/{each['prefixlen']}" for each in device["addr_info"] if each["scope"] == "global"}


@pytest.fixture
def host() -> Iterator[None]:
    """Let this process be in a network namespace of its own, with two devices."""
    if os.geteuid():
        pytest.skip("an ordinary user has no network devices to give; runs as root")
    with Path("/proc/self/ns/net").open() as before:
        namespaces.unshare(namespaces.FLAGS["network"])
        try:
            subprocess.run(["sh", "-c", LINKS], check=True, timeout=60)
            yield
        finally:
            namespaces.join(before.fileno(), namespaces.FLAGS["network"])


class TestNetDevices(RuntimeFixtures):
    @pytest.fixture
    def make_runtime(self) -> MakeRuntime:
        return Native

    def given(self, boxes: Boxes, devices: dict[str, Any]) -> dict[str, Any]:
        data = boxes.config("sleep", "1000")
        data["linux"]["netDevices"] = devices
        return data

    def test_they_move_with_their_addresses(self, boxes: Boxes, host: None) -> None:
        box = boxes.started(self.given(boxes, {"card0": {"name": "eth0"}, "card1": {}}))
        inside = shown(box.process.pid)
        assert set(inside) == {"lo", "eth0", "card1"}
        assert set(shown()) == {"lo", "far0", "far1"}
        assert addresses(inside["eth0"]) == {"10.7.0.1/24", "10.7.0.2/32", "fd00:7::1/64"}
        assert inside["eth0"]["mtu"] == 1400
        assert "UP" in inside["eth0"]["flags"]
        assert "UP" in inside["card1"]["flags"]
        broadcast = {each["local"]: each.get("broadcast") for each in inside["eth0"]["addr_info"]}
        assert broadcast["10.7.0.1"] == "10.7.0.255"

    def test_a_name_with_a_number_to_be_found(self, boxes: Boxes, host: None) -> None:
        box = boxes.started(self.given(boxes, {"card0": {"name": "eth%d"}, "card1": {"name": "eth%d"}}))
        inside = shown(box.process.pid)
        assert set(inside) == {"lo", "eth0", "eth1"}
        assert "10.7.0.1/24" in addresses(inside["eth0"])

    def test_hooks_find_them_there(self, boxes: Boxes, host: None) -> None:
        log = boxes.bundles.folder / "log"
        data = self.given(boxes, {"card0": {}})
        script = f'read -r s; pid=${{s#*pid\\": }}; nsenter --net=/proc/${{pid%%,*}}/ns/net ip addr show card0 > {log}'
        data["hooks"] = {"prestart": [{"path": "/bin/sh", "args": ["sh", "-c", script]}]}
        boxes.create(data)
        assert "10.7.0.1/24" in log.read_text()

    def test_what_fails_later_gives_them_back(self, boxes: Boxes, host: None) -> None:
        before = shown()
        data = self.given(boxes, {"card0": {"name": "eth0"}, "card1": {}})
        data["hooks"] = {"createContainer": [{"path": "/bin/false"}]}
        with pytest.raises(Invalid, match="createContainer"):
            boxes.create(data)
        after = shown()
        assert set(after) == set(before)
        for name in before:
            assert addresses(after[name]) == addresses(before[name])
            assert ("UP" in after[name]["flags"]) == ("UP" in before[name]["flags"])

    @pytest.mark.parametrize(
        ("devices", "message"),
        [
            ({"card9": {}}, r"move the network device card9 \(config.json: linux\.netDevices\.card9\).*No such device"),
            ({"card0": {"name": "lo"}}, r"network device card0 as lo .*File exists"),
            ({"lo": {"name": "lo1"}}, r"network device lo as lo1 .*Invalid argument"),
            ({"card1": {"name": "x"}, "card0": {"name": "x"}}, r"network device card0 as x .*File exists"),
        ],
    )
    def test_what_cannot_be_moved(self, boxes: Boxes, host: None, devices: dict[str, Any], message: str) -> None:
        before = set(shown())
        with pytest.raises(Exception, match=message):
            boxes.create(self.given(boxes, devices))
        assert set(shown()) == before
        assert boxes.runtime.list() == ()

    @pytest.mark.parametrize("name", ["", "a/b", "a" * 16, "..", "a b", "a:1", "a\0b"])
    def test_what_names_none(self, boxes: Boxes, name: str) -> None:
        for devices in ({name: {}}, {"card0": {"name": name}}) if name else ({name: {}},):
            with pytest.raises(
                Invalid, match=r"linux\.netDevices.*(can name no network device|that the kernel can take)"
            ):
                boxes.create(self.given(boxes, devices))

    def test_into_the_caller_s_own_namespace(self, boxes: Boxes) -> None:
        data = self.given(boxes, {"card0": {}})
        data["linux"]["namespaces"] = [
            {**each, "path": "/proc/self/ns/net"} if each["type"] == "network" else each
            for each in data["linux"]["namespaces"]
        ]
        with pytest.raises(Invalid, match="no network namespace of the container's own"):
            boxes.create(data)

    def test_a_device_in_a_user_namespace(self, boxes: Boxes, host: None) -> None:
        data = self.given(boxes, {"card0": {}})
        data["linux"]["namespaces"].append({"type": "user"})
        data["linux"]["uidMappings"] = data["linux"]["gidMappings"] = [
            {"containerID": 0, "hostID": 100000, "size": 65536}
        ]
        box = boxes.started(data)
        assert addresses(shown(box.process.pid)["card0"]) == {"10.7.0.1/24", "10.7.0.2/32", "fd00:7::1/64"}


def test_a_device_that_is_not_there() -> None:
    with pytest.raises(OSError, match="No such device") as caught:
        link_transfer.look_up("nowhere0")
    assert caught.value.filename == "nowhere0"
    assert os.strerror(caught.value.errno or 0) == "No such device"
