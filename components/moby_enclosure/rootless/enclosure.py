"""An enclosure as the processes inside see it; see the contract."""

import fcntl
import json
import os
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from moby.contracts.ambient import Place
from moby.contracts.types import Fd
from moby.errors import HostUnfit, Unavailable, Unsupported
from moby.host import namespaces, ports, processes
from moby.host.user_maps import is_host_root
from moby_enclosure.rootless.namespaces import KINDS
from moby_enclosure.rootless.talk import VERSION, Talk
from moby_enclosure.rootless.uplink import Uplink

__all__ = ["Rootless"]

_PATIENCE_S = 60.0
_STEP_S = 0.01
_TRIES = 5
_LONGEST_ANSWER = 8192
_KEPT = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TZ", "XDG_RUNTIME_DIR")
_entered: list[Talk] = []
"""Open until this process ends, so that the gate knows that it is inside."""


class Rootless:
    """An enclosure; see the contract."""

    def __init__(self, uplink: Uplink | None, place: Place) -> None:
        self._uplink = uplink
        self._folder = place.run

    def enter(self) -> None:
        """Move the calling process inside; root of some user namespace is inside one already."""
        if os.geteuid() == 0:
            if is_host_root():
                hint = "start it as an ordinary user, or take an engine for root (the assembly docker)"
                raise HostUnfit("this engine is for an ordinary user, and you are root", hint=hint)
            return
        talk, fds = self._let_in()
        here = ""
        with suppress(OSError):  # a folder that is gone, as without an enclosure
            here = str(Path.cwd())
        for fd, kind in zip(fds, KINDS, strict=True):
            namespaces.join(fd, namespaces.FLAGS[kind])
            os.close(fd)
        if here:
            with suppress(OSError):
                os.chdir(here)
        _entered.append(talk)

    def bind(self, protocol: str, address: str, port: int) -> Fd:
        """Return a socket at a port of the host's."""
        try:
            talk = Talk(self._folder)
        except FileNotFoundError:  # no gate's work, but somebody else's namespaces
            return ports.bound(protocol, address, port).detach()
        except ConnectionError as error:
            raise _gone() from error
        try:
            (fd,) = talk.ask("bind", protocol, address, str(port))
        except ConnectionError as error:
            raise _gone() from error
        finally:
            talk.close()
        return fd

    def reclaim(self) -> None:
        """End the gate; who is inside stays there, without a network."""
        with suppress(FileNotFoundError, ConnectionError):
            talk = Talk(self._folder)
            try:
                talk.ask("end")
            finally:
                talk.close()

    def _let_in(self) -> tuple[Talk, list[int]]:
        """Return the namespaces, and the conversation by which the gate knows of who enters them."""
        for _ in range(_TRIES):
            talk = self._reached()
            try:
                return talk, talk.ask("enter", str(VERSION))
            except ConnectionError:  # it was just ending
                talk.close()
            except OSError as error:
                talk.close()
                hint = "end it by the distribution that started it (`down`)"
                raise Unsupported(f"another distribution's gate is in {self._folder}", hint=hint) from error
        raise Unavailable(
            f"the engine's gate in {self._folder} ends again and again", hint=f"see {self._folder / 'log'}"
        )

    def _reached(self) -> Talk:
        """Return a conversation with the gate, which is started where there is none."""
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            with suppress(FileNotFoundError, ConnectionError):
                return Talk(self._folder)
            if not self._start():
                if time.monotonic() > deadline:
                    raise Unavailable(
                        f"the engine's gate in {self._folder} doesn't start", hint=f"see {self._folder / 'log'}"
                    )
                time.sleep(_STEP_S)

    def _start(self) -> bool:
        """Start a gate, unless there is one; return whether this did. HostUnfit says why it couldn't begin."""
        lock = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return False
        read, told = os.pipe2(os.O_CLOEXEC)
        try:
            self._detach(lock, told)
            os.close(told)
            told = -1
            said = os.read(read, _LONGEST_ANSWER) if processes.readable(read, _PATIENCE_S) else b""
        finally:
            for fd in (lock, read, told):
                if fd >= 0:
                    os.close(fd)
        if said == b"ok":
            return True
        message, hint = json.loads(said) if said else ("the engine's gate can't be started", self._last_words())
        raise HostUnfit(message, hint=hint)

    def _last_words(self) -> str:
        return f"see {self._folder / 'log'}"

    def _detach(self, lock: int, told: int) -> None:
        """Run the gate as nobody's child, in a session of its own."""
        from moby_enclosure.rootless import gate  # so that a distribution has it

        places = [str(Path(each).absolute()) for each in sys.path if each]
        environ = {name: os.environ[name] for name in _KEPT if name in os.environ}
        environ["PYTHONPATH"] = os.pathsep.join(places)
        words = [str(self._folder), str(lock), str(told), self._uplink.where if self._uplink else ""]
        command = [sys.executable, "-S", "-P", "-m", gate.__name__, *words]
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        log = os.open(self._folder / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

        def become() -> NoReturn:
            os.chdir("/")
            for number, fd in enumerate((null, null, log)):
                os.dup2(fd, number)
            processes.close_other_descriptors([lock, told])
            for fd in (lock, told):
                os.set_inheritable(fd, True)
            os.execve(command[0], command, environ)  # noqa: S606 - it becomes the program

        def leave() -> NoReturn:
            os.setsid()
            processes.fork(become)
            os._exit(0)

        try:
            _, pidfd = processes.fork(leave)
        finally:
            os.close(null)
            os.close(log)
        processes.reap(pidfd)
        os.close(pidfd)


def _gone() -> Unavailable:
    return Unavailable(
        "the process that opens the host's ports has ended", hint="call any of the engine's commands, which starts it"
    )
