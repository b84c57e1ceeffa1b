"""Real command lines of `moby` and of an engine."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from attrs import define, field
from fault_traces import Traces, listing

from moby.host import tree

MAIN = "import sys; sys.path.insert(0, sys.argv.pop(1)); from moby.cli.main import main; main()"
NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
Done = subprocess.CompletedProcess


def environment(**changes: str | None) -> dict[str, str]:
    """This process's, without what would lead a call elsewhere."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("XDG_", "MOBY_"))}
    merged = {**kept, **changes}
    return {key: value for key, value in merged.items() if value is not None}


def call(command: list[str], **options: Any) -> Done:
    """Run a command to its end."""
    defaults = {"capture_output": True, "text": True, "timeout": 120, "env": environment()}
    return subprocess.run(command, check=False, **{**defaults, **options})


def clear(folder: Path) -> None:
    """Remove a folder, whatever a test made of it."""
    parent = os.open(folder.parent, tree.DIRECTORY_FLAGS)
    try:
        tree.remove(parent, folder.name)
    finally:
        os.close(parent)


@define
class Engine:
    """A distribution with a root of its own."""

    pyz: Path
    folder: Path
    root: Path = field()
    temporary: Path = field()
    prefix: list[str] = field(factory=list)
    """What each call begins with, such as a change of user."""

    @root.default
    def _root(self) -> Path:
        return self.folder / "root"

    @temporary.default
    def _temporary(self) -> Path:
        return self.folder / "tmp"

    @property
    def traces(self) -> Traces:
        """What it has on this host."""
        return Traces(self.root, "quickstart", str(self.root), self.temporary)

    def command(self, *arguments: object) -> list[str]:
        """The command line of one call; its root marks its containers too, where they are told of it."""
        return [*self.prefix, sys.executable, str(self.pyz), "--root", str(self.root), *map(str, arguments)]

    @property
    def env(self) -> dict[str, str]:
        """Where its temporary files go."""
        self.temporary.mkdir(mode=0o777, exist_ok=True)
        return environment(TMPDIR=str(self.temporary))

    def __call__(self, *arguments: object, code: int = 0, **options: Any) -> Done:
        """Make one call, which ends as said and without a traceback."""
        done = call(self.command(*arguments), **{"env": self.env, **options})
        assert done.returncode == code, f"{done.returncode}: {done.stdout}{done.stderr}"
        assert "Traceback" not in str(done.stderr)
        return done

    def run(self, script: str, *flags: object, code: int = 0, **options: Any) -> Done:
        """Run a script in a container whose processes can be told by the root's name."""
        return self("run", *flags, "demo", "sh", "-c", f"{script}\n: {self.root}", code=code, **options)

    def check_clean(self) -> None:
        """See that nothing is left on the host, and that of the root nothing is half-way."""
        left = self.traces.left()
        assert left == [], left
        lent = [self.root / "state/images/layout" / each for each in ("rootfs", "ingest")]
        held = [self.root / "run" / each for each in ("command/run", "supervisor/foreground", "runtime/native")]
        found = [f"{each}/{path}" for each in (*lent, *held) for path in listing(each) if path != ".gate"]
        assert found == [], found

    def check_gone(self) -> None:
        """See that `down --purge` leaves nothing at all."""
        self("down", "--purge")
        assert self.traces.left() == []
        assert listing(self.root) == []
