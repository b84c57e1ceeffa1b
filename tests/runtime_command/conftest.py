import compileall
import os
import shutil
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import attr
import attrs
import pytest
from runtime_command.command import SCRIPT, Command

from moby.host.processes import set_child_subreaper
from moby.testing.as_user import NOBODY
from moby.testing.boxes import children, leaks, reap
from moby.testing.bundles import Bundles, make_rootfs

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module", autouse=True)
def subreaper():
    """Be the parent of containers whose makers have ended, as conmon and containerd's shim are."""
    set_child_subreaper()
    yield
    set_child_subreaper(False)


@pytest.fixture(scope="session")
def open_folder():
    """A folder that every user can enter."""
    folder = Path(tempfile.mkdtemp(prefix="moby-command-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def shared_rootfs(open_folder):
    return make_rootfs(open_folder / "rootfs")


@pytest.fixture(scope="session")
def readable_program(open_folder):
    """The command, installed where an ordinary user can read it."""
    site = open_folder / "site"
    ignored = shutil.ignore_patterns("__pycache__")
    for name in ("moby", "components/moby_runtime"):
        shutil.copytree(CHECKOUT / name, site / Path(name).name, ignore=ignored)
    for package in (attr, attrs):
        shutil.copytree(Path(package.__file__).parent, site / package.__name__, ignore=ignored)
    compileall.compile_dir(site, quiet=2)
    program = open_folder / "moby-runtime"
    program.write_text(
        f"#!{os.path.realpath(sys.executable)} -I\nimport sys\nsys.path.insert(0, {str(site)!r})\n"
        "from moby_runtime.together import begin\nend = begin('moby-runtime')\n"
        "from moby_runtime.native.cli.main import command\ncommand(end)\n"
    )
    program.chmod(0o755)
    return (str(program),)


@contextmanager
def calls_of(open_folder, rootfs, **how):
    folder = Path(tempfile.mkdtemp(prefix="test-", dir=open_folder))
    folder.chmod(0o777)
    (folder / "bundles").mkdir()
    before = children()
    check = leaks("no-engine")
    left = next(check)
    command = Command(folder, Bundles(folder / "bundles", rootfs), **how)
    try:
        yield command
        command.remove_all()
        reap(children() - before)  # ours by adoption, and killed
        next(check, None)
        assert [each for each in left if not each.startswith("mount ") or str(open_folder) in each] == []
        assert command.groups() == ()
        assert not command.root.exists() or list(command.root.iterdir()) == []
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def command(open_folder, shared_rootfs):
    """The command as it is installed; at the end nothing is left of what it made."""
    assert SCRIPT.exists(), f"{SCRIPT} is not there; `make` installs it"
    with calls_of(open_folder, shared_rootfs) as command:
        yield command


@pytest.fixture
def ordinary(open_folder, shared_rootfs, readable_program):
    """The command as an ordinary user calls it."""
    user = NOBODY if os.geteuid() == 0 else 0
    with calls_of(open_folder, shared_rootfs, user=user, program=readable_program) as command:
        yield command
