import pytest
from images.store_parts import parts, store_of
from moby_image_registry.folder.layouts import Layouts
from moby_metadata.sqlite.store import Store as Metadata

from moby.testing.image_transfer_mutants import MUTANTS
from moby.testing.image_transfers import ImageTransferSuite


@pytest.fixture
def open_at(tmp_path):
    """A function that makes a function that opens the store of a name."""
    opened = {}

    def at(name):
        base = tmp_path / name
        base.mkdir()
        opened[name] = Metadata(base / "metadata.db")
        made = parts(base, opened[name].__enter__())
        return lambda registry: store_of(made, registry)

    yield at
    for each in opened.values():
        each.__exit__(None, None, None)


@pytest.fixture
def registry(tmp_path):
    return Layouts(tmp_path / "registry")


class TestTransfers(ImageTransferSuite):
    @pytest.fixture
    def store(self, open_at):
        return open_at("one")

    @pytest.fixture
    def elsewhere(self, open_at):
        return open_at("two")

    @pytest.fixture
    def registry(self, registry):
        return registry


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: f"{mutant.name}-{mutant.test}")
def test_mutant_is_caught(mutant, open_at, registry):
    test = getattr(ImageTransferSuite, mutant.test)
    given = {
        "store": mutant.wrap(open_at("one")), "elsewhere": open_at("two"), "registry": registry, **mutant.given,
    }  # fmt: skip
    wanted = {name: given[name] for name in test.__code__.co_varnames[1 : test.__code__.co_argcount]}
    with pytest.raises(BaseException) as caught:  # an assertion, pytest.fail, or what the fault raises
        test(ImageTransferSuite(), **wanted)
    assert not isinstance(caught.value, KeyboardInterrupt | AttributeError | TypeError)
