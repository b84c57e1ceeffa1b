"""Numbers of each task that are on disk at once, without a system call: pages of a file that outlive the process."""

import mmap
import os
from contextlib import suppress
from pathlib import Path

__all__ = ["Marks", "Slot"]

_FIELDS = 4
_SLOT = 8 * _FIELDS
_GROWTH = 16 * mmap.PAGESIZE


class Marks:
    """A file of slots; which are taken, the tasks' records say."""

    def __init__(self, path: Path) -> None:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            size = max(os.fstat(fd).st_size // _GROWTH * _GROWTH, _GROWTH)
            os.truncate(fd, size)
            self._map = mmap.mmap(fd, size)
        finally:
            os.close(fd)
        self._taken: set[int] = set()

    def close(self) -> None:
        """Let go of the file, which stays."""
        self._map.close()

    def claim(self, number: int) -> "Slot":
        """Return the slot of a task that was there before, as it left it."""
        while (number + 1) * _SLOT > len(self._map):
            self._map.resize(len(self._map) + _GROWTH)
        self._taken.add(number)
        return Slot(self, number)

    def allocate(self) -> "Slot":
        """Return a free slot, all zero."""
        number = 0
        while number in self._taken:
            number += 1
        slot = self.claim(number)
        for field in range(_FIELDS):
            slot.write(field, 0)
        return slot

    def release(self, slot: "Slot") -> None:
        """Give a slot back; again is fine."""
        self._taken.discard(slot.number)

    def read(self, number: int, field: int) -> int:
        """Return one number."""
        at = number * _SLOT + field * 8
        return int.from_bytes(self._map[at : at + 8], "little")

    def write(self, number: int, field: int, value: int) -> None:
        """Set one number, which a killed process can't take back."""
        at = number * _SLOT + field * 8
        self._map[at : at + 8] = value.to_bytes(8, "little")


class Slot:
    """The numbers of one task."""

    IN_FLIGHT = 0
    """Bytes that were read, or were about to be, and of which it isn't known that they were logged or given away."""
    UNHEARD = 1
    """Bytes that a logger process was given and hasn't said that it has written."""
    LOST = 2
    """Bytes that were read and never logged."""
    DROPPED = 3
    """Records that the mode `non-blocking` threw away."""

    __slots__ = ("_marks", "number")

    def __init__(self, marks: Marks, number: int) -> None:
        self._marks = marks
        self.number = number

    def read(self, field: int) -> int:
        """Return one number."""
        return self._marks.read(self.number, field)

    def write(self, field: int, value: int) -> None:
        """Set one number."""
        self._marks.write(self.number, field, value)

    def add(self, field: int, value: int) -> None:
        """Add to one number."""
        self.write(field, self.read(field) + value)

    def lose(self, field: int) -> None:
        """Count as lost what a field says, which a killed process had at hand."""
        with suppress(ValueError):
            self.add(self.LOST, self.read(field))
            self.write(field, 0)
