"""A whole engine whose networks netavark makes, at docker's command."""

import pytest
from clients.engine import opened_moby
from clients.test_networks import SERVER, Talk, ask, inside
from peers import binaries
from peers.assembled import assembled
from peers.box import NAME, archive

pytestmark = pytest.mark.slow

ASSEMBLY = """
moby: 1
name: varked
extends: [docker]
components:
  network-driver: [bridge, none, host, netavark]
  builder: null
  command: null
distribution: {formats: [pyz]}
"""


@pytest.fixture
def engine(tmp_path):
    binaries.file("usr/lib/podman/netavark", "netavark")
    image = archive(tmp_path / "image.tar", tmp_path / "rootfs")
    with opened_moby(tmp_path / "engine", image, assembled(tmp_path, "varked", ASSEMBLY)) as engine:
        yield engine


def test_networks(engine):
    assert "netavark" in engine.out("info", "-f", "{{.Plugins.Network}}")
    refused = engine("network", "create", "-d", "netavark", "-o", "nonesuch=1", "other", check=False)
    assert "'nonesuch' is not an option of netavark networks" in refused.stderr
    engine("network", "create", "-d", "netavark", "--ipv6", "--subnet=10.99.0.0/24", "--subnet=fd99::/64", "app")
    engine("run", "-d", "--name", "web", "--network=app", "-p", "8080:80", NAME, "sleep", "1000")
    engine("run", "-d", "--name", "other", "--network=app", NAME, "sleep", "1000")
    assert engine.inspect("web", ".NetworkSettings.Networks.app.IPAddress") == "10.99.0.2"
    with Talk(engine, *inside(engine, "web"), "python3", "-c", SERVER, "80", "web") as web:
        assert web.line() == "ready"
        assert ask(engine, "web", 80, inside(engine, "other")).startswith("web heard hello")
        assert ask(engine, "fd99::2", 80, inside(engine, "other")).startswith("web heard hello")
        assert ask(engine, "127.0.0.1", 8080).startswith("web heard hello")
        engine.again()
        assert ask(engine, "127.0.0.1", 8080).startswith("web heard hello")
        engine("network", "create", "plain")
        engine("network", "connect", "plain", "web")
        engine("network", "disconnect", "app", "web")
        assert "heard" not in ask(engine, "web", 80, inside(engine, "other"))
        engine("network", "connect", "app", "web")
        assert ask(engine, "web", 80, inside(engine, "other")).startswith("web heard hello")
    engine("rm", "-f", "web", "other")
    engine("network", "rm", "app", "plain")
    engine.check_gone()
