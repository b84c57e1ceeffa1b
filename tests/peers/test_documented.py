"""What docs/moby-runtime.md tells users of other engines to write works as it stands there."""

import json
import re

import pytest
from peers.binaries import CHECKOUT
from peers.engines import OURS, command_of, opened

pytestmark = pytest.mark.slow

PAGE = CHECKOUT / "docs" / "moby-runtime.md"
INSTALLED = "/usr/local/bin/moby-runtime"


def written(kind, after):
    """Return the block of a kind that follows a heading, with the path where the command is here."""
    section = PAGE.read_text().split(f"## {after}\n")[1].split("\n## ")[0]
    block = re.search(f"```{kind}\n(.*?)```", section, re.DOTALL)
    assert block and INSTALLED in block[1]
    return block[1].replace(INSTALLED, command_of(OURS))


def configured(path, text):
    """Return the script that writes a file."""
    return f"mkdir -p $(dirname {path}); cat >{path} <<'END'\n{text}\nEND"


def test_podman(tmp_path_factory, image):
    prepare = configured("/etc/containers/containers.conf", written("toml", "Under podman"))
    with opened("podman", OURS, tmp_path_factory.mktemp("podman"), image, prepare=prepare) as engine:
        done = engine.sandbox.run("podman", "run", "--name=one", "--network=none", "localhost/box", "echo", "hello")
        assert done.stdout == "hello\n"
        told = engine.sandbox.run("podman", "inspect", "--format", "{{.OCIRuntime}}", "one").stdout
        assert told == "moby-runtime\n"


def test_podman_by_a_flag(tmp_path_factory, image):
    with opened("podman", OURS, tmp_path_factory.mktemp("podman"), image) as engine:
        args = ("--runtime", command_of(OURS), "run", "--rm", "--network=none", "localhost/box", "echo", "hello")
        assert engine.sandbox.run("podman", *args).stdout == "hello\n"


def test_dockerd(tmp_path_factory, image):
    text = written("json", "Under dockerd")
    assert json.loads(text)["default-runtime"] == "moby"
    prepare = configured("/etc/docker/daemon.json", text)
    with opened("docker", "runc", tmp_path_factory.mktemp("docker"), image, prepare=prepare) as engine:
        assert engine.out("info", "--format", "{{.DefaultRuntime}}") == "moby"
        assert engine.said("echo", "hello") == "hello"
        assert engine.said("echo", "hello", options=["--runtime", "moby"]) == "hello"


def test_containerd(tmp_path_factory, image):
    command = re.search(r"^\$ ctr (.*)$", PAGE.read_text(), re.MULTILINE)[1]
    words = command.replace(INSTALLED, command_of(OURS)).replace("IMAGE", "localhost/box:latest").split()
    with opened("ctr", OURS, tmp_path_factory.mktemp("ctr"), image) as engine:
        assert engine(*words).stdout == "hello\n"
