"""Two engines on two hosts, which are network namespaces of one sandbox with a cable between."""

import json
import shutil
import sys
from pathlib import Path

import pytest
from clients.engine import need
from clients.test_networks import ASK, SERVER, Talk
from peers import binaries
from peers.box import NAME
from peers.sandbox import PATIENCE_S, Sandbox, until

pytestmark = pytest.mark.long
FOLDER = "/var/lib/docker"
GIVE_UP = """
import fnmatch, sys
from pathlib import Path
from moby_metadata.sqlite.store import Store
from moby_networks.registry.shared import Shared
with Store(Path(sys.argv[1])) as store:
    (place,) = [each for each in store.bucket("network-places").keys() if fnmatch.fnmatch(each, sys.argv[2])]
    host = place.split("/")[1]
    while not Shared(store, "others", "cluster").bury(host, store.bucket("network-counts").get(host)):
        pass
"""


class Host:
    """A host of the sandbox, with an engine and docker's command for it."""

    def __init__(self, sandbox, number, log):
        self.sandbox, self.number, self.log = sandbox, number, log
        self.address = f"192.0.2.{number}"
        self.socket = f"/run/engine{number}.sock"
        self.options = {"MOBY_NETWORK_DRIVER_OVERLAY_ADDRESS": self.address}
        sandbox.run("sh", "-ec", self.plugged())

    def plugged(self):
        name, end = f"host{self.number}", f"end{self.number}"
        return f"""
            ip link show cable >/dev/null 2>&1 || ip link add cable up type bridge
            touch /run/{name}
            unshare --net=/run/{name} ip link set lo up
            mkdir -p /run/netns
            touch /run/netns/{name}
            mount --bind /run/{name} /run/netns/{name}
            ip link add {end} master cable up type veth peer name card netns {name}
            nsenter --net=/run/{name} sh -ec 'ip address add {self.address}/24 dev card; ip link set card up'
        """

    def inside(self, *words):
        return ["nsenter", f"--net=/run/host{self.number}", *words]

    def engine(self, *words):
        root = f"{FOLDER}/host{self.number}"
        return self.inside(sys.executable, f"{FOLDER}/hosts.pyz", "--root", root, *words)

    def serve(self):
        """Start the engine, and wait until it answers."""
        words = self.engine("serve", "--host", f"unix://{self.socket}")
        self.process = self.sandbox.start(*words, log=self.log, env=self.options)
        until(lambda: self("version", check=False).returncode == 0, "the engine's answer")

    def __call__(self, *words, **options):
        return self.sandbox.run("docker", "-H", f"unix://{self.socket}", *words, **options)

    def out(self, *words):
        return self(*words).stdout.strip()

    def inspect(self, name, path):
        return json.loads(self.out("inspect", "--format", f"{{{{json {path}}}}}", name))

    def within(self, name):
        """Return the words that run a program in a container's network, with its own resolv.conf."""
        key, resolv = (self.inspect(name, each) for each in (".NetworkSettings.SandboxKey", ".ResolvConfPath"))
        script = f'mount --bind {resolv} /etc/resolv.conf && exec nsenter --net={key} "$@"'
        return ["unshare", "-m", "sh", "-c", script, "sh"]

    def ask(self, name, host):
        words = [*self.within(name), "python3", "-c", ASK, host, "80"]
        done = self.sandbox.run(*words, check=False, timeout=PATIENCE_S)
        return done.stdout.strip() or done.stderr.strip().splitlines()[-1]


@pytest.fixture(scope="module")
def hosts(tmp_path_factory, image):
    from moby import distribution  # whose imports most tests can do without

    need("docker", "docker")
    folder = tmp_path_factory.mktemp("hosts")
    distribution.assemble(Path(__file__).with_name("hosts.yaml"), folder)
    (folder / "memory").mkdir()
    sandbox = Sandbox(folder / "memory")
    sandbox.open()
    started = []
    try:
        shutil.copy(folder / "hosts" / "hosts.pyz", sandbox.seen(f"{FOLDER}/hosts.pyz"))
        for number in (1, 2):
            host = Host(sandbox, number, folder / f"log{number}")
            started.append(host)
            host.serve()
            host("load", "-i", str(image))
        yield started
        for each in started:
            sandbox.run(*each.engine("down", "--purge"), env=each.options)
    finally:
        sandbox.close()
        for each in started:
            each.process.wait(PATIENCE_S)


def test_containers_of_two_hosts_talk_by_name(hosts):
    one, two = hosts
    one("network", "create", "-d", "overlay", "--attachable", "wide")
    assert two.out("network", "ls", "--filter", "driver=overlay", "--format", "{{.Name}} {{.Scope}}") == "wide swarm"
    assert two.inspect("wide", ".Attachable") is True
    one("run", "-d", "--name", "web", "--network", "wide", "--network-alias", "shop", NAME, "sleep", "1000")
    two("run", "-d", "--name", "client", "--network", "wide", NAME, "sleep", "1000")
    addresses = [
        each.inspect(name, ".NetworkSettings.Networks.wide.IPAddress") for each, name in ((one, "web"), (two, "client"))
    ]
    assert addresses == ["10.64.0.2", "10.64.0.3"]
    with Talk(one, *one.within("web"), "python3", "-c", SERVER, "80", "web") as server:
        assert server.line() == "ready"
        for name in ("web", "shop", "web.wide"):
            until(lambda name=name: two.ask("client", name) == "web heard hello 10.64.0.2", "the far container by name")
    done = one("network", "rm", "wide", check=False)
    assert "has active endpoints" in done.stderr
    two("rm", "-f", "client")
    one("rm", "-f", "web")
    two("network", "rm", "wide")
    assert one.out("network", "ls", "--filter", "driver=overlay", "-q") == ""


