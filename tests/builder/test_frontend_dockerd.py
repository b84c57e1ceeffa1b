"""What dockerd makes of the same Dockerfiles: files, config, history, the names of steps, the words of failures."""

import json
import re
import shutil

import pytest
from frontend_builds import build, engine_of, files
from frontend_parts import BOX, IMAGES, RICH, TRIGGER, cases
from moby_builder.dockerfile.frontend.planning import plan
from moby_builder.dockerfile.operations import Stack, Write, ancestors
from peers.binaries import file, need
from peers.box import NAME, archive
from peers.engines import opened
from peers.sandbox import TEMPORARY
from test_frontend_answers import FILE, ask

pytestmark = pytest.mark.long

SHARED = [each for each in cases() if each.expected.get("dockerd", True)]
_OTHERS = {"localhost/rich:1": RICH, "localhost/trigger:1": TRIGGER}
_ITS_OWN = ("[internal] load", "[context ", "[internal] settings", "[internal] preparing", "exporting ", "[auth] ")
"""How names begin of what one of the two does in another way: the context's is compared apart."""


@pytest.fixture(scope="module")
def dockerd(tmp_path_factory):
    need("docker", "docker")
    file("usr/libexec/docker/cli-plugins/docker-buildx", "docker")
    folder = tmp_path_factory.mktemp("dockerd")
    box = archive(folder / "box.tar", folder / "rootfs")
    assert f"{NAME}" in IMAGES and IMAGES[NAME] == BOX
    with opened("docker", "runc", folder, box) as engine:
        for number, (name, config) in enumerate(_OTHERS.items()):
            image = archive(folder / f"{number}.tar", folder / f"rootfs{number}", name=name, **config)
            shutil.copy(image, engine.sandbox.seen(TEMPORARY) / image.name)
            engine("load", "-i", TEMPORARY / image.name)
        more = engine.sandbox.seen(TEMPORARY) / "more"
        more.mkdir()
        (more / "x").write_text("more")
        yield engine


@pytest.fixture(scope="module")
def engine(dockerd, tmp_path_factory):
    with engine_of(tmp_path_factory.mktemp("engine")) as made:
        yield made


def _build(dockerd, case):
    """Build a case, which is to have its own name there; return how it ended, with all that was told."""
    shutil.copytree(case.folder, dockerd.sandbox.seen(TEMPORARY) / case.name, symlinks=True)
    there = TEMPORARY / case.name
    (dockerd.sandbox.seen(there) / "context").mkdir(exist_ok=True)
    asked = case.asked
    options = [f"--target={asked['target']}"] if "target" in asked else []
    options += [f"--build-arg={name}={value}" for name, value in asked.get("arguments", {}).items()]
    options += [f"--label={name}={value}" for name, value in asked.get("labels", {}).items()]
    for name, value in asked.get("contexts", {}).items():
        kind, _, rest = value.partition(":")
        options.append(f"--build-context={name}={TEMPORARY / rest if kind == 'local' else value}")
    return dockerd(
        "buildx", "build", "--progress=rawjson", "--network=none", "--load", f"--tag=case/{case.name}",
        f"--file={there}/Dockerfile", *options, there / "context", check=False,
    )  # fmt: skip


def _told(text):
    """Return the names of all steps, and the error where there is one."""
    names, error, at = set(), "", 0
    while at < len(text):
        if text[at] == "{":
            document, at = json.JSONDecoder().raw_decode(text, at)
            names |= {each["name"] for each in document.get("vertexes") or ()}
            continue
        line, _, _ = text[at:].partition("\n")
        at += len(line) + 1
        line = json.loads(line) if line.startswith('"') else line
        if line.startswith("ERROR: "):
            error = line.removeprefix("ERROR: ").removeprefix("failed to solve: ")
    return names, error


def _root(dockerd, case):
    """Return what is in the root of what was built."""
    box = dockerd.out("create", f"case/{case.name}", "none")
    dockerd("export", f"--output={TEMPORARY}/root.tar", box)
    dockerd("rm", box)
    return files((dockerd.sandbox.seen(TEMPORARY) / "root.tar").read_bytes())


def _steps(names):
    """Return names that are to agree; which of several stages an image is named by, dockerd leaves to chance."""
    kept = (each for each in names if each and not each.startswith(_ITS_OWN))
    return sorted(re.sub(r"^\[.*\] (?=FROM )", "", each) for each in kept)


@pytest.mark.parametrize("case", SHARED, ids=lambda case: case.name)
def test_dockerd_agrees(dockerd, engine, case, tmp_path):
    done = _build(dockerd, case)
    names, error = _told(done.stderr)
    if not case.graph:
        assert (done.returncode, error) == (1, case.expected["error"])
        return
    assert done.returncode == 0, done.stderr
    (image,) = json.loads(dockerd.out("image", "inspect", f"case/{case.name}"))
    config = {name: value for name, value in image["Config"].items() if value not in (None, "", False, [], {})}
    assert config == case.expected["config"]
    assert image["Author"] == case.expected.get("author", "")
    lines = dockerd.out("history", "--no-trunc", "--format", "{{json .CreatedBy}}", f"case/{case.name}").splitlines()
    history = [json.loads(each) for each in reversed(lines)]
    # It adds an entry for the layer of a base image that has no history.
    assert history[: len(case.expected["history"])] == case.expected["history"]
    nodes = ancestors(plan(case.request, case.lookup).targets[0].root)
    ours = {each.name for each in nodes if not isinstance(each.operation, Stack)}
    assert _steps(ours) == _steps(names)
    assert ("[internal] load build context" in ours) == ("[internal] load build context" in names)
    _, root = build(engine, case, tmp_path)
    assert files(root) == _root(dockerd, case)


@pytest.mark.parametrize("target", ["", "build", "out"])
@pytest.mark.parametrize("request_", ["outline", "targets"])
def test_dockerd_answers_the_same(dockerd, request_, target):
    there = dockerd.sandbox.seen(TEMPORARY) / "asked"
    there.mkdir(exist_ok=True)
    (there / "Dockerfile").write_text(FILE)
    ours = ask(request_, target=target).answers
    for form, name in (("", "result.txt"), (",format=json", "result.json")):
        done = dockerd(
            "buildx", "build", f"--print={request_}{form}", f"--target={target}", "--build-arg=X=given",
            TEMPORARY / "asked", env={"BUILDX_EXPERIMENTAL": "1"},
        )  # fmt: skip
        assert done.stdout.rstrip() == ours[name].decode().rstrip()


def test_enough_is_compared():
    assert len(SHARED) > 80
    assert any(isinstance(each.operation, Write) for case in SHARED if case.graph for each in _nodes(case))


def _nodes(case):
    return ancestors(plan(case.request, case.lookup).targets[0].root)
