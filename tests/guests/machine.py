"""A guest: a kernel of its own on this machine's root file system, which runs jobs and is gone."""

import contextlib
import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attrs import Factory, frozen
from peers import binaries

from moby.host.processes import set_child_subreaper

CHECKOUT = binaries.CHECKOUT
CACHE = CHECKOUT / ".cache" / "guests"
"""What is made once of what was unpacked."""
IN_GUEST = Path("/run/checkout")
"""Where a guest has the checkout, for every user to reach."""
RESULTS = Path("/run/results")
"""Where jobs may write files, which `Ended.folder` then has."""
_INSIDE = Path(__file__).with_name("inside.py")
_TAIL = 60

Launch = Callable[..., subprocess.Popen[bytes]]
"""Start a process that writes to the console; keywords are as Popen's."""


class GuestDied(Exception):
    """A guest ended, or was ended, before its jobs had; the text has the last lines of its output and console."""


@frozen
class Job:
    """A command for a guest, run in the checkout."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = Factory(dict)
    ordinary: bool = False
    """As an ordinary user rather than root."""
    delegated: bool = False
    """In a control group that was given to that user."""


@frozen
class Ended:
    """What became of a job."""

    code: int
    output: str
    folder: Path
    """Has what the job wrote to RESULTS."""


@frozen
class Guest:
    """A kind of guest.

    `boot` starts it: it is given what starts processes, a folder with a short name, the folder to be shared, and the
    words that the guest's kernel is to run; the guest is over when the process that it returns has ended.
    """

    name: str
    tree: Path
    """Has its kernel's modules, below lib/modules."""
    modules: Sequence[str]
    boot: Callable[[Launch, Path, Path, Sequence[str]], subprocess.Popen[bytes]]
    emulated: bool = False
    """Whether this machine imitates its processor, which takes some forty times as long."""

    def run(self, folder: Path, jobs: Sequence[Job], timeout_s: float) -> dict[str, Ended]:
        """Boot, run the jobs one after another, power off; GuestDied where one isn't over by then.

        `folder` is for this call alone. Nothing runs on after it.
        """
        shared = folder / "shared"
        shared.mkdir()
        (shared / "jobs.json").write_text(json.dumps(self._asked(jobs)), encoding="utf-8")
        words = [sys.executable, "--", "-IS", str(_INSIDE), self.name, str(shared), str(CHECKOUT)]
        with tempfile.TemporaryDirectory(prefix="moby-guest-") as short, _launching(folder / "console") as launch:
            late = _late(self.boot(launch, Path(short), shared, words), timeout_s)
        why = f"not over after {timeout_s:.0f} s" if late else "the guest is down"
        return {job.name: self._ended(job, folder, why) for job in jobs}

    def _ended(self, job: Job, folder: Path, why: str) -> Ended:
        output, code = (folder / "shared" / f"{job.name}.{kind}" for kind in ("out", "code"))
        text = output.read_text(errors="replace") if output.exists() else ""
        if not code.exists():
            console = (folder / "console").read_text(errors="replace")
            raise GuestDied(
                f"guest {self.name}, job {job.name} ({shlex.join(job.command)}): {why}\n"
                f"--- the end of its output\n{_end_of(text)}\n--- the end of the console\n{_end_of(console)}"
            )
        return Ended(int(code.read_text()), text, folder / "shared")

    def _asked(self, jobs: Sequence[Job]) -> Mapping[str, Any]:
        return {
            "tree": in_guest(str(self.tree)),
            "modules": list(self.modules),
            "programs": in_guest(binaries.path()),
            "libraries": in_guest(binaries.environment()["LD_LIBRARY_PATH"]),
            "jobs": [
                {
                    "name": job.name,
                    "command": list(job.command),
                    "environment": {**self._environment(job), **job.environment},
                    "ordinary": job.ordinary,
                    "delegated": job.delegated,
                }
                for job in jobs
            ],
        }

    def _environment(self, job: Job) -> Mapping[str, str]:
        return {
            "PATH": "/run/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": "/run/home" if job.ordinary else "/root",
            "LC_ALL": "C.UTF-8",
            "MOBY_GUEST": self.name,
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": ":".join(str(IN_GUEST / each) for each in (".", "components", "tests")),
            "HYPOTHESIS_STORAGE_DIRECTORY": "/tmp/hypothesis",
            "CI": "true",  # by which hypothesis lets a slow processor take its time
        }


def in_guest(text: str) -> str:
    """Return what names files of the checkout, as a guest has them."""
    return text.replace(str(CHECKOUT), str(IN_GUEST))


def _end_of(text: str) -> str:
    return "\n".join(text.splitlines()[-_TAIL:])


def _late(process: subprocess.Popen[bytes], timeout_s: float) -> bool:
    try:
        process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        return True
    return False


@contextmanager
def _launching(console: Path) -> Iterator[Launch]:
    """Lend what starts processes; at the end they are killed, with all that they started."""
    with console.open("wb") as out, contextlib.ExitStack() as undo:
        # Orphans of theirs come to us, since a machine's first process may reap late.
        undo.callback(set_child_subreaper, set_child_subreaper())

        def launch(command: Sequence[str | Path], **given: Any) -> subprocess.Popen[bytes]:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True, **given
            )
            undo.callback(_end, process)
            return process

        yield launch


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and its group's others, which a guest's kernel has many of, and wait until they are gone."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    with contextlib.suppress(ChildProcessError):
        while True:
            os.waitpid(-process.pid, 0)
