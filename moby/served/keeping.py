"""A served part's side of its keeper: what it has given away it keeps copies of, for a keeper that was killed."""

import os
import socket
import threading
from array import array
from collections.abc import Callable, Mapping, Sequence

from moby.contracts.ambient import Reaped
from moby.contracts.types import Fd
from moby.errors import Invalid, MobyError, NotFound, Unavailable
from moby.served.keeper.program import LONGEST, MOST_FDS, VERSION
from moby.served.wire import close_all

__all__ = ["Conversation", "HeldKeeper"]

TIMEOUT_S = 20.0
Given = tuple[tuple[int, ...], tuple[int, ...]]
"""Copies of descriptors, and pids."""
NOTHING: Given = ((), ())
_SPACE = socket.CMSG_SPACE(MOST_FDS * 4)
_CUT = int(socket.MSG_CTRUNC)


class Conversation:
    """One connection to a keeper: a packet out, one in. ConnectionError once the keeper has gone."""

    def __init__(self, folder: int, owner: str) -> None:
        self.pid = 0
        self._owes = False
        """Whether an answer is still to come that nobody waits for."""
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
        try:
            self._sock.settimeout(TIMEOUT_S)
            self._sock.connect(f"/proc/self/fd/{folder}/socket")
            self.pid = int(self.ask("hello", str(VERSION), owner)[0][1])
        except BaseException:
            self._sock.close()
            raise

    def ask(self, *fields: str, fds: Sequence[int] = ()) -> tuple[list[str], list[int]]:
        """Say something and return the answer's fields and descriptors; Invalid where the keeper refuses."""
        self._say(fields, fds)
        word, rest, received = self._heard()
        if word == "error":
            close_all(received)
            raise Invalid(f"the keeper refuses {fields[0]}: {rest[0]}")
        return rest, received

    def tell(self, *fields: str, fds: Sequence[int] = ()) -> None:
        """Say something that the keeper gets whatever becomes of the caller; where it refuses, nothing is done."""
        self._say(fields, fds)
        self._owes = True

    def _say(self, fields: Sequence[str], fds: Sequence[int]) -> None:
        data = "\0".join(fields).encode("utf-8", "surrogateescape")
        if len(data) > LONGEST or len(fds) > MOST_FDS or any("\0" in each for each in fields):
            raise Invalid(f"too much for the keeper at once: {len(data)} bytes, {len(fds)} descriptors")
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", fds))] if fds else []
        if self._owes:
            self._heard()
            self._owes = False
        try:
            self._sock.sendmsg([data], rights)
        except TimeoutError as error:
            raise _silent() from error

    def _heard(self) -> tuple[str, list[str], list[int]]:
        """Return the next answer: its word, its other fields, and its descriptors."""
        try:
            answer, ancillary, flags, _ = self._sock.recvmsg(LONGEST + 1, _SPACE, socket.MSG_CMSG_CLOEXEC)
        except TimeoutError as error:
            raise _silent() from error
        if not answer:
            raise ConnectionResetError("the keeper has gone")
        received = array("i")
        for _, _, payload in ancillary:
            received.frombytes(payload)
        word, *rest = answer.decode("utf-8", "surrogateescape").split("\0")
        if flags & _CUT:
            word, rest = "error", ["too many open descriptors"]
        return word, rest, list(received)

    def pages(self, word: str) -> list[str]:
        """Return a whole list, page by page."""
        found: list[str] = []
        start = "0"
        while start:
            (start, *items), _ = self.ask(word, start)
            found += items
        return found

    def tell_when(self) -> int:
        """Ask to be told of exits; return the descriptor by which, which is the caller's to close."""
        self.ask("watch")
        self._sock.setblocking(False)
        return os.dup(self._sock.fileno())

    def quiet(self) -> None:
        """Take what was told; ConnectionError once the keeper has gone."""
        while True:
            try:
                if not self._sock.recv(64):
                    raise ConnectionResetError("the keeper has gone")
            except BlockingIOError:
                return

    def close(self) -> None:
        """End it."""
        self._sock.close()


