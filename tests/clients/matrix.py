"""Assemblies of every pair of parts: which there are, their manifests, and the scenario that each goes through."""

import itertools
import subprocess
import sys

from attrs import define, field
from clients.engine import Moby
from clients.test_networks import inside
from image_registry.engines import OPEN, Around
from peers.binaries import need
from peers.box import NAME
from peers.engines import OURS, command_of
from peers.sandbox import TEMPORARY, until

PARTS = {
    "runtime": ("native", "runc", "crun", "lxc"),
    "supervisor": ("local", "containerd"),
    "snapshotter": ("overlay", "copy", "fuse-overlayfs", "btrfs", "containerd"),
    "network-driver": ("bridge", "macvlan", "netavark", "none"),
    "metadata": ("sqlite", "journal", "etcd"),
    "log-driver": ("json-file", "local"),
    "volume-driver": ("local", "directory"),
}
APART = {
    (
        ("runtime", "lxc"),
        ("supervisor", "containerd"),
    ): "LXC doesn't take runc's command line, which containerd's shims speak",
}
"""Pairs that can't be, and why."""
ALONE = {
    "runtime `chroot`, `cgroup`": "they make neither namespaces nor mounts, of which docker's containers consist",
    "supervisor `foreground`": "it has no daemon to ask",
    "network-driver `host`": "its one network is the host's own, where containers have no names",
    "network-driver `overlay`": "its networks need several hosts; `tests/clients/test_overlay_hosts.py` has some",
    "network-driver `ipvlan`": "not every kernel has its module; its suite runs in a guest whose kernel has",
    "network-driver `cni`": "its networks are the administrator's lists: users can't make one",
    "log-driver `none`": "what it is told can't be read",
    "log-driver `syslog`, `fluentd`": "they need a server; `tests/clients/scenarios/logs_elsewhere.txt` has one",
    "log-driver `journald`": "it needs a journal; `tests/log_drivers/test_log_journald.py` has one",
    "`plugin`, of several kinds": "what it can is another program's to say",
}
"""Parts that the scenario can't be gone through with, and why; each has its kind's suite."""
CONTAINERD = "/run/containerd/containerd.sock"
ETCD = "http://127.0.0.1:2379"
IMAGE = f"localhost:{OPEN}/box:1"
HIDDEN = {"crun": ("unified",)}
"""What crun can't do on hybrid control groups, it can where the unified hierarchy isn't seen."""
ASK = """
import socket, sys
name = b"".join(bytes((len(each),)) + each.encode() for each in sys.argv[1].split(".")) + bytes(1)
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
    asking.settimeout(60)
    asking.sendto(bytes((0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0)) + name + bytes((0, 1, 0, 1)), ("127.0.0.11", 53))
    print(socket.inet_ntoa(asking.recv(512)[-4:]))
"""


def rows(parts=PARTS):
    """Combinations in which every pair of parts of two kinds is that can be, chosen so that few are needed."""

    def pairs(row):
        return set(itertools.combinations(zip(parts, row, strict=True), 2))

    every = [row for row in itertools.product(*parts.values()) if not pairs(row) & set(APART)]
    left = set().union(*map(pairs, every))
    found = []
    while left:
        best = max(every, key=lambda row: len(pairs(row) & left))
        left -= pairs(best)
        found.append(best)
    return found


def manifest(row):
    """Return the text of an assembly of these parts; what each needs of the host is set up by `Chosen`."""
    chosen = dict(zip(PARTS, row, strict=True))
    runtime, supervisor = chosen.pop("runtime"), chosen.pop("supervisor")
    if supervisor == "containerd":
        named = f"{runtime}={command_of(OURS if runtime == 'native' else runtime)}"
        config = f"runtimes: ['{named}']" + (
            f", address: {CONTAINERD}" if chosen["snapshotter"] == "containerd" else ""
        )
        parts = [f"  supervisor: {{use: containerd, config: {{{config}}}}}", "  runtime: null"]
    else:
        parts = [f"  supervisor: {supervisor}", f"  runtime: {runtime}"]
    if chosen["metadata"] == "etcd":
        chosen["metadata"] = f"{{use: etcd, config: {{endpoints: ['{ETCD}']}}}}"
    for kind, other in (("network-driver", "none"), ("volume-driver", "local")):
        chosen[kind] = f"[{', '.join(dict.fromkeys([chosen[kind], other]))}]"
    parts += [f"  {kind}: {name}" for kind, name in chosen.items()]
    return "moby: 1\nname: matrix\nextends: [docker]\ncomponents:\n  builder: null\n" + "\n".join(parts) + "\n"


