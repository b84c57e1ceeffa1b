"""The engine as an image: dockerd, podman and our own engine run it, and it runs containers itself."""

import json
import shutil
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest
from moby_packager.oci.image import Oci
from moby_packager.tree.folder import Tree
from peers.binaries import environment, need
from peers.box import NAME
from peers.engines import opened
from peers.sandbox import until

from moby.contracts.packager import Artifact, Entry, Given, Source


@pytest.fixture(scope="module")
def packed(tmp_path_factory, docker_pyz):
    """The image, made of the distribution that others start too."""
    folder = tmp_path_factory.mktemp("packed")
    with zipfile.ZipFile(docker_pyz) as archive:
        read = {name: archive.read(name) for name in sorted(archive.namelist())}
    entries = tuple(Entry(name, data, "moby") for name, data in read.items() if not name.endswith(".pyc"))
    pyz = Given(docker_pyz.parent, Artifact((Path(docker_pyz.name),), {"moby": docker_pyz.stat().st_size}))
    tree = Given(folder, Tree().build(Source("docker", entries, given=pyz), folder))
    Oci("moby-engine:1", level=1).build(Source("docker", entries, given=tree), folder)
    return folder / "docker.oci"


@pytest.fixture(scope="module")
def podman(tmp_path_factory, image):
    """Debian's podman with its own runtime, in a sandbox."""
    with opened("podman", "crun", tmp_path_factory.mktemp("podman"), image) as found:
        yield found


@pytest.fixture(params=["docker", "moby", pytest.param("podman", marks=pytest.mark.long)], scope="module")
def host(request, packed):
    """An engine that has the image loaded."""
    engine = request.getfixturevalue(request.param)
    shutil.copy(packed, engine.sandbox.seen("/var/lib/peers/engine.oci"))
    said = engine.out("load", "-i", "/var/lib/peers/engine.oci")
    assert "moby-engine:1" in said
    yield engine
    engine.remove_all()
    engine("rmi", "moby-engine:1")
    engine.sandbox.run("rm", "/var/lib/peers/engine.oci")


def test_it_runs_as_any_image_does(host):
    assert host.run("version", image="moby-engine:1").stdout.startswith("docker (moby ")


@pytest.mark.parametrize("kind", ["oci-archive", "docker-archive"])
def test_skopeo_takes_it(host, kind):
    need("skopeo", "skopeo")
    source, copy = f"{kind}:/var/lib/peers/engine.oci", "/var/lib/peers/copied"
    host.sandbox.run("skopeo", "--insecure-policy", "copy", "--quiet", source, f"dir:{copy}")
    manifest = json.loads(host.sandbox.run("cat", f"{copy}/manifest.json").stdout)
    host.sandbox.run("rm", "-r", copy)
    assert len(manifest["layers"]) == 2


def test_umoci_unpacks_it(packed, tmp_path):
    """The tool of the image specification's own people, which takes a folder."""
    umoci = need("umoci", "umoci")
    with tarfile.open(packed) as archive:
        archive.extractall(tmp_path / "layout", filter="data")
    command = [umoci, "unpack", "--rootless", "--image", f"{tmp_path}/layout:1", tmp_path / "bundle"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, env=environment())
    assert done.returncode == 0, done.stderr
    root = tmp_path / "bundle/rootfs"
    assert (root / "usr/bin/docker").readlink() == Path("../lib/moby/bin/docker")
    said = subprocess.run([root / "usr/lib/moby/bin/docker", "version"], capture_output=True, text=True, check=True)
    assert said.stdout.startswith("docker (moby ")
    told = json.loads((tmp_path / "bundle/config.json").read_text())
    assert told["process"]["args"] == ["/usr/bin/docker", "serve"]


@pytest.mark.long
def test_an_engine_within_an_engine(host, image):
    """The inner one serves from a container, and its containers are found by the unmodified docker command."""
    sandbox = host.sandbox
    sandbox.run("mkdir", "-p", "/run/inner", "/var/lib/peers/inner")
    options = ["--privileged", "-v", "/run/inner:/run/inner", "-v", "/var/lib/peers/inner:/var/lib/moby"]
    serve = ["serve", "--host", "unix:///run/inner/docker.sock"]
    name = host.start(*serve, image="moby-engine:1", options=options)
    inner = ["docker", "-H", "unix:///run/inner/docker.sock"]
    until(lambda: sandbox.run(*inner, "version", check=False).returncode == 0, "the inner engine's answer")
    sandbox.run(*inner, "load", "-i", str(image))
    said = sandbox.run(*inner, "run", "--rm", "--network=none", NAME, "echo", "from within").stdout
    assert said == "from within\n"
    host("stop", "-t", "60", name)
    host.remove(name)
    sandbox.run("rm", "-rf", "/run/inner", "/var/lib/peers/inner")
