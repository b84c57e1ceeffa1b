"""Starts keepers, and tells them which parts to run: what an engine, or a part whose keeper was killed, does."""

import fcntl
import importlib.util
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from moby.errors import HostUnfit, Invalid, Unavailable, Unsupported
from moby.host import processes
from moby.served.keeper import program
from moby.served.keeping import Conversation
from moby.served.stored import stored
from moby.values import frozen

__all__ = ["KeptPart", "Launcher"]

_PATIENCE_S = 20.0
_STEP_S = 0.005
_MODULES = ("program", "parts", "holdings", "files")
_MAIN = "from moby.served.keeper.program import main\n\nmain()\n"


@frozen
class KeptPart:
    """What a keeper says of a part."""

    key: str
    pid: int
    """0 while it is started again."""
    failures: int
    """How often in a row it has failed to start, or has ended soon."""
    held: int
    """Descriptors that are held for it."""


class Launcher:
    """The keeper of one engine root: its folder, and how to start it there."""

    def __init__(self, run: Path, *, linger_s: float) -> None:
        self.folder = run / "keeper"
        self._linger_s = linger_s

    def reach(self, owner: str = "") -> Conversation:
        """Return a conversation with the keeper, which is started where there is none.

        Unsupported where one of another version runs; Unavailable where none comes up.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder = os.open(self.folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            deadline = time.monotonic() + _PATIENCE_S
            while True:
                try:
                    return _greeted(folder, owner)
                except (ConnectionError, FileNotFoundError) as error:
                    if time.monotonic() > deadline:
                        hint = f"see {self.folder / 'log'}"
                        raise Unavailable(f"no keeper comes up in {self.folder}: {error}", hint=hint) from error
                if not self._start():
                    time.sleep(_STEP_S)
        finally:
            os.close(folder)

    def running(self) -> Conversation | None:
        """Return a conversation with the keeper; None where there is none."""
        try:
            folder = os.open(self.folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            return _greeted(folder, "")
        except (ConnectionError, FileNotFoundError):
            return None
        finally:
            os.close(folder)

    def want(
        self, key: str, command: Sequence[str], environ: Mapping[str, str], *, outlives: bool, replace: bool
    ) -> int:
        """Have a part run; with `replace` by this command, where it runs by another.

        Return the process that ends before, to be waited for by who wants the next one; 0 for none.
        """
        pairs = [f"{name}={value}" for name, value in environ.items()]
        flags = ("1" if outlives else "0", "1" if replace else "0")
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            talk = self.reach()
            try:
                said, _ = talk.ask("part", key, *flags, str(len(command)), *command, *pairs)
            except ConnectionError as error:  # it was just ending
                if time.monotonic() > deadline:
                    raise Unavailable(f"the keeper in {self.folder} keeps ending: {error}") from error
            else:
                return int(said[0]) if said else 0  # an older keeper doesn't say
            finally:
                talk.close()

    def parts(self) -> tuple[KeptPart, ...]:
        """Return the parts that the keeper has; none where there is no keeper."""
        talk = self.running()
        if talk is None:
            return ()
        try:
            return _told(talk)
        finally:
            talk.close()

    def parts_now(self) -> tuple[KeptPart, ...]:
        """Return the parts that the keeper has, as `parts`; none where it just went, or doesn't say."""
        try:
            return self.parts()
        except OSError:
            return ()

    def knows(self, key: str, pid: int) -> bool:
        """Whether a process is the part's to the keeper, which is started where there is none.

        One that is just starting the process says so once it has written it down, so that the next one knows too.
        """
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            talk = self.reach()
            try:
                return any((each.key, each.pid) == (key, pid) for each in _told(talk))
            except ConnectionError as error:
                if time.monotonic() > deadline:
                    raise Unavailable(f"the keeper in {self.folder} keeps ending: {error}") from error
            finally:
                talk.close()

    def user(self) -> int:
        """Return a descriptor by which the keeper knows that its parts are wanted, until it is closed."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        users = os.open(self.folder / "users", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(users, fcntl.LOCK_SH)  # the keeper has it alone for a moment at most
        return users

    def stop(self, key: str) -> None:
        """End one part, and wait until it has ended; fine where there is no such."""
        talk = self.running()
        if talk is not None:
            try:
                talk.ask("stop", key)
            finally:
                talk.close()

    def end(self) -> None:
        """End all parts, and the keeper; fine where there is none. Unavailable where they don't end in time."""
        talk = self.running()
        if talk is None:
            return
        try:
            talk.ask("end")
        except ConnectionError:
            pass  # it had nothing left
        finally:
            talk.close()
        deadline = time.monotonic() + 2 * _PATIENCE_S
        while (lock := self._lock()) is None:
            if time.monotonic() > deadline:
                raise Unavailable(f"the keeper in {self.folder} doesn't end", hint=f"see {self.folder / 'log'}")
            time.sleep(_STEP_S)
        os.close(lock)

    def _lock(self) -> int | None:
        """Take the lock that a keeper has for as long as it lives; None where one has it."""
        lock = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return None
        return lock

    def _start(self) -> bool:
        """Start a keeper unless there is one, or somebody else just starts it; return whether this did."""
        lock = self._lock()
        if lock is None:
            return False
        try:
            code = stored(
                self.folder / "program",
                {
                    "__main__.py": _MAIN.encode(),
                    **{f"moby/served/keeper/{name}.py": _source(name) for name in _MODULES},
                },
            )
            (self.folder / "socket").unlink(missing_ok=True)  # so that nobody takes the one who is gone for it
            command = [sys.executable, "-I", "-S", str(code), str(self.folder), str(lock), str(self._linger_s)]
            self._detach(command, lock)
        finally:
            os.close(lock)
        return True

    def _detach(self, command: list[str], lock: int) -> None:
        """Run a command that is nobody's child, in a session of its own, as a child subreaper (prctl(2))."""
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        log = _journal() or os.open(self.folder / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        environ = {name: os.environ[name] for name in ("PATH", "JOURNAL_STREAM") if name in os.environ}

        def become() -> NoReturn:
            os.chdir("/")
            processes.set_child_subreaper()
            for number, fd in enumerate((null, null, log)):
                os.dup2(fd, number)
            processes.close_other_descriptors([lock])
            os.set_inheritable(lock, True)
            os.execve(command[0], command, environ)  # noqa: S606 - it becomes the program

        def leave() -> NoReturn:
            os.setsid()
            processes.fork(become)
            os._exit(0)

        try:
            _, pidfd = processes.fork(leave)
        finally:
            os.close(null)
            if log != 2:
                os.close(log)
        processes.reap(pidfd)
        os.close(pidfd)


def _told(talk: Conversation) -> tuple[KeptPart, ...]:
    lines = [each.split(" ") for each in talk.pages("status")]
    return tuple(KeptPart(key, *map(int, numbers)) for key, *numbers in lines)


def _greeted(folder: int, owner: str) -> Conversation:
    try:
        return Conversation(folder, owner)
    except Invalid as error:
        hint = "end it (`down`), or start the engine that it belongs to"
        raise Unsupported(f"the keeper that runs here is another's: {error.message}", hint=hint) from error


def _source(name: str) -> bytes:
    """Return a module of the keeper's program, also out of an archive."""
    module = f"{program.__package__}.{name}"
    spec = importlib.util.find_spec(module)
    get_source = getattr(spec.loader if spec else None, "get_source", None)
    text = get_source(module) if get_source is not None else None
    if text is None:
        raise HostUnfit(f"the source of {module} isn't there", hint="get or assemble this distribution again")
    return str(text).encode()


def _journal() -> int:
    """Return 2 where standard error is the journal's (systemd.exec(5), JOURNAL_STREAM), else 0."""
    from moby.surroundings import is_journal

    return 2 if is_journal(2) else 0
