import pytest
from images.store_parts import parts, store_of
from moby_metadata.sqlite.store import Store as Metadata
from moby_snapshotter.copy.snapshots import Copy

from moby.testing.image_mutants import MUTANTS
from moby.testing.image_store import ImageStoreSuite
from moby.testing.image_store_mutants import MUTANTS as STORE_MUTANTS
from moby.testing.images import ImagesSuite


@pytest.fixture
def metadata(tmp_path):
    with Metadata(tmp_path / "metadata.db") as metadata:
        yield metadata


class TestStore(ImagesSuite):
    @pytest.fixture
    def store(self, tmp_path, metadata):
        return lambda: store_of(parts(tmp_path, metadata))


class TestStoreWhole(ImageStoreSuite):
    @pytest.fixture
    def store(self, tmp_path, metadata):
        return lambda: store_of(parts(tmp_path, metadata))

    @pytest.fixture
    def snapshotter(self, tmp_path, metadata):
        return lambda: parts(tmp_path, metadata).snapshotter

    @pytest.fixture
    def content(self, tmp_path, metadata):
        return lambda: parts(tmp_path, metadata).content


class TestStoreOverCopies(ImagesSuite):
    @pytest.fixture
    def store(self, tmp_path, metadata):
        return lambda: store_of(parts(tmp_path, metadata, Copy(tmp_path / "snapshots", metadata)))


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_mutant_is_caught(mutant, tmp_path, metadata):
    with pytest.raises(BaseException) as caught:  # an assertion, pytest.fail, or what the fault raises
        getattr(ImagesSuite(), mutant.test)(lambda: mutant.wrap(store_of(parts(tmp_path, metadata))))
    assert not isinstance(caught.value, KeyboardInterrupt | AttributeError | TypeError)


@pytest.mark.parametrize("mutant", STORE_MUTANTS, ids=lambda mutant: f"{mutant.name}-{mutant.test}")
def test_mutant_of_the_whole_is_caught(mutant, tmp_path, metadata):
    test = getattr(ImageStoreSuite, mutant.test)
    given = {
        "store": lambda: mutant.wrap(store_of(parts(tmp_path, metadata))), "tmp_path": tmp_path,
        "snapshotter": lambda: parts(tmp_path, metadata).snapshotter,
        "content": lambda: parts(tmp_path, metadata).content, **dict(mutant.given),
    }  # fmt: skip
    wanted = test.__code__.co_varnames[1 : test.__code__.co_argcount]
    with pytest.raises(BaseException) as caught:  # an assertion, pytest.fail, or what the fault raises
        test(ImageStoreSuite(), **{name: given[name] for name in wanted})
    assert not isinstance(caught.value, KeyboardInterrupt | AttributeError | TypeError)
