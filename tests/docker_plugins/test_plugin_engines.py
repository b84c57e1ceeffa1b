"""One plugin of docker's at our engine and at dockerd: both users see the same, and the plugin is told the same."""

import base64
import json
import re
import sys
from pathlib import Path

import pytest
from clients.engine import Moby, opened, opened_docker, opened_moby
from docker_plugins import plugin_server
from peers.assembled import assembled
from peers.box import NAME, archive
from peers.engines import Docker
from peers.sandbox import TEMPORARY, until

pytestmark = pytest.mark.slow

PLUGIN = "{use: plugin, as: kept, config: {plugin: kept}}"
ASSEMBLY = f"""
moby: 1
name: plugged
extends: [docker]
components:
  volume-driver: [{{use: local, default: true}}, {PLUGIN}]
  log-driver: [{{use: json-file, default: true}}, none, {PLUGIN}]
  network-driver: [bridge, none, host, {{use: plugin, as: kept, config: {{plugin: kept, ports: true}}}}]
  ipam: [{{use: default, default: true}}, "null", {PLUGIN}]
  builder: null
  command: null
distribution: {{formats: [pyz]}}
"""


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    folder = tmp_path_factory.mktemp("image")
    return archive(folder / "image.tar", folder / "rootfs")


@pytest.fixture(scope="module")
def plugged(tmp_path_factory):
    return assembled(tmp_path_factory.mktemp("plugged"), "plugged", ASSEMBLY)


def networked(engine):
    """Use networks of the plugin's; return what a user sees."""
    own = ["--subnet=10.88.0.0/24", "--gateway=10.88.0.1", "--ipv6", "--subnet=fd88::/64", "--gateway=fd88::1"]
    seen = [len(engine.out("network", "create", "-d", "kept", "-o", "kept=yes", *own, "wired"))]
    refused = engine("network", "create", "-d", "kept", "-o", "nonesuch=1", "other", check=False)
    seen += [refused.returncode, "unknown option nonesuch" in refused.stderr]
    said = engine.out("network", "inspect", "-f", "{{.Driver}} {{.Scope}} {{.Options}}", "wired")
    engine("run", "-d", "--name", "one", "--network=wired", "--ip=10.88.0.7", "-p", "8080:80", NAME, "sleep", "1000")
    seen += [said, engine.out("exec", "one", "cat", "/sys/class/net/eth0/operstate")]
    shown = "ip -o address show eth0 | grep -o '10.88[^ ]*'; ip route | grep -o 'default via [0-9.]*'"
    seen.append(engine.out("exec", "one", "sh", "-c", shown))
    listening = engine("run", "-d", "--name", "two", "--network=wired", NAME, "sleep", "1000")
    assert listening.returncode == 0
    seen.append(engine.out("exec", "two", "sh", "-c", "cat /etc/resolv.conf | grep -c 127.0.0.11"))
    engine("network", "disconnect", "wired", "two")
    seen.append(engine("exec", "two", "test", "-e", "/sys/class/net/eth0", check=False).returncode)
    engine("rm", "-f", "one", "two")
    seen.append(engine.out("network", "rm", "wired"))
    pools = ["--ipam-driver=kept", "--ipam-opt=zone=a", "--subnet=10.89.0.0/24", "--ip-range=10.89.0.128/25"]
    engine("network", "create", "-d", "kept", *pools, "pooled")
    taken = engine("network", "create", "-d", "kept", *pools, "again", check=False)
    seen += [taken.returncode, "Pool overlaps with other one" in taken.stderr]
    engine("run", "-d", "--name", "one", "--network=pooled", NAME, "sleep", "1000")
    engine("run", "-d", "--name", "two", "--network=pooled", "--ip=10.89.0.9", NAME, "sleep", "1000")
    seen += [engine.inspect(each, ".NetworkSettings.Networks.pooled.IPAddress") for each in ("one", "two")]
    engine("rm", "-f", "two")
    engine("rm", "-f", "one")
    seen.append(engine.out("network", "rm", "pooled"))
    return seen


