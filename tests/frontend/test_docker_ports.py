"""Ports of containers as inspect and lists show them."""

import pytest
from moby_frontend.docker.translate.network import show_ports, show_settings

from moby.contracts.containers import Container, ContainerConfig, State
from moby.contracts.network_driver import Port
from moby.contracts.networks import Endpoint

MAPPED = Port("tcp", 80, "0.0.0.0", 8080)
OPEN = Port("tcp", 80, "::", 0)


@pytest.mark.parametrize(
    ("ports", "bindings", "listed"),
    [
        pytest.param(
            (MAPPED,),
            [{"HostIp": "0.0.0.0", "HostPort": "8080"}],
            [{"IP": "0.0.0.0", "PrivatePort": 80, "Type": "tcp", "PublicPort": 8080}],
            id="mapped",
        ),
        pytest.param(
            (MAPPED, OPEN),
            [{"HostIp": "0.0.0.0", "HostPort": "8080"}, {"HostIp": "::", "HostPort": ""}],
            [{"IP": "0.0.0.0", "PrivatePort": 80, "Type": "tcp", "PublicPort": 8080}],
            id="one is none of the host's",
        ),
        pytest.param(
            (OPEN,), [{"HostIp": "::", "HostPort": ""}], [{"PrivatePort": 80, "Type": "tcp"}], id="none of the host's"
        ),
        pytest.param((), None, [{"PrivatePort": 80, "Type": "tcp"}], id="exposed"),
    ],
)
def test_ports(ports, bindings, listed):
    found = Container(
        "c" * 64, "web", "", ContainerConfig("box", exposed_ports=("80/tcp",)), "", "", (), State("running", pid=7),
        endpoints=(Endpoint("n" * 64, "front", "e" * 64),), ports=ports, sandbox="/run/netns/web",
    )  # fmt: skip
    assert show_settings(found, (1, 51))["Ports"] == {"80/tcp": bindings}
    assert show_ports(found) == listed
