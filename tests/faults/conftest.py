"""An engine to try faults on, and the traces that it leaves."""

import compileall
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fault_engine import MAIN, NOBODY, Done, Engine, call, clear, environment
from fault_traces import listing

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The command line of an unpacked wheel: what is tried doesn't change under the tests."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=120)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    # As an installer does; else each of some hundred calls would compile it.
    compileall.compile_dir(folder / "moby", quiet=2)
    return [sys.executable, "-P", "-B", "-c", MAIN, str(folder)]


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that other users can reach, and that a marked process can be told by."""
    path = Path(tempfile.mkdtemp(prefix="moby-faults-"))
    path.chmod(0o755)
    yield path
    clear(path)


@pytest.fixture
def moby(program: list[str], folder: Path) -> Callable[..., Done]:
    """Run `moby` in an empty folder, and see that a call that fails leaves that folder as it was."""
    here = folder / "here"
    here.mkdir()

    def run(*arguments: object, code: int = 0, keeps: bool = False, **options: Any) -> Done:
        cwd = options.pop("cwd", here)
        before = listing(here)
        env = environment(TMPDIR=str(folder / "tmp"), XDG_CACHE_HOME=options.pop("cache", str(folder / "cache")))
        (folder / "tmp").mkdir(exist_ok=True)
        done = call([*program, *map(str, arguments)], cwd=cwd, env=env, **options)
        assert done.returncode == code, f"{done.returncode}: {done.stdout}{done.stderr}"
        assert "Traceback" not in done.stderr
        assert listing(folder / "tmp") == []
        if code and not keeps:
            assert listing(here) == before
        return done

    return run


@pytest.fixture(scope="session")
def pyz(program: list[str]) -> Iterator[Path]:
    """An assembled quickstart, which every user can run; only to be read."""
    out = Path(tempfile.mkdtemp(prefix="moby-faults-dist-"))
    out.chmod(0o755)
    done = call([*program, "assemble", "quickstart", "-o", str(out)])
    assert done.returncode == 0, done.stderr
    yield out / "quickstart/quickstart.pyz"
    clear(out)


@pytest.fixture
def engine(pyz: Path, folder: Path) -> Iterator[Engine]:
    """An engine without an image."""
    made = Engine(pyz, folder)
    yield made
    made.check_gone()


@pytest.fixture(params=["as-caller", "as-nobody"])
def either(request: pytest.FixtureRequest, engine: Engine) -> Engine:
    """An engine of the caller's, or of an ordinary user's."""
    if request.param == "as-nobody":
        if os.geteuid() != 0:
            pytest.skip("only root can become nobody; run by root this is covered")
        engine.prefix = NOBODY
        os.chown(engine.folder, 65534, 65534)
    return engine


@pytest.fixture
def stocked(engine: Engine) -> Engine:
    """An engine that has an image `demo`."""
    engine("image", "from-host", "--tag", "demo", "sh", "sleep", "cat", "ls", "echo")
    return engine