def tried(engine):
    """Use networks, volumes and a log of the plugin's; return what a user sees, and what the plugin was told."""
    folder = TEMPORARY / "plugin"
    words = [sys.executable, str(Path(plugin_server.__file__)), "/run/docker/plugins/kept.sock", str(folder)]
    process = engine.sandbox.start(*words, log=engine.log.with_name("plugin.log"))
    until(lambda: engine.sandbox.seen("/run/docker/plugins/kept.sock").exists(), "the plugin's socket")
    seen = [engine.out("volume", "create", "-d", "kept", "-o", "kept=yes", "vol")]
    refused = engine("volume", "create", "-d", "kept", "-o", "nonesuch=1", "other", check=False)
    seen += [refused.returncode, "unknown option nonesuch" in refused.stderr]
    options = ["--network=none", "-v", "vol:/data"]
    engine("run", "--rm", *options, NAME, "sh", "-c", "echo kept >/data/file")
    seen.append(engine.out("run", "--rm", *options, NAME, "cat", "/data/file"))
    seen.append(engine.out("volume", "inspect", "-f", "{{.Driver}} {{.Mountpoint}} {{.Scope}}", "vol"))
    script = "echo out; echo err >&2; exit 3"
    done = engine("run", "--name", "box", "--network=none", "--log-driver=kept", NAME, "sh", "-c", script, check=False)
    assert done.returncode == 3, done.stderr
    logs = engine("logs", "box")
    seen += [done.returncode, logs.stdout.strip(), logs.stderr.strip()]  # dockerd gives what has no end none
    engine("rm", "box")
    seen.append(engine("volume", "rm", "vol").returncode)
    seen += networked(engine)
    calls = [json.loads(line) for line in engine.sandbox.seen(folder / "calls").read_text().splitlines()]
    engine.sandbox.run("rm", "-rf", "/run/docker/plugins", str(folder))
    engine.sandbox.run("kill", str(engine.sandbox.pid(" ".join(words))))
    process.wait(60)
    return seen, calls


def told(calls, method, *names):
    """What a plugin was told by a method, of what doesn't differ by container."""
    return [{name: given.get(name) for name in names} for path, given in calls if path == method]


def wired(calls):
    """What a plugin was told of networks, without what differs by engine or by chance."""
    names, found = {}, []
    for path, given in calls:
        kind, _, method = path.partition(".")
        if kind != "NetworkDriver" or method in ("GetCapabilities", "EndpointOperInfo"):
            continue
        for each in (*given.get("IPv4Data", ()), *given.get("IPv6Data", ())):
            del each["AddressSpace"]  # which a network driver isn't told here, where another plugin hands them out
        known = json.dumps({key: value for key, value in given.items() if key != "SandboxKey"})
        for key in ("NetworkID", "EndpointID"):
            if key in given:
                known = known.replace(given[key], names.setdefault(given[key], f"{key} {len(names)}"))
        found.append((method, json.loads(known)))
    return found


def handed_out(calls):
    """What a plugin was told of addresses, but how it was got to know."""
    known = ("IpamDriver.GetCapabilities", "IpamDriver.GetDefaultAddressSpaces")
    mine = [each for each in calls if each[0].startswith("IpamDriver.") and each[0] not in known]
    return [(path, {key: value for key, value in given.items() if value}) for path, given in mine]


