"""What components find around them: the engine's folders, the system's time, a log on standard error."""

import json
import os
import pwd
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from moby.contracts.ambient import Clock, Keeper, Log, Place
from moby.contracts.requests import REQUEST
from moby.errors import HostUnfit, masked
from moby.host.user_maps import is_ordinary
from moby.values import field, frozen

__all__ = ["Roots", "Surroundings", "SystemClock", "TextLog", "Unmade", "is_journal"]

LEVELS = ("debug", "info", "warning", "error")
PRIORITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3}
"""Of syslog(3), as the journal reads them."""
TEXT, JSON, JOURNAL = "text", "json", "journal"


@frozen
class Roots:
    """The three folders of one engine."""

    state: Path
    run: Path
    cache: Path
    engine: str

    @classmethod
    def under(cls, root: Path, engine: str) -> "Roots":
        """Return folders that all lie in one, as `--root DIR` asks for."""
        root = root.absolute()
        return cls(root / "state", root / "run", root / "cache", engine)

    @classmethod
    def usual(cls, engine: str) -> "Roots":
        """Return the host's usual folders; for an ordinary user those of the XDG base directory specification."""
        if not is_ordinary():
            return cls._named("/var/lib", "/run", "/var/cache", engine)
        home = os.environ.get("HOME") or _passwd_home()
        state = os.environ.get("XDG_STATE_HOME") or f"{home}/.local/state"
        cache = os.environ.get("XDG_CACHE_HOME") or f"{home}/.cache"
        run = os.environ.get("XDG_RUNTIME_DIR") or f"{state}/run"
        return cls._named(state, run, cache, engine)

    @classmethod
    def _named(cls, state: str, run: str, cache: str, engine: str) -> "Roots":
        return cls(Path(state, "moby", engine), Path(run, "moby", engine), Path(cache, "moby", engine), engine)

    def place(self, key: str) -> Place:
        """Make and return the folders of one instance (`kind/name`)."""
        place = self.named(key)
        for folder in (place.state, place.run, place.cache):
            make_folder(folder)
        return place

    def named(self, key: str) -> Place:
        """Return the folders of one instance, whether they are there or not."""
        return Place(self.state / key, self.run / key, self.cache / key, self.engine)


@frozen
class Unmade(Roots):
    """The three folders for a part that nobody starts: none is made."""

    def place(self, key: str) -> Place:
        """Return the folders of one instance (`kind/name`)."""
        return self.named(key)


def make_folder(folder: Path) -> None:
    """Make a folder that only its owner may enter; HostUnfit says what to do where that can't be."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        hint = "name a folder that you may write with --root DIR"
        raise HostUnfit(f"can't make the folder {folder}: {error.strerror}", hint=hint) from error


def _passwd_home() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_dir
    except KeyError:
        return "/nonexistent"


class SystemClock:
    """The system's own time."""

    def now_ns(self) -> int:
        """Nanoseconds since the epoch."""
        return time.time_ns()

    def monotonic_ns(self) -> int:
        """Nanoseconds that never go back."""
        return time.monotonic_ns()


@frozen
class TextLog:
    """A log on standard error: a line has time, level, component, message, fields; or they are a line of JSON.

    Passwords of URLs are masked.
    Where standard error is the journal's, a line begins with its priority instead of the time (sd-daemon(3)).
    """

    component: str
    level: str = "warning"
    form: str = TEXT

    def debug(self, message: str, **fields: object) -> None:
        """Write what only a developer wants."""
        self._write("debug", message, fields)

    def info(self, message: str, **fields: object) -> None:
        """Write what an operator may want to know."""
        self._write("info", message, fields)

    def warning(self, message: str, **fields: object) -> None:
        """Write what an operator should look at."""
        self._write("warning", message, fields)

    def error(self, message: str, **fields: object) -> None:
        """Write what failed."""
        self._write("error", message, fields)

    def _write(self, level: str, message: str, fields: dict[str, object]) -> None:
        if LEVELS.index(level) < LEVELS.index(self.level):
            return
        request = REQUEST.get()
        if request:
            fields = {"request": request, **fields}
        now = time.time()
        at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now * 1000) % 1000:03}Z"
        if self.form == JSON:
            named = {"time": at, "level": level, "component": self.component, "message": message}
            line = json.dumps({**fields, **named}, default=str)
        else:
            pairs = "".join(f" {key}={json.dumps(value, default=str)}" for key, value in fields.items())
            line = f"{self.component}: {message}{pairs}".replace("\n", "\\n")
            line = f"<{PRIORITIES[level]}>{line}" if self.form == JOURNAL else f"{at} {level} {line}"
        try:
            sys.stderr.write(f"{masked(line)}\n")
        except (OSError, ValueError):
            return  # a log that can't be written must not stop what it tells about


def is_journal(fd: int) -> bool:
    """Return whether a descriptor is the journal's (systemd.exec(5), JOURNAL_STREAM)."""
    try:
        found = os.fstat(fd)
    except OSError:
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"


@frozen
class Surroundings:
    """Everything that wiring offers besides components."""

    roots: Roots
    clock: Clock = field(factory=SystemClock)
    log_level: str = "warning"
    log_form: str = TEXT
    keeper: Keeper | None = None
    """In the process of a served part that outlives the engine."""
    linger_s: float = 3.0
    """How long a served part stays that nobody uses any more, since commands often follow each other."""
    parts: Mapping[str, str] = field(factory=dict)
    """Versions of the engine's parts, by key."""

    def log(self, key: str) -> Log:
        """Return the log of one instance."""
        form = JOURNAL if self.log_form == TEXT and is_journal(2) else self.log_form
        return TextLog(key, self.log_level, form)
