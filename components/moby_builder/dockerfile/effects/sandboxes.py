"""Sandboxes: places on networks for RUN, kept a while for the next one, since making one takes longer than many a step.

A step can't change what it leaves to the next: it has no capability for that. Those of insecure steps aren't kept.
"""

import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from moby.contracts.ambient import Log
from moby.contracts.networks import EndpointConfig, Networks, Sandbox
from moby.errors import MobyError

__all__ = ["Sandboxes"]

_KEPT = 4
_IDLE_S = 10.0


class Sandboxes:
    """Lends sandboxes of networks by name. Thread-safe."""

    def __init__(self, networks: Networks, log: Log) -> None:
        self._networks = networks
        self._log = log
        self._lock = threading.Lock()
        self._idle: dict[str, list[tuple[str, Sandbox]]] = {}
        self._timer: threading.Timer | None = None

    @contextmanager
    def lend(self, network: str, *, again: bool = True) -> Iterator[Sandbox]:
        """Lend an endpoint on a network (empty is the default one), which nobody else has meanwhile.

        NotFound for no such network, and whatever joining one raises.
        """
        found = self._take(network) if again else None
        if found is None:
            owner = secrets.token_hex(32)
            found = owner, self._networks.join(owner, {network: EndpointConfig()})
        try:
            yield found[1]
        except BaseException:
            self._leave(found[0])
            raise
        if not again or not self._keep(network, found):
            self._leave(found[0])

    def close(self) -> None:
        """Give all back that is kept."""
        with self._lock:
            idle, self._idle = self._idle, {}
            timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
        for each in idle.values():
            for owner, _ in each:
                self._leave(owner)

    def _take(self, network: str) -> tuple[str, Sandbox] | None:
        with self._lock:
            idle = self._idle.get(network)
            return idle.pop() if idle else None

    def _keep(self, network: str, found: tuple[str, Sandbox]) -> bool:
        with self._lock:
            idle = self._idle.setdefault(network, [])
            if len(idle) >= _KEPT:
                return False
            idle.append(found)
            if self._timer is not None:
                self._timer.cancel()
            self._timer = threading.Timer(_IDLE_S, self.close)
            self._timer.daemon = True
            self._timer.start()
        return True

    def _leave(self, owner: str) -> None:
        try:
            with suppress(FileNotFoundError):
                self._networks.leave(owner)
        except (MobyError, OSError) as error:
            self._log.warning("a build can't leave its network", error=str(error))
