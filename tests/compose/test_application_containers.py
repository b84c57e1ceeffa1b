"""Files of the shape that well-known projects publish: the containers that we make, and docker compose's."""

import json
import re
import shutil
from pathlib import Path

import pytest
from clients.engine import opened_moby
from compose.test_applications import ENVIRONMENT
from moby_orchestrator.compose.files.reading import Asked, read
from peers.binaries import file
from peers.box import NAME, archive
from peers.sandbox import TEMPORARY

pytestmark = pytest.mark.long
SOURCE = Path(__file__).parent / "applications"
FOLDER = TEMPORARY / "applications"
APPLICATIONS = ("blog", "forge", "including", "mail", "monitoring", "search", "workflows")
"""Those that ask for nothing which no machine of ours has: graphics cards, networks of others, registries."""
OWN = {"PASSED": "on", "TOKEN": "t", "HOME": ENVIRONMENT["HOME"]}


@pytest.fixture(scope="module")
def engine(tmp_path_factory, docker_pyz):
    file("usr/libexec/docker/cli-plugins/docker-compose", "compose")
    folder = tmp_path_factory.mktemp("applications")
    image = archive(folder / "image.tar", folder / "rootfs")
    with opened_moby(folder / "engine", image, docker_pyz) as engine:
        seen = engine.sandbox.seen(FOLDER)
        shutil.copytree(SOURCE, seen)
        (seen / "data").mkdir()
        (seen / "password.txt").write_text("word")
        yield engine


def lay(engine, name):
    """Have all that an application asks for: folders, and images, which are all the same."""
    project = read(Asked(files=(str(SOURCE / f"{name}.yaml"),)), ENVIRONMENT).used()
    for each in project.services.values():
        engine.sandbox.run("docker", "tag", NAME, each["image"])
        for volume in each.get("volumes") or ():
            source = Path(str(volume.get("source", "")))
            if volume["type"] == "bind" and source.is_relative_to(SOURCE) and not source.is_file():
                engine.sandbox.seen(FOLDER / source.relative_to(SOURCE)).mkdir(parents=True, exist_ok=True)
    return project


def made(engine, program, name):
    """Return an application's containers as one program makes them, which then takes them away."""
    words = [*program, "-p", name, "--project-directory", FOLDER, "-f", FOLDER / f"{name}.yaml"]
    engine.sandbox.run(*words, "create", "--no-build", env=OWN)
    try:
        own = f"label=com.docker.compose.project={name}"
        ids = engine.sandbox.run("docker", "ps", "--all", "--quiet", "--filter", own).stdout.split()
        found = json.loads(engine.sandbox.run("docker", "inspect", *ids).stdout)
        return {each["Name"]: plain(each) for each in found}
    finally:
        engine.sandbox.run(*words, "down", "--volumes", "--timeout", "0", env=OWN)
        assert not engine.sandbox.run("docker", "ps", "--all", "--quiet").stdout


def plain(shown):
    """Return what was asked for; lists whose order means nothing, and is docker compose's by chance, are sorted."""
    config, host = shown["Config"], shown["HostConfig"]
    waits = "com.docker.compose.depends_on"
    config["Labels"][waits] = sorted(config["Labels"][waits].split(","))
    config["Env"].sort()
    config["ExposedPorts"] = sorted(each.removesuffix("/tcp") for each in config.get("ExposedPorts") or ())
    config["Hostname"] = re.sub("^[0-9a-f]{12}$", "", config["Hostname"])
    for key in ("ExtraHosts", "Links", "Binds"):
        host[key] = sorted(host[key] or ())
    host["Mounts"] = sorted(host.get("Mounts") or (), key=lambda each: each["Target"])
    host["Ulimits"] = sorted(host["Ulimits"] or (), key=lambda each: each["Name"])
    networks = {
        name: [sorted(each["Aliases"] or ()), sorted(each["Links"] or ()), each["IPAMConfig"]]
        for name, each in shown["NetworkSettings"]["Networks"].items()
    }
    mounts = sorted(shown["Mounts"], key=lambda each: each["Destination"])
    text = json.dumps([config, host, mounts, networks])
    return json.loads(re.sub(r"[0-9a-f]{64}|(?<=\")[0-9a-f]{12}(?=\")", "ID", text))


@pytest.mark.parametrize("name", APPLICATIONS)
def test_the_same_containers(engine, name):
    project = lay(engine, name)
    theirs = made(engine, ["docker", "compose"], name)
    assert len(theirs) >= len(project.services)
    assert made(engine, engine.argv("compose"), name) == theirs
