"""What is on disk of a container: a folder made by who takes its id, in which its record appears whole or not at all.

ID/record.json   who it is and what `start` has to look at
ID/start         a FIFO; bubblewrap waits for its first byte
ID/status.json   bubblewrap's own account: its child's pid, and the exit code of a program that did run
"""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from attrs import asdict, field, frozen
from moby.errors import Conflict, Corrupt, Invalid

from bwrap_runtime.processes import Identity
from bwrap_runtime.view import View

__all__ = ["Folder", "Record"]

_FORMAT = 1
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,254}")


@frozen
class Record:
    """A container that was made."""

    bundle: str
    annotations: Mapping[str, str]
    monitor: Identity
    """bubblewrap, whose exit status is the container's."""
    first: Identity
    """PID 1 of the container."""
    program: tuple[str, ...]
    search: str
    cwd: str
    rootfs: str
    mounts: tuple[tuple[str, str], ...]

    @property
    def view(self) -> View:
        """What the container sees."""
        return View(Path(self.rootfs), self.mounts)


@frozen
class Folder:
    """The folder of one container."""

    root: Path
    id: str = field()

    @id.validator
    def _check(self, _: object, value: str) -> None:
        if not _ID.fullmatch(value):
            raise Invalid(f"{value!r} is no container id", hint="use letters, digits, and _ . + - after the first")

    @property
    def path(self) -> Path:
        """Where it is."""
        return self.root / self.id

    @property
    def mark(self) -> str:
        """An argument on bubblewrap's command line by which its processes are found after a crash."""
        return f"moby-bwrap-{hashlib.sha256(os.fsencode(self.path.absolute())).hexdigest()[:24]}"

    def claim(self) -> None:
        """Take the id; Conflict where it is taken."""
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            self.path.mkdir(mode=0o700)
        except FileExistsError:
            raise Conflict(f"container id {self.id} is taken", hint="delete that container first") from None
        os.mkfifo(self.path / "start", 0o600)

    def save(self, record: Record) -> None:
        """Write the record, so that it is there whole or not at all."""
        data = {"format": _FORMAT, **asdict(record)}
        temporary = self.path / "record.new"
        temporary.write_text(json.dumps(data), encoding="utf-8")
        temporary.rename(self.path / "record.json")

    def load(self) -> Record | None:
        """Return the record; None where the container isn't made yet, or nobody has the id."""
        file = self.path / "record.json"
        try:
            data = json.loads(file.read_bytes())
            if data.pop("format") != _FORMAT:
                raise Corrupt(f"{file} has another format", hint="delete it with the version that wrote it")
            data["monitor"], data["first"] = (Identity(**data[name]) for name in ("monitor", "first"))
            data["program"], data["mounts"] = tuple(data["program"]), tuple((a, b) for a, b in data["mounts"])
            return Record(**data)
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            raise Corrupt(f"{file} can't be read: {error}", hint="delete the container with force") from error

    def account(self) -> Mapping[str, int]:
        """Return bubblewrap's own account so far: `child-pid`, and `exit-code` once a program has run and ended."""
        found: dict[str, int] = {}
        try:
            lines = (self.path / "status.json").read_text(encoding="utf-8").splitlines(keepends=True)
        except FileNotFoundError:
            return found
        for line in lines:
            if line.endswith("\n"):
                found |= json.loads(line)
        return found

    def remove(self) -> None:
        """Remove it; fine where there is none."""
        shutil.rmtree(self.path, ignore_errors=True)
