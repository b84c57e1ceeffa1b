"""Doing: what the operations of one build come to, each by the module that is for it."""

import shutil
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack

from attrs import define, field, frozen

from moby.contracts.ambient import Clock, Place
from moby.contracts.builder import Session
from moby.contracts.content import Content
from moby.contracts.images import Image, Images
from moby.contracts.metadata import Metadata
from moby.contracts.snapshotter import Snapshotter
from moby.contracts.types import Digest, ImageReference, Platform
from moby.values import evolve
from moby_builder.dockerfile.effects import sources
from moby_builder.dockerfile.effects.contents import Contents, Listings
from moby_builder.dockerfile.effects.files import Files
from moby_builder.dockerfile.effects.images import Base, bring, find
from moby_builder.dockerfile.effects.layouts import find_in_layout, unpack
from moby_builder.dockerfile.effects.local import KeptFolders
from moby_builder.dockerfile.effects.reading import read_file
from moby_builder.dockerfile.effects.running import Running
from moby_builder.dockerfile.effects.sources import Fetched, Temporary
from moby_builder.dockerfile.effects.workspace import Workspace
from moby_builder.dockerfile.operations import (
    Copy,
    EmptySource,
    GitSource,
    HttpSource,
    ImageSource,
    LayoutSource,
    LocalSource,
    MakeFolder,
    Node,
    ResultSource,
    Run,
    Stack,
    StreamSource,
    Write,
)
from moby_builder.dockerfile.solver.effects import Tree, Watch

__all__ = ["Doing", "Tools"]

_FETCHED = "fetched"
"""Where files are that builds have downloaded, for their time."""

_Fetch = Callable[["Doing", Node, Watch], Fetched]
_Perform = Callable[["Doing", Node, Sequence[Tree], Watch], Tree]


@frozen
class Tools:
    """What the builds of an engine do their operations with."""

    images: Images
    content: Content
    snapshotter: Snapshotter
    metadata: Metadata
    place: Place
    workspace: Workspace
    running: Running
    folders: KeptFolders
    contents: Contents
    files: Files

    @classmethod
    def of(
        cls, images: Images, content: Content, snapshotter: Snapshotter, metadata: Metadata, workspace: Workspace,
        running: Running, place: Place, clock: Clock,
    ) -> "Tools":  # fmt: skip
        """Put them together."""
        return cls(
            images, content, snapshotter, metadata, place, workspace, running,
            KeptFolders(place.state / "contexts", metadata, clock), Contents(workspace, metadata),
            Files(workspace, snapshotter),
        )  # fmt: skip

    def sweep(self) -> None:
        """Remove what killed builds left; nobody builds meanwhile."""
        self.running.sweep()
        self.workspace.sweep()
        self.folders.sweep()
        shutil.rmtree(self.place.run / _FETCHED, ignore_errors=True)


@define
class _Turn:
    """What is to be had once, by whoever comes first."""

    lock: threading.Lock = field(factory=threading.Lock)
    fetched: Fetched | None = None
    tree: Tree | None = None


