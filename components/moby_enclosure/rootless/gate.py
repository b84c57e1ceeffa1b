"""The gate: the engine's one process outside its enclosure, its user's as that is on the host.

    python -m moby_enclosure.rootless.gate FOLDER LOCK TOLD UPLINK

It makes the namespaces, lends them to whoever wants in, opens ports of the host's for those inside, and looks after the
uplink. It holds LOCK, says on TOLD whether it could begin, and ends once nobody is inside, or when it is told to.
"""

import json
import os
import select
import signal
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path

from moby.errors import HostUnfit, MobyError
from moby.host import ports, processes, subordinate_ids
from moby.host.subordinate_ids import FILES
from moby_enclosure.rootless import namespaces
from moby_enclosure.rootless import uplink as uplinks
from moby_enclosure.rootless.namespaces import KINDS, Inside
from moby_enclosure.rootless.subordinate import rows_of
from moby_enclosure.rootless.talk import VERSION, listen
from moby_enclosure.rootless.uplink import Starting, Uplink, named, resolv_conf

__all__ = ["Gate", "main"]

RECORD = "inside"
"""The file that says which namespaces these are, for the gate after one that was killed."""
_LONGEST = 4096
_FIRST_LOOK_S = 5.0
_LAST_LOOK_S = 60.0
"""Between two looks for somebody inside; the longer nobody has asked for anything, the rarer."""
_AGAIN_S = 1.0
"""Until an uplink that has ended is started again; twice as long each time that it can't be."""


class Gate:
    """The namespaces, and who is talked to."""

    def __init__(self, folder: Path, uplink: Uplink | None) -> None:
        self._folder = folder
        self._uplink = uplink
        self._fresh = True
        self._inside = self._begin()
        self._link = -1
        self._link_due = 0.0
        """When it is started again, or given up, where it is just starting."""
        self._link_pause = _AGAIN_S
        self._starting: Starting | None = None
        self._talks: dict[int, socket.socket] = {}
        self._ending = False
        try:
            if uplink is not None:
                self._link = self._linked(uplink)
            self._inside.settle(self._resolv_conf() if self._fresh else None)
            (folder / RECORD).write_text(_record(namespaces.identity(self._inside.pid, KINDS)))
            self._listener = listen(folder)
        except BaseException:
            self._inside.end()
            raise

    def _begin(self) -> Inside:
        """Stand for what a killed gate has left, where anybody of the engine's is in there; else make it.

        Processes of containers have the user namespace in common with the engine, and mounts of their own, in which
        nobody of the engine may ever get.
        """
        wanted = _recorded(self._folder / RECORD)
        while wanted and (there := namespaces.found(wanted, kinds=KINDS)):
            with suppress(OSError):  # it has just ended, and there may be others
                inside = namespaces.adopt(there)
                self._fresh = False
                return inside
        uid, gid = os.getuid(), os.getgid()
        names = subordinate_ids.names_of(uid)
        return namespaces.make(rows_of(uid, names, FILES["uid"]), rows_of(gid, names, FILES["gid"]))

    def _linked(self, uplink: Uplink) -> int:
        """Start the uplink; that of a killed gate may still have its interface for a moment."""
        for _ in range(5):
            with suppress(HostUnfit):
                return uplinks.start(uplink, self._inside.pid, self._folder)
            time.sleep(_AGAIN_S / 5)
        return uplinks.start(uplink, self._inside.pid, self._folder)

    def _resolv_conf(self) -> Path | None:
        """Write what is to be shown in place of the host's resolv.conf; None where that is right inside too."""
        try:
            host = Path("/etc/resolv.conf").read_text("utf-8", errors="replace")
        except OSError:
            return None
        text = resolv_conf(host, self._uplink.resolver) if self._uplink else ""
        if not text:
            return None
        path = self._folder / "resolv.conf"
        path.write_text(text, "utf-8")
        path.chmod(0o644)
        return path

    def run(self) -> None:
        """Serve until nobody is inside any more."""
        poll = select.poll()
        poll.register(self._listener, select.POLLIN)
        if self._link >= 0:
            poll.register(self._link, select.POLLIN)
        pause = _FIRST_LOOK_S
        look = time.monotonic() + pause
        while not self._ending:
            self._look_after_link(poll)
            lost = self._uplink is not None and self._link < 0
            for fd, _ in poll.poll((_AGAIN_S if lost else pause) * 1000):
                if fd == self._link:
                    self._link_ended(poll)
                elif self._starting is not None and fd == self._starting.fd:
                    self._link_began(poll, self._starting)
                elif fd == self._listener.fileno():
                    self._meet(poll)
                else:
                    self._hear(fd, poll)
                    pause = _FIRST_LOOK_S
            if time.monotonic() >= look:
                if not self._talks and not namespaces.found(self._identity(), self._own()):
                    break
                pause = min(2 * pause, _LAST_LOOK_S)
                look = time.monotonic() + pause
        self._end()

    def _identity(self) -> str:
        return namespaces.identity(self._inside.pid)

    def _own(self) -> tuple[int, ...]:
        """Return who is inside for this process's sake."""
        link = _pid_of(self._link) if self._link >= 0 else 0
        return (self._inside.pid, link, self._starting.process.pid if self._starting else 0)

    def _look_after_link(self, poll: select.poll) -> None:
        """Start an uplink that has ended again; it may take its time, meanwhile others are answered."""
        if self._uplink is None or self._link >= 0 or time.monotonic() < self._link_due:
            return
        if self._starting is not None:
            poll.unregister(self._starting.fd)
            self._link_failed(self._starting.give_up())
            return
        try:
            self._starting = self._uplink.begin(self._inside.pid, self._folder)
        except (MobyError, OSError) as error:
            self._link_failed(error)
        else:
            self._link_due = time.monotonic() + uplinks.PATIENCE_S
            poll.register(self._starting.fd, select.POLLIN)

    def _link_began(self, poll: select.poll, starting: Starting) -> None:
        """Hear what came of it."""
        poll.unregister(starting.fd)
        try:
            self._link = starting.outcome()
        except (MobyError, OSError, ValueError) as error:  # the last of a pid that it didn't write whole
            self._link_failed(error)
        else:
            self._starting = None
            self._link_pause = _AGAIN_S
            poll.register(self._link, select.POLLIN)

    def _link_failed(self, error: Exception) -> None:
        self._starting = None
        self._link_pause = min(2 * self._link_pause, _LAST_LOOK_S)
        self._link_due = time.monotonic() + self._link_pause
        _say(f"the uplink can't be started again, for {self._link_pause:.0f} s: {error}")

    def _link_ended(self, poll: select.poll) -> None:
        poll.unregister(self._link)
        processes.reap(self._link)
        os.close(self._link)
        self._link, self._link_due = -1, time.monotonic() + _AGAIN_S
        _say("the uplink has ended; it is started again")

    def _meet(self, poll: select.poll) -> None:
        with suppress(OSError):
            sock, _ = self._listener.accept()
            self._talks[sock.fileno()] = sock
            poll.register(sock, select.POLLIN)

    def _hear(self, fd: int, poll: select.poll) -> None:
        """Answer one packet, or let who sent none go."""
        sock = self._talks[fd]
        try:
            data = sock.recv(_LONGEST)
            if data:
                self._answer(sock, data.decode("utf-8", "replace").split("\0"))
                return
        except OSError:
            pass
        poll.unregister(fd)
        del self._talks[fd]
        sock.close()

    def _answer(self, sock: socket.socket, fields: list[str]) -> None:
        match fields:
            case ["enter", version] if _is_known(version):
                socket.send_fds(sock, [b"ok"], self._inside.fds)
            case ["bind", protocol, address, number] if protocol in ports.KINDS:
                try:
                    _check_address(address)
                    with ports.bound(protocol, address, int(number)) as made:
                        socket.send_fds(sock, [b"ok"], [made.fileno()])
                except (OSError, OverflowError, ValueError) as error:  # the last two of what is no port
                    code = (error.errno or 0) if isinstance(error, OSError) else 0
                    code = code if code > 0 else 22  # gaierror has others
                    sock.send(f"errno\0{code}".encode())
            case ["end"]:
                self._ending = True
                sock.send(b"ok")
            case _:
                sock.send(b"errno\x0022")

    def _end(self) -> None:
        """End what it has started; whoever else is inside stays there."""
        for name in (RECORD, "uplink.pid", "resolv.conf"):
            (self._folder / name).unlink(missing_ok=True)
        if self._starting is not None:
            self._starting.give_up()
        if self._link >= 0:
            with suppress(OSError):
                processes.send_signal(self._link, signal.SIGTERM)
            processes.reap(self._link)
        self._inside.end()


