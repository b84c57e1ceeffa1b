"""Mutants of a front end: each breaks one promise, and names the test that must see it."""

import contextlib
import os
import socket
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from moby.errors import Conflict, Invalid
from moby.testing.mutants import Mutant

__all__ = ["MUTANTS"]


class _Broken:
    """Passes everything on; subclasses break one promise each."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def __exit__(self, *error: object) -> None:
        self.inner.__exit__(*error)

    def check(self, addresses: Sequence[str] = ()) -> None:
        """Pass on."""
        self.inner.check(addresses)

    def listen(self, addresses: Sequence[str] = ()) -> tuple[str, ...]:
        """Pass on."""
        found: tuple[str, ...] = self.inner.listen(addresses)
        return found

    def drain(self, timeout_s: float) -> bool:
        """Pass on."""
        return bool(self.inner.drain(timeout_s))


def _path(address: str) -> Path:
    return Path(address.partition("://")[2])


class _SpellsOtherwise(_Broken):
    def listen(self, addresses: Sequence[str] = ()) -> tuple[str, ...]:
        return tuple(each.upper() for each in super().listen(addresses))


class _ListensLater(_Broken):
    def listen(self, addresses: Sequence[str] = ()) -> tuple[str, ...]:
        threading.Timer(0.3, self._late, [addresses]).start()
        return tuple(addresses)

    def _late(self, addresses: Sequence[str]) -> None:
        with contextlib.suppress(Exception):  # it may have been closed by then
            self.inner.listen(addresses)


class _ListensAtOne(_Broken):
    def listen(self, addresses: Sequence[str] = ()) -> tuple[str, ...]:
        return super().listen(addresses[:1])


class _ListensOnce(_Broken):
    told = False

    def listen(self, addresses: Sequence[str] = ()) -> tuple[str, ...]:
        if self.told:
            return tuple(addresses)
        self.told = True
        return super().listen(addresses)


class _ForEverybody(_Broken):
    def listen(self, addresses: Sequence[str] = ()) -> tuple[str, ...]:
        found = super().listen(addresses)
        for each in addresses:
            _path(each).chmod(0o666)
        return found


class _ReplacesNothing(_Broken):
    def listen(self, addresses: Sequence[str] = ()) -> tuple[str, ...]:
        if any(_path(each).exists() for each in addresses):
            raise Conflict("there is a file")
        return super().listen(addresses)


class _ReplacesEverything(_Broken):
    def listen(self, addresses: Sequence[str] = ()) -> tuple[str, ...]:
        for each in addresses:
            if each.startswith("unix://"):
                _path(each).unlink(missing_ok=True)
        return super().listen(addresses)


class _TakesAnyAddress(_Broken):
    def listen(self, addresses: Sequence[str] = ()) -> tuple[str, ...]:
        try:
            return super().listen(addresses)
        except Invalid:
            return tuple(addresses)


class _KeepsTheFirst(_Broken):
    def listen(self, addresses: Sequence[str] = ()) -> tuple[str, ...]:
        return tuple(found for each in addresses for found in super(_KeepsTheFirst, self).listen([each]))


class _RemovesOthersFiles(_Broken):
    given: tuple[str, ...] = ()

    def listen(self, addresses: Sequence[str] = ()) -> tuple[str, ...]:
        for each in addresses:
            if each.startswith("fd://"):
                with socket.socket(fileno=os.dup(int(each[5:]))) as sock:
                    self.given = (*self.given, sock.getsockname())
        return super().listen(addresses)

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        for each in self.given:
            Path(each).unlink()


class _KeepsDescriptors(_Broken):
    def listen(self, addresses: Sequence[str] = ()) -> tuple[str, ...]:
        copies = [f"fd://{os.dup(int(each[5:]))}" if each.startswith("fd://") else each for each in addresses]
        super().listen(copies)
        return tuple(addresses)


class _LeavesFiles(_Broken):
    paths: tuple[Path, ...] = ()

    def listen(self, addresses: Sequence[str] = ()) -> tuple[str, ...]:
        self.paths = tuple(map(_path, addresses))
        return super().listen(addresses)

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        for each in self.paths:
            each.touch()


class _ChecksNothing(_Broken):
    def check(self, addresses: Sequence[str] = ()) -> None:
        pass


class _ChecksByListening(_Broken):
    def check(self, addresses: Sequence[str] = ()) -> None:
        super().listen(addresses)


class _DrainsNothing(_Broken):
    def drain(self, timeout_s: float) -> bool:
        return True


class _NeverDrained(_Broken):
    def drain(self, timeout_s: float) -> bool:
        super().drain(timeout_s)
        return False


class _WaitsForTheTimeout(_Broken):
    def drain(self, timeout_s: float) -> bool:
        super().drain(0)
        time.sleep(timeout_s)
        return True


class _EndsBehind(_Broken):
    """Its end is told before it has come."""

    def __exit__(self, *error: object) -> None:
        threading.Timer(1.0, self.inner.__exit__, (None, None, None)).start()


MUTANTS = (
    Mutant(_SpellsOtherwise, "test_it_answers_where_it_is_told"),
    Mutant(_ListensLater, "test_it_answers_where_it_is_told"),
    Mutant(_ListensAtOne, "test_several_at_once_and_more_later"),
    Mutant(_ListensOnce, "test_several_at_once_and_more_later"),
    Mutant(_ForEverybody, "test_a_socket_is_not_everybodys"),
    Mutant(_ReplacesNothing, "test_a_file_that_nobody_listens_at_is_replaced"),
    Mutant(_ReplacesEverything, "test_a_socket_of_somebody_else_stays"),
    Mutant(_ReplacesEverything, "test_a_file_that_is_no_socket_stays"),
    Mutant(_TakesAnyAddress, "test_an_address_that_it_cannot_read"),
    Mutant(_KeepsTheFirst, "test_after_an_error_it_listens_at_none"),
    Mutant(_RemovesOthersFiles, "test_a_listening_socket_that_is_there_already"),
    Mutant(_KeepsDescriptors, "test_a_listening_socket_that_is_there_already"),
    Mutant(_LeavesFiles, "test_its_files_are_gone_at_the_end"),
    Mutant(_EndsBehind, "test_its_files_are_gone_at_the_end"),
    Mutant(_ChecksNothing, "test_a_check_says_what_listening_would"),
    Mutant(_ChecksByListening, "test_a_check_listens_nowhere"),
    Mutant(_DrainsNothing, "test_drained_it_takes_no_more_clients"),
    Mutant(_DrainsNothing, "test_drained_it_lets_idle_clients_go"),
    Mutant(_NeverDrained, "test_drained_it_takes_no_more_clients"),
    Mutant(_WaitsForTheTimeout, "test_drained_it_takes_no_more_clients"),
)
