import pytest
from swarm_engine import Engine, plan

from moby.contracts.orchestrator import ClusterSpec
from moby.testing.bundles import PROGRAMS, make_rootfs
from moby.testing.mounted import own_mounts
from moby.testing.net_namespaces import own_network


@pytest.fixture(scope="module", autouse=True)
def apart():
    """Engines here mount, and make networks, in the namespaces that they find."""
    with own_mounts(shared=True), own_network():
        yield


@pytest.fixture(scope="session")
def rootfs(tmp_path_factory):
    return make_rootfs(tmp_path_factory.mktemp("image") / "rootfs", PROGRAMS)


@pytest.fixture(scope="session")
def swarm_plan(tmp_path_factory):
    return plan(tmp_path_factory.mktemp("plan"))


@pytest.fixture(scope="module")
def engine(tmp_path_factory, rootfs, swarm_plan, apart):
    """An engine that is a cluster's only node."""
    with Engine(tmp_path_factory.mktemp("engine"), rootfs, swarm_plan) as engine:
        engine.orchestrator.cluster().create(ClusterSpec())
        yield engine
