"""What a store of images does for containers: layers of their own, sizes, changes, archives, images of them."""

import io
import tarfile

import pytest
from containers_engine import Engine

from moby.contracts.containers import ContainerConfig, Status
from moby.errors import Invalid, NotFound
from moby.testing.containers import ContainersSuite, World
from moby.testing.containers_world import eventually


@pytest.fixture(scope="module")
def stored(tmp_path_factory, rootfs):
    with Engine(tmp_path_factory.mktemp("stored"), rootfs, store=True) as engine:
        engine.add_image()
        yield engine


@pytest.fixture(autouse=True)
def nothing_left(stored):
    yield
    for each in stored.containers.list():
        stored.containers.remove(each.id, force=True, volumes=True)


class TestOnAStore:
    """A few of the suite's, with real images."""

    @pytest.mark.parametrize(
        "test", ["run", "runs_again", "auto_remove", "prune", "copy_of_a_folder", "links_stay_inside"]
    )
    def test_promise(self, stored, test):
        getattr(ContainersSuite(), f"test_{test}")(World(stored.containers, stored.events))


def test_changes_and_sizes(stored):
    made = stored.create("echo 12345 > /new; rm /etc/nonsense; echo more >> /etc/passwd")
    stored.finish(made)
    found = {path: kind for kind, path in stored.containers.changes(made)}
    assert (found["/new"], found["/etc/nonsense"], found["/etc/passwd"]) == (1, 2, 0)
    sizes = stored.containers.sizes(made)
    assert 0 < sizes.own_bytes < sizes.root_bytes


def test_export(stored):
    made = stored.create("echo 12345 > /new")
    stored.finish(made)
    data = b"".join(stored.containers.export(made))
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        assert "new" in {name.lstrip("./") for name in tar.getnames()}
    assert "export" in stored.actions()


def test_commit(stored):
    made = stored.create("echo mine > /mine; echo > /written; cat", open_stdin=True, environment=("A=b",))
    stored.containers.start(made)
    eventually(lambda: "/written" in {path for _, path in stored.containers.changes(made)}, "what it writes")
    image = stored.containers.commit(made, "mine:1", message="why", author="who", changes=("CMD cat /mine",))
    assert stored.containers.get(made).state.status is Status.RUNNING
    assert {"pause", "unpause", "commit"} <= set(stored.actions())
    found = stored.images.get("mine:1")
    assert str(found.id) == image
    assert "A=b" in found.config.environment
    other = stored.containers.create(ContainerConfig("mine:1")).id
    assert stored.finish(other) == (0, "mine\n")
    quiet = stored.containers.commit(other, pause=False)
    assert quiet != image
    stored.containers.remove(other)
    with pytest.raises(Invalid):
        stored.containers.commit(made, "Not A Name")
    with pytest.raises(NotFound):
        stored.containers.commit("none", "x")


def test_images_in_use(stored):
    made = stored.create(":")
    assert list(stored.containers.used_images()) == [(made, str(stored.images.get("box").id))]
