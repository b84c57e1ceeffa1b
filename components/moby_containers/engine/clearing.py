"""What is left of containers that are gone for everybody, and goes beside who waited for that."""

import threading

from moby.errors import MobyError
from moby_containers.engine.entries import Entry
from moby_containers.engine.later import Later
from moby_containers.engine.parts import Parts
from moby_containers.engine.starting import Starting

__all__ = ["Clearing"]

_FIRST_S, _LONGEST_S = 0.5, 32.0
"""How long what couldn't be removed waits for another try."""


class Clearing:
    """Removes tasks, roots and folders that no container is known by any more. Thread-safe.

    Their ids are nobody else's, and a killed engine's successor finds what is left by the folders, which go last.
    """

    def __init__(self, parts: Parts, starting: Starting, later: Later) -> None:
        self._parts, self._starting, self._later = parts, starting, later
        self._changed = threading.Condition()
        self._going: set[str] = set()

    def begin(self, entry: Entry) -> None:
        """Have `wait` wait for one, before anybody is told that it is gone."""
        with self._changed:
            self._going.add(entry.id)

    def going(self) -> set[str]:
        """Return the ids of those of which something is being removed, or is about to be."""
        with self._changed:
            return set(self._going)

    def clear(self, entry: Entry, wait_s: float = _FIRST_S) -> None:
        """Remove what is left; what can't be now is tried again later, and raised once."""
        try:
            with entry.lock:
                self._starting.clear(entry)
            self._parts.images.release(entry.id)
            self._parts.remove_folders(entry.id)
        except (MobyError, OSError):  # whatever it is: nobody else would try again before another engine starts
            self._later.after(wait_s, lambda: self.clear(entry, min(2 * wait_s, _LONGEST_S)))
            if wait_s == _FIRST_S:
                raise
        finally:
            with self._changed:
                self._going.discard(entry.id)
                self._changed.notify_all()

    def close(self) -> None:
        """Have nobody wait for what is left undone: an engine that starts later finds it by its folders."""
        with self._changed:
            self._going.clear()
            self._changed.notify_all()

    def wait(self) -> None:
        """Wait until nothing is being removed that had begun to be; what waits for another try isn't waited for."""
        begun = self.going()
        with self._changed:
            while begun & self._going:
                self._changed.wait()
