"""Notices which hosts have gone for good: those whose count stands still for long, as this host looks on."""

from collections.abc import Mapping

from moby.contracts.ambient import Clock
from moby_network_driver.overlay.directory import Directory

__all__ = ["Liveness"]

_EVERY_NS = 60 * 10**9
"""How often each host counts on."""
_GAPS = 3
"""After as many in which this host didn't look, as when the store was away, it begins anew: others couldn't count."""


class Liveness:
    """What one host has seen of the others' counts. Times are its own, so that clocks may differ."""

    def __init__(self, directory: Directory, clock: Clock, patience_ns: int) -> None:
        self._directory, self._clock, self._patience_ns = directory, clock, patience_ns
        self._looked_ns = 0
        self._seen: Mapping[str, tuple[int, int]] = {}
        """By host, its count, and since when it is that."""

    def look(self) -> Mapping[str, int]:
        """Count on, where it is time to; return the hosts that have gone for good, with their counts."""
        now = self._clock.monotonic_ns()
        if not self._patience_ns or (self._looked_ns and now < self._looked_ns + _EVERY_NS):
            return {}
        counts = self._directory.count_on()
        before = self._seen if now <= self._looked_ns + _GAPS * _EVERY_NS else {}
        self._looked_ns = now
        self._seen = {
            host: before[host] if host in before and before[host][0] == count else (count, now)
            for host, count in counts.items()
        }
        return {host: count for host, (count, since) in self._seen.items() if now >= since + self._patience_ns}
