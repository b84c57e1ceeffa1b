"""Exports on real parts: into the engine, archives, folders, and a real image registry."""

import gzip
import io
import json
import os
import subprocess
import tarfile

import pytest
from exporting import EPOCH, HOST, config, opened_yard, solution, solved
from image_registry.services.real import registry
from moby_builder.folders.parts import Part, Parts
from peers.binaries import environment, need

from moby.contracts.builder import Export, ExportType
from moby.contracts.types import Platform
from moby.errors import HostUnfit, Invalid, NotFound, Unsupported
from moby.oci.reference import parse
from moby.testing.images import add, layer_of
from moby.testing.mounted import own_mounts
from moby.testing.snapshotter import file, folder, tar
from moby.values import evolve

OTHER = Platform("linux", "riscv64")
IMAGE, OCI, DOCKER, TAR, LOCAL = ExportType
ZSTD = b"\x28\xb5\x2f\xfd"


@pytest.fixture(scope="module", autouse=True)
def apart():
    with own_mounts(shared=True):
        yield


@pytest.fixture
def yard(tmp_path):
    with opened_yard(tmp_path) as yard:
        yield yard


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    with registry(tmp_path_factory.mktemp("registry")) as host:
        yield host


def built(yard, **run):
    """Build something on an image: a folder with a file, then another file."""
    base = add(yard.images, "base", layer_of({"etc/os-release": b"ID=debian\n", "a": b"1"}))
    below = yard.images.snapshot(base)
    first = yard.layer("1", tar(folder("d"), file("d/b", b"2")), below)
    top = yard.layer("2", tar(c=b"3"), first)
    return solved(top, "base", "COPY d /", "COPY c /", base=below, **run)


def opened(data):
    """Return the files of an archive, in its order."""
    with tarfile.open(fileobj=io.BytesIO(data)) as found:
        return {each.name: found.extractfile(each).read() if each.isfile() else None for each in found}


def layout_of(data):
    """Return an archive's index, and a function that reads blobs as JSON."""
    files = opened(data)
    index = json.loads(files["index.json"])
    return index, lambda described: json.loads(files[f"blobs/sha256/{described['digest'][7:]}"]), files


