"""The engine as a Debian package: dpkg installs it, upgrades it under running containers, removes and purges it."""

import shutil
import zipfile
from pathlib import Path

import pytest
from attrs import define
from clients.engine import opened
from moby_packager.deb.archive import Deb
from peers.engines import Docker

from moby.contracts.packager import Artifact, Entry, Given, Source

# A busy machine takes long to make packages and start engines of them.
pytestmark = pytest.mark.timeout(900)
SOCKET = "/run/docker.sock"
PROGRAM = "/usr/bin/moby-docker"
# All that dpkg writes lies in memory: the sandbox's /usr is read-only, and an overlay can't lie on its /var.
WRITABLE = """
set -e
mkdir -p /run/dpkg/upper /run/dpkg/work /run/dpkg/moby /var/lib/moby
mount -t overlay -o lowerdir=/usr,upperdir=/run/dpkg/upper,workdir=/run/dpkg/work overlay /usr
mount --bind /run/dpkg/moby /var/lib/moby
"""


@define
class Packaged(Docker):
    """The engine that a package installed, serving; systemd, which would start it, doesn't run in a sandbox."""

    name = "moby"

    def open(self, image):
        self.sandbox.run("sh", "-c", WRITABLE)
        self.install("1.0-1")
        super().open(image)

    def install(self, version):
        """Have dpkg install or upgrade it."""
        return self.sandbox.run("dpkg", "--install", f"/run/dpkg/{version}.deb")

    def daemon(self):
        return [PROGRAM, "--config", "/etc/moby/docker.toml", "serve", "--host", f"unix://{SOCKET}"]

    def again(self):
        (pid,) = [pid for pid, words in self.sandbox.processes().items() if " serve --host " in words]
        self.sandbox.run("kill", str(pid))
        self._daemon.wait(60)
        self._begin()

    def files(self, folder):
        """Return what is below a folder inside."""
        return sorted(str(each.relative_to(self.sandbox.seen("/"))) for each in self.sandbox.seen(folder).rglob("*"))


@pytest.fixture(scope="module")
def packages(tmp_path_factory, docker_pyz):
    """Two versions of the package, made of the distribution that others start too."""
    folder = tmp_path_factory.mktemp("packages")
    with zipfile.ZipFile(docker_pyz) as archive:
        read = {name: archive.read(name) for name in sorted(archive.namelist())}
    entries = tuple(Entry(name, data, "moby") for name, data in read.items() if not name.endswith(".pyc"))
    size = docker_pyz.stat().st_size
    given = Given(docker_pyz.parent, Artifact((Path(docker_pyz.name),), {"moby": size}))
    for version in ("1.0-1", "2.0-1"):
        Deb(version, level=0).build(Source("docker", entries, given=given), folder)
        (folder / "docker.deb").rename(folder / f"{version}.deb")
    return folder


@pytest.fixture
def engine(packages, tmp_path, image):
    class WithPackages(Packaged):
        def open(self, image):
            self.sandbox.run("mkdir", "-p", "/run/dpkg")
            for version in ("1.0-1", "2.0-1"):
                shutil.copy(packages / f"{version}.deb", self.sandbox.seen(f"/run/dpkg/{version}.deb"))
            super().open(image)

    with opened(WithPackages, tmp_path, image) as found:
        yield found


def state(engine):
    asked = ["dpkg-query", "--show", "--showformat=${Version} ${db:Status-Status}", "moby-docker"]
    return engine.sandbox.run(*asked, check=False).stdout


def test_install_upgrade_remove_purge(engine):
    sandbox = engine.sandbox
    assert state(engine) == "1.0-1 installed"
    assert sandbox.run("dpkg", "--verify", "moby-docker").stdout == ""
    assert "docker:" in sandbox.run("getent", "group", "docker").stdout
    assert engine.said("echo", "hello") == "hello"

    name = engine.up()
    pid = engine.inspect(name, ".State.Pid")
    sandbox.run("sh", "-c", "echo '# mine' >> /etc/moby/docker.toml")
    engine.install("2.0-1")
    assert state(engine) == "2.0-1 installed"
    assert "# mine" in sandbox.run("cat", "/etc/moby/docker.toml").stdout
    assert engine.inspect(name, ".State.Pid") == pid  # by the engine that went on
    engine.again()
    assert engine.inspect(name, ".State.Pid") == pid  # by the new one
    assert engine.out("exec", name, "echo", "still there") == "still there"
    assert engine.inspect(name, ".RestartCount") == 0

    sandbox.run("dpkg", "--remove", "moby-docker")
    engine._daemon.wait(60)
    assert state(engine) == "2.0-1 config-files"
    assert not [words for words in sandbox.processes().values() if "moby" in words or "trap 'exit 3'" in words]
    assert not sandbox.seen(PROGRAM).exists()
    assert sandbox.seen("/etc/moby/docker.toml").exists()
    assert sandbox.seen("/var/lib/moby/docker").exists()

    sandbox.run("dpkg", "--purge", "moby-docker")
    assert state(engine) in ("", "2.0-1 not-installed", " not-installed")
    assert not sandbox.seen("/etc/moby").exists()
    assert engine.files("/var/lib/moby") == []
    assert not sandbox.seen("/run/moby/docker").exists()
