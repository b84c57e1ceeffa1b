"""Layers that are written while a build goes on: there when it is exported, and let go of when it isn't."""

import threading

import pytest
from building_engines import Engine, box_root
from exporting import opened_yard, solution, solved
from moby_builder.dockerfile.exports.early import EarlyLayers

from moby.contracts.builder import Export, ExportType, Request
from moby.errors import NotFound
from moby.testing.lending import Building, Lending
from moby.testing.mounted import own_mounts
from moby.testing.net_namespaces import own_network
from moby.testing.snapshotter import tar

LARGE = tar(c=b"3" * (1 << 20))
IMAGE = Export(ExportType.IMAGE, names=("built:1",))


@pytest.fixture
def yard(tmp_path):
    with opened_yard(tmp_path) as yard:
        yield yard


@pytest.fixture
def early(yard):
    early = yard.exporting.early()
    yield early
    early.close()


def blobs(yard):
    return {each.digest for each in yard.content.list()}


class Waiting:
    """Images whose layers are written once they may be."""

    def __init__(self, images):
        self.images, self.begun, self.go_on = images, threading.Event(), threading.Event()
        self.asked = []

    def layers(self, snapshot, lease):
        self.asked.append(snapshot)
        self.begun.set()
        assert self.go_on.wait(60)
        return self.images.layers(snapshot, lease)


def test_a_large_layer_is_there_before_it_is_exported(yard, early):
    top = yard.layer("2", LARGE, yard.layer("1", tar(b=b"2")))
    early.add(top, 1 << 20)
    early.settle()
    layers = yard.images.layers(top, early._lease)
    assert blobs(yard) == {each.digest for each in layers}
    yard.export(solution(solved(top, "COPY b /", "COPY c /")), IMAGE)
    assert {each.diff_id for each in layers} == set(yard.images.get("built:1").layers)


def test_small_ones_are_left_to_the_export(yard, early):
    early.add(yard.layer("1", tar(b=b"2")), (1 << 20) - 1)
    early.settle()
    assert blobs(yard) == set()


def test_what_can_not_be_read_is_told_by_the_export(yard, early):
    early.add("builder/gone", 1 << 20)
    early.settle()
    with pytest.raises(NotFound, match="builder/gone"):
        yard.export(solution(solved("builder/gone", "COPY b /")), IMAGE)


def test_what_has_not_begun_is_left_to_the_export(yard):
    images = Waiting(yard.images)
    early = EarlyLayers(images, yard.content)
    first, second = yard.layer("1", LARGE), yard.layer("2", LARGE)
    early.add(first, 1 << 20)
    assert images.begun.wait(60)
    early.add(second, 1 << 20)
    settling = threading.Thread(target=early.settle)
    settling.start()
    while early._wanted:
        threading.Event().wait(0.001)
    images.go_on.set()
    settling.join(60)
    assert not settling.is_alive()
    assert images.asked == [first]
    early.close()


def test_a_build_that_ends_waits_for_no_layer(yard):
    """What is written then is collected, as what was written and isn't exported."""
    images = Waiting(yard.images)
    early = EarlyLayers(images, yard.content)
    early.add(yard.layer("1", LARGE), 1 << 20)
    assert images.begun.wait(60)
    early.close()
    early.add(yard.layer("2", LARGE), 1 << 20)  # after the end nothing is begun
    images.go_on.set()
    early.settle()
    assert len(images.asked) == 1
    (left,) = blobs(yard)
    yard.images.prune()
    with yard.content.lease() as lease:
        assert not lease.hold(left)


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    folder = tmp_path_factory.mktemp("engine")
    with own_mounts(shared=True), own_network(), Engine(folder / "engine", box_root(folder / "box")) as engine:
        yield engine


@pytest.mark.parametrize("layers", [True, False])
def test_a_build_writes_what_is_wanted_of_it(engine, tmp_path, layers):
    """And what isn't wanted isn't written, nor what only other stages are on."""
    text = f"FROM box AS aside\nRUN cat /bin/* > /aside-{layers}\nFROM box\nRUN cat /bin/* > /large-{layers}\n"
    text += f"COPY --from=aside /aside-{layers} /a\nRUN echo {layers}"
    (tmp_path / "Dockerfile").write_text(text)
    before = blobs(engine)
    with Building(engine.builder, Lending({"context": tmp_path, "dockerfile": tmp_path})) as at:
        result = at.build.solve(Request(network="none", layers=layers))
        at.build._early.settle()
        written = blobs(engine) - before
        (exported,) = at.build.export(result, (IMAGE,))
    image = engine.images.get(str(exported.image))
    assert len(image.layers) == 4
    assert written <= set(image.layers)
    assert bool(written) is layers
