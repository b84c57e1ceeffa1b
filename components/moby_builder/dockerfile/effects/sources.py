"""Sources that are fetched: what they stand for is told first, and their files brought once somebody wants them."""

import secrets
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

from attrs import frozen

from moby.contracts.builder import Session
from moby.contracts.snapshotter import Snapshotter
from moby.errors import Conflict, NotFound
from moby_builder.dockerfile.effects.contents import digest_of_tree
from moby_builder.dockerfile.effects.workspace import Draft, Workspace
from moby_builder.dockerfile.operations import StreamSource
from moby_builder.dockerfile.solver.effects import Tree, Watch
from moby_builder.folders.unpacking import take

__all__ = ["Fetched", "Temporary", "stream"]


@frozen
class Fetched:
    """A source as it is at the moment."""

    identity: str
    bring: Callable[[Watch], Tree]
    """Bring its files; called once."""


class Temporary:
    """Snapshots that are a build's own: what others put on them stays when they go."""

    def __init__(self, snapshotter: Snapshotter, workspace: Workspace, folder: Path, stack: ExitStack) -> None:
        self._snapshotter = snapshotter
        self._workspace = workspace
        self._folder = folder
        self._stack = stack

    def place(self) -> Path:
        """Return where a new file may be."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._folder / secrets.token_hex(12)
        self._stack.callback(path.unlink, missing_ok=True)
        return path

    def make(self, fill: Callable[[Draft], None]) -> Tree:
        """Make a snapshot on nothing, for the time of the build."""
        with self._workspace.writing("") as draft:
            fill(draft)
            draft.keep()
        return self.keep(draft.tree.snapshot)

    def keep(self, snapshot: str) -> Tree:
        """Take a committed snapshot of this build's for its time."""
        self._stack.callback(self._remove, snapshot)
        return Tree(snapshot)

    def _remove(self, key: str) -> None:
        with suppress(NotFound, Conflict):  # one that a step's result is on goes with that
            self._snapshotter.remove(key)


def stream(source: StreamSource, session: Session, temporary: Temporary, watch: Watch) -> Fetched:
    """Take an archive that the client sends; what is none is a Dockerfile."""
    digests: list[str] = []

    def fill(draft: Draft) -> None:
        with session.stream(source.name) as sent:
            take(sent, draft.path, watch.cancel.check)
        digests.append(str(digest_of_tree(draft.path, watch)))

    tree = temporary.make(fill)
    return Fetched(f"tree:{digests[0]}", lambda watch: tree)