def _check_address(address: str) -> None:
    """See that nobody is to be asked what a name means, for which all others would wait; OSError."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    socket.inet_pton(family, address.partition("%")[0])


def _is_known(version: str) -> bool:
    """Whether a caller's version of what is said here is this one, or a neighbour."""
    return version.isdecimal() and abs(int(version) - VERSION) <= 1


def _pid_of(pidfd: int) -> int:
    """Return the process of a pidfd; 0 where it has ended."""
    with suppress(OSError, ValueError):
        for line in Path(f"/proc/self/fdinfo/{pidfd}").read_text("ascii").splitlines():
            if line.startswith("Pid:"):
                return max(int(line.split()[1]), 0)
    return 0


def _record(identity: str) -> str:
    return f"{_boot()} {identity}\n"


def _recorded(path: Path) -> str:
    """Return the namespaces that a gate before this one had; empty where they can't be there any more."""
    with suppress(OSError, ValueError):
        boot, *each = path.read_text("ascii").split()
        return " ".join(each) if boot == _boot() and len(each) == len(KINDS) else ""
    return ""


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()


def _say(text: str) -> None:
    sys.stderr.write(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} warning gate: {text}\n")
    sys.stderr.flush()


def main(arguments: list[str]) -> int:
    """Begin, say what came of it, and serve."""
    folder, lock, told, uplink = Path(arguments[0]), int(arguments[1]), int(arguments[2]), arguments[3]
    os.set_inheritable(lock, False)
    os.set_inheritable(told, False)
    os.umask(0o077)
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    try:
        gate = Gate(folder, named(uplink))
    except (MobyError, OSError) as error:
        hint = error.hint if isinstance(error, MobyError) else ""
        os.write(told, json.dumps([getattr(error, "message", str(error)), hint]).encode())
        return 1
    os.write(told, b"ok")
    os.close(told)
    gate.run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
