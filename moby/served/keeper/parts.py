"""The processes of served parts, as their keeper sees them."""

import _signal  # type: ignore[import-not-found]  # signal itself brings enum
import fcntl
import os
import select
import time

from moby.served.keeper.files import own_score, remove, say, set_score, shorten, start_time, write
from moby.served.keeper.holdings import Holdings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Part", "Parts"]

VERSION = 1
"""Of a part's file."""
LIVED_S = 10.0
"""A part that has lived so long has not failed to start."""
SLOWEST_S = 10.0
FIRST_S = 2.0
"""For the first part to be asked for."""
PATIENCE_S = 10.0
"""For a part that was told to end."""
USUAL = (_signal.SIGHUP, _signal.SIGINT, _signal.SIGTERM, _signal.SIGPIPE, _signal.SIGXFSZ, _signal.SIGCHLD)
"""Signals that a part has at their defaults again: this process ignores them, or Python does."""


class Part:
    """A served part: its command, and its process."""

    def __init__(self, name: str, outlives: bool, command: list[str], environ: list[str]) -> None:
        if not name or not command or "\n" in name or " " in name:
            raise ValueError("no part")
        self.name, self.outlives, self.command = name, outlives, command
        self.environ = dict(each.split("=", 1) for each in environ)
        self.pid = 0
        self.pidfd = -1
        self.started = 0.0
        self.failures = 0
        self.due = 0.0
        self.kill_at = 0.0
        """When it is killed, having been told to end; 0 while it wasn't."""
        self.replacement: Part | None = None
        self.waiting: list[Callable[[], None]] = []
        """Who is told once it has ended for good."""


