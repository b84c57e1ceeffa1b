"""Other ways out than pasta's, and none."""

from pathlib import Path

import pytest
import rootless_engine
from guests.cover import needs
from peers.assembled import assembled
from peers.binaries import need
from rootless_engine import HOST, UID, WORLD, opened

pytestmark = [pytest.mark.slow, pytest.mark.long]
_RESOLVER = "echo nameserver 127.0.0.1 >/run/resolv.conf; mount --bind /run/resolv.conf /etc/resolv.conf\n"


def _opened(name, folder, image):
    manifest = f"moby: 1\nname: rootless\nextends: [rootless]\ncomponents: {{enclosure: {name}}}\n"
    return opened(folder / "engine", image, assembled(folder, "rootless", manifest))


def test_slirp4netns(tmp_path, image):
    need("slirp4netns", "slirp4netns")
    with _opened("slirp4netns", tmp_path, image) as engine:
        server = engine.serve(WORLD, 7000, world=True)
        assert engine.asked_inside(WORLD, 7000) == f"tcp {HOST}"
        assert engine.asked_inside(WORLD, 7000, "udp") == "udp asked"
        assert "10.0.2." in engine.out("run", "--rm", "--network=host", "localhost/box", "ip", "-o", "addr")
        name = engine.server("-p", "8080:80")
        assert engine.asked(HOST, 8080, world=True).startswith("tcp")
        engine("rm", "-f", name)
        server.kill()
        server.wait()
        engine.check_gone()


def test_no_way_out(tmp_path, image):
    """Nobody outside is reached, published ports are, and containers reach each other."""
    with _opened("unlinked", tmp_path, image) as engine:
        server = engine.serve(WORLD, 7000, world=True)
        assert "unreachable" in engine.asked_inside(WORLD, 7000).lower()
        name = engine.server("-p", "8080:80")
        assert engine.asked(HOST, 8080, world=True).startswith("tcp")
        address = engine.inspect(name, ".NetworkSettings.IPAddress")
        assert engine.asked_inside(address, 80).startswith("tcp")
        engine("rm", "-f", name)
        server.kill()
        server.wait()
        engine.check_gone()


def test_a_delegated_group(tmp_path, image, rootless_pyz, monkeypatch):
    """Where version 2 is, and a group of it the user's, containers have groups below, and are frozen there."""
    names = [each.split()[1] for each in Path("/proc/self/cgroup").read_text().replace(":", " ").splitlines()]
    hidden = [name.removeprefix("name=") for each in names for name in each.split(",") if not each.startswith("/")]
    needs(Path("/sys/fs/cgroup/unified").is_dir(), "tree of version 2 beside others")
    files = ("", "cgroup.procs", "cgroup.subtree_control", "cgroup.threads")
    give = f"chown {UID} {' '.join(f'/sys/fs/cgroup/unified/{each}' for each in files)}\n"
    monkeypatch.setattr(rootless_engine, "_PREPARE", give + rootless_engine._PREPARE)
    with opened(tmp_path / "engine", image, rootless_pyz, tuple(hidden)) as engine:
        name = engine.up()
        engine("pause", name)
        assert engine.inspect(name, ".State.Status") == "paused"
        assert any("moby-rootless" in each for each in engine.sandbox.control_groups())
        engine("unpause", name)
        assert engine.out("exec", name, "echo", "on") == "on"
        engine("rm", "-f", name)
        engine.check_gone()


def test_name_servers_at_the_hosts_loopback(tmp_path, image, rootless_pyz, monkeypatch):
    """Containers, and the engine, ask the host's by an address of the uplink's."""
    monkeypatch.setattr(rootless_engine, "_PREPARE", _RESOLVER + rootless_engine._PREPARE)
    with opened(tmp_path / "engine", image, rootless_pyz) as engine:
        server = engine.serve("127.0.0.1", 53)
        assert "nameserver 169.254.1.1" in engine.out("run", "--rm", "localhost/box", "cat", "/etc/resolv.conf")
        assert engine.asked_inside("169.254.1.1", 53, "udp") == "udp asked"
        server.kill()
        server.wait()
        engine.check_gone()
