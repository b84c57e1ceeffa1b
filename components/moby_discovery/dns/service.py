"""Names and ports of sandboxes: two loops over sockets that outlive their process in its keeper."""

import os
import re
import resource
import socket
import threading
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from typing import Self

from moby.contracts.ambient import Keeper, Log, Place
from moby.contracts.discovery import PortRequest, Presence, Resolver
from moby.contracts.enclosure import Enclosure
from moby.contracts.network_driver import Port
from moby.contracts.types import Fd
from moby.errors import Invalid
from moby.host import ports
from moby.values import evolve
from moby_discovery.dns import listening
from moby_discovery.dns.forwarder import Forwarder
from moby_discovery.dns.loop import Loop
from moby_discovery.dns.names import Names
from moby_discovery.dns.ports import Chooser, Claim, Claims, claim_of, close_new, normal
from moby_discovery.dns.records import Record, Records
from moby_discovery.dns.server import Room, Server

__all__ = ["Service"]

_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z_.-]{0,127}")
_AT_ONCE = 250
"""Descriptors that the keeper takes under one name."""
_NAMES, _PORTS = "names", "ports"


class Service:
    """A discovery; see the contract."""

    serves_names = True

    def __init__(self, keeper: Keeper, place: Place, log: Log, enclosure: Enclosure | None = None) -> None:
        self._enclosure = enclosure
        self._keeper = keeper
        self._folder = place.run / "sandboxes"
        self._log = log
        self._lock = threading.RLock()
        """Over all changes; the loops' own locks are held for as short as can be, since they answer meanwhile."""

    def __enter__(self) -> Self:
        _raise_open_files()
        self._loop = Loop("names", self._log)
        self._carrying = Loop("ports", self._log)
        self._names = Names()
        self._server = Server(self._loop, self._names)
        self._forwarder = Forwarder(self._carrying)
        self._chooser = Chooser(self._bind)
        self._rooms: dict[str, Room] = {}
        self._claims: dict[str, Claims] = {}
        self._known: dict[str, Record] = {}
        self._records = Records(self._folder)
        self._restore()
        self._loop.start()
        self._carrying.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Stop; what is held stays the keeper's, for the next process."""
        with self._loop.lock:
            self._server.close_all()
        self._loop.stop()
        self._forwarder.close()
        self._carrying.stop()
        for room in self._rooms.values():
            _close_room(room)
        for claims in self._claims.values():
            close_new(claims, {})

    def reclaim(self) -> None:
        """Forget all sandboxes."""
        self.keep(())

    def enter(
        self, sandbox: str, namespace: Fd | None, presences: Sequence[Presence], resolver: Resolver | None = None
    ) -> None:
        """Say where a sandbox is to be found, and serve names in it."""
        _check(sandbox)
        with self._lock:
            record = evolve(self._known.get(sandbox, Record()), presences=tuple(presences), resolver=resolver)
            room = self._room(sandbox, namespace, resolver)
            try:
                self._remember(sandbox, record)
                if room is not None:
                    fds = (room.namespace, room.udp.fileno(), room.tcp.fileno())
                    self._keeper.hold(f"{sandbox}/{_NAMES}", fds)
            except BaseException:
                if room is not None and room is not self._rooms.get(sandbox):
                    _close_room(room)
                raise
            if room is None:
                self._close_names(sandbox)
            with self._loop.lock:
                if room is not None:
                    self._take_room(room)
                self._names.put(sandbox, presences, resolver.own_names if resolver else {})
                self._server.names_changed()

    def claim(self, sandbox: str, requests: Sequence[PortRequest]) -> tuple[Port, ...]:
        """Hold ports of the host for a sandbox."""
        _check(sandbox)
        requests = [evolve(each, host_address=normal(each.host_address)) for each in requests]
        with self._lock:
            held = self._claims.get(sandbox, {})
            ports, claims = self._chooser.claim(requests, held)
            targets = {
                (port.protocol, port.host_address, port.host_port): (port.container_port, tuple(request.targets))
                for port, request in ports
            }
            try:
                self._remember(sandbox, evolve(self._known.get(sandbox, Record()), targets=targets))
                self._hold_claims(sandbox, claims)
            except BaseException:
                close_new(claims, held)
                raise
            self._take_claims(sandbox, claims)
            return tuple(port for port, _ in ports)

    def leave(self, sandbox: str) -> None:
        """Forget a sandbox."""
        _check(sandbox)
        with self._lock:
            if sandbox not in self._known:
                return
            with self._loop.lock:
                self._names.drop(sandbox)
                self._server.names_changed()
            self._close_names(sandbox)
            self._hold_claims(sandbox, {})
            self._take_claims(sandbox, {})
            self._records.delete(sandbox)
            del self._known[sandbox]

    def keep(self, sandboxes: Collection[str]) -> None:
        """Forget all others."""
        with self._lock:
            for each in set(self._known) - set(sandboxes):
                self.leave(each)

    def _remember(self, sandbox: str, record: Record) -> None:
        self._records.put(sandbox, record)
        self._known[sandbox] = record

    # Names

    def _room(self, sandbox: str, namespace: Fd | None, resolver: Resolver | None) -> Room | None:
        """Return what a sandbox's names are served with: what there is, where that is in the same namespace."""
        if namespace is None or resolver is None:
            return None
        there = self._rooms.get(sandbox)
        if there is not None and os.path.sameopenfile(there.namespace, namespace):
            return evolve(there, resolver=resolver, replies={})
        udp, tcp = listening.listen(namespace, self._log)
        return Room(sandbox, os.dup(namespace), udp, tcp, resolver)

    def _take_room(self, room: Room) -> None:
        before = self._rooms.get(room.sandbox)
        if before is not None and before.udp is not room.udp:
            self._server.close(room.sandbox)
            _close_room(before)
        self._rooms[room.sandbox] = room
        self._server.open(room)

    def _close_names(self, sandbox: str) -> None:
        room = self._rooms.pop(sandbox, None)
        if room is not None:
            with self._loop.lock:
                self._server.close(sandbox)
            _close_room(room)
            self._keeper.release(f"{sandbox}/{_NAMES}")

    # Ports

    def _hold_claims(self, sandbox: str, claims: Claims) -> None:
        """Have the keeper hold these, and no others, in names of as many as it takes under one."""
        fds = [each.fileno() for each in claims.values()]
        parts = [fds[at : at + _AT_ONCE] for at in range(0, len(fds), _AT_ONCE)]
        before = -(-len(self._claims.get(sandbox, ())) // _AT_ONCE)
        for at, part in enumerate(parts):
            self._keeper.hold(f"{sandbox}/{_PORTS}/{at}", part)
        for at in range(len(parts), max(before, 1)):
            self._keeper.release(f"{sandbox}/{_PORTS}/{at}")
        if self._claims.get(sandbox, {}).keys() - claims.keys():
            self._keeper.reaped()  # by whose answer it has let go: a port that is said to be free can be taken at once

    def _take_claims(self, sandbox: str, claims: Claims) -> None:
        before = self._claims.pop(sandbox, {})
        for claim, sock in before.items():
            if claims.get(claim) is not sock:
                self._forwarder.remove(sock)
                sock.close()
        if claims:
            self._claims[sandbox] = claims
        for claim, sock in claims.items():
            port, targets = self._known[sandbox].targets[claim]
            self._forwarder.add(sock, targets, port)

    def _bind(self, protocol: str, address: str, number: int) -> socket.socket:
        """Return a socket at a port of the host's, which an enclosed engine has from outside."""
        if self._enclosure is None:
            return ports.bound(protocol, address, number)
        return socket.socket(fileno=self._enclosure.bind(protocol, address, number))

    # What was before

    def _restore(self) -> None:
        held = dict(self._keeper.held())
        for sandbox, record in self._records.all():
            self._known[sandbox] = record
            self._names.put(sandbox, record.presences, record.resolver.own_names if record.resolver else {})
            self._restore_room(sandbox, record, held.pop(f"{sandbox}/{_NAMES}", ()))
            parts = [name for name in held if name.startswith(f"{sandbox}/{_PORTS}/")]
            self._restore_claims(sandbox, record, [fd for name in parts for fd in held.pop(name)])
        for name, fds in held.items():  # of what was never answered for
            for fd in fds:
                os.close(fd)
            self._keeper.release(name)

    def _restore_room(self, sandbox: str, record: Record, fds: Sequence[Fd]) -> None:
        if len(fds) != 3 or record.resolver is None:
            for fd in fds:
                os.close(fd)
            return
        udp, tcp = (socket.socket(fileno=fd) for fd in fds[1:])
        self._take_room(Room(sandbox, fds[0], udp, tcp, record.resolver))

    def _restore_claims(self, sandbox: str, record: Record, fds: Iterable[Fd]) -> None:
        claims: dict[Claim, socket.socket] = {}
        for fd in fds:
            sock = socket.socket(fileno=fd)
            if claim_of(sock) in record.targets:
                claims[claim_of(sock)] = sock
            else:
                sock.close()
        self._take_claims(sandbox, claims)


def _raise_open_files() -> None:
    """Have room for the sockets of many sandboxes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _close_room(room: Room) -> None:
    room.udp.close()
    room.tcp.close()
    with suppress(OSError):
        os.close(room.namespace)


def _check(sandbox: str) -> None:
    if not _ID.fullmatch(sandbox):
        raise Invalid(f"{sandbox!r} is no id of a sandbox", hint="letters, digits, dots, dashes, underscores")
