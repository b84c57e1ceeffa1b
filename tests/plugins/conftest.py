import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(*command, cwd, **more):
    """Run a program without this process's import path; the result has text."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment["XDG_CACHE_HOME"] = str(cwd)
    return subprocess.run(
        [str(each) for each in command],
        cwd=cwd, env=environment, capture_output=True, text=True, timeout=300, check=False, **more,
    )  # fmt: skip


@pytest.fixture(scope="session")
def run_program():
    return run


@pytest.fixture(scope="session")
def build_wheel(tmp_path_factory):
    """A function that builds a project's wheel with pip, in this environment, and returns its path."""

    def build(project):
        out = tmp_path_factory.mktemp("wheel")
        pip = [sys.executable, "-P", "-m", "pip", "wheel", "--no-build-isolation", "--no-deps", "--no-index", "-q"]
        done = run(*pip, "-w", out, project, cwd=out)
        assert done.returncode == 0, done.stdout + done.stderr
        (wheel,) = out.glob("*.whl")
        return wheel

    return build


@pytest.fixture(scope="session")
def install(tmp_path_factory, build_wheel):
    """A function that installs wheels and the framework's into a new environment, and returns its bin folder."""
    framework = build_wheel(ROOT)

    def into(*wheels):
        folder = tmp_path_factory.mktemp("environment")
        made = run(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder)
        assert made.returncode == 0, made.stderr
        (site,) = folder.glob("lib/python*/site-packages")
        pip = [sys.executable, "-m", "pip", "--python", folder / "bin/python"]
        done = run(*pip, "install", "-q", "--no-deps", "--no-index", framework, *wheels, cwd=folder)
        assert done.returncode == 0, done.stderr
        (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
        return folder / "bin"

    return into
