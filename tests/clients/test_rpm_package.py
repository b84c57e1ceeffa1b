"""The engine as a package of rpm: rpm installs it, upgrades it under running containers, and erases it."""

import shutil
import zipfile
from pathlib import Path

import pytest
from attrs import define
from clients.engine import opened
from moby_packager.rpm.archive import Rpm
from peers.binaries import need
from peers.engines import Docker

from moby.contracts.packager import Artifact, Entry, Given, Source

# A busy machine takes long to make packages and start engines of them.
pytestmark = pytest.mark.timeout(900)
SOCKET = "/run/docker.sock"
PROGRAM = "/usr/bin/moby-docker"
DATABASE = "/run/rpm/db"
# All that rpm writes lies in memory: the sandbox's /usr is read-only. Its own settings lie beside its program.
WRITABLE = """
set -e
mkdir -p /run/rpm/upper /run/rpm/work /run/rpm/moby /var/lib/moby
mount -t overlay -o lowerdir=/usr,upperdir=/run/rpm/upper,workdir=/run/rpm/work overlay /usr
mount --bind /run/rpm/moby /var/lib/moby
"""


@define
class Packaged(Docker):
    """The engine that a package installed, serving; systemd, which would start it, doesn't run in a sandbox."""

    name = "moby"

    def open(self, image):
        self.sandbox.run("sh", "-c", WRITABLE)
        self.install("1.0")
        super().open(image)

    def install(self, version):
        """Have rpm install or upgrade it; that nothing of this system is rpm's doesn't matter."""
        return self.rpm("--upgrade", "--nodeps", f"/run/rpm/{version}.rpm")

    def rpm(self, *words, check=True):
        """Run rpm."""
        return self.sandbox.run("rpm", "--dbpath", DATABASE, *words, check=check)

    def daemon(self):
        return [PROGRAM, "--config", "/etc/moby/docker.toml", "serve", "--host", f"unix://{SOCKET}"]

    def again(self):
        (pid,) = [pid for pid, words in self.sandbox.processes().items() if " serve --host " in words]
        self.sandbox.run("kill", str(pid))
        self._daemon.wait(60)
        self._begin()


@pytest.fixture(scope="module")
def packages(tmp_path_factory, docker_pyz):
    """Two versions of the package, made of the distribution that others start too."""
    folder = tmp_path_factory.mktemp("packages")
    with zipfile.ZipFile(docker_pyz) as archive:
        read = {name: archive.read(name) for name in sorted(archive.namelist())}
    entries = tuple(Entry(name, data, "moby") for name, data in read.items() if not name.endswith(".pyc"))
    size = docker_pyz.stat().st_size
    given = Given(docker_pyz.parent, Artifact((Path(docker_pyz.name),), {"moby": size}))
    for version in ("1.0", "2.0"):
        Rpm(version, level=0).build(Source("docker", entries, given=given), folder)
        (folder / "docker.rpm").rename(folder / f"{version}.rpm")
    return folder


@pytest.fixture
def engine(packages, tmp_path, image):
    need("rpm", "rpm")

    class WithPackages(Packaged):
        def open(self, image):
            self.sandbox.run("mkdir", "-p", "/run/rpm")
            for version in ("1.0", "2.0"):
                shutil.copy(packages / f"{version}.rpm", self.sandbox.seen(f"/run/rpm/{version}.rpm"))
            super().open(image)

    with opened(WithPackages, tmp_path, image) as found:
        yield found


def state(engine):
    return engine.rpm("-q", "--queryformat", "%{VERSION}\n", "moby-docker", check=False).stdout


def test_install_upgrade_erase(engine):
    sandbox = engine.sandbox
    assert state(engine) == "1.0\n"
    assert engine.rpm("--verify", "--nodeps", "moby-docker").stdout == ""
    assert "docker:" in sandbox.run("getent", "group", "docker").stdout
    assert engine.said("echo", "hello") == "hello"

    name = engine.up()
    pid = engine.inspect(name, ".State.Pid")
    sandbox.run("sh", "-c", "echo '# mine' >> /etc/moby/docker.toml")
    engine.install("2.0")
    assert state(engine) == "2.0\n"
    assert "# mine" in sandbox.run("cat", "/etc/moby/docker.toml").stdout
    assert engine.inspect(name, ".State.Pid") == pid  # by the engine that went on
    engine.again()
    assert engine.inspect(name, ".State.Pid") == pid  # by the new one
    assert engine.out("exec", name, "echo", "still there") == "still there"
    assert engine.inspect(name, ".RestartCount") == 0

    engine.rpm("--erase", "moby-docker")
    engine._daemon.wait(60)
    assert state(engine) == "package moby-docker is not installed\n"
    assert not [words for words in sandbox.processes().values() if "moby" in words or "trap 'exit 3'" in words]
    assert not sandbox.seen(PROGRAM).exists()
    assert sandbox.seen("/etc/moby/docker.toml.rpmsave").exists()
    assert sandbox.seen("/var/lib/moby/docker").exists()
