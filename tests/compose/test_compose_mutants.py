"""Whatever breaks a promise of the contract, the suite of orchestrators sees."""

import inspect

import pytest
from compose.orchestrating import Orchestrated
from networks.wired import Ledger, Veths

from moby.testing.bundles import PROGRAMS, make_rootfs
from moby.testing.mounted import own_mounts
from moby.testing.net_namespaces import own_network
from moby.testing.orchestrator import OrchestratorSuite
from moby.testing.orchestrator_mutants import MUTANTS


@pytest.fixture(scope="module")
def right(tmp_path_factory):
    rootfs = make_rootfs(tmp_path_factory.mktemp("image") / "rootfs", PROGRAMS)
    with own_mounts(shared=True), own_network():
        folder = tmp_path_factory.mktemp("right")
        with Orchestrated(folder, rootfs, drivers={"veths": Veths()}, discovery=Ledger()) as engine:
            yield engine


@pytest.mark.long
@pytest.mark.parametrize(
    "mutant", [pytest.param(each, id=f"{each.test}-{each.name or each.wrap.__name__}") for each in MUTANTS]
)
def test_suite_fails(right, mutant, monkeypatch):
    suite, world = OrchestratorSuite(), right.world()
    world.orchestrator = mutant.wrap(right.orchestrator)
    failed = False
    try:
        # What never comes, doesn't come in two seconds either.
        monkeypatch.setattr("moby.testing.orchestrator_world.PATIENCE_S", 2.0)
        getattr(suite, mutant.test)(world, *mutant.given)
    except pytest.skip.Exception:
        raise
    except (Exception, pytest.fail.Exception):
        failed = True
    finally:
        monkeypatch.undo()
        suite.clear(right.world(), set())
        for each in right.volumes.list():
            right.volumes.remove(each.name, force=True)  # an application that is going may have removed it by now
    assert failed, "the suite lets this pass"


def test_every_promise_has_a_mutant():
    """But those of what this part lacks."""
    tests = {name: each for name, each in inspect.getmembers(OrchestratorSuite) if name.startswith("test_")}
    ours = {name for name, each in tests.items() if "self.offers(" not in inspect.getsource(each)}
    # That something outlives the engine isn't in the answers that a mutant wraps.
    assert ours - {each.test for each in MUTANTS} == {"test_what_it_was_asked_for_is_kept"}
