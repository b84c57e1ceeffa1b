"""The quickstart, assembled and used as a user would: one file, on every Python, as root and as an ordinary user."""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from peers.assembled import assembled

pytestmark = pytest.mark.slow

PYTHONS = [
    each
    for each in ("/usr/bin/python3.11", "/usr/bin/python3.12", "/usr/bin/python3.13", "/usr/bin/python3.14")
    if Path(each).exists()
] or [sys.executable]
NOBODY = 65534
USERS = ["root", "nobody"] if os.geteuid() == 0 else ["self"]
LOOK = 'echo "pid $$"; hostname; ls -m /; cat /proc/self/uid_map; exit 3'


@pytest.fixture(scope="module")
def engine() -> Iterator[Path]:
    """The pyz, in a folder that every user may enter, which pytest's own are not."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield assembled(Path(folder), "quickstart")


def call(python: str, engine: Path, root: Path, user: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run the pyz with an empty environment but for PATH, in an ordinary user's case without a home."""
    prefix = []
    if user == "nobody":
        prefix = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    command = [*prefix, python, str(engine), "--root", str(root), *arguments]
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment, check=False)


@pytest.fixture
def root() -> Iterator[Path]:
    """An engine's folder, not made yet, where the ordinary user may make it."""
    with tempfile.TemporaryDirectory() as folder:
        if os.geteuid() == 0:
            os.chown(folder, NOBODY, NOBODY)
        yield Path(folder, "root")


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("user", USERS)
def test_container_is_a_world_of_its_own(engine: Path, root: Path, python: str, user: str) -> None:
    made = call(python, engine, root, user, "image", "from-host", "--tag", "demo")
    assert made.returncode == 0, made.stderr
    done = call(python, engine, root, user, "run", "demo", "sh", "-c", LOOK)
    assert done.returncode == 3, done.stderr
    pid, name, folders, mapping = done.stdout.splitlines()[:4]
    assert pid == "pid 1"
    assert re.fullmatch("[0-9a-f]{12}", name)
    assert "proc" in folders.split(", ")
    assert "work" not in folders.split(", ")
    if user == "nobody":
        assert mapping.split() == ["0", str(NOBODY), "1"]
    assert call(python, engine, root, user, "down", "--purge").returncode == 0
    assert sorted(each.name for each in root.iterdir()) == []


def test_engines_with_different_roots_never_meet(engine: Path, root: Path) -> None:
    for name in ("one", "two"):
        done = call(PYTHONS[-1], engine, root.with_name(name), USERS[0], "image", "from-host", "--tag", name)
        assert done.returncode == 0, done.stderr
    listed = call(PYTHONS[-1], engine, root.with_name("one"), USERS[0], "image", "ls").stdout
    assert "one" in listed
    assert "two" not in listed


@pytest.mark.parametrize("user", USERS)
def test_down_gives_back_what_a_killed_run_left(engine: Path, root: Path, user: str) -> None:
    python = PYTHONS[-1]
    assert call(python, engine, root, user, "image", "from-host", "--tag", "demo").returncode == 0
    prefix = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"] if user == "nobody" else []
    command = [*prefix, python, str(engine), "--root", str(root), "run", "demo", "sh", "-c", "echo up; exec sleep 100"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        process.kill()
    left = [each for each in (root / "run").rglob("*") if each.is_file()]
    assert left, "a killed process leaves records, or this test tests nothing"
    groups = {
        line
        for each in left
        if each.suffix == ".json"
        for line in re.findall(r"/sys/fs/cgroup/[^\"]+", each.read_text())
    }
    done = call(python, engine, root, user, "down", "--purge")
    assert done.returncode == 0, done.stderr
    assert not [each for each in groups if Path(each).exists()]
    assert not list(root.iterdir())


def test_serve_says_that_there_is_no_front_end(engine: Path, root: Path) -> None:
    done = call(PYTHONS[-1], engine, root, USERS[0], "serve")
    assert done.returncode == 2
    assert "no front end" in done.stderr
    assert not root.exists()


def test_engine_loads_no_assembling_library(engine: Path, root: Path) -> None:
    """`run` and `image` keep the start small: what only assembling needs is not even inside."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", str(engine), "--root", str(root), "image", "ls"],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    imported = {line.rpartition("|")[2].strip().split(".")[0] for line in done.stderr.splitlines()}
    assert "moby" in imported
    assert not imported & {"networkx", "yaml", "click", "packaging", "cyclonedx"}


@pytest.mark.parametrize("user", USERS)
def test_a_descriptor_as_working_folder_is_no_way_out(engine: Path, root: Path, user: str) -> None:
    assert call(PYTHONS[0], engine, root, user, "image", "from-host", "--tag", "demo").returncode == 0
    for number in range(3 + USERS.index(user), 13, len(USERS)):  # whose file it is makes no difference
        folder = f"/proc/self/fd/{number}"
        done = call(PYTHONS[0], engine, root, user, "run", "-w", folder, "demo", "ls", "../../../../../..")
        assert (done.returncode != 0, done.stdout) == (True, "")
        assert folder in done.stderr
