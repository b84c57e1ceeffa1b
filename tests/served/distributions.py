"""Distributions of the toy parts as real archives, and their `serve` as a real process."""

import json
import os
import signal
import socket
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import attr
import attrs
import pluggy
from served.conftest import eventually

import moby
from moby.distribution.contents import MAIN_SOURCE
from moby.plan import Plan, dump

PARTS = Path(__file__).parent / "parts"


def make(path: Path, plan: Plan, mark: str = "") -> Path:
    """Write an archive that holds the framework, what it runs on, the toys and a plan; `mark` makes it another one."""
    with zipfile.ZipFile(path, "w") as archive:
        for package in (moby, attr, attrs, pluggy):
            folder = Path(package.__file__ or "").parent
            for file in sorted(folder.rglob("*.py")):
                archive.write(file, str(file.relative_to(folder.parent)))
        archive.write(PARTS / "served_toys.py", "served_toys.py")
        archive.writestr("mark.txt", mark)
        archive.writestr("moby-lock.json", json.dumps({"framework": "0", "engine": dump(plan)}))
        archive.writestr("__main__.py", MAIN_SOURCE.format(name="toy", framework="0"))
    return path


class Serving:
    """A `serve` that answers at a socket."""

    def __init__(self, process: "subprocess.Popen[str]", path: Path) -> None:
        self.process = process
        self.path = path

    def ask(self, line: str = "who") -> tuple[int, int, str]:
        """Return the engine's pid, the shelf's, and the file that the toys were imported from."""
        with self.asked(line) as answer:
            return answer()

    @contextmanager
    def asked(self, line: str) -> Iterator[Callable[[], tuple[int, int, str]]]:
        """Ask; within the block, what is yielded reads the answer. An answer to `wait` has begun by then."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(60)
            sock.connect(os.path.relpath(self.path))
            with sock.makefile("rw") as lines:
                lines.write(f"{line}\n")
                lines.flush()
                if line.startswith("wait"):
                    assert lines.readline() == "begun\n"

                def answer() -> tuple[int, int, str]:
                    engine, shelf, file = lines.readline().split()
                    return int(engine), int(shelf), file

                yield answer

    def end(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        code = self.process.wait(60)
        if code > 0 and self.process.stderr:
            print(self.process.stderr.read())
        return code


@contextmanager
def serving(archive: Path, root: Path, *words: str, flags: Sequence[str] = ()) -> Iterator[Serving]:
    """Run `serve` until the block ends; killed if it hasn't ended by then."""
    path = root.parent / "front.sock"
    path.unlink(missing_ok=True)
    command = [sys.executable, str(archive), "--root", str(root), *flags, "serve", "--host", f"unix://{path}", *words]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            eventually(lambda: path.exists() or process.poll() is not None)
            assert process.poll() is None, process.stderr.read() if process.stderr else ""
            yield Serving(process, path)
        finally:
            if process.poll() is None:
                process.kill()


def run(archive: Path, root: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    """Run another verb."""
    command = [sys.executable, str(archive), "--root", str(root), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
