import pytest
from containers_engine import Engine

from moby.errors import Conflict, NotFound
from moby.testing.containers import ContainersSuite, World
from moby.testing.containers_mutants import MUTANTS


@pytest.fixture(scope="module")
def right(tmp_path_factory, rootfs):
    with Engine(tmp_path_factory.mktemp("right"), rootfs) as engine:
        yield engine


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """What never comes, doesn't come in a second either."""
    monkeypatch.setattr("moby.testing.containers_world.PATIENCE_S", 1.0)
    monkeypatch.setattr("moby.testing.boxes.PATIENCE_S", 1.0)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize(
    "mutant", [pytest.param(each, id=f"{each.test}-{each.name or each.wrap.__name__}") for each in MUTANTS]
)
def test_suite_fails(right, mutant):
    failed = False
    try:
        world = World(mutant.wrap(right.containers), right.events)
        getattr(ContainersSuite(), mutant.test)(world, *mutant.given)
    except (Exception, pytest.fail.Exception):
        failed = True
    finally:
        for each in right.containers.list():
            try:
                right.containers.remove(each.id, force=True, volumes=True)
            except (NotFound, Conflict):
                continue
    assert failed, "the suite lets this pass"


def test_every_promise_has_a_mutant():
    tests = {name for name in dir(ContainersSuite) if name.startswith("test_")}
    assert tests - {each.test for each in MUTANTS} == {
        # That something published is as it should be, and that a root keeps what was written, is not in the answers
        # that a mutant wraps.
        "test_runs_again",
        "test_event_attributes",
        "test_attached_before_a_start_that_fails",
    }
