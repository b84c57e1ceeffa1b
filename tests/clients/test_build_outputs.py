"""buildx with every output, and with caches that outlive what the engine has; nothing of it is left at the end."""

import json
import tarfile

import pytest
from image_registry.engines import OPEN, Around
from peers.binaries import file
from peers.box import NAME

pytestmark = pytest.mark.slow
PLACE = "/var/lib/peers"
HOST = f"127.0.0.1:{OPEN}"
DOCKERFILE = f"""\
FROM {NAME} AS aside
RUN --mount=type=cache,target=/kept echo aside > /aside; cat /kept/count >> /aside; echo again >> /kept/count
FROM {NAME}
RUN mkdir /made && date +%N > /made/time
COPY --from=aside /aside /made/
COPY file /made/
CMD ["cat", "/made/file"]
"""


@pytest.fixture(scope="module")
def around(moby, tmp_path_factory):
    file("usr/libexec/docker/cli-plugins/docker-buildx", "buildx")
    found = Around(moby, tmp_path_factory.mktemp("log") / "registries.log")
    found.registry(OPEN)
    context = moby.sandbox.seen(PLACE) / "context"
    context.mkdir()
    (context / "file").write_text("hello\n")
    (context / "Dockerfile").write_text(DOCKERFILE)
    yield found
    for pid, words in moby.sandbox.processes().items():
        if words.startswith("docker-registry serve"):
            moby.sandbox.run("kill", str(pid))
    found.close()


@pytest.fixture
def build(around):
    def build(*options):
        return around.said("buildx", "build", "--progress=plain", *options, f"{PLACE}/context")

    return build


def seen(around, name):
    return around.sandbox.seen(PLACE) / name


def test_files(around, build):
    """The same as a folder and as an archive."""
    build("-o", f"type=local,dest={PLACE}/folder", "-o", f"type=tar,dest={PLACE}/files.tar")
    folder = seen(around, "folder")
    assert (folder / "made/file").read_text() == "hello\n"
    with tarfile.open(seen(around, "files.tar")) as tar:
        names = {each.name.rstrip("/") for each in tar} - {"."}
    assert names == {str(each.relative_to(folder)) for each in folder.rglob("*")}


@pytest.mark.parametrize("kind", ["docker", "oci"])
def test_archives_are_loaded(around, build, kind):
    """By the same engine, to the same image."""
    build("-t", "app:1", "--provenance=false", "-o", "type=image", "-o", f"type={kind},dest={PLACE}/{kind}.tar")
    before = around.said("images", "-q", "--no-trunc", "app:1")
    around.said("rmi", "-f", "app:1")
    assert around.said("load", "-i", f"{PLACE}/{kind}.tar") == "Loaded image: app:1"
    assert around.said("images", "-q", "--no-trunc", "app:1") == before
    assert around.said("run", "--rm", "app:1") == "hello"
    around.said("rmi", "-f", "app:1")


def test_an_archive_that_is_a_folder(around, build):
    """With an index that the client writes, of what it is told."""
    build("-t", "app:1", "-o", f"type=oci,tar=false,dest={PLACE}/layout")
    index = json.loads((seen(around, "layout") / "index.json").read_text())
    [described] = index["manifests"]
    data = (seen(around, "layout") / "blobs/sha256" / described["digest"].partition(":")[2]).read_bytes()
    assert (described["size"], described["mediaType"]) == (len(data), json.loads(data)["mediaType"])


@pytest.mark.parametrize(
    ("to", "source"),
    [
        (f"type=registry,ref={HOST}/cache", f"type=registry,ref={HOST}/cache"),
        (f"type=local,dest={PLACE}/cache", f"type=local,src={PLACE}/cache"),
    ],
    ids=["registry", "local"],
)
def test_caches_outlive_the_engine(around, build, to, source):
    """What it built is found again with nothing left of it: the same image, and the same cache mounts."""
    build("-t", "app:1", "--cache-to", f"{to},mode=max,cache-mounts=true")
    before = around.said("images", "-q", "--no-trunc", "app:1")
    around.said("rmi", "-f", "app:1")
    around.said("buildx", "prune", "-af")
    assert around.said("buildx", "du").split()[1] == "0B"
    build("-t", "app:1", "--cache-from", f"{source},cache-mounts=true")
    assert around.said("images", "-q", "--no-trunc", "app:1") == before
    assert "exec.cachemount" in around.said("buildx", "du", "--verbose")
    around.said("rmi", "-f", "app:1")
    around.said("buildx", "prune", "-af")


def test_two_builds_one_digest(around, build):
    """With an epoch and rewritten times, though each step is run again; without them they differ."""
    found = {}
    for name in ("same", "other"):
        more = ["--build-arg=SOURCE_DATE_EPOCH=1600000000"] if name == "same" else []
        text = DOCKERFILE.replace("date +%N >", "touch").replace("cat /kept/count >> /aside", "true")
        (seen(around, "context") / "Dockerfile").write_text(text)
        for number in range(2):
            output = f"type=image,name={name}:{number}" + (",rewrite-timestamp=true" if more else "")
            build("--no-cache", *more, "-o", output)
        found[name] = set(around.said("images", "-q", "--no-trunc", name).split())
        around.said("rmi", "-f", f"{name}:0", f"{name}:1")
    assert (len(found["same"]), len(found["other"])) == (1, 2)


def test_a_push_of_several_platforms(around, build):
    """Is an index with attestations, and stays one though buildx pushes once more."""
    (seen(around, "context") / "Dockerfile").write_text("FROM scratch\nCOPY file /\n")
    name = f"{HOST}/several:1"
    build("--platform=linux/amd64,linux/arm64", "--sbom=true", "--provenance=mode=max", "--push", "-t", name)
    shown = json.loads(around.said("buildx", "imagetools", "inspect", "--raw", name))
    assert [each["platform"]["architecture"] for each in shown["manifests"]] == ["amd64", "arm64"] + ["unknown"] * 2
    found = json.loads(around.said("buildx", "imagetools", "inspect", name, "--format", "{{json .Provenance}}"))
    assert set(found) == {"linux/amd64", "linux/arm64"}
    assert found["linux/arm64"]["SLSA"]["buildConfig"]["llbDefinition"]
    around.said("rmi", "-f", name)


def test_a_cache_in_an_image(around, build):
    """Which is pushed: with nothing left here, its steps are found in it."""
    (seen(around, "context") / "Dockerfile").write_text(DOCKERFILE)
    name = f"{HOST}/inline:1"
    build("--build-arg=BUILDKIT_INLINE_CACHE=1", "--push", "-t", name)
    around.said("rmi", "-f", name)
    around.said("buildx", "prune", "-af")
    done = around.docker("buildx", "build", "--progress=plain", "--cache-from", name, "-t", "app:1", f"{PLACE}/context")
    assert done.returncode == 0, done.stderr
    steps = {line.split()[0]: line for line in done.stderr.splitlines() if "] RUN" in line or "] COPY" in line}
    cached = {line.split()[0] for line in done.stderr.splitlines() if line.endswith(" CACHED")}
    [number] = [number for number, line in steps.items() if "date" in line]
    assert number in cached
    around.said("rmi", "-f", "app:1")
