"""The packager oci against its contract, and what is its own."""

import gzip
import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest
from attrs import evolve
from freestanding import in_empty_root
from moby_packager.oci.image import Oci
from moby_packager.pyz.archive import Pyz
from moby_packager.tree.folder import Tree

from moby.contracts.packager import Artifact, Given, Packager
from moby.testing.packager import SOURCE, STARTED, PackagerSuite, built_in_chain

pytestmark = pytest.mark.slow
NAME = SOURCE.name


class Layout:
    """An image's files, each proven by its digest."""

    def __init__(self, path: Path) -> None:
        with tarfile.open(path) as archive:
            self.files = {each.name: archive.extractfile(each).read() for each in archive if each.isreg()}
            self.times = {each.mtime for each in archive}
        for name, data in self.files.items():
            if name.startswith("blobs/"):
                assert name == f"blobs/sha256/{hashlib.sha256(data).hexdigest()}"

    def json(self, name: str) -> object:
        return json.loads(self.files[name])

    def blob(self, descriptor: dict[str, object]) -> bytes:
        data = self.files[f"blobs/{str(descriptor['digest']).replace(':', '/')}"]
        assert len(data) == descriptor["size"]
        return data

    def layers(self) -> list[tarfile.TarFile]:
        (one,) = self.json("index.json")["manifests"]
        manifest = json.loads(self.blob(one))
        found = [gzip.decompress(self.blob(each)) for each in manifest["layers"]]
        ids = json.loads(self.blob(manifest["config"]))["rootfs"]["diff_ids"]
        assert ids == [f"sha256:{hashlib.sha256(each).hexdigest()}" for each in found]
        return [tarfile.open(fileobj=io.BytesIO(each)) for each in found]


@pytest.mark.long
class TestOci(PackagerSuite):
    before = (Pyz(), Tree())

    @pytest.fixture
    def packager(self) -> Packager:
        return Oci()

    def start(self, folder: Path, artifact: Artifact) -> str:
        for layer in Layout(folder / artifact.files[0]).layers():
            layer.extractall(folder / "root", filter="tar")
        done = in_empty_root(folder / "root", f"/usr/lib/moby/bin/{NAME}")
        return done.stdout + done.stderr


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Given:
    folder = tmp_path_factory.mktemp("tree")
    return Given(folder, built_in_chain((Pyz(), Tree()), SOURCE, folder / "before", folder))


@pytest.fixture(scope="module")
def image(tree: Given, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("image")
    made = Oci("example.org:5000/engines/edge:3", ("version",), level=1).build(evolve(SOURCE, given=tree), folder)
    assert sum(made.sizes_bytes.values()) == (folder / made.files[0]).stat().st_size
    return folder / made.files[0]


def test_what_is_inside_and_nothing_else(image: Path) -> None:
    lower, upper = Layout(image).layers()
    tops = {name for name in lower.getnames() if name.count("/") < 4}
    places = {f"usr/lib/moby/{each}" for each in ("bin", "lib", "libexec", "licenses")}
    empty = {"dev", "proc", "root", "run", "sys", "tmp"}
    assert tops == {"etc", "etc/passwd", "etc/group", "usr", "usr/lib", "usr/lib/moby"} | empty | places
    assert {each.name for each in upper if not each.isdir()} == {
        f"usr/bin/{NAME}", f"usr/lib/moby/bin/{NAME}", f"usr/lib/moby/{NAME}.pyz",
    }  # fmt: skip
    assert lower.getmember("tmp").mode == 0o1777
    assert {(each.uid, each.gid) for each in (*lower, *upper)} == {(0, 0)}


@pytest.mark.long
def test_engines_share_the_layer_of_their_interpreter(image: Path, tree: Given, tmp_path: Path) -> None:
    other = evolve(SOURCE, name="other")
    again = Given(tmp_path, built_in_chain((Pyz(), Tree()), other, tmp_path / "before", tmp_path))
    Oci(level=1).build(evolve(other, given=again), tmp_path)
    blobs = [set(Layout(each).files) for each in (image, tmp_path / "other.oci")]
    shared = {name for name in blobs[0] & blobs[1] if name.startswith("blobs/")}
    assert len(shared) == 1
    assert len(Layout(image).files[shared.pop()]) > 1_000_000


def test_what_docker_reads_is_the_same_image(image: Path) -> None:
    layout = Layout(image)
    (docker,) = layout.json("manifest.json")
    (described,) = layout.json("index.json")["manifests"]
    manifest = json.loads(layout.blob(described))
    assert docker["RepoTags"] == ["example.org:5000/engines/edge:3"]
    assert docker["Config"] == f"blobs/{manifest['config']['digest'].replace(':', '/')}"
    assert docker["Layers"] == [f"blobs/{each['digest'].replace(':', '/')}" for each in manifest["layers"]]
    assert layout.times == {SOURCE.epoch_s}
    config = json.loads(layout.blob(manifest["config"]))
    assert config["created"] == "1980-01-01T00:00:00Z"
    assert (config["config"]["Entrypoint"], config["config"]["Cmd"]) == ([f"/usr/bin/{NAME}"], ["version"])


@pytest.mark.parametrize(
    ("tag", "short", "full"),
    [
        pytest.param("", "latest", f"docker.io/library/{NAME}:latest", id="none"),
        pytest.param("me/edge:2", "2", "docker.io/me/edge:2", id="docker-hub"),
        pytest.param("localhost/edge:2", "2", "localhost/edge:2", id="image-registry"),
    ],
)
def test_names(tree: Given, tmp_path: Path, tag: str, short: str, full: str) -> None:
    Oci(tag, level=1).build(evolve(SOURCE, given=tree), tmp_path)
    (described,) = Layout(tmp_path / f"{NAME}.oci").json("index.json")["manifests"]
    assert described["annotations"] == {
        "org.opencontainers.image.ref.name": short, "io.containerd.image.name": full,
    }  # fmt: skip


def test_it_starts_as_a_root(image: Path, tmp_path: Path) -> None:
    for layer in Layout(image).layers():
        layer.extractall(tmp_path, filter="tar")
    assert in_empty_root(tmp_path, f"/usr/lib/moby/bin/{NAME}").stdout == f"{STARTED}\n"
