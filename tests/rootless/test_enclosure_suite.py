"""The suite of enclosures over those that are shipped, and what it must see of broken ones."""

import os

import pytest
from moby_enclosure.pasta.uplink import PASTA
from moby_enclosure.rootless.enclosure import Rootless
from moby_enclosure.slirp4netns.uplink import SLIRP
from peers.binaries import ROOT, need

from moby.contracts.types import Mount
from moby.host.overlay import mount_root
from moby.testing.enclosure import EnclosureSuite
from moby.testing.enclosure_mutants import MUTANTS
from moby.testing.mounted import own_mounts

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="it shows programs that aren't installed; runs as root")


@pytest.fixture(scope="module", autouse=True)
def installed():
    """Have the programs that they call where they would be if they were installed."""
    for name, peers in (("newuidmap", "uidmap"), ("pasta", "passt"), ("slirp4netns", "slirp4netns")):
        need(name, peers)
    with own_mounts():
        mount_root((Mount("/usr", "overlay", "overlay", (f"lowerdir={ROOT}/usr:/usr",)),), "/usr")
        yield


class TestUnlinked(EnclosureSuite):
    @pytest.fixture
    def make_enclosure(self):
        return lambda place: Rootless(None, place)


class TestPasta(EnclosureSuite):
    @pytest.fixture
    def make_enclosure(self):
        return lambda place: Rootless(PASTA, place)


@pytest.mark.long
class TestSlirp(EnclosureSuite):
    @pytest.fixture
    def make_enclosure(self):
        return lambda place: Rootless(SLIRP, place)


@pytest.fixture
def impatient(monkeypatch):
    """What never comes, doesn't come in a second either."""
    monkeypatch.setattr("moby.testing.enclosure._PATIENCE_S", 1.0)


@pytest.mark.slow
@pytest.mark.parametrize("mutant", [pytest.param(each, id=f"{each.test}-{each.name}") for each in MUTANTS])
def test_suite_fails(mutant, impatient):
    suite = EnclosureSuite()
    lend = EnclosureSuite.given.__wrapped__(suite, lambda place: mutant.wrap(Rootless(None, place)))
    given = next(lend)
    try:
        with pytest.raises((AssertionError, TimeoutError, pytest.fail.Exception)):
            getattr(suite, mutant.test)(given)
    finally:
        lend.close()


def test_every_promise_has_a_mutant():
    assert {each.test for each in MUTANTS} == {name for name in dir(EnclosureSuite) if name.startswith("test_")}
