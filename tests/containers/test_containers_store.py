"""What a store of images does for containers: layers of their own, sizes, changes, archives, images of them."""

import io
import os
import tarfile
import threading

import pytest
from containers_engine import Engine
from moby_containers.engine.views import View

from moby.contracts.containers import ContainerConfig, MountRequest, Status
from moby.contracts.types import Mount
from moby.errors import Invalid, NotFound
from moby.host.overlay import mount_root
from moby.host.private_mounts import apart
from moby.oci.merged import folders_at
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


CHANGES = """
echo new > /etc/new; rm /etc/nonsense; mkdir -p /etc/deep/er /gone; echo 1 > /etc/deep/er/f; ln /etc/new /etc/other
rm -r /home; mkdir /home; echo 2 > /home/mine; ln -s /etc/deep /way; chmod 700 /etc/deep; rm -r /gone
"""


PATHS = ("/", "/etc", "/etc/", "/etc/.", "/etc/deep/er", "/way/", "/way/er", "/home", "/etc/new")
HOLD_MOUNTS = PATHS[:4]
"""Its hosts file and such are in these, once it has been started."""


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("state", ["running", "ended", "created"])
def test_an_archive_is_what_overlayfs_shows(stored, monkeypatch, path, state):
    """It is read from the layers where nothing is mounted; through a mount it would be the same, byte by byte."""
    made = changed(stored, state == "running")
    if state == "created":
        stored.containers.commit(made, "changed:1")
        made = stored.containers.create(ContainerConfig("changed:1")).id
    shown = []
    monkeypatch.setattr(View, "layers_at", spied(View.layers_at, shown))
    found = b"".join(stored.containers.read_path(made, path))
    monkeypatch.setattr(View, "layers_at", lambda *_: [])
    assert found == b"".join(stored.containers.read_path(made, path))
    apart = state == "created" or path not in HOLD_MOUNTS
    assert [len(each) > 0 for each in shown] == ([] if path == "/etc/new" else [apart])


@pytest.mark.parametrize("path", ["/", "/in"])
def test_an_archive_of_what_has_a_volume_is_read_through_its_mounts(stored, path):
    made = stored.create("echo mine > /in/mine", mounts=(MountRequest("volume", "/in", "kept"),))
    stored.finish(made)
    with tarfile.open(fileobj=io.BytesIO(b"".join(stored.containers.read_path(made, path)))) as tar:
        assert "in/mine" in {name.lstrip("./") for name in tar.getnames()}


def test_an_archive_of_a_folder_beside_a_volume_is_read_from_the_layers(stored, monkeypatch):
    made = stored.create("mkdir /beside; echo > /beside/f", mounts=(MountRequest("volume", "/in/a", "kept"),))
    stored.finish(made)
    shown = []
    monkeypatch.setattr(View, "layers_at", spied(View.layers_at, shown))
    for path in ("/beside", "/in", "/in/a"):
        b"".join(stored.containers.read_path(made, path))
    assert [len(each) > 0 for each in shown] == [True, False, False]


def test_an_archive_of_a_folder_that_goes_meanwhile_is_read_through_the_mount(stored, monkeypatch):
    made = changed(stored, runs=True)

    def without(name, *others):
        return [] if name == "er" else folders_at(name, *others)

    monkeypatch.setattr("moby_containers.engine.views.folders_at", without)
    data = b"".join(stored.containers.read_path(made, "/etc/deep/er"))
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        assert tar.getnames() == ["er", "er/f"]


OPTIONS = ("workdir=/w", "upperdir=/u", "lowerdir=/b:/a")


@pytest.mark.parametrize(
    ("parameters", "more", "apart"),
    [
        ({}, (), True),
        ({"metacopy": "N\n", "redirect_dir": "N\n"}, (), True),
        ({"metacopy": "Y\n"}, (), False),
        ({"metacopy": "Y\n", "redirect_dir": "Y\n"}, ("metacopy=off", "redirect_dir=nofollow"), True),
        ({"metacopy": "N\n", "redirect_dir": "N\n"}, ("redirect_dir=on",), False),
    ],
)
def test_layers_are_read_apart_unless_they_refer_to_one_another(tmp_path, monkeypatch, parameters, more, apart):
    monkeypatch.setattr("moby_containers.engine.views._PARAMETERS", tmp_path)
    for name, value in parameters.items():
        (tmp_path / name).write_text(value)
    view = View(-1, (Mount("/", "overlay", "overlay", (*OPTIONS, *more)),))
    assert view.layers == (("/u", "/b", "/a") if apart else ())
    assert View(-1, (Mount("/", "overlay", "overlay", (*OPTIONS[:2], "lowerdir+=/b", *more)),)).layers == ()


def test_an_archive_that_nobody_reads_holds_nothing(stored):
    made = changed(stored, runs=False)
    before = set(threading.enumerate())
    reading = stored.containers.read_path(made, "/")
    (view,) = (each for each in threading.enumerate() if each.name == "containers-view" and each not in before)
    del reading
    eventually(lambda: not view.is_alive(), "its end")


def spied(call, results):
    def spy(*given):
        results.append(call(*given))
        return results[-1]

    return spy


def mark_folder(stored, made, name):
    """Set on a folder what a program inside may, and what the kernel takes for nobody's but that one's."""

    def work():
        root = stored.root / "marked"
        root.mkdir(exist_ok=True)
        mount_root(stored.images.mounts(made), str(root))
        os.setxattr(root / name, "user.overlay.opaque", b"y")

    apart(work)


def changed(stored, runs):
    made = stored.create(CHANGES + ("echo > /done; cat" if runs else ""), open_stdin=runs)
    mark_folder(stored, made, "etc")
    if not runs:
        stored.finish(made)
        return made
    stored.containers.start(made)
    eventually(lambda: "/done" in {path for _, path in stored.containers.changes(made)}, "what it writes")
    return made