class Parts:
    """Served parts by name, started again when they end, for as long as somebody wants them."""

    def __init__(self, epoll: select.epoll, holdings: Holdings, linger_s: float) -> None:
        self.by_name: dict[str, Part] = {}
        self.by_fd: dict[int, Part] = {}
        self.ending = False
        self._epoll = epoll
        self._holdings = holdings
        self._linger_s = linger_s
        self._idle_since = time.monotonic()
        self._score = own_score()
        self._users = os.open("users", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._adopt()

    def done(self) -> bool:
        """Whether nothing is left: no part, and none has been asked for in a while."""
        if self.by_name:
            return False
        return self.ending or time.monotonic() - self._idle_since > max(self._linger_s, FIRST_S)

    def pause(self) -> float:
        """Seconds until something is due."""
        now, longest = time.monotonic(), max(self._linger_s, 0.05) if self.by_name else 1.0
        for part in self.by_name.values():
            if part.kill_at:
                longest = min(longest, part.kill_at - now)
            elif not part.pid:
                longest = min(longest, part.due - now)
        return max(longest, 0.0)

    def look_after(self) -> None:
        """Start what is due, kill what doesn't end, and tell to end what nobody wants any more."""
        shorten("log")
        now = time.monotonic()
        used = bool(self.by_name) and self._in_use()
        if used:
            self._idle_since = now
        for part in list(self.by_name.values()):
            if part.kill_at:
                if now >= part.kill_at:
                    self._signal(part, _signal.SIGKILL)
                    part.kill_at = now + PATIENCE_S
            elif (
                not (used or (part.outlives and self._holdings.holds(part.name)))
                and now - self._idle_since > self._linger_s
            ):
                self.stop(part)
            elif not part.pid and now >= part.due:
                self._start(part)

    def _in_use(self) -> bool:
        """Whether an engine is there: each holds a shared lock for as long as it lives."""
        try:
            fcntl.flock(self._users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        fcntl.flock(self._users, fcntl.LOCK_UN)
        return False

    def _start(self, part: Part) -> None:
        """Start a part's process, and note it."""
        part.started = time.monotonic()
        try:
            part.pid = os.posix_spawn(
                part.command[0], part.command, part.environ, setsid=True,
                setsigdef=USUAL,
                setsigmask=[],
            )  # fmt: skip
        except OSError as error:
            say(f"{part.name}: can't be started: {error}")
            self._failed(part)
            return
        set_score(part.pid, self._score)
        self._note(part)
        self._watch(part)

    def _watch(self, part: Part) -> None:
        """Be told when a part's process ends, child or not."""
        try:
            part.pidfd = os.pidfd_open(part.pid)
        except ProcessLookupError:
            part.pid = 0
            self._failed(part)
            return
        self.by_fd[part.pidfd] = part
        self._epoll.register(part.pidfd, select.EPOLLIN)

    def ended(self, part: Part) -> None:
        """Deal with the end of a part's process."""
        self._epoll.unregister(part.pidfd)
        del self.by_fd[part.pidfd]
        os.close(part.pidfd)
        part.pid, part.pidfd = 0, -1
        if not part.kill_at:
            say(f"{part.name}: its process has ended; it is started again")
            self._failed(part)
            return
        if part.replacement is not None:
            self.by_name[part.name] = part.replacement
            return
        self._forget(part)

    def _failed(self, part: Part) -> None:
        """Say when a part is to be started again."""
        lived = time.monotonic() - part.started >= LIVED_S
        part.failures = 1 if lived else part.failures + 1
        delay = 0.0 if part.failures == 1 else min(0.05 * 2**part.failures, SLOWEST_S)
        part.due = time.monotonic() + delay

    def stop(self, part: Part) -> None:
        """Tell a part to end for good."""
        part.replacement = None
        if not part.kill_at:
            part.kill_at = time.monotonic() + PATIENCE_S
            self._signal(part, _signal.SIGTERM)
        if not part.pid:
            self._forget(part)

    def _signal(self, part: Part, number: int) -> None:
        """Send a signal to a part's process."""
        if part.pid:
            try:
                _signal.pidfd_send_signal(part.pidfd, number)
            except ProcessLookupError:
                pass

    def _forget(self, part: Part) -> None:
        """Drop a part that has ended for good, and all that it had."""
        self.by_name.pop(part.name, None)
        remove(f"parts/{escaped(part.name)}")
        self._holdings.forget(part.name)
        for tell in part.waiting:
            tell()
        self._idle_since = time.monotonic()

    def _note(self, part: Part) -> None:
        """Write down a part's command and process."""
        head = [str(VERSION), "1" if part.outlives else "0", str(part.pid), start_time(part.pid)]
        fields = [part.name, *head, str(len(part.command)), *part.command]
        fields += [f"{name}={value}" for name, value in part.environ.items()]
        try:
            write(f"parts/{escaped(part.name)}", "\0".join(fields).encode("utf-8", "surrogateescape"))
        except OSError as error:
            say(f"{part.name}: can't be noted: {error}")

    def _adopt(self) -> None:
        """Take up what a keeper that was killed has left: parts that still run, and those that are to run again."""
        for file in sorted(os.listdir("parts")):
            if file.startswith("."):
                continue
            try:
                part, pid, started = read(f"parts/{file}")
            except (OSError, ValueError) as error:
                say(f"parts/{file} can't be read: {error}")
                continue
            self.by_name[part.name] = part
            if started and start_time(pid) == started:
                part.pid, part.started = pid, time.monotonic()
                self._watch(part)

    def want(self, part: Part, replace: bool) -> int:
        """Run a part; where it runs already, as it does, or (`replace`) by another command if that differs.

        Return the process that ends before it starts; 0 for none.
        """
        self.ending = False
        self._idle_since = time.monotonic()
        old = self.by_name.get(part.name)
        differs = old is not None and old.command != part.command
        if old is None or (differs and replace and not old.pid):
            self.by_name[part.name] = part
        elif old.kill_at:
            old.replacement = part
        elif differs and replace:
            self.stop(old)
            old.replacement = part
        elif not old.pid:
            old.due = min(old.due, time.monotonic() + 0.05)
        return old.pid if old is not None and old.kill_at else 0


def escaped(name: str) -> str:
    """Return a part's name as a file's."""
    return name.replace("/", ".")


def read(path: str) -> tuple[Part, int, str]:
    """Return a noted part, and the pid and start of the process that it had."""
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        name, version, outlives, pid, started, count, *rest = file.read().split("\0")
    if abs(int(version) - VERSION) > 1:
        raise ValueError(f"version {version}")
    return Part(name, outlives == "1", rest[: int(count)], rest[int(count) :]), int(pid), started