def test_a_plugin_at_both(tmp_path, image, plugged):
    with opened_moby(tmp_path / "moby", image, plugged) as engine:
        ours, our_calls = tried(engine)
    with opened_docker(tmp_path / "docker", image) as engine:
        theirs, their_calls = tried(engine)
    assert ours == theirs
    assert ours[3] == "kept"
    for method, *names in (
        ("VolumeDriver.Create", "Name", "Opts"),
        ("VolumeDriver.Remove", "Name"),
    ):
        assert told(our_calls, method, *names) == told(their_calls, method, *names), method
    assert wired(our_calls) == wired(their_calls)
    assert handed_out(our_calls) == handed_out(their_calls)
    for calls in (our_calls, their_calls):
        mounted = told(calls, "VolumeDriver.Mount", "Name", "ID")
        assert mounted
        assert sorted(each["ID"] for each in mounted) == sorted(
            each["ID"] for each in told(calls, "VolumeDriver.Unmount", "Name", "ID")
        )
    (info,) = [each["Info"] for each in told(our_calls, "LogDriver.StartLogging", "Info")]
    other, *_ = [each["Info"] for each in told(their_calls, "LogDriver.StartLogging", "Info")]
    assert info.keys() == other.keys()
    for name in ("ContainerName", "ContainerImageName", "ContainerEntrypoint", "ContainerArgs", "DaemonName"):
        assert info[name] == other[name], name


GUARDED = """
moby: 1
name: guarded
extends: [docker]
components:
  frontend: [{use: docker, default: true, config: {authorization: [kept]}}]
  builder: null
  command: null
distribution: {formats: [pyz]}
"""


class Guarded:
    """An engine that asks a plugin, which is there before it."""

    def open(self, image):
        self.folder = TEMPORARY / "plugin"
        words = [sys.executable, str(Path(plugin_server.__file__)), "/run/docker/plugins/kept.sock", str(self.folder)]
        self.process = self.sandbox.start(*words, log=self.log.with_name("plugin.log"))
        until(lambda: self.sandbox.seen("/run/docker/plugins/kept.sock").exists(), "the plugin's socket")
        super().open(image)

    def close(self):
        super().close()
        self.process.wait(60)


class GuardedMoby(Guarded, Moby):
    pass


class GuardedDocker(Guarded, Docker):
    pass


def guarded(engine):
    """Make calls, two of which are refused; return what a user sees, and what the plugin was told of them."""
    calls = engine.sandbox.seen(engine.folder / "calls")
    before = len(calls.read_text().splitlines())
    seen = [engine.out("info", "-f", "{{.Plugins.Authorization}}")]
    plain = ["run", "--rm", "--network=none", NAME, "true"]
    for words in (["run", "--privileged", NAME, "true"], ["volume", "ls"], plain):
        done = engine(*words, check=False)
        seen.append((done.returncode, done.stderr.splitlines()[:1]))
    found = [json.loads(line) for line in calls.read_text().splitlines()[before:]]
    return seen, [each for each in found if each[0] != "Plugin.Activate"]


def judged(calls, method):
    """What was asked, without what differs by container and engine."""
    found = []
    for path, given in calls:
        if path == f"AuthZPlugin.{method}":
            uri = re.sub("[0-9a-f]{64}", "ID", given["RequestUri"])
            body = json.loads(base64.b64decode(given.get("RequestBody", "")) or b"{}")
            headers = {key: value for key, value in given["RequestHeaders"].items() if key != "Content-Length"}
            found.append((given["RequestMethod"], uri, headers, body.get("Image")))
    return found


def test_an_authorization_plugin_at_both(tmp_path, image):
    pyz = assembled(tmp_path, "guarded", GUARDED)
    with opened(GuardedMoby, tmp_path / "moby", image, distribution=pyz) as engine:
        ours, our_calls = guarded(engine)
    asking = ("--authorization-plugin=kept",)
    with opened(GuardedDocker, tmp_path / "docker", image, options=asking) as engine:
        theirs, their_calls = guarded(engine)
    assert ours == theirs
    refusal = "docker: Error response from daemon: authorization denied by plugin kept: no privileges here."
    assert ours[1] == (125, [refusal])
    assert judged(our_calls, "AuthZReq") == judged(their_calls, "AuthZReq")
    answered = sorted((each for each in judged(their_calls, "AuthZRes") if "/attach?" not in each[1]), key=str)
    assert sorted(judged(our_calls, "AuthZRes"), key=str) == answered  # an attached stream has no answer here