def test_it_goes_on_while_an_engine_is_killed_and_comes_back(hosts):
    one, two = hosts
    two("network", "create", "-d", "overlay", "--attachable", "--subnet", "10.9.0.0/24", "other")
    two("run", "-d", "--name", "web", "--network", "other", NAME, "sleep", "1000")
    one("run", "-d", "--name", "client", "--network", "other", NAME, "sleep", "1000")
    with Talk(two, *two.within("web"), "python3", "-c", SERVER, "80", "web") as server:
        assert server.line() == "ready"
        until(lambda: one.ask("client", "web").startswith("web heard hello 10.9.0.2"), "the far container by name")
        two.sandbox.run("kill", "-9", str(two.sandbox.pid(f"--root {FOLDER}/host2 serve")))
        two.process.wait(PATIENCE_S)
        assert one.ask("client", "web").startswith("web heard hello")
        two.serve()
        assert one.ask("client", "web").startswith("web heard hello")
    for each, name in ((one, "client"), (two, "web")):
        each("rm", "-f", name)
    one("network", "rm", "other")


def test_a_host_that_was_given_up_tells_all_anew(hosts):
    """As others would have done so after days without a sign of life: its containers' places and addresses are gone."""
    one, two = hosts
    one("network", "create", "-d", "overlay", "--attachable", "--subnet", "10.10.0.0/24", "again")
    two("run", "-d", "--name", "web", "--network", "again", NAME, "sleep", "1000")
    one("run", "-d", "--name", "client", "--network", "again", NAME, "sleep", "1000")
    path = ".NetworkSettings.Networks.again.IPAddress"
    before = two.inspect("web", path)
    place = f"{one.inspect('again', '.Id')}/*/{two.inspect('web', '.Id')}"
    with Talk(two, *two.within("web"), "python3", "-c", SERVER, "80", "web") as server:
        assert server.line() == "ready"
        until(lambda: one.ask("client", "web") == f"web heard hello {before}", "the far container by name")
        one.sandbox.run(sys.executable, "-c", GIVE_UP, f"{FOLDER}/cluster.db", place)
        until(lambda: "other hosts had given this one up" in two.log.read_text(), "the host's return")
        until(lambda: one.ask("client", "web") == f"web heard hello {before}", "the far container by name")
        done = one("run", "--rm", "--network", "again", "--ip", before, NAME, "true", check=False)
        assert "Address already in use" in done.stderr
    assert two.inspect("web", path) == before
    one("rm", "-f", "client")
    two("rm", "-f", "web")
    one("network", "rm", "again")


def test_plugins_of_cni(hosts):
    """By docker's own command: addresses of the engine's, those of the plugins' own, and what can't be."""
    one, _ = hosts
    binaries.file("usr/lib/cni/bridge", "cni")
    chain = {"type": "bridge", "bridge": "cni0", "isDefaultGateway": True, "ipMasq": False}
    own = {"type": "host-local", "subnet": "10.7.0.0/24", "dataDir": "/run/leases"}
    lists = {
        "plugged": [{**chain, "capabilities": {"ips": True, "mac": True}, "ipam": {"type": "static"}}],
        "own": [{**chain, "bridge": "cni1", "ipam": own}],
    }
    for name, plugins in lists.items():
        text = json.dumps({"cniVersion": "1.0.0", "name": name, "plugins": plugins})
        script = f"mkdir -p /etc/cni/net.d; cat > /etc/cni/net.d/{name}.conflist"
        one.sandbox.run(*one.inside("sh", "-ec", script), input=text)
    one("network", "create", "-d", "cni", "--subnet", "10.6.0.0/24", "plugged")
    one("network", "create", "-d", "cni", "--ipam-driver", "null", "-o", "conflist=own", "second")
    done = one("network", "create", "-d", "cni", "nonesuch", check=False)
    assert "no network configuration list named 'nonesuch'" in done.stderr
    done = one("run", "--rm", "-p", "8080:80", "--network", "plugged", NAME, "true", check=False)
    assert "none of the plugins of plugged publishes ports" in done.stderr
    for network, subnet in (("plugged", "10.6.0."), ("second", "10.7.0.")):
        one("run", "-d", "--name", "web", "--network", network, NAME, "sleep", "1000")
        one("run", "-d", "--name", "client", "--network", network, NAME, "sleep", "1000")
        address = one.inspect("web", f".NetworkSettings.Networks.{network}.IPAddress")
        assert address.startswith(subnet)
        with Talk(one, *one.within("web"), "python3", "-c", SERVER, "80", "web") as server:
            assert server.line() == "ready"
            assert one.ask("client", "web") == f"web heard hello {address}"
        one("rm", "-f", "web", "client")
        one("network", "rm", network)
    found = one.sandbox.run(*one.inside("ip", "link")).stdout
    assert "cni" not in found
