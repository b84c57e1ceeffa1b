import os

import pytest

from moby.host import network_settings
from moby.host.netlink import Channel
from moby.host.rtnetlink import links
from moby.testing.net_namespaces import own_network

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="making network namespaces takes root")
FORWARD = ("ipv4", "ip_forward")


@pytest.fixture(autouse=True)
def host():
    with own_network():
        yield


def test_a_setting():
    begun = network_settings.read(*FORWARD)  # as the host has it
    other = "1" if begun == "0" else "0"
    assert [network_settings.set_to(other, *FORWARD) for _ in range(2)] == [True, False]
    assert network_settings.read(*FORWARD) == other
    with own_network():
        assert network_settings.read(*FORWARD) == begun


def test_an_interface_with_a_dot():
    with Channel() as channel:
        channel.run(links.bridge("a.b"))
    assert network_settings.set_to("1", "ipv4", "conf", "a.b", "log_martians")
    assert network_settings.interfaces("ipv4") == network_settings.interfaces("ipv6") == ("a.b", "lo")


def test_what_this_kernel_has_not():
    assert network_settings.read("ipv4", "nonesuch") == ""
    assert network_settings.interfaces("nonesuch") == ()
    with pytest.raises(FileNotFoundError):
        network_settings.set_to("1", "ipv4", "nonesuch")


def test_a_value_that_cannot_be():
    with pytest.raises(OSError, match="Invalid argument") as caught:
        network_settings.set_to("words", *FORWARD)
    assert caught.value.filename == "/proc/sys/net/ipv4/ip_forward"


@pytest.mark.parametrize("parts", [("..", "kernel"), ("ipv4", "a/b"), ("ipv4", ""), ("ipv4", ".")])
def test_what_is_no_setting_of_the_network(parts):
    with pytest.raises(ValueError, match="no setting of the network"):
        network_settings.read(*parts)
