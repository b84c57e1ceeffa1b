"""The framework's own wheel, built and unpacked once: what tests assemble with doesn't change under them."""

import compileall
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from installing import Site

ROOT = Path(__file__).resolve().parents[2]
MAIN = "import sys; sys.path.insert(0, sys.argv.pop(1)); from moby.cli.main import main; main()"
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=120)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="session")
def installed_copy(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    compileall.compile_dir(folder / "moby", quiet=2)  # as an installer does; else each call would
    return folder


@pytest.fixture(scope="session")
def moby(installed_copy: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run the command line of the unpacked wheel."""
    cache = tmp_path_factory.mktemp("cache")

    def run(*arguments: object, site: Path = installed_copy, code: int = 0, **options: object) -> object:
        command = [sys.executable, "-P", "-B", "-c", MAIN, site, *arguments]
        environment = {**os.environ, "XDG_CACHE_HOME": str(cache), **options.pop("env", {})}
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=800, env=environment, check=False, **options
        )
        assert done.returncode == code, f"{done.returncode}: {done.stdout}{done.stderr}"
        return done

    return run


@pytest.fixture(scope="session")
def quickstart(moby: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an assembled quickstart; only to be read."""
    out = tmp_path_factory.mktemp("dist")
    moby("assemble", "quickstart", "-o", out, cwd=out)
    return out / "quickstart"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """An empty folder first on the import path, to install distributions of tests in."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    return Site(folder)
