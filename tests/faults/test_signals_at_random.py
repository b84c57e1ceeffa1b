"""A signal at a random moment of a call: the call ends, and nothing is left; after SIGKILL, once the next call ran."""

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fault_engine import Engine, environment
from fault_traces import Traces, listing

pytestmark = pytest.mark.slow

ROUNDS = int(os.environ.get("MOBY_FAULT_ROUNDS", "9"))
SEED = int(os.environ.get("MOBY_FAULT_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)
NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL)
SCRIPT = "trap 'exit 9' INT TERM HUP; i=0; while [ $i -lt 8 ]; do sleep 0.05; i=$((i+1)); done"


def shots(name: str, longest_s: float) -> Iterator[tuple[int, float]]:
    """Signals and delays, other ones each time; MOBY_FAULT_SEED repeats them."""
    print(f"MOBY_FAULT_SEED={SEED}")
    chance = random.Random(f"{SEED} {name}")
    for number in range(ROUNDS):
        yield NUMBERS[number % len(NUMBERS)], chance.uniform(0, longest_s)


def shoot(command: list[str], env: dict[str, str], number: int, delay_s: float, cwd: Path) -> tuple[int, str]:
    """Start a command, send the signal after the delay, and return the exit code and what it said."""
    process = subprocess.Popen(
        command, env=env, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    time.sleep(delay_s)
    process.send_signal(number)
    try:
        said, _ = process.communicate(timeout=200)
    finally:
        process.kill()
    print(f"{signal.Signals(number).name} after {delay_s:.3f} s: {process.returncode}")
    return process.returncode, said


def check_ended(number: int, code: int, said: str, own: tuple[int, ...]) -> None:
    """Done all the same; told by the exit code; or ended by the signal itself, before Python could take it."""
    if number == signal.SIGINT and "KeyboardInterrupt" in said and still_importing(said):
        return  # the interpreter was still starting, and says it in its own way
    assert code in (0, *own, 128 + number, -number), said
    if code != -number:
        assert "Traceback" not in said


def still_importing(said: str) -> bool:
    """Whether a traceback is of the interpreter's start or of imports alone: no function of ours was running."""
    frames = [line.strip() for line in said.splitlines() if line.strip().startswith("File ")]
    # Who was asked whether an archive is one, and interrupted, takes it for a text, and names a line in no function.
    return all(line.endswith("in <module>") for line in frames if "moby" in line and ", in " in line)


def timed(action: Callable[[], object]) -> float:
    start = time.monotonic()
    action()
    return time.monotonic() - start


def test_of_assemble(program: list[str], folder: Path) -> None:
    (folder / "tmp").mkdir()
    env = environment(TMPDIR=str(folder / "tmp"), XDG_CACHE_HOME=str(folder / "cache"))
    out = folder / "out"
    traces = Traces(folder / "root", "quickstart", str(folder), folder / "tmp")

    def changed(files: int) -> list[str]:
        value = f"components.images.config.max_unpacked_files={files}"
        return [*program, "assemble", "quickstart", "-o", str(out), "--set", value]

    longest = timed(lambda: subprocess.run(changed(1), env=env, cwd=folder, check=True, capture_output=True))
    whole = set(listing(out))
    for count, (number, delay) in enumerate(shots("assemble", longest * 1.1)):
        code, said = shoot(changed(count + 2), env, number, delay, folder)
        check_ended(number, code, said, ())
        subprocess.run(["sha256sum", "--quiet", "-c", "SHA256SUMS"], cwd=out / "quickstart", check=True)
        if number == signal.SIGKILL:
            subprocess.run(changed(1000 + count), env=env, cwd=folder, check=True, capture_output=True)
        assert set(listing(out)) == whole
        assert traces.left() == []


def test_of_image_from_host(engine: Engine) -> None:
    def command(tag: str) -> list[str]:
        return engine.command("image", "from-host", "--tag", tag, "sh", "cat", "ls", "sleep")

    longest = timed(lambda: engine("image", "from-host", "--tag", "demo", "sh", "sleep"))
    for number, delay in shots("from-host", longest * 1.1):
        code, said = shoot(command("second"), engine.env, number, delay, engine.folder)
        check_ended(number, code, said, ())
        assert "demo" in engine("image", "ls").stdout
        if number == signal.SIGKILL:
            engine("image", "from-host", "--tag", "third", "sh")
        engine.check_clean()
    engine.run("echo still")


def test_of_run(either: Engine) -> None:
    either("image", "from-host", "--tag", "demo", "sh", "sleep")
    command = either.command("run", "demo", "sh", "-c", f"{SCRIPT}\n: {either.root}")
    longest = timed(lambda: either.run(SCRIPT))
    for number, delay in shots("run", longest * 1.1):
        code, said = shoot(command, either.env, number, delay, either.folder)
        check_ended(number, code, said, (9,))
        if number == signal.SIGKILL:
            assert either.traces.left_processes() == [], "containers die with their caller"
            either.run("echo next")
        either.check_clean()
