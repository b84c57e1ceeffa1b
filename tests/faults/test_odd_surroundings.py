"""Callers that closed a stream, have no home, no temporary folder, another umask, no current folder any more."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from fault_engine import Engine, call, environment
from fault_traces import listing

pytestmark = pytest.mark.slow

Run = Callable[..., Any]


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_run_with_closed_streams(stocked: Engine, closed: str) -> None:
    script = 'exec "$@" ' + closed
    command = stocked.command("run", "-i", "demo", "sh", "-c", f"cat; echo x; echo y >&2; exit 3\n: {stocked.root}")
    done = call(["sh", "-c", script, "sh", *command], env=stocked.env, stdin=subprocess.DEVNULL)
    assert done.returncode == 3, done.stderr
    assert done.stdout == ("" if ">&-" in closed.replace("2>&-", "") else "x\n")
    stocked.check_clean()


def test_run_into_a_closed_pipe(stocked: Engine) -> None:
    """The writer inside gets SIGPIPE; the container's first process, as in every PID namespace, none by default."""
    script = f"cat /dev/zero; echo $? >&2; exit 5\n: {stocked.root}"
    process = subprocess.Popen(
        stocked.command("run", "demo", "sh", "-c", script),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=stocked.env,
    )  # fmt: skip
    assert process.stdout is not None
    process.stdout.read(1)
    process.stdout.close()
    try:
        _, said = process.communicate(timeout=120)
    finally:
        process.kill()
    assert (process.returncode, said) == (5, f"{128 + signal.SIGPIPE}\n")
    stocked.check_clean()


@pytest.mark.parametrize("arguments", [["image", "ls"], ["image", "inspect", "demo"], ["version"], ["--help"]])
def test_a_reader_that_is_gone_before(stocked: Engine, arguments: list[str]) -> None:
    read, write = os.pipe()
    os.close(read)
    done = call(
        stocked.command(*arguments), env=stocked.env, capture_output=False, stdout=write, stderr=subprocess.PIPE
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, "")


@pytest.mark.parametrize("arguments", [["components"], ["check", "quickstart"], ["--help"], ["schema"]])
def test_a_reader_of_moby_that_is_gone_before(program: list[str], folder: Path, arguments: list[str]) -> None:
    read, write = os.pipe()
    os.close(read)
    env = environment(XDG_CACHE_HOME=str(folder / "cache"))
    done = call([*program, *arguments], env=env, capture_output=False, stdout=write, stderr=subprocess.PIPE)
    os.close(write)
    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, "")


