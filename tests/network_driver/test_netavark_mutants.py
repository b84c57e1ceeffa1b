"""Each mutant breaks one promise of network drivers; the suite must see it over netavark too."""

import os

import pytest
from moby_network_driver.netavark.plugin import Config, make
from network_driver.engines import Quiet, place_in, starting
from network_driver.test_network_drivers import caught
from peers import binaries

from moby.testing.net_namespaces import own_network
from moby.testing.network_driver_given import Given
from moby.testing.network_driver_mutants import MAKING_MUTANTS, PUBLISHING_MUTANTS


@pytest.mark.long
@pytest.mark.skipif(os.geteuid() != 0, reason="making network namespaces takes root")
@pytest.mark.parametrize(
    "mutant", (*MAKING_MUTANTS, *PUBLISHING_MUTANTS), ids=lambda mutant: f"{mutant.name}-{mutant.test}"
)
def test_mutant_by_netavark_is_caught(mutant, tmp_path, monkeypatch):
    program = str(binaries.file("usr/lib/podman/netavark", "netavark"))
    binaries.need("nft", "nftables")
    for key in ("PATH", "LD_LIBRARY_PATH"):
        monkeypatch.setenv(key, binaries.environment()[key])
    made = starting(lambda: make(Config(binary=program), place=place_in(tmp_path), log=Quiet()))
    with own_network(), made as start:
        assert caught(mutant, Given(start))
