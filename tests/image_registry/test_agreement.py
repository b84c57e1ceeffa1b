"""dockerd, skopeo and our engine at the same image registry's data: every digest is the same."""

import gzip
import hashlib
import json
import shutil
import subprocess

import pytest
from clients.engine import opened_docker, opened_moby
from image_registry.engines import OPEN, Around
from peers.binaries import need
from peers.box import NAME, archive

from moby.testing.archives import Archived, described, layout
from moby.testing.images import layer_of

pytestmark = pytest.mark.slow
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
LAYERS = [layer_of({f"{each}": each.encode() * 200_000, ".wh.gone": b""}) for each in "ab"]


def _zstd(data):
    return subprocess.run(["zstd", "-qc"], input=data, stdout=subprocess.PIPE, check=True).stdout


IMAGES = {
    "gzip": Archived(LAYERS, packed=[gzip.compress(each, mtime=0) for each in LAYERS], Cmd=["a"]),
    "zstd": Archived(LAYERS, packed=[_zstd(each) for each in LAYERS], Cmd=["b"]),
    "plain": Archived(LAYERS, Cmd=["c"]),
    "docker": Archived(LAYERS, packed=[gzip.compress(each, mtime=0) for each in LAYERS], Cmd=["d"]),
}


def _at(name, tag="1"):
    return f"127.0.0.1:{OPEN}/{name}:{tag}"


@pytest.fixture(scope="module")  # whose processes are this one's children, for which others wait
def engines(tmp_path_factory, docker_pyz):
    """Dockerd and our engine, each with an image registry inside; both of these have the same data."""
    need("skopeo", "skopeo")
    folder = tmp_path_factory.mktemp("agreement")
    image = archive(folder / "image.tar", folder / "rootfs")
    with (
        opened_docker(folder / "docker", image) as docker,
        opened_moby(folder / "moby", image, docker_pyz) as moby,
    ):
        theirs, ours = (Around(each, folder / "registries.log") for each in (docker, moby))
        theirs.registry(OPEN)
        theirs.said("tag", NAME, _at("box"))
        theirs.said("push", _at("box"))
        for name, made in IMAGES.items():
            _send(theirs, name, made, *(["--format=v2s2"] if name == "docker" else []))
        _send_index(theirs)
        shutil.copytree(theirs.data(), ours.data())
        ours.registry(OPEN)
        yield theirs, ours
    theirs.close()
    ours.close()


def _send(around, name, made, *options):
    """Have skopeo put an image there, as its blobs are."""
    data = layout([described(made.manifest, MANIFEST)], made)
    around.sandbox.seen("/var/lib/peers/layout.tar").write_bytes(data)
    source = "oci-archive:/var/lib/peers/layout.tar"
    around.sandbox.run("skopeo", *_LOOSE, "copy", "--dest-tls-verify=false", *options, source, f"docker://{_at(name)}")


_LOOSE = ("--insecure-policy",)


def _send_index(around):
    entries = []
    for name, platform in (("gzip", "amd64"), ("zstd", "arm64")):
        manifest = IMAGES[name].manifest
        entries.append(described(manifest, MANIFEST, platform={"os": "linux", "architecture": platform}))
    index = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": entries}
    folder = around.sandbox.seen("/var/lib/peers/index")
    folder.mkdir()
    files = {each.rpartition("/")[2]: data for name in ("gzip", "zstd") for each, data in IMAGES[name].blobs.items()}
    for name, data in (files | {"manifest.json": json.dumps(index).encode()}).items():
        (folder / name).write_bytes(data)
    for number, each in enumerate(entries, 1):
        text = files[each["digest"].removeprefix("sha256:")]
        (folder / f"{each['digest'].removeprefix('sha256:')}.manifest.json").write_bytes(text)
        assert number
    (folder / "version").write_text("Directory Transport Version: 1.1\n")
    source = "dir:/var/lib/peers/index"
    around.sandbox.run(
        "skopeo", *_LOOSE, "copy", "--all", "--dest-tls-verify=false", source, f"docker://{_at('index')}"
    )


def _raw(around, name, *options):
    """Return the digest of what skopeo is given for a name."""
    found = around.sandbox.run("skopeo", *_LOOSE, "inspect", "--tls-verify=false", "--raw", *options, name).stdout
    return f"sha256:{hashlib.sha256(found.encode()).hexdigest()}"


ALL = ("box", "gzip", "zstd", "plain", "docker", "index")


@pytest.mark.parametrize("name", ALL)
def test_a_pull(engines, name):
    """Gives the same image, under the same digest, with the same layers."""
    found = []
    for around in engines:
        told = around.said("pull", _at(name))
        form = "{{.Id}} {{json .RepoDigests}} {{json .RootFS}} {{json .Config.Cmd}} {{.Architecture}}"
        found.append((told.splitlines()[-3], around.said("inspect", "--format", form, _at(name))))
    assert found[0] == found[1]
    ours = engines[1]
    assert found[1][0] == f"Digest: {_raw(ours, f'docker://{_at(name)}')}"
    if name != "index":
        assert found[1][1].startswith(_raw(ours, f"docker://{_at(name)}", "--config"))
    if name in IMAGES:
        assert found[1][1].startswith(IMAGES[name].id)


def test_a_push_of_what_was_pulled(engines):
    """Keeps the digest that dockerd gave it, as dockerd does; other forms are kept as they are by us alone."""
    for around in engines:
        around.said("pull", _at("box"))
        around.said("tag", _at("box"), _at("again"))
        around.said("push", _at("again"))
        assert _raw(around, f"docker://{_at('again')}") == _raw(around, f"docker://{_at('box')}")
    ours = engines[1]
    for name in ("gzip", "zstd", "plain", "docker"):
        ours.said("pull", _at(name))
        ours.said("tag", _at(name), _at("again", name))
        ours.said("push", _at("again", name))
        if name != "plain":  # whose layers go compressed
            assert _raw(ours, f"docker://{_at('again', name)}") == _raw(ours, f"docker://{_at(name)}")


@pytest.mark.parametrize("name", ["gzip", "zstd", "plain", "docker"])
def test_what_one_pushes_the_other_pulls(engines, name):
    """With the same id."""
    theirs, ours = engines
    ours.said("pull", _at(name))
    wanted = ours.said("inspect", "--format", "{{.Id}}", _at(name))
    ours.said("tag", _at(name), _at("given", name))
    ours.said("push", _at("given", name))
    shutil.copytree(ours.data(), theirs.data(), dirs_exist_ok=True)
    theirs.said("pull", _at("given", name))
    assert theirs.said("inspect", "--format", "{{.Id}}", _at("given", name)) == wanted


@pytest.mark.parametrize("name", ["box", "gzip", "zstd"])
def test_save_and_load(engines, name):
    """Each loads what the other saved, to the same id, and skopeo reads the same config out of it."""
    ids = []
    for one, other in (engines, engines[::-1]):
        one.said("pull", _at(name))
        one.said("save", "-o", "/var/lib/peers/saved.tar", _at(name))
        ids.append(one.said("inspect", "--format", "{{.Id}}", _at(name)))
        shutil.copy(one.sandbox.seen("/var/lib/peers/saved.tar"), other.sandbox.seen("/var/lib/peers/other.tar"))
        ids.append(_raw(one, "docker-archive:/var/lib/peers/saved.tar", "--config"))
        if other.docker("rmi", "-f", _at(name)).returncode == 0:
            other.said("load", "-i", "/var/lib/peers/other.tar")
            ids.append(other.said("inspect", "--format", "{{.Id}}", _at(name)))
    assert len(ids) > 4
    assert len(set(ids)) == 1
