"""Whatever breaks a promise of the contract, the suite of orchestrators sees."""

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
            right.volumes.remove(each.name)
    assert failed, "the suite lets this pass"


def test_every_promise_has_a_mutant():
    tests = {name for name in dir(OrchestratorSuite) if name.startswith("test_")}
    assert tests - {each.test for each in MUTANTS} == {
        # That something outlives the engine isn't in the answers that a mutant wraps.
        "test_what_it_was_asked_for_is_kept",
        # These are of what this part lacks.
        "test_a_container_removed_by_hand", "test_a_locked_manager", "test_a_node_that_must_stay",
        "test_a_secret_that_is_handed_in_again", "test_an_update_that_fails",
        "test_an_update_that_fails_and_goes_back", "test_cluster", "test_configs",
        "test_data_that_can_t_be", "test_draining_a_node", "test_global", "test_in_use", "test_job",
        "test_labels_of_them", "test_leaving", "test_locks", "test_out_of_sequence", "test_roll_back", "test_secrets",
        "test_settling_a_cluster", "test_steps",
    }  # fmt: skip