def skopeo(tmp_path, *arguments):
    program = need("skopeo", "skopeo")
    done = subprocess.run(
        [program, "--insecure-policy", "--tmpdir", str(tmp_path), *arguments], env=environment(HOME=str(tmp_path)),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


# Into the engine


def test_an_image_of_the_engine(yard):
    """Has all names, the layers as they are, and a history with times."""
    target = built(yard, Cmd=["run"])
    names = ("app:1", "localhost:5000/app")
    [done] = yard.export(solution(target), Export(IMAGE, names=names, attributes={"annotation.k": "v"}))
    image = yard.images.get("app:1")
    assert done.image == image.id == yard.images.get("localhost:5000/app:latest").id
    assert (done.digest, len(image.layers), image.config.command) == (image.digest, 3, ("run",))
    assert done.names == ("docker.io/library/app:1", "localhost:5000/app:latest")
    assert [each.created_by for each in yard.images.history("app:1")] == ["COPY c /", "COPY d /", "base"]
    assert all(each["created"] for each in image.raw_config["history"])
    assert image.created == image.raw_config["history"][-1]["created"]
    assert yard.snapshotter.stat(target.snapshot).aliases
    with yard.content.open(image.digest) as file:
        assert json.loads(file.read())["annotations"] == {"k": "v"}
    assert ("exporting to image", f"writing image {image.id}") in yard.told
    assert ("exporting to image", "naming to docker.io/library/app:1") in yard.told


def test_two_builds_one_image(yard):
    """With an epoch and their files' times rewritten; the image's own layers stay as they are."""
    base = add(yard.images, "base", layer_of({"a": b"1"}))
    below = yard.images.snapshot(base)
    found = []
    for number, seconds in enumerate((EPOCH + 100, EPOCH + 200)):
        top = yard.layer(str(number), tar(folder("d", mtime_s=seconds), file("d/b", b"2")), below)
        target = solved(top, "base", "RUN b", base=below)
        attributes = {"rewrite-timestamp": "true"}
        wanted = [Export(each, 1, ("app",), attributes=attributes) for each in (IMAGE, OCI)]
        done = yard.export(solution(target, epoch_s=EPOCH), *wanted)
        found.append((*((each.image, each.digest) for each in done), yard.client.streams[1].taken))
    assert found[0] == found[1]
    image = yard.images.get("app")
    assert image.layers[0] == base.layers[0]
    assert image.created == "2020-09-13T12:26:40Z"
    assert {each["created"] for each in image.raw_config["history"]} == {"2020-09-13T12:26:40Z"}
    with yard.images.rootfs(image) as root:
        assert (root / "d").stat().st_mtime == EPOCH


def test_without_an_epoch_they_differ(yard):
    top = yard.layer("1", tar(a=b"1"))
    exports = [yard.export(solution(evolve(solved(top), config={**config(), "created": each})), Export(IMAGE))
               for each in ("2020-01-01T00:00:00Z", "2021-01-01T00:00:00Z")]  # fmt: skip
    assert exports[0][0].image != exports[1][0].image


def test_several_platforms_in_the_engine(yard):
    """The host's gets the names, the others none."""
    top = yard.layer("1", tar(a=b"1"))
    other = evolve(solved(top), platform=OTHER, config={**config(), "architecture": "riscv64"})
    yard.export(solution(other, solved(top)), Export(IMAGE, names=("app",)))
    assert yard.images.get("app").platform == HOST
    assert {str(each.platform) for each in yard.images.list(all=True)} == {str(HOST), "linux/riscv64"}


def test_history_that_does_not_fit(yard):
    """Steps with a layer are as many as there are layers."""
    top = yard.layer("1", tar(a=b"1"), yard.layer("0", tar(b=b"1")))
    for steps, shown in ((["one"], [False, False]), (["1", "2", "3"], [False, False, True])):
        yard.export(solution(solved(top, *steps)), Export(IMAGE, names=("app",)))
        history = yard.images.get("app").raw_config["history"]
        assert [bool(each.get("empty_layer")) for each in history] == shown
        assert [each["created_by"] for each in history] == (["unknown", "one"] if len(steps) == 1 else steps)


def test_an_empty_image(yard):
    [done] = yard.export(solution(solved("", Cmd=["x"])), Export(IMAGE, names=("empty",)))
    assert yard.images.get("empty").layers == ()
    assert done.image == yard.images.get("empty").id


# Archives


def test_an_archive_that_docker_loads(yard, tmp_path):
    target = built(yard)
    [done] = yard.export(solution(target), Export(DOCKER, 2, ("app:1", "other")))
    data = yard.client.streams[2].taken
    [item] = json.loads(opened(data)["manifest.json"])
    assert item["RepoTags"] == ["app:1", "other:latest"]
    assert item["Config"] == f"blobs/sha256/{done.image.hex}"
    [image] = [each.image for each in yard.images.load(io.BytesIO(data)) if each.image and each.text.endswith("app:1")]
    assert (image.id, image.layers[0]) == (done.image, yard.images.get("base").layers[0])
    (tmp_path / "app.tar").write_bytes(data)
    shown = json.loads(skopeo(tmp_path, "inspect", "--config", f"docker-archive:{tmp_path}/app.tar:app:1"))
    assert shown["rootfs"]["diff_ids"] == [str(each) for each in image.layers]


def test_an_oci_archive(yard, tmp_path):
    """Has the names as annotations; another tool reads it, and finds all layers."""
    target = built(yard)
    attributes = {
        "annotation.m": "1", "annotation-index-descriptor.d": "2", "name-canonical": "true",
        f"annotation[{HOST}].p": "3", "annotation[linux/none].q": "4",
    }  # fmt: skip
    [done] = yard.export(solution(target, epoch_s=EPOCH), Export(OCI, 1, ("app:1",), attributes=attributes))
    data = yard.client.streams[1].taken
    index, read, _ = layout_of(data)
    assert [each["digest"] for each in index["manifests"]] == [str(done.digest)] * 2
    assert index["manifests"][0]["annotations"] == {
        "io.containerd.image.name": "docker.io/library/app:1", "org.opencontainers.image.ref.name": "1",
        "org.opencontainers.image.created": "2020-09-13T12:26:40Z", "d": "2",
    }  # fmt: skip
    assert index["manifests"][1]["annotations"]["io.containerd.image.name"].endswith(f"app@{done.digest}")
    manifest = read(index["manifests"][0])
    assert (manifest["annotations"], manifest["mediaType"]) == ({"m": "1", "p": "3"}, done.media_type)
    (tmp_path / "app.tar").write_bytes(data)
    skopeo(tmp_path, "copy", f"oci-archive:{tmp_path}/app.tar:1", f"dir:{tmp_path}/copied")
    assert json.loads((tmp_path / "copied/manifest.json").read_text())["layers"] == manifest["layers"]
    shown = yard.export(solution(target), Export(OCI, 1, attributes={"dangling-name-prefix": "none"}))
    index, _, _ = layout_of(yard.client.streams[1].taken)
    assert index["manifests"][0]["annotations"]["io.containerd.image.name"].startswith("docker.io/library/none@sha256")
    assert shown[0].names[0].endswith(str(shown[0].digest))


@pytest.mark.parametrize(
    ("attributes", "kinds"),
    [
        ({}, ["tar+gzip"] * 3),
        ({"compression": "uncompressed"}, ["tar"] * 3),
        ({"compression": "zstd"}, ["tar+zstd"] * 3),
        ({"compression": "zstd", "compression-level": "19"}, ["tar+zstd"] * 3),
        ({"compression": "gzip", "compression-level": "9"}, ["tar+gzip"] * 3),
    ],
)
def test_compression(yard, attributes, kinds):
    """Each layer is what its type says, and loads to the same diff ids."""
    target = built(yard)
    yard.export(solution(target), Export(OCI, 1, attributes=attributes))
    data = yard.client.streams[1].taken
    index, read, files = layout_of(data)
    layers = read(index["manifests"][0])["layers"]
    assert [each["mediaType"].rpartition(".")[2] for each in layers] == kinds
    for each in layers:
        head = files[f"blobs/sha256/{each['digest'][7:]}"][:4]
        assert (head == ZSTD) is ("zstd" in kinds[0])
        assert (head[:2] == b"\x1f\x8b") is ("gzip" in kinds[0])
    yard.export(solution(target), Export(OCI, 1, attributes=attributes))
    assert yard.client.streams[1].taken == data  # what was made once is used again
    assert [each.image for each in yard.images.load(io.BytesIO(data)) if each.image]


def test_layers_that_came_compressed_stay(yard):
    """Unless they are to be compressed anew."""
    target = built(yard)
    yard.export(solution(target), Export(DOCKER, 1, ("app",)))
    base = yard.images.get("base")
    [image] = [each.image for each in yard.images.load(io.BytesIO(yard.client.streams[1].taken)) if each.image]
    assert image.layers[0] == base.layers[0]
    for name in ("base", "app"):
        yard.images.remove(name)
    yard.images.load(io.BytesIO(yard.client.streams[1].taken))
    for _ in yard.images.load(io.BytesIO(yard.client.streams[1].taken)):
        pass
    below = yard.images.snapshot(yard.images.get("app"))
    top = yard.layer("3", tar(e=b"1"), below)
    again = solved(top, "1", "2", "3", "4", base=below)
    for force, kinds in ((False, ["gzip", "gzip", "gzip", "zstd"]), (True, ["zstd"] * 4)):
        attributes = {"compression": "zstd", "force-compression": str(force)}
        yard.export(solution(again), Export(OCI, 1, attributes=attributes))
        index, read, _ = layout_of(yard.client.streams[1].taken)
        layers = read(index["manifests"][0])["layers"]
        assert [each["mediaType"].rpartition("+")[2] for each in layers] == kinds


def test_several_platforms_in_an_archive(yard):
    target = built(yard)
    other = evolve(target, platform=OTHER, config={**target.config, "architecture": "riscv64"})
    attributes = {"annotation-index.i": "1", "annotation-manifest-descriptor[linux/riscv64].d": "2"}
    [done] = yard.export(solution(target, other), Export(OCI, 1, ("app",), attributes=attributes))
    index, read, _ = layout_of(yard.client.streams[1].taken)
    inner = read(index["manifests"][0])
    assert (inner["annotations"], index["manifests"][0]["digest"]) == ({"i": "1"}, str(done.digest))
    assert [each["platform"]["architecture"] for each in inner["manifests"]] == [HOST.architecture, "riscv64"]
    assert [each.get("annotations") for each in inner["manifests"]] == [None, {"d": "2"}]
    with pytest.raises(Unsupported, match="manifest lists"):
        yard.export(solution(target, other), Export(DOCKER, 1))


def test_blobs_into_a_store(yard):
    """Instead of an archive."""
    target = built(yard)
    [done] = yard.export(solution(target), Export(OCI, store="export"))
    kept = yard.client.stores["export"].kept
    manifest = json.loads(kept[done.digest])
    assert {str(each) for each in kept} == {
        str(done.digest), manifest["config"]["digest"], *(each["digest"] for each in manifest["layers"]),
    }  # fmt: skip
    assert done.size_bytes == len(kept[done.digest])


# Files


def test_a_folder(yard):
    """With all that is in it; the epoch is every time."""
    data = tar(folder("d", 0o750, 7), file("d/b", b"2"), a=b"1")
    top = yard.layer("1", data)
    with yard.workspace.writing(top) as draft:
        os.link(draft.path / "a", draft.path / "b")
        (draft.path / "l").symlink_to("/etc/passwd")
        os.setxattr(draft.path / "a", "user.x", b"y")
        draft.keep()
    target = solved(draft.tree.snapshot)
    yard.export(solution(target), Export(LOCAL, 3))
    found = yard.client.folders[3]
    assert list(found) == ["a", "b", "d", "d/b", "l"]
    assert (found["a"][1], found["d/b"][1], found["b"][0].link, found["l"][0].link) == (b"1", b"2", "a", "/etc/passwd")
    assert (found["d"][0].mode, found["d"][0].time_ns) == (0o40750, 7_000_000_000)
    assert found["a"][0].xattrs == {"user.x": b"y"}
    yard.export(solution(target, epoch_s=EPOCH), Export(LOCAL, 3))
    assert {each.time_ns for each, _ in yard.client.folders[3].values()} == {EPOCH * 10**9}


def test_files_that_are_not_there(tmp_path):
    """In a folder for each platform, at its top, and in what a link leads to outside."""
    (tmp_path / "a").mkdir()
    (tmp_path / "a/l").symlink_to("/")
    several = Parts([Part(tmp_path / "a", "one"), Part(tmp_path / "a", "two", {"made": b"1"})])
    for path in ("one", "three/x", "one/none", "one/l/etc/hostname", "one/made"):
        with pytest.raises(NotFound, match=path):
            several.open(path)
    assert several.open("two/made").read() == b"1"


def test_a_folder_for_each_platform(yard):
    top = yard.layer("1", tar(a=b"1"))
    other = evolve(solved(top), platform=OTHER)
    yard.export(solution(solved(top), other), Export(LOCAL, 1), Export(TAR, 2))
    names = [f"linux_{HOST.architecture}", f"linux_{HOST.architecture}/a", "linux_riscv64", "linux_riscv64/a"]
    assert list(yard.client.folders[1]) == names
    assert list(opened(yard.client.streams[2].taken)) == names
    yard.export(solution(solved(top)), Export(LOCAL, 1, attributes={"platform-split": "true"}))
    assert list(yard.client.folders[1]) == names[:2]
    with pytest.raises(Invalid, match="a folder each"):
        yard.export(solution(solved(top), other), Export(TAR, 2, attributes={"platform-split": "false"}))


def test_a_tar(yard):
    top = yard.layer("1", tar(folder("d"), file("d/b", b"2"), a=b"1"))
    yard.export(solution(solved(top)), Export(TAR, 2))
    assert opened(yard.client.streams[2].taken) == {"a": b"1", "d": None, "d/b": b"2"}
    yard.export(solution(solved("")), Export(TAR, 2))
    assert opened(yard.client.streams[2].taken) == {}


# Image registries


@pytest.mark.parametrize("stored", [True, False])
def test_a_push(yard, service, tmp_path, stored):
    """Of images with an index, whether the engine keeps them or not; another tool reads them."""
    target = built(yard)
    other = evolve(target, platform=OTHER, config={**target.config, "architecture": "riscv64"})
    name = f"{service}/stored-{stored}:1".lower()
    wanted = Export(IMAGE, names=(name,), push=True, attributes={"store": str(stored), "oci-mediatypes": "true"})
    [done] = yard.export(solution(target, other), wanted)
    assert yard.registry.manifest(parse(name)).digest == done.digest
    skopeo(tmp_path, "copy", "--all", "--src-tls-verify=false", f"docker://{name}", f"oci:{tmp_path}/copied")
    assert any(name in map(str, each.references) for each in yard.images.list()) is stored
    if stored:
        assert [each.digest for each in yard.images.get(name).digests] == [done.digest]
        for _ in yard.images.push(parse(name)):  # as docker's own driver has it done afterwards
            pass
        assert yard.registry.manifest(parse(name)).digest == done.digest
    with opened_yard(tmp_path / "again") as again:
        [image] = [each.image for each in again.images.pull(parse(name)) if each.image]
        assert image.id == done.image


def test_a_push_of_the_engines_own_image(yard, service):
    """Gives it the digest that it has there."""
    name = f"{service}/own:1"
    [done] = yard.export(solution(built(yard)), Export(IMAGE, names=(name,), push=True))
    manifest = yard.registry.manifest(parse(name))
    assert (done.digest, done.size_bytes, done.media_type) == (
        manifest.digest, len(manifest.data), manifest.media_type,
    )  # fmt: skip
    assert [each.digest for each in yard.images.get(name).digests] == [manifest.digest]
    assert any(text.startswith("pushing manifest for") for _, text in yard.told)


def test_a_push_by_digest(yard, service):
    name = f"{service}/by-digest:1"
    attributes = {"push-by-digest": "true", "store": "false"}
    [done] = yard.export(solution(built(yard)), Export(IMAGE, names=(name,), push=True, attributes=attributes))
    assert yard.registry.manifest(evolve(parse(name), tag="", digest=done.digest)).media_type == done.media_type
    assert done.media_type.startswith("application/vnd.docker")
    assert "1" not in _tags(yard, name)


def _tags(yard, name):
    try:
        return list(yard.registry.tags(parse(name)))
    except NotFound:
        return []


# What isn't done


@pytest.mark.parametrize(
    ("export", "error", "text"),
    [
        (Export(OCI, attributes={"compression": "estargz"}), Unsupported, "estargz"),
        (Export(OCI, attributes={"compression-level": "10"}), Invalid, "compression-level '10'"),
        (Export(OCI, attributes={"compression-level": "x"}), Invalid, "compression-level 'x'"),
        (Export(OCI, attributes={"nowhere": "1"}), Unsupported, "no attribute 'nowhere'"),
        (Export(LOCAL, attributes={"compression": "gzip"}), Unsupported, "no attribute 'compression'"),
        (Export(OCI, attributes={"rewrite-timestamp": "true"}), Invalid, "needs a time"),
        (Export(OCI, attributes={"oci-mediatypes": "maybe"}), Invalid, "neither true nor false"),
        (Export(OCI, attributes={"source-date-epoch": "now"}), Invalid, "no number of seconds"),
        (Export(OCI, attributes={"annotation-nowhere.k": "v"}), Invalid, "no place 'nowhere'"),
        (Export(OCI, attributes={"annotation": "v"}), Invalid, "names no annotation"),
        (Export(IMAGE, attributes={"annotation-index.k": "v"}), Invalid, "index annotations not supported"),
        (Export(IMAGE, attributes={"registry.insecure": "true"}), Unsupported, "registry.insecure"),
        (Export(IMAGE, attributes={"store": "false"}), Invalid, "would be nowhere"),
        (Export(IMAGE, attributes={"name-canonical": "true"}), Unsupported, "only images from image registries"),
        (Export(IMAGE, push=True), Invalid, "tag is needed"),
        (Export(IMAGE, names=("UPPER",)), Invalid, "UPPER|lower"),
    ],
)
def test_what_is_refused(yard, export, error, text):
    """By its name; nothing is left then."""
    top = yard.layer("1", tar(a=b"1"))
    with pytest.raises(error, match=text):
        yard.export(solution(solved(top)), export)
    assert yard.images.list(all=True) == ()


def test_nothing_to_export(yard):
    with pytest.raises(Invalid, match="nothing to be exported"):
        yard.export(solution(), Export(OCI))


def test_gzip_without_isal_is_the_same_tar(yard, monkeypatch):
    """By zlib, which a level asks for too."""
    from moby_builder.dockerfile.exports import compressing

    data = os.urandom(3 << 20) + bytes(1 << 20)
    ours = b"".join(compressing.compressed([data], compressing.Compression.GZIP))
    assert compressing.method_of(compressing.Compression.GZIP, None) == "gzip-isal"
    monkeypatch.setattr(compressing, "_isal", lambda: None)
    theirs = b"".join(compressing.compressed([data], compressing.Compression.GZIP))
    assert gzip.decompress(ours) == gzip.decompress(theirs) == data
    assert compressing.method_of(compressing.Compression.GZIP, None) == "gzip-default"


def test_zstd_that_fails(monkeypatch):
    """What a source raises is raised; without the command it is said what to install."""
    from moby_builder.dockerfile.exports import compressing

    def broken():
        yield b"1"
        raise Invalid("broken off")

    with pytest.raises(Invalid, match="broken off"):
        b"".join(compressing.compressed(broken(), compressing.Compression.ZSTD))
    monkeypatch.setattr(compressing.shutil, "which", lambda name: "/bin/false")
    with pytest.raises(HostUnfit, match="ended with 1"):
        b"".join(compressing.compressed([b"1"], compressing.Compression.ZSTD))
    monkeypatch.setattr(compressing.shutil, "which", lambda name: None)
    monkeypatch.setattr(compressing, "_zstd", lambda level: None)
    with pytest.raises(HostUnfit, match="zstd"):
        b"".join(compressing.compressed([b"1"], compressing.Compression.ZSTD))
