"""The engine as a package of rpm: rpm installs it, upgrades it under running containers, and erases it."""

import pytest
from attrs import define
from clients.engine import opened
from clients.packaged import FOLDER, Packaged, made
from moby_packager.rpm.archive import Rpm
from peers.binaries import need

# A busy machine takes long to make packages and start engines of them.
pytestmark = pytest.mark.timeout(900)
DATABASE = f"{FOLDER}/db"
VERSIONS = ("1.0", "2.0")


@define
class ByRpm(Packaged):
    """rpm's own settings lie beside its program."""

    def install(self, path):
        """Have rpm install or upgrade it; that nothing of this system is rpm's doesn't matter."""
        return self.rpm("--upgrade", "--nodeps", path)

    def state(self):
        return self.rpm("-q", "--queryformat", "%{VERSION}\n", "moby-docker", check=False).stdout

    def rpm(self, *words, check=True):
        return self.sandbox.run("rpm", "--dbpath", DATABASE, *words, check=check)


@pytest.fixture(scope="module")
def packages(tmp_path_factory, docker_pyz):
    packagers = {f"{each}.rpm": Rpm(each, level=0) for each in VERSIONS}
    return made(tmp_path_factory.mktemp("packages"), docker_pyz, packagers)


@pytest.fixture
def engine(packages, tmp_path, image):
    need("rpm", "rpm")
    with opened(ByRpm, tmp_path, image, packages=packages) as found:
        yield found


def test_install_upgrade_erase(engine):
    sandbox = engine.sandbox
    assert engine.state() == "1.0\n"
    assert engine.rpm("--verify", "--nodeps", "moby-docker").stdout == ""
    assert "docker:" in sandbox.run("getent", "group", "docker").stdout
    assert engine.said("echo", "hello") == "hello"

    engine.upgrade("2.0.rpm")
    assert engine.state() == "2.0\n"

    engine.rpm("--erase", "moby-docker")
    engine.check_removed()
    assert engine.state() == "package moby-docker is not installed\n"
    assert sandbox.seen("/etc/moby/docker.toml.rpmsave").exists()
