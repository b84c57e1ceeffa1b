"""The builder `dockerfile` against the contract, on real parts."""

import pytest
from building_engines import Engine, box_root

from moby.testing.builder import BuilderSuite, Workshop
from moby.testing.builder_mutants import MUTANTS
from moby.testing.mounted import own_mounts
from moby.testing.net_namespaces import own_network


@pytest.fixture(scope="module", autouse=True)
def apart():
    """What is built here is mounted in the namespace that it finds."""
    with own_mounts(shared=True), own_network():
        yield


@pytest.fixture(scope="module")
def shop(apart, tmp_path_factory):
    folder = tmp_path_factory.mktemp("engine")
    with Engine(folder, box_root(folder)) as engine:
        yield Workshop(engine.builder, engine.images, tmp_path_factory.mktemp("contexts"))
        active = [each.key for each in engine.snapshotter.list() if each.key.startswith("builder/active")]
        assert (active, engine.supervisor.list()) == ([], ())
        assert not list((folder / "run/builder/mounts").glob("*"))


class TestDockerfile(BuilderSuite):
    @pytest.fixture
    def workshop(self, shop):
        return shop


@pytest.fixture
def impatient(monkeypatch):
    """What never comes, doesn't come in a few seconds either."""
    for each in ("failures", "progress"):
        monkeypatch.setattr(f"moby.testing.builder_{each}.PATIENCE_S", 3.0)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("mutant", [pytest.param(each, id=f"{each.test}-{each.name}") for each in MUTANTS])
def test_suite_fails(shop, mutant, impatient):
    workshop = Workshop(mutant.wrap(shop), shop.images, shop.folder)
    with pytest.raises((Exception, pytest.fail.Exception)):
        getattr(BuilderSuite(), mutant.test)(workshop, *mutant.given)


def test_every_promise_has_a_mutant():
    tests = {name for name in dir(BuilderSuite) if name.startswith("test_")}
    assert tests - {each.test for each in MUTANTS} == {
        # What a root holds is not in the answers that a mutant wraps.
        "test_an_image", "test_who_runs_and_where", "test_a_cache_mount", "test_nothing_to_begin_with", "test_stages",
    }  # fmt: skip
