"""The engine as a Debian package: dpkg installs it, upgrades it under running containers, removes and purges it."""

import pytest
from attrs import define
from clients.engine import opened
from clients.packaged import Packaged, made
from moby_packager.deb.archive import Deb

# A busy machine takes long to make packages and start engines of them.
pytestmark = pytest.mark.timeout(900)
VERSIONS = ("1.0-1", "2.0-1")


@define
class ByDpkg(Packaged):
    def install(self, path):
        return self.sandbox.run("dpkg", "--install", path)

    def state(self):
        asked = ["dpkg-query", "--show", "--showformat=${Version} ${db:Status-Status}", "moby-docker"]
        return self.sandbox.run(*asked, check=False).stdout

    def files(self, folder):
        """Return what is below a folder inside."""
        return sorted(str(each.relative_to(self.sandbox.seen("/"))) for each in self.sandbox.seen(folder).rglob("*"))


@pytest.fixture(scope="module")
def packages(tmp_path_factory, docker_pyz):
    packagers = {f"{each}.deb": Deb(each, level=0) for each in VERSIONS}
    return made(tmp_path_factory.mktemp("packages"), docker_pyz, packagers)


@pytest.fixture
def engine(packages, tmp_path, image):
    with opened(ByDpkg, tmp_path, image, packages=packages) as found:
        yield found


def test_install_upgrade_remove_purge(engine):
    sandbox = engine.sandbox
    assert engine.state() == "1.0-1 installed"
    assert sandbox.run("dpkg", "--verify", "moby-docker").stdout == ""
    assert "docker:" in sandbox.run("getent", "group", "docker").stdout
    assert engine.said("echo", "hello") == "hello"

    engine.upgrade("2.0-1.deb")
    assert engine.state() == "2.0-1 installed"

    sandbox.run("dpkg", "--remove", "moby-docker")
    engine.check_removed()
    assert engine.state() == "2.0-1 config-files"
    assert sandbox.seen("/etc/moby/docker.toml").exists()

    sandbox.run("dpkg", "--purge", "moby-docker")
    assert engine.state() in ("", "2.0-1 not-installed", " not-installed")
    assert not sandbox.seen("/etc/moby").exists()
    assert engine.files("/var/lib/moby") == []
    assert not sandbox.seen("/run/moby/docker").exists()
