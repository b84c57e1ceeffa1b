"""Which hosts show no sign of life any more, as one of them looks on at numbers that each counts up while it lives."""

from collections.abc import Callable, Mapping

__all__ = ["HOUR_NS", "MOST_HOURS", "Liveness"]

HOUR_NS = 3600 * 10**9
MOST_HOURS = 24 * 365
_EVERY_NS = 60 * 10**9
"""How often each host counts on."""
_GAPS = 3
"""After as many in which this host didn't look, as when the store was away, it begins anew: others couldn't count."""


class Liveness:
    """What one host has seen of the others' counts. Times are its own, so that clocks may differ."""

    def __init__(self, count_on: Callable[[], Mapping[str, int]], now_ns: Callable[[], int], patience_ns: int) -> None:
        """`count_on` counts this host's number up and returns all of them; no patience is one without end."""
        self._count_on, self._now_ns, self._patience_ns = count_on, now_ns, patience_ns
        self._looked_ns = 0
        self._seen: Mapping[str, tuple[int, int]] = {}
        """By host, its count, and since when it is that."""

    def look(self) -> Mapping[str, int]:
        """Count on, where it is time to; return the hosts that have gone for good, with their counts."""
        now = self._now_ns()
        if self._looked_ns and now < self._looked_ns + _EVERY_NS:
            return {}
        counts = self._count_on()
        before = self._seen if now <= self._looked_ns + _GAPS * _EVERY_NS else {}
        self._looked_ns = now
        self._seen = {
            host: before[host] if host in before and before[host][0] == count else (count, now)
            for host, count in counts.items()
        }
        if not self._patience_ns:
            return {}
        return {host: count for host, (count, since) in self._seen.items() if now >= since + self._patience_ns}
