"""Layers that are unpacked side by side: the order in which they come to be, and what is left where one fails."""

import contextlib
import hashlib
import threading
from concurrent import futures

import pytest
from attrs import evolve, frozen
from moby_content.local.store import Store as Content
from moby_images.store import stacking
from moby_images.store.catalog import chain_ids
from moby_images.store.layers import Layer, Layers
from moby_metadata.sqlite.store import Store as Metadata
from moby_snapshotter.copy.snapshots import Copy
from moby_snapshotter.overlay.snapshots import Overlay

from moby.contracts.types import Digest
from moby.errors import Corrupt, Invalid
from moby.oci.image import LAYER, Descriptor
from moby.testing.snapshotter import file, tar


@frozen
class Stack:
    """Four layers in a store, and what unpacks them."""

    layers: Layers
    snapshotter: Overlay
    wanted: list

    def chains(self):
        return [str(each) for each in chain_ids(each.diff_id for each in self.wanted)]

    def held(self):
        return {each.key for each in self.snapshotter.list()}


@pytest.fixture
def stack(tmp_path):
    """A function that makes a stack."""
    with Metadata(tmp_path / "metadata.db") as metadata:
        yield lambda kind=Overlay, damaged=(): made(tmp_path, kind(tmp_path / "snapshots", metadata), damaged)


def made(base, snapshotter, damaged):
    content = Content(base / "content")
    wanted = []
    with content.lease() as lease:
        for number in range(4):
            data = tar(file(f"file{number}", b"x" * 100), file("all", b"%d" % number))
            with content.writer(f"layer{number}", lease) as writer:
                writer.write(data)
                blob = writer.commit()
            diff_id = Digest("sha256", hashlib.sha256(b"other" if number in damaged else data).hexdigest())
            wanted.append(Layer(Descriptor(LAYER, blob.digest, blob.size_bytes), diff_id))
    (base / "run").mkdir()
    return Stack(Layers(content, snapshotter, base / "run"), snapshotter, wanted)


@pytest.fixture(params=[Overlay, Copy])
def four(request, stack):
    return stack(request.param)


def test_they_come_in_order(four):
    assert list(four.layers.ensure(four.wanted)) == four.wanted
    assert four.held() == set(four.chains())
    assert [four.snapshotter.stat(each).parent for each in four.chains()] == ["", *four.chains()[:-1]]


def test_what_is_there_is_not_unpacked_again(four):
    list(four.layers.ensure(four.wanted[:2]))
    begun = []
    four.layers.open = None
    assert list(four.layers.ensure(four.wanted[:2], begun.append)) == four.wanted[:2]
    assert begun == four.wanted[:2], "whoever fetches them is waited for all the same"


def test_several_are_under_way(stack):
    four, both = stack(), threading.Barrier(2)

    def begin(layer):
        if layer in four.wanted[:2]:
            both.wait(60)

    assert list(four.layers.ensure(four.wanted, begin)) == four.wanted


@pytest.mark.parametrize(("packed", "most"), [(False, 2), (True, 3)])
def test_one_more_is_under_way_where_bytes_are_waited_for(stack, monkeypatch, packed, most):
    """As they are of layers that are inflated; what unpacks files has a processor each."""
    monkeypatch.setattr(stacking, "_AT_ONCE", 3)
    four, asked = stack(), []

    class Pool(futures.ThreadPoolExecutor):
        def __init__(self, threads, **more):
            asked.append(threads)
            super().__init__(threads, **more)

    monkeypatch.setattr(futures, "ThreadPoolExecutor", Pool)
    wanted = [evolve(each, diff_id=Digest("sha256", "0" * 64)) for each in four.wanted] if packed else four.wanted
    with contextlib.suppress(Corrupt):
        list(four.layers.ensure(wanted))
    assert asked == [most]


def test_one_at_a_time_where_a_layer_needs_those_below(stack):
    four, committed = stack(Copy), []

    def begin(layer):
        committed.append(len(four.held()))

    list(four.layers.ensure(four.wanted, begin))
    assert committed == [1, 2, 3, 4]


@pytest.mark.parametrize("damaged", [0, 1, 3])
@pytest.mark.parametrize("kind", [Overlay, Copy])
def test_a_damaged_one_is_named_and_nothing_above_it_stays(stack, kind, damaged):
    four = stack(kind, {damaged})
    come = []
    with pytest.raises(Corrupt, match=f"layer {four.wanted[damaged].blob.digest}: "):
        for each in four.layers.ensure(four.wanted):
            come.append(each)
    assert come == four.wanted[:damaged]
    assert four.held() == set(four.chains()[:damaged])


def test_the_lowest_that_fails_is_told_though_another_failed_before(stack):
    four, failed = stack(), threading.Event()

    def begin(layer):
        if layer is four.wanted[2]:
            failed.set()
            raise Invalid("the third")
        if layer is four.wanted[1]:
            assert failed.wait(60)
            raise Invalid("the second")

    with pytest.raises(Invalid, match="the second"):
        list(four.layers.ensure(four.wanted, begin))
    assert four.held() == set(four.chains()[:1])


def test_whoever_leaves_leaves_nothing_half(four):
    coming = four.layers.ensure(four.wanted)
    next(coming)
    coming.close()
    assert not [each for each in four.held() if each.startswith(stacking.EXTRACT)]
    assert list(four.layers.ensure(four.wanted)) == four.wanted


def test_what_killed_processes_left_is_taken_away(stack):
    four = stack()
    keys = [stacking.EXTRACT + each for each in four.chains()]
    for below, key in zip(["", *keys], keys, strict=False):
        four.snapshotter.prepare(key, below)
    four.layers.sweep()
    assert four.held() == set()
    for below, key in zip(["", *keys], keys, strict=False):
        four.snapshotter.prepare(key, below)
    assert list(four.layers.ensure(four.wanted)) == four.wanted
    assert four.held() == set(four.chains())


def test_two_who_want_the_same_share_the_work(four):
    opened, lock = [], threading.Lock()
    before = four.layers.open

    def open_one(layer, told=None):
        with lock:
            opened.append(layer)
        return before(layer, told)

    four.layers.open = open_one
    found = []
    threads = [threading.Thread(target=lambda: found.append(list(four.layers.ensure(four.wanted)))) for _ in range(3)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(60)
    assert found == [four.wanted] * 3
    assert sorted(each.blob.digest for each in opened) == sorted(each.blob.digest for each in four.wanted)


def test_the_same_layer_twice_in_an_image(stack):
    four = stack()
    twice = [four.wanted[0], four.wanted[0], evolve(four.wanted[1])]
    assert list(four.layers.ensure(twice)) == twice