class HeldKeeper:
    """The ambient Keeper of a served part. Thread-safe, though one thread is what it is for.

    `reach` starts a keeper where there is none, and returns a conversation with it.
    """

    def __init__(self, reach: Callable[[], Conversation]) -> None:
        self._reach = reach
        self._lock = threading.RLock()
        self._talk: Conversation | None = None
        self._told: Conversation | None = None
        self._copies: dict[str, Given] = {}
        self._fetched = False

    def hold(self, name: str, fds: Sequence[Fd], pids: Sequence[int] = ()) -> None:
        """Keep copies of descriptors under a name, and note children."""
        copies = tuple(_copy(fd) for fd in fds)
        with self._lock:
            self._fetch()
            before = self._copies.get(name, NOTHING)
            self._copies[name] = (copies, (*before[1], *pids))
            try:
                self._ask("hold", name, *map(str, pids), fds=copies, waits=before is NOTHING)
            except MobyError:
                del self._copies[name]
                if before is not NOTHING:
                    self._copies[name] = before
                close_all(copies)
                raise
            close_all(before[0])

    def held(self) -> Mapping[str, tuple[Fd, ...]]:
        """Return fresh copies of all that is held, by name."""
        with self._lock:
            self._fetch()
            self._ask("names", "0")  # so that a keeper that was killed is found out, and another has it all
            return {name: tuple(_copy(fd) for fd in fds) for name, (fds, _) in self._copies.items()}

    def release(self, name: str) -> None:
        """Close what is held under a name, and forget its children."""
        with self._lock:
            self._fetch()
            close_all(self._copies.pop(name, NOTHING)[0])
            self._ask("release", name, waits=False)

    def reaped(self) -> tuple[Reaped, ...]:
        """Return how noted children ended that had become the keeper's own."""
        with self._lock:
            try:
                if self._told is not None:
                    self._told.quiet()
                entries = self._connected().pages("reaped")
            except (ConnectionError, OSError):
                self._forget()
                entries = self._connected().pages("reaped")
        return tuple(Reaped(*map(int, each.split(" "))) for each in entries)

    def watch(self) -> Fd:
        """Return a descriptor that becomes readable when `reaped` has more, or when the keeper is gone."""
        with self._lock:
            self._connected()
            try:
                told = self._reach()
            except OSError as error:
                raise Unavailable(f"the keeper can't be reached: {error}") from error
            if self._told is not None:
                self._told.close()
            self._told = told
            return told.tell_when()

    def close(self) -> None:
        """End the conversation; what is held stays held."""
        with self._lock:
            self._forget()
            for fds, _ in self._copies.values():
                close_all(fds)
            self._copies.clear()

    def _fetch(self) -> None:
        """Once, learn what an earlier process of this part has given."""
        if self._fetched:
            return
        talk = self._connected()
        for name in talk.pages("names"):
            _, fds = talk.ask("get", name)
            self._copies[name] = (tuple(fds), ())
        self._fetched = True

    def _ask(self, *fields: str, fds: Sequence[int] = (), waits: bool = True) -> None:
        talk = self._connected()
        try:
            (talk.ask if waits else talk.tell)(*fields, fds=fds)
        except (ConnectionError, BrokenPipeError):
            self._forget()
            self._connected().ask(*fields, fds=fds)

    def _connected(self) -> Conversation:
        """Return the conversation; with a fresh keeper, once it has been given all."""
        if self._talk is None:
            talk = self._reach()
            known = set(talk.pages("names"))
            for name, (fds, pids) in self._copies.items():
                if name not in known:
                    talk.ask("hold", name, *map(str, pids), fds=fds)
            if self._fetched:
                for name in known - self._copies.keys():
                    talk.ask("release", name)
            self._talk = talk
        return self._talk

    def _forget(self) -> None:
        for each in (self._talk, self._told):
            if each is not None:
                each.close()
        self._talk = self._told = None


def _silent() -> Unavailable:
    return Unavailable("the keeper doesn't answer", hint="see its log in the run folder")


def _copy(fd: int) -> int:
    try:
        return os.dup(fd)
    except OSError as error:
        raise NotFound(f"descriptor {fd} can't be kept: {error.strerror}") from error
