"""What a keeper holds: descriptors, and children of whom somebody wants to know how they ended."""

import os
import time

from moby.served.keeper.files import append, say, write

__all__ = ["Holdings"]

_WALL = 0x40000000
Ended = tuple[str, str, int, int, int]
"""Owner, name, pid, status, when."""


class Holdings:
    """Descriptors and children by owner and name, and exits, which are on disk too."""

    def __init__(self) -> None:
        self.fds: dict[tuple[str, str], list[int]] = {}
        self.exits: list[Ended] = []
        self._children: dict[int, tuple[str, str]] = {}
        self._read()

    def hold(self, owner: str, name: str, fds: list[int], pids: list[int]) -> None:
        """Keep descriptors under a name, in place of those before, and note children."""
        if not name or any(each in f"{owner}{name}" for each in " \n"):
            raise ValueError("no name to hold by")
        for fd in self.fds.get((owner, name), ()):
            os.close(fd)
        self.fds[owner, name] = fds
        for pid in pids:
            self._children[pid] = (owner, name)

    def holds(self, owner: str) -> bool:
        """Whether anything is held for an owner."""
        return any(each == owner for each, _ in self.fds)

    def count(self, owner: str) -> int:
        """Return how many descriptors are held for an owner."""
        return sum(len(fds) for key, fds in self.fds.items() if key[0] == owner)

    def forget(self, owner: str) -> None:
        """Drop all that an owner has."""
        for key in [key for key in self.fds if key[0] == owner]:
            self.drop(*key)

    def drop(self, owner: str, name: str) -> None:
        """Close what is held under a name, and forget its children and their exits."""
        for fd in self.fds.pop((owner, name), ()):
            os.close(fd)
        for pid in [pid for pid, key in self._children.items() if key == (owner, name)]:
            del self._children[pid]
        kept = [each for each in self.exits if each[:2] != (owner, name)]
        if len(kept) != len(self.exits):
            self.exits = kept
            try:
                write("exits", b"".join(map(line, kept)))
            except OSError as error:
                say(f"exits can't be written: {error}")

    def reap(self) -> set[str]:
        """Take the exits of all children, write down those that somebody noted, and return their owners."""
        told: set[str] = set()
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG | _WALL)
            except ChildProcessError:
                break
            if not pid:
                break
            key = self._children.pop(pid, None)
            if key is not None:
                entry = (*key, pid, status, time.time_ns())
                append("exits", line(entry))
                self.exits.append(entry)
                told.add(key[0])
        return told

    def _read(self) -> None:
        """Read the exits that an earlier keeper has written."""
        try:
            with open("exits", encoding="utf-8") as file:
                lines = file.read().split("\n")
        except FileNotFoundError:
            return
        for each in lines[:-1]:  # the last is empty, or torn
            try:
                owner, name, pid, status, at = each.split(" ")
                self.exits.append((owner, name, int(pid), int(status), int(at)))
            except ValueError:
                say(f"no exit: {each!r}")


def line(entry: tuple[str, str, int, int, int]) -> bytes:
    """Return an exit as a line of the file."""
    return (" ".join(map(str, entry)) + "\n").encode()
