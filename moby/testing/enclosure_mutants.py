"""Mutants of an enclosure: each breaks one promise of the contract, and names the test that must see it."""

import os
import socket

from moby.contracts.enclosure import Enclosure
from moby.contracts.types import Fd
from moby.errors import Conflict
from moby.host.namespaces import FLAGS, unshare
from moby.testing.mutants import Mutant

__all__ = ["MUTANTS"]


class _Broken:
    """An enclosure that passes everything on; subclasses break one promise each."""

    def __init__(self, inner: Enclosure) -> None:
        self.inner = inner

    def enter(self) -> None:
        """Pass on."""
        self.inner.enter()

    def bind(self, protocol: str, address: str, port: int) -> Fd:
        """Pass on."""
        return self.inner.bind(protocol, address, port)

    def reclaim(self) -> None:
        """Pass on, where that is there."""
        reclaim = getattr(self.inner, "reclaim", None)
        if reclaim is not None:
            reclaim()


class _StaysOutside(_Broken):
    def enter(self) -> None:
        """Do nothing."""


class _HasTheHostsMounts(_Broken):
    """Makes who enters root of a user namespace, and of nothing else."""

    def enter(self) -> None:
        unshare(FLAGS["user"])


class _LeavesTheFolder(_Broken):
    def enter(self) -> None:
        self.inner.enter()
        os.chdir("/")


class _ForEachItsOwn(_Broken):
    def enter(self) -> None:
        self.inner.enter()
        unshare(FLAGS["network"])


class _BeginsAnew(_Broken):
    def enter(self) -> None:
        self.reclaim()
        self.inner.enter()


class _OnlyOnce(_Broken):
    def enter(self) -> None:
        if os.geteuid() == 0:
            raise Conflict("it is inside already")
        self.inner.enter()


class _DeeperEachTime(_Broken):
    def enter(self) -> None:
        again = os.geteuid() == 0
        self.inner.enter()
        if again:
            unshare(FLAGS["user"])


class _BindsInside(_Broken):
    def bind(self, protocol: str, address: str, port: int) -> Fd:
        return _bound(protocol, address, port)


class _BindsEverywhere(_Broken):
    def bind(self, protocol: str, address: str, port: int) -> Fd:
        return self.inner.bind(protocol, "0.0.0.0", port)


class _KeepsACopy(_Broken):
    def bind(self, protocol: str, address: str, port: int) -> Fd:
        found = self.inner.bind(protocol, address, port)
        os.dup(found)
        return found


class _KnowsOnlyTcp(_Broken):
    def bind(self, protocol: str, address: str, port: int) -> Fd:
        return self.inner.bind("tcp", address, port)


class _TakesAnotherPort(_Broken):
    def bind(self, protocol: str, address: str, port: int) -> Fd:
        try:
            return self.inner.bind(protocol, address, port)
        except OSError:
            return self.inner.bind(protocol, "127.0.0.1", 0)


class _SaysItOtherwise(_Broken):
    def bind(self, protocol: str, address: str, port: int) -> Fd:
        try:
            return self.inner.bind(protocol, address, port)
        except OSError as error:
            raise Conflict("the port can't be had") from error


def _bound(protocol: str, address: str, port: int) -> Fd:
    kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
    with socket.socket(socket.AF_INET, kind) as sock:
        sock.bind((address, port))
        if kind == socket.SOCK_STREAM:
            sock.listen()
        return os.dup(sock.fileno())


MUTANTS = (
    Mutant(_StaysOutside, "test_who_enters_is_root"),
    Mutant(_HasTheHostsMounts, "test_who_enters_is_root"),
    Mutant(_LeavesTheFolder, "test_files_are_the_hosts"),
    Mutant(_ForEachItsOwn, "test_all_who_enter_meet"),
    Mutant(_BeginsAnew, "test_all_who_enter_meet"),
    Mutant(_ForEachItsOwn, "test_entering_at_once"),
    Mutant(_OnlyOnce, "test_entering_again"),
    Mutant(_DeeperEachTime, "test_entering_again"),
    Mutant(_BindsInside, "test_connections_come_in"),
    Mutant(_BindsEverywhere, "test_connections_come_in"),
    Mutant(_KeepsACopy, "test_connections_come_in"),
    Mutant(_BindsInside, "test_datagrams_come_in"),
    Mutant(_KnowsOnlyTcp, "test_datagrams_come_in"),
    Mutant(_TakesAnotherPort, "test_ports_that_can_t_be_had"),
    Mutant(_SaysItOtherwise, "test_ports_that_can_t_be_had"),
    Mutant(_BindsInside, "test_no_port_once_it_has_ended"),
)
