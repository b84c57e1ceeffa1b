"""What `serve` takes and tells beside answering: its flags, where nobody hears it, a dump of what it is doing."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from test_entry import SERVING

from moby.engine import serving
from moby.engine.call import Call
from moby.plan import Plan
from moby.surroundings import Roots

PATIENCE_S = 60
THREADS = """
import threading
for _ in range(2):
    threading.Thread(target=threading.Event().wait, name="call", daemon=True).start()
"""
TWO = "Plan('toy', tuple(Instance('frontend', each, facts, {'name': each}) for each in 'fg'))"


@contextmanager
def served(root: Path, *more: str, code: str = SERVING) -> Iterator[subprocess.Popen[str]]:
    """Serve toys in a process of its own, which says what becomes of them; it is ended in order."""
    code = code.format(parts=str(Path(__file__).parent / "parts"), root=str(root)).replace(
        '"serve"]', ", ".join(["'serve'", *map(repr, more)]) + "]"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with process:
        try:
            yield process
        finally:
            process.terminate()


def begun(process: subprocess.Popen[str], last: str = "f") -> None:
    """Wait until it listens by its last front end."""
    assert process.stdout is not None
    while process.stdout.readline() != f"listen {last}\n":
        assert process.poll() is None


@pytest.mark.parametrize("wrong", ["-1", "nan", "soon", ""])
def test_a_drain_timeout_that_is_none(wrong: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call = Call(Plan("toy"), {}, Roots.under(tmp_path, "toy"), None, "warning", "serve", (f"--drain-timeout={wrong}",))
    assert serving._flags(call) is None
    assert f"argument --drain-timeout: invalid seconds value: {wrong!r}" in capsys.readouterr().err


@pytest.mark.parametrize(("more", "warns"), [((), True), (("--host", "unix:///x"), False)])
def test_who_listens_nowhere_says_so(tmp_path: Path, more: tuple[str, ...], warns: bool) -> None:
    with served(tmp_path, *more) as process:
        begun(process)
        process.terminate()
        _, said = process.communicate(timeout=PATIENCE_S)
    assert ("warning engine: listening nowhere" in said) is warns


def test_all_front_ends_begin_to_end_at_once(tmp_path: Path) -> None:
    """While one still waits for its clients no other takes new ones."""
    code = SERVING.replace('Plan("toy", (Instance("frontend", "f", facts, {{"name": "f"}}),))', TWO)
    code = code.replace("{'name'", "{{'name'").replace("each})", "each}})")
    code = code.replace(
        "class Seen", "toy_parts.Toy.drain = lambda self, left: self._step(f'drain {{left:.1f}}') or False\nclass Seen"
    )
    with served(tmp_path, "--drain-timeout", "0.2", code=code) as process:
        begun(process, "g")
        process.terminate()
        said = process.communicate(timeout=PATIENCE_S)[0].splitlines()
    assert said[:3] == ["drain 0.0 f", "drain 0.0 g", "drain 0.2 f"]


def test_a_dump_has_all_threads(tmp_path: Path) -> None:
    with served(tmp_path, code=THREADS + SERVING) as process:
        begun(process)
        os.kill(process.pid, signal.SIGUSR1)
        found = dumped(tmp_path)
        tasks = {int(each.name) for each in Path(f"/proc/{process.pid}/task").iterdir()}
    assert [each["name"] for each in found["threads"]].count("call") == 2
    assert {each["id"] for each in found["threads"]} == tasks
    assert all("wait" in each["stack"][-1] for each in found["threads"] if each["name"] == "call")


def dumped(root: Path) -> dict[str, Any]:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        for each in root.glob("run/dumps/*.json"):
            try:
                found: dict[str, Any] = json.loads(each.read_text())
            except ValueError:
                continue  # which is being written
            return found
        time.sleep(0.01)
    raise AssertionError("there is no dump")
