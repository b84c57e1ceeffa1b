"""What cache mounts take is known without walking them again, for as long as nobody uses them."""

import pytest
from benches import Bench, Clock, Ear
from moby_builder.dockerfile.effects.cache_mounts import CacheMounts
from moby_builder.dockerfile.solver.effects import Tree

from moby.testing.mounted import own_mounts


@pytest.fixture
def bench(tmp_path):
    with own_mounts(), Bench(tmp_path / "bench") as made:
        yield made


@pytest.fixture
def walks(bench, monkeypatch):
    """The keys that were walked."""
    found = []
    usage = bench.snapshotter.usage
    monkeypatch.setattr(type(bench.snapshotter), "usage", lambda self, key: found.append(key) or usage(key))
    return found


@pytest.fixture
def mounts(bench):
    return CacheMounts(bench.snapshotter, bench.workspace, bench.metadata, bench.place.run / "locks", Clock())


def use(mounts, size):
    with mounts.lend("id", "shared", Tree(), "RUN it", Ear().cancel) as path:
        (path / "file").write_bytes(bytes(size))
        [mount] = mounts.list()
        return mount.key, mounts.size_bytes(mount.key)


def test_sizes_follow_uses(mounts, walks):
    for size in (1000, 2000):
        key, meanwhile = use(mounts, size)
        assert meanwhile == size
        (walks.clear(), [mounts.size_bytes(key) for _ in range(3)])
        assert walks == [key]
        assert mounts.size_bytes(key) == size


def test_a_size_meanwhile_is_not_the_last(mounts, bench):
    with mounts.lend("id", "shared", Tree(), "RUN it", Ear().cancel) as path:
        [mount] = mounts.list()
        assert mounts.size_bytes(mount.key) == 0
        (path / "file").write_bytes(bytes(100))
        assert mounts.size_bytes(mount.key) == 100
        (path / "file").write_bytes(bytes(200))
    assert mounts.size_bytes(mount.key) == 200


def test_one_that_has_gone_takes_nothing(mounts, bench):
    key, _ = use(mounts, 1000)
    assert mounts.size_bytes(key) == 1000
    mounts.remove(key)
    assert mounts.size_bytes(key) == 0
