"""Puts back what others take away from a table, where the kernel can't keep it from them."""

import os
import select
import threading
from collections.abc import Callable

from moby.contracts.ambient import Log
from moby.errors import MobyError
from moby.host.nft_values import Table
from moby.host.nftables import Losses

__all__ = ["Watch"]


class Watch:
    """A thread that calls `put_back` as soon as something of a table is taken away by another socket than this one."""

    def __init__(self, table: Table, port: int, put_back: Callable[[], None], log: Log) -> None:
        self._table, self._port, self._put_back, self._log = table, port, put_back, log
        self._losses = Losses()
        self._ended, self._end = os.pipe()
        self._thread = threading.Thread(target=self._run, name="firewall", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End it."""
        os.close(self._end)
        self._thread.join()
        os.close(self._ended)
        self._losses.close()

    def _run(self) -> None:
        while True:
            ready, _, _ = select.select([self._losses.fileno(), self._ended], [], [])
            if self._ended in ready:
                return
            if self._lost():
                self._log.warning(f"somebody changed the table {self._table.name} of nftables; it is put back")
                try:
                    self._put_back()
                except MobyError as error:
                    self._log.error("the firewall can't be put back", reason=str(error))

    def _lost(self) -> bool:
        """Take all that lies there, so that one loss, which is told in many pieces, is put back once."""
        ours, lost = (self._table.family, self._table.name), False
        while select.select([self._losses.fileno()], [], [], 0)[0]:
            try:
                found = self._losses.read()
            except OSError:  # so much happened that some of it wasn't told
                lost = True
            else:
                lost = lost or any((each.family, each.table) == ours and each.by != self._port for each in found)
        return lost
