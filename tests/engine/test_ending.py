"""`down` and `support` of engines that somebody else started, that never were, and whose front end doesn't start."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
from attrs import evolve

from moby.engine import entry
from moby.plan import Instance, Plan
from moby.surroundings import Roots

NOBODY = 65534
# What a call needs is imported as root, by one that goes well: nobody may not be able to read it.
CODE = """
import os, sys
from moby.engine import entry
from moby.plan import Plan
warm, root, nobody, *words = sys.argv[1:]
def call(root):
    return entry.main(["--root", root, *words], lambda: ({}, Plan("toy")))
assert call(warm) == 0
os.setgroups([])
os.setgid(int(nobody))
os.setuid(int(nobody))
os.chdir("/")
sys.exit(call(root))
"""


@pytest.fixture
def others() -> Iterator[Path]:
    """Folders of root's that others can find, and not look into."""
    with tempfile.TemporaryDirectory() as made:
        Path(made).chmod(0o755)
        roots = Roots.under(Path(made), "toy")
        for folder in (roots.state, roots.run, roots.cache):
            folder.mkdir(mode=0o700)
        (roots.run / "serve.lock").touch(0o600)
        yield Path(made)


@pytest.mark.skipif(os.geteuid() != 0, reason="nobody else can be called")
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("down",), "can't open {}/run/serve.lock: Permission denied\n  fix: do it as the user"),
        (("support", "-o", "/dev/null"), "can't look into {}/run/keeper: Permission denied\n  fix: do it as the user"),
    ],
)
def test_who_may_not_look_is_told_so(others: Path, tmp_path: Path, words: tuple[str, ...], message: str) -> None:
    command = [sys.executable, "-c", CODE, str(tmp_path), str(others), str(NOBODY), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr.startswith(message.format(others))) == (3, True), done.stderr


def test_down_of_an_engine_that_never_was_leaves_no_folder(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    for root in ("there", "not/there"):
        assert entry.run(["--root", str(tmp_path / root), "down"], {}, Plan("toy")) == 0
    assert [*tmp_path.rglob("*")] == [tmp_path / "there"]


def test_down_keeps_the_state_that_is_there(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    assert entry.run(["--root", str(tmp_path), "down"], {}, Plan("toy")) == 0
    assert [each.name for each in tmp_path.iterdir()] == ["state"]


@pytest.mark.parametrize("step", ["make", "start"])
def test_down_needs_no_front_end(
    instance: Callable[..., Instance], toys: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str], step: str
) -> None:
    """One that an upgrade has spoilt keeps nobody from ending what runs."""
    front = evolve(instance("base", "f", config={"fail": step}), kind="frontend")
    plan = Plan("toy", (instance("base", "a"), front))
    assert entry.run(["--root", str(tmp_path), "down", "--purge"], {}, plan) == 0
    assert "reclaim a" in toys.EVENTS
    assert not any(tmp_path.iterdir())
    assert "frontend/f: left out, since it failed to start" in capsys.readouterr().err
