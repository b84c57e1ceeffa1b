"""What the engine's own verbs answer without an engine: none is started, and nothing is made on disk."""

import io
import os
import shlex
import subprocess
import sys

import pytest
from moby_builder.command.verb import BuilderVerb, BuildVerb
from moby_containers.command.plugin import VERBS
from moby_containers.command.verb import Verb
from moby_orchestrator.compose import plugin as compose

import moby
from moby.contracts.ambient import Place
from moby.engine import fronted
from moby.engine.call import Call


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("run --help", 0),
        ("run --nonesuch box", 125),
        ("ps --nonesuch", 2),
        ("container ls --nonesuch", 2),
        ("network create", 2),
        ("builder du --nonesuch", 2),
        ("build", 2),
        ("compose upp", 2),
    ],
)
def test_no_engine_is_started_for_what_needs_none(docker_pyz, tmp_path, line, code):
    root = tmp_path / "root"
    command = [sys.executable, str(docker_pyz), "--root", str(root), *shlex.split(line)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == code
    assert (done.stderr if code else done.stdout).startswith("usage: ")
    assert not root.exists()


@pytest.mark.parametrize("verb", ["ps", "serve"])
def test_a_root_whose_path_is_too_long_starts_nothing(docker_pyz, tmp_path, verb):
    root = tmp_path / ("x" * 100)
    command = [sys.executable, str(docker_pyz), "--root", str(root), verb]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert f"{root}/run/engine.sock is longer than" in done.stderr
    assert "fix: name a shorter folder with --root DIR" in done.stderr
    assert not root.exists()


def test_a_root_into_which_nobody_may_look(tmp_path, monkeypatch, capfd):
    def look(path, *arguments, whole=os.stat, **options):
        if str(path).endswith("engine.sock"):
            raise PermissionError(13, "Permission denied", str(path))
        return whole(path, *arguments, **options)

    call = Call(moby.resolve(moby.load("docker")), {}, str(tmp_path), None, "warning", "ps", ("--nonesuch",))
    monkeypatch.setattr(os, "stat", look)
    assert fronted.answered(call, "command/ps") == 2
    assert "unknown flag: --nonesuch" in capfd.readouterr().err


@pytest.mark.parametrize(
    "line",
    ["ps -a", "run box true", "network create mine", "network prune", "container prune", "system prune", "top a aux"],
)
def test_what_needs_an_engine_is_left_to_it(tmp_path, line, monkeypatch, capfd):
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    name, *rest = line.split()
    assert Verb(name, _place(tmp_path)).answered(rest) is None
    assert sys.stdin.read() == "y\n"
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", sorted({"run", *VERBS}))
def test_every_verb_tells_of_itself(tmp_path, name, capfd):
    assert Verb(name, _place(tmp_path)).answered(["--help"]) == 0
    assert capfd.readouterr().out.startswith("usage: ")


def test_builds_and_compose_are_left_to_an_engine(tmp_path):
    assert BuildVerb(None, _place(tmp_path)).answered(["."]) is None
    assert BuilderVerb(_place(tmp_path)).answered(["prune"]) is None
    assert compose.make(compose.Config(), frontend=None, place=_place(tmp_path)).answered(["up", "-d"]) is None


def _place(folder):
    return Place(folder / "state/command/x", folder / "run/command/x", folder / "cache/command/x", "test")