@pytest.mark.parametrize("arguments", [["image", "ls"], ["version"]])
def test_output_to_a_full_device(stocked: Engine, arguments: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        options = {"capture_output": False, "stdout": full, "stderr": subprocess.PIPE}
        done = call(stocked.command(*arguments), env=stocked.env, **options)
    assert done.returncode == 3
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr


def test_no_home(stocked: Engine) -> None:
    done = stocked.run("echo x", env={**environment(HOME=None), "TMPDIR": stocked.env["TMPDIR"]})
    assert done.stdout == "x\n"
    stocked.check_clean()


@pytest.mark.parametrize("temporary", ["/nonexistent", "/proc", "/dev/null"])
def test_no_temporary_folder(stocked: Engine, moby: Run, temporary: str) -> None:
    assert stocked.run("echo x", env=environment(TMPDIR=temporary)).stdout == "x\n"
    stocked("image", "from-host", "--tag", "more", "sh", env=environment(TMPDIR=temporary))
    stocked.check_clean()


@pytest.mark.parametrize("umask", [0o000, 0o077, 0o777])
def test_umask(pyz: Path, folder: Path, umask: int) -> None:
    engine = Engine(pyz, folder)
    kept = {"umask": umask}
    engine("image", "from-host", "--tag", "demo", "sh", "ls", "stat", **kept)
    done = engine.run("umask; stat -c %a /bin/. /tmp/. /etc/passwd", **kept)
    assert done.stdout == "0022\n755\n1777\n644\n"
    for each in (engine.root / "state/images/layout", engine.root / "run/runtime/native"):
        assert each.stat().st_mode & 0o077 == 0, "nobody else's business"
    engine.check_clean()
    engine.check_gone()


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_umask_of_assemble(moby: Run, folder: Path, umask: int) -> None:
    moby("assemble", "quickstart", umask=umask)
    made = folder / "here/dist/quickstart/quickstart.pyz"
    assert made.stat().st_mode & 0o777 == 0o755 & ~umask or made.stat().st_mode & 0o777 == 0o755


def in_a_folder_that_is_gone(command: list[str], folder: Path, **options: Any) -> Any:
    """Run a command whose current folder was removed."""
    gone = folder / "gone"
    gone.mkdir()
    return call(["sh", "-c", 'cd "$1" && rmdir "$1" && shift && exec "$@"', "sh", str(gone), *command], **options)


def test_a_current_folder_that_is_gone(stocked: Engine) -> None:
    command = stocked.command("run", "demo", "sh", "-c", f"echo x\n: {stocked.root}")
    done = in_a_folder_that_is_gone(command, stocked.folder, env=stocked.env)
    assert (done.returncode, done.stdout, done.stderr) == (0, "x\n", "")
    stocked.check_clean()


@pytest.mark.parametrize("arguments", [["check", "quickstart"], ["assemble", "quickstart"], ["lock", "quickstart"]])
def test_moby_in_a_folder_that_is_gone(program: list[str], folder: Path, arguments: list[str]) -> None:
    env = environment(XDG_CACHE_HOME=str(folder / "cache"))
    done = in_a_folder_that_is_gone([*program, *arguments], folder, env=env)
    assert "Traceback" not in done.stderr
    assert done.returncode == 3
    assert "the current folder isn't there any more\n  fix: change to a folder that is there" in done.stderr


def test_a_relative_root_in_a_folder_that_is_gone(engine: Engine) -> None:
    command = [sys.executable, str(engine.pyz), "--root", "here", "image", "ls"]
    done = in_a_folder_that_is_gone(command, engine.folder, env=engine.env)
    assert done.returncode == 3
    assert "the current folder isn't there any more" in done.stderr


@pytest.mark.skipif(shutil.which("unshare") is None or os.geteuid() != 0, reason="needs unshare(1) and root")
@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        pytest.param(["run", "demo", "sh", "-c", "echo x"], 125, id="run"),
        pytest.param(["image", "ls"], 3, id="image"),
        pytest.param(["down"], 3, id="down"),
    ],
)
def test_a_root_that_is_read_only(stocked: Engine, arguments: list[str], code: int) -> None:
    before = listing(stocked.root)
    script = 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && shift && exec "$@"'
    command = ["unshare", "--mount", "sh", "-c", script, "sh", str(stocked.root), *stocked.command(*arguments)]
    done = call(command, env=stocked.env)
    assert done.returncode == code, done.stderr
    assert "Read-only file system" in done.stderr
    assert "--root DIR" in done.stderr
    assert listing(stocked.root) == before


def test_two_engines_never_meet(stocked: Engine) -> None:
    other = evolve(stocked, root=stocked.folder / "other")
    assert "no image 'demo' is here; none is" in other("run", "demo", code=125).stderr
    other("image", "from-host", "--tag", "demo", "sh", "cat")
    script = f"echo ready; read x; echo $x\n: {stocked.root} {other.root}"
    both = [
        subprocess.Popen(
            each.command("run", "-i", "--name", "same", "demo", "sh", "-c", script),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=each.env,
        )
        for each in (stocked, other)
    ]  # fmt: skip
    try:
        for process in both:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        assert "is in use" in other("down", "--purge", code=1).stderr
        for word, process in zip(("one", "two"), both, strict=True):
            assert process.communicate(f"{word}\n", timeout=60)[0] == f"{word}\n"
            assert process.returncode == 0
    finally:
        for process in both:
            process.kill()
    other("image", "rm", "demo")
    other.check_gone()
    assert stocked.run("echo still").stdout == "still\n"
    stocked.check_clean()
