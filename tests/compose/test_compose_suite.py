"""The conformance suite of orchestrators, on the part `compose`."""

import pytest
from compose.orchestrating import Orchestrated
from networks.wired import Ledger, Veths

from moby.testing.bundles import PROGRAMS, make_rootfs
from moby.testing.mounted import own_mounts
from moby.testing.net_namespaces import own_network
from moby.testing.orchestrator import OrchestratorSuite


@pytest.fixture(scope="module", autouse=True)
def apart():
    """Engines here mount in the namespace that they find."""
    with own_mounts(shared=True), own_network():
        yield


@pytest.fixture(scope="module")
def orchestrated(tmp_path_factory, apart):
    rootfs = make_rootfs(tmp_path_factory.mktemp("image") / "rootfs", PROGRAMS)
    parts = {"drivers": {"veths": Veths()}, "discovery": Ledger()}
    with Orchestrated(tmp_path_factory.mktemp("engine"), rootfs, **parts) as engine:
        yield engine


@pytest.mark.slow
class TestOnCompose(OrchestratorSuite):
    """With its parts in this process."""

    @pytest.fixture
    def world(self, orchestrated):
        return orchestrated.world()