class Doing:
    """Does the operations of one build (see `moby_builder.dockerfile.solver.effects.Effects`), until it is closed."""

    def __init__(self, tools: Tools, session: Session, results: Callable[[str], Tree]) -> None:
        """`results` finds what an earlier build was solved to; NotFound where it has gone."""
        self.tools = tools
        self.session = session
        self.results = results
        self._stack = ExitStack()
        self._lock = threading.Lock()
        self._turns: dict[Digest, _Turn] = {}
        self._listings: Listings = {}
        self._bases: dict[tuple[ImageReference, Platform], Base] = {}
        self.temporary = Temporary(tools.snapshotter, tools.workspace, tools.place.run / _FETCHED, self._stack)

    def identify(self, node: Node, watch: Watch) -> str:
        """Return what a source stands for."""
        return self._fetched(node, watch, self._turn(node)).identity

    def content(self, node: Node, inputs: Sequence[Tree], number: int, watch: Watch) -> Digest | None:
        """Return the digest of what an operation sees of an input."""
        return self.tools.contents.digest(node, inputs[number], number, self._listings, watch)

    def files(self, node: Node, inputs: Sequence[Tree], number: int) -> Mapping[str, str]:
        """Return a short digest for each file that an operation takes of an input."""
        return self.tools.contents.files(node, inputs[number], number, self._listings)

    def perform(self, node: Node, inputs: Sequence[Tree], watch: Watch) -> Tree:
        """Do an operation."""
        watch.cancel.check()
        perform = _PERFORM.get(type(node.operation))
        if perform is not None:
            return perform(self, node, inputs, watch)
        turn = self._turn(node)
        fetched = self._fetched(node, watch, turn)
        with turn.lock:
            if turn.tree is None:
                turn.tree = fetched.bring(watch)
            return turn.tree

    def image(self, node: Node, watch: Watch) -> Image:
        """Return the image of an ImageSource or LayoutSource, though perhaps not its layers yet.

        NotFound in BuildKit's words.
        """
        if isinstance(node.operation, LayoutSource):
            return find_in_layout(node.operation, self.session).image
        return self.base(node, watch).image

    def base(self, node: Node, watch: Watch) -> Base:
        """Return the image of an ImageSource as it was found first in this build, by its tag or by its digest."""
        source = node.operation
        assert isinstance(source, ImageSource)
        known = self._bases.get((source.reference, source.platform))
        if known is None or (source.pull and not known.source.pull):
            known = find(self.tools.images, source, self.session, watch)
            pinned = [evolve(source.reference, digest=each.digest) for each in known.image.digests]
            for name in (source.reference, *pinned):
                self._bases[(name, source.platform)] = known
        return known

    def file(self, node: Node, path: str, most_bytes: int, watch: Watch) -> bytes:
        """Read a file of a source; NotFound where it isn't there, Invalid where it is bigger."""
        return read_file(self.tools.workspace, self.perform(node, (), watch), path, most_bytes)

    def lend(self, source: LocalSource, watch: Watch) -> Fetched:
        """Bring a folder of the session's up to date, which stays so until this is closed."""
        lending = self.tools.folders.lend(source, self.session, watch)
        lent = lending.__enter__()
        with self._lock:
            self._stack.push(lending.__exit__)
            assert lent.tree.folder is not None
            self._listings[lent.tree.folder] = lent.listing
        return Fetched(f"tree:{lent.listing.digest()}", lambda watch: lent.tree)

    def close(self) -> None:
        """Let go of all that is kept for this build; nothing goes on in it any more."""
        self._stack.close()

    def _turn(self, node: Node) -> _Turn:
        with self._lock:
            return self._turns.setdefault(node.digest, _Turn())

    def _fetched(self, node: Node, watch: Watch, turn: _Turn) -> Fetched:
        with turn.lock:
            if turn.fetched is None:
                turn.fetched = _FETCH[type(node.operation)](self, node, watch)
            return turn.fetched


def _empty(doing: Doing, node: Node, watch: Watch) -> Fetched:
    return Fetched("", lambda watch: Tree())


def _image(doing: Doing, node: Node, watch: Watch) -> Fetched:
    images, base = doing.tools.images, doing.base(node, watch)
    return Fetched(f"image:{base.image.id}", lambda watch: Tree(images.snapshot(bring(images, base, watch))))


def _layout(doing: Doing, node: Node, watch: Watch) -> Fetched:
    assert isinstance(node.operation, LayoutSource)
    found = find_in_layout(node.operation, doing.session)

    def bring(watch: Watch) -> Tree:
        key = unpack(doing.tools.images, doing.tools.content, found, watch)
        return doing.temporary.keep(key) if key else Tree()

    return Fetched(f"image:{found.image.id}", bring)


def _local(doing: Doing, node: Node, watch: Watch) -> Fetched:
    assert isinstance(node.operation, LocalSource)
    return doing.lend(node.operation, watch)


def _stream(doing: Doing, node: Node, watch: Watch) -> Fetched:
    assert isinstance(node.operation, StreamSource)
    return sources.stream(node.operation, doing.session, doing.temporary, watch)


def _http(doing: Doing, node: Node, watch: Watch) -> Fetched:
    from moby_builder.dockerfile.effects.http import HttpSources

    assert isinstance(node.operation, HttpSource)
    return HttpSources(doing.tools.metadata).fetch(node.operation, doing.temporary, watch)


def _git(doing: Doing, node: Node, watch: Watch) -> Fetched:
    from moby_builder.dockerfile.effects.git import GitSources

    assert isinstance(node.operation, GitSource)
    place = doing.tools.place
    return GitSources(place.state / "git", place.run / _FETCHED).fetch(
        node.operation, doing.session, doing.temporary, watch
    )


def _result(doing: Doing, node: Node, watch: Watch) -> Fetched:
    assert isinstance(node.operation, ResultSource)
    tree = doing.results(node.operation.reference)
    return Fetched(f"result:{node.operation.reference}", lambda watch: tree)


_FETCH: dict[type, _Fetch] = {
    EmptySource: _empty,
    ImageSource: _image,
    LayoutSource: _layout,
    LocalSource: _local,
    StreamSource: _stream,
    HttpSource: _http,
    GitSource: _git,
    ResultSource: _result,
}
"""How what a source stands for is told."""

_PERFORM: dict[type, _Perform] = {
    Run: lambda doing, node, inputs, watch: doing.tools.running.run(node, inputs, doing.session, watch),
    Copy: lambda doing, node, inputs, watch: doing.tools.files.copy(node, inputs, watch),
    Write: lambda doing, node, inputs, watch: doing.tools.files.write(node, inputs, watch),
    MakeFolder: lambda doing, node, inputs, watch: doing.tools.files.make_folder(node, inputs, watch),
    Stack: lambda doing, node, inputs, watch: doing.tools.files.stack(node, inputs, watch),
}
"""How what isn't a source is done."""
