"""What a supervisor needs to go on with a task that another one began, on disk: a folder each."""

import contextlib
import errno
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from moby.contracts.log_driver import LogConfig
from moby.contracts.supervisor import Health, HealthCheck, HealthResult, HealthStatus, TaskConfig
from moby.contracts.types import Exit, Window
from moby.errors import Corrupt, Invalid
from moby.values import field, frozen

__all__ = ["Record", "Records", "boot_id"]

FORMAT = 1
_LARGEST = 1 << 18
"""Bytes of a record's file, which is then begun anew."""
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,254}")


@frozen
class Record:
    """What changes in a task's life. What doesn't is beside it: its TaskConfig."""

    boot: str
    container: str
    """Whose first process it is, or in which it was run."""
    slot: int
    status: str = "creating"
    pid: int = 0
    """0 until there is a process: intent is written before the clone."""
    ticks: int = 0
    """When it started, after boot; with the boot it tells the process from a later one of the same pid."""
    started_ns: int = 0
    """When it was, or is being, started."""
    doing: str = ""
    """The call that is under way in a starter, which tells by a socket what came of it."""
    logger: tuple[int, int] = (0, 0)
    """The process that writes the log, and when it started."""
    probe: tuple[int, int] = (0, 0)
    """The process that runs the health check, and when it started."""
    health: Health = field(factory=Health)
    first_entry: int = 0
    """The journal's entries of this task, and not of an earlier one of its name, come after this number."""
    attached: bool = False
    """Whether somebody has been attached."""
    stdin_ended: bool = False
    oom_kills: int = 0
    exit: Exit | None = None


@frozen
class Records:
    """The folder of all records."""

    root: Path

    def folder(self, task_id: str) -> Path:
        """Return a task's folder; Invalid for an id that can't name one."""
        if not _ID.fullmatch(task_id):
            raise Invalid(
                f"{task_id!r} can't be the id of a task", hint="use letters, digits, and _ . + - after the first"
            )
        return self.root / task_id

    def begin(self, config: TaskConfig, record: Record) -> Path:
        """Write a new task's record; return its folder."""
        folder = self.folder(config.id)
        folder.mkdir(mode=0o700, parents=True)
        # What says that there is a task comes after this, so it need not come in one step.
        self._append(f"{folder}/config.json", {"format": FORMAT, **_plain_config(config)})
        self.write(config.id, record)
        return folder

    def write(self, task_id: str, record: Record) -> None:
        """Add a record's latest state to its file, of which the last whole line counts.

        Replacing files takes file systems ten times longer, which write the new one out first.
        """
        values = {**record.__dict__, "health": _plain_health(record.health)}
        if record.exit is not None:
            values["exit"] = [record.exit.code, record.exit.time_ns, record.exit.oom_killed]
        path = f"{self.root}/{task_id}/task.json"
        if self._append(path, values) > _LARGEST:
            self._append(f"{path}.new", values)
            os.replace(f"{path}.new", path)  # noqa: PTH105 - paths are texts here, which a task's life has many of

    @staticmethod
    def _append(path: str, values: Mapping[str, Any]) -> int:
        """Add a line; return the file's size. OSError where the disk is full, with nothing added."""
        line = json.dumps(values).encode() + b"\n"
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            before = os.fstat(fd).st_size
            if os.write(fd, line) != len(line):
                os.truncate(fd, before)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
            return before + len(line)
        finally:
            os.close(fd)

    def ids(self) -> tuple[str, ...]:
        """Return the ids of all tasks, sorted."""
        try:
            return tuple(sorted(each for each in os.listdir(self.root) if _ID.fullmatch(each)))  # noqa: PTH208
        except FileNotFoundError:
            return ()

    def read(self, task_id: str) -> tuple[TaskConfig, Record] | None:
        """Return what is known of a task; None where its making had not come far enough. Corrupt names the file."""
        folder = self.folder(task_id)
        try:
            config = _config(json.loads((folder / "config.json").read_text(encoding="utf-8")))
            values = json.loads(_last_line(folder / "task.json") or "null")
            if values is None:
                return None
            values["exit"] = Exit(*values["exit"]) if values["exit"] else None
            values["logger"], values["probe"] = tuple(values["logger"]), tuple(values["probe"])
            values["health"] = _health(values["health"])
            return config, Record(**values)
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise Corrupt(f"the record in {folder} can't be read: {error}", hint=f"remove {folder}") from error

    def remove(self, task_id: str) -> None:
        """Remove a record; removing twice is fine."""
        folder = str(self.folder(task_id))
        with contextlib.suppress(FileNotFoundError):
            # What says that there is a task goes first, so that what is left by a kill is no task.
            for name in ("task.json", *os.listdir(folder)):  # noqa: PTH208
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(f"{folder}/{name}")  # noqa: PTH108
            os.rmdir(folder)  # noqa: PTH106


def _last_line(path: Path) -> bytes:
    """Return the last whole line; what comes after it was being written by who was killed, and is taken away."""
    data = path.read_bytes()
    end = data.rfind(b"\n") + 1
    if end != len(data):
        os.truncate(path, end)
    return data[data.rfind(b"\n", 0, max(0, end - 1)) + 1 : end]


def boot_id() -> str:
    """Return what names this boot of the machine."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def _plain_config(config: TaskConfig) -> dict[str, Any]:
    values = _fields(config)
    values["bundle"] = str(config.bundle)
    del values["attach"]  # which is over once it is made
    if config.log is not None:
        values["log"] = {**_fields(config.log), "folder": str(config.log.folder)}
        values["log"]["options"] = dict(config.log.options)
        values["log"]["labels"] = dict(config.log.labels)
    for name in ("window", "health"):
        if values[name] is not None:
            values[name] = _fields(values[name])
    return values


def _plain_health(health: Health) -> list[Any]:
    results = [[each.start_ns, each.end_ns, each.code, each.output] for each in health.results]
    return [health.status, health.failing_streak, results]


def _health(data: list[Any]) -> Health:
    status, streak, results = data
    return Health(HealthStatus(status), streak, tuple(HealthResult(*each) for each in results))


def _fields(value: Any) -> dict[str, Any]:
    """Return a value's fields by name, whichever way it was made."""
    return {name: getattr(value, name) for name in type(value).__match_args__}


def _config(data: dict[str, Any]) -> TaskConfig:
    if data.pop("format") != FORMAT:
        raise ValueError("it is of another version")
    data["bundle"] = Path(data["bundle"])
    if data["window"] is not None:
        data["window"] = Window(**data["window"])
    if data["health"] is not None:
        data["health"] = HealthCheck(**{**data["health"], "test": tuple(data["health"]["test"])})
    if data["log"] is not None:
        log = data["log"]
        tuples = {name: tuple(log[name]) for name in ("command", "environment")}
        data["log"] = LogConfig(**{**log, **tuples, "folder": Path(log["folder"])})
    return TaskConfig(**data)
