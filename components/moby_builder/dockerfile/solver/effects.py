"""What the solver asks of those who do operations; and how it hears of them, and stops them."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from attrs import frozen

from moby.contracts.types import Digest
from moby.errors import Unavailable
from moby_builder.dockerfile.operations import Node

__all__ = ["Cancel", "Effects", "Tree", "Watch"]


@frozen
class Tree:
    """Files that an operation made, or stands for: a committed snapshot, or a folder that is only read."""

    snapshot: str = ""
    """Its key; empty is an empty root, where there is no folder."""
    folder: Path | None = None


class Cancel:
    """Tells everybody who works on a build that it is given up. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._set = False
        self._calls: dict[int, Callable[[], None]] = {}
        self._count = 0

    def set(self) -> None:
        """Give up; those who wait are called, once."""
        with self._lock:
            self._set = True
            calls, self._calls = tuple(self._calls.values()), {}
        for call in calls:
            call()

    def is_set(self) -> bool:
        """Whether it is given up."""
        return self._set

    def check(self) -> None:
        """Raise Unavailable where it is given up."""
        if self._set:
            raise Unavailable("the build was canceled")

    def add(self, call: Callable[[], None]) -> Callable[[], None]:
        """Have something called when it is given up, at once where it is already; return what takes that back."""
        with self._lock:
            if not self._set:
                number = self._count = self._count + 1
                self._calls[number] = call
                return lambda: self._remove(number)
        call()
        return lambda: None

    @contextmanager
    def within(self) -> Iterator["Cancel"]:
        """Lend one for a part of what goes on: it is given up with this one, or by itself."""
        part = Cancel()
        remove = self.add(part.set)
        try:
            yield part
        finally:
            remove()

    def _remove(self, number: int) -> None:
        with self._lock:
            self._calls.pop(number, None)


class Watch(Protocol):
    """Hears of one operation while it is done."""

    cancel: Cancel

    def log(self, stream: int, data: bytes) -> None:
        """Tell what it wrote, to stream 1 or 2."""
        ...

    def progress(self, name: str, current: int = 0, total: int = 0, *, done: bool = False) -> None:
        """Tell how far a part of it has come."""
        ...


class Effects(Protocol):
    """Does operations, for one build. Thread-safe; each call stops soon after the watch's `cancel`."""

    def identify(self, node: Node, watch: Watch) -> str:
        """Return what a source stands for at the moment: the digest of an image, of a local folder's content, a commit.

        Two that are identified as one have the same files. Fetches as little as that takes.
        """
        ...

    def content(self, node: Node, inputs: Sequence[Tree], number: int, watch: Watch) -> Digest | None:
        """Return the digest of all that an operation can see of an input but its root (number 0), times left out.

        None where it sees all of it, or an input isn't of that sort: then the input's own key has to do.
        """
        ...

    def files(self, node: Node, inputs: Sequence[Tree], number: int) -> Mapping[str, str]:
        """Return a short digest for each file that an operation takes of an input, to tell which of them changed.

        None where that isn't known anyhow, or where there are many.
        """
        ...

    def perform(self, node: Node, inputs: Sequence[Tree], watch: Watch) -> Tree:
        """Do an operation; what it made is on disk, and nothing else of it is left.

        The key of a new snapshot begins with `builder/`. BuildFailed where it fails for what it is told to do.
        """
        ...