@define
class Chosen(Moby):
    """An engine of one row, with what its parts need beside it: an image registry, an etcd, a btrfs."""

    row: tuple[str, ...] = ()
    around: Around | None = None
    beside: list[subprocess.Popen] = field(factory=list)

    def open(self, image):
        chosen = dict(zip(PARTS, self.row, strict=True))
        if chosen["snapshotter"] == "containerd":
            need("containerd", "containerd")
            self.beside.append(self.sandbox.start("containerd", log=self.log.with_name("containerd.log")))
            until(lambda: self.sandbox.run("ctr", "version", check=False).returncode == 0, "containerd's answer")
            for each in ("s", "io.containerd.runtime.v2.task/moby"):  # it makes them once, and keeps them
                self.sandbox.run("mkdir", "-p", f"/run/containerd/{each}")
        if chosen["runtime"] == "lxc":
            need("lxc-start", "lxc")
        if "btrfs" in self.row:
            need("mkfs.btrfs", "btrfs")
            disk = TEMPORARY / "disk"
            self.sandbox.run("truncate", "-s", "400M", disk)
            self.sandbox.run("mkfs.btrfs", "-q", disk)
            self.sandbox.run("mount", "-o", "loop", disk, "/var/lib/docker")
        if "fuse-overlayfs" in self.row:
            need("fuse-overlayfs", "fuse-overlayfs")
        if "etcd" in self.row:
            need("etcd", "etcd")
            words = ["etcd", "--data-dir", TEMPORARY / "etcd", "--log-level=error"]
            urls = ["--listen-client-urls", ETCD, "--advertise-client-urls", ETCD]
            self.beside.append(self.sandbox.start(*words, *urls, log=self.log))
            health = f"import urllib.request; urllib.request.urlopen('{ETCD}/health', timeout=5)"
            until(lambda: self.sandbox.run("python3", "-c", health, check=False).returncode == 0, "etcd's answer")
        self.around = Around(self, self.log)
        self.around.registry(OPEN)
        super().open(image)

    def close(self):
        super().close()
        for each in (*(self.around.started if self.around else ()), *self.beside):
            each.kill()
            each.wait()


def driver_of(row):
    """Return the row's sort of network; empty for `none`."""
    found = row[list(PARTS).index("network-driver")]
    return "" if found == "none" else found


def transferred(engine):
    """Send the image that is there to the registry, forget it, and pull it."""
    engine("tag", NAME, IMAGE)
    engine("push", "-q", IMAGE)
    engine("rmi", NAME, IMAGE)
    assert engine.out("images", "-q") == ""
    engine("pull", "-q", IMAGE)


def lived(engine, network, volume):
    """Go from a first container to the last one's end; `network` and `volume` name what to make, by their drivers."""
    options = ["--network", "none"]
    if network:
        engine("network", "create", "-d", network, "town")
        options = ["--network", "town"]
    if volume:
        engine("volume", "create", "-d", volume, "data")
        options += ["-v", "data:/data"]
    done = engine("run", "--rm", *options, IMAGE, "sh", "-c", "echo out; exit 3", check=False)
    assert (done.returncode, done.stdout) == (3, "out\n"), done.stderr
    for name in ("one", "two"):
        engine("run", "-d", "--name", name, *options, IMAGE, "sh", "-c", "echo up; sleep 1000")
    assert engine.out("exec", "one", "sh", "-c", "echo in >/file; cat /file") == "in"
    if volume:
        engine("exec", "one", "sh", "-c", "echo kept >/data/file")
        assert engine.out("exec", "two", "cat", "/data/file") == "kept"
    if network:
        address = engine.inspect("one", ".NetworkSettings.Networks.town.IPAddress")
        found = engine.sandbox.run(*inside(engine, "two"), sys.executable, "-c", ASK, "one")
        assert found.stdout.strip() == address
    until(lambda: engine.out("logs", "one") == "up", "the program's word")
    engine("stop", "-t", "0", "one")
    assert engine.out("logs", "one") == "up"
    engine("rm", "one")
    engine("rm", "-f", "two")
    if network:
        engine("network", "rm", "town")
    if volume:
        engine("volume", "rm", "data")
