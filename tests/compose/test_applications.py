"""Files of the shape that well-known projects publish: what `config` prints, and hashes, beside docker compose."""

import os
import subprocess
from pathlib import Path

import pytest
from moby_orchestrator.compose.files import rendering
from moby_orchestrator.compose.files.project import config_hash
from moby_orchestrator.compose.files.reading import Asked, read
from peers.binaries import file

FOLDER = Path(__file__).parent / "applications"
NAMES = [[each.name] for each in sorted(FOLDER.glob("*.yaml")) if "override" not in each.name]
ENVIRONMENT = {"PATH": os.environ["PATH"], "HOME": "/home/somebody", "PASSED": "on", "TOKEN": "t"}


@pytest.fixture(autouse=True)
def at_home(monkeypatch):
    """`~` is this process's own."""
    monkeypatch.setenv("HOME", ENVIRONMENT["HOME"])


@pytest.fixture(scope="module")
def theirs():
    """Run docker's compose on files of the folder, and return what it prints."""
    program = file("usr/libexec/docker/cli-plugins/docker-compose", "compose")

    def run(files, *words):
        given = [word for each in files for word in ("-f", each)]
        command = [program, *given, *words]
        done = subprocess.run(command, cwd=FOLDER, env=ENVIRONMENT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def ours(files, **asked):
    return read(Asked(files=tuple(str(FOLDER / each) for each in files), **asked), ENVIRONMENT).used()


@pytest.mark.parametrize("files", [*NAMES, ["several.yaml", "several.override.yaml"]], ids="+".join)
def test_same_as_docker_compose(theirs, files):
    project = ours(files)
    assert rendering.to_yaml(project) == theirs(files, "config")
    assert rendering.to_json(project) == theirs(files, "config", "--format", "json") + "\n"
    # `config --hash` doesn't read the files of env_file, as `up` does.
    unread = ours(files, resolved=False, discarded=False)
    hashes = "".join(f"{name} {config_hash(unread.services[name])}\n" for name in sorted(unread.services))
    assert hashes == theirs(files, "config", "--hash", "*")


@pytest.mark.parametrize("files", NAMES, ids="+".join)
def test_what_it_prints_is_the_same_project(files, tmp_path):
    """Printed and read again, a project is what it was."""
    project = ours(files)
    (tmp_path / "compose.yaml").write_text(rendering.to_yaml(project))
    again = read(Asked(files=(str(tmp_path / "compose.yaml"),), folder=str(FOLDER)), {}).used()
    assert rendering.to_json(again) == rendering.to_json(project)
