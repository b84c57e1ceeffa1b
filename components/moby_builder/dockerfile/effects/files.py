"""Operations on files: COPY and ADD, here-documents, WORKDIR, and layers put on top of each other."""

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from attrs import frozen

from moby.contracts.snapshotter import Snapshotter
from moby.host import tree
from moby_builder.dockerfile.effects import modes
from moby_builder.dockerfile.effects.archives import is_archive
from moby_builder.dockerfile.effects.beneath import Made, make_folders
from moby_builder.dockerfile.effects.copying import Copying, How
from moby_builder.dockerfile.effects.failures import failures
from moby_builder.dockerfile.effects.owners import owner_in
from moby_builder.dockerfile.effects.selection import chosen, excludes_of
from moby_builder.dockerfile.effects.workspace import Workspace
from moby_builder.dockerfile.operations import Copy, CopySource, MakeFolder, Node, Stack, Write
from moby_builder.dockerfile.solver.effects import Tree, Watch
from moby_builder.folders.unpacking import unpack

__all__ = ["Files"]

_FILE_MODE = 0o644


@frozen
class Files:
    """Does operations on files. Thread-safe."""

    workspace: Workspace
    snapshotter: Snapshotter

    def copy(self, node: Node, inputs: Sequence[Tree], watch: Watch) -> Tree:
        """Copy files of other inputs into the root."""
        copy = node.operation
        assert isinstance(copy, Copy)
        with self.workspace.writing(inputs[0].snapshot) as draft:
            with ExitStack() as stack:
                target = stack.enter_context(opened(draft.path))
                how = _how(draft.path, copy, _time_ns(node, copy.time_ns), watch)
                roots = {
                    number: stack.enter_context(opened(stack.enter_context(self.workspace.reading(inputs[number]))))
                    for number in {each.input for each in copy.sources}
                }
                for source in copy.sources:
                    _copy(copy, source, Copying(roots[source.input], target, how, excludes_of(source), watch.cancel))
            draft.keep()
        return draft.tree

    def write(self, node: Node, inputs: Sequence[Tree], watch: Watch) -> Tree:
        """Write files of the Dockerfile into the root, as if they were copied there."""
        write = node.operation
        assert isinstance(write, Write)
        sources = tuple(CopySource(0, f"/{_literal(each.name)}") for each in write.files)
        copy = Copy(sources, write.target, write.owner, write.mode, time_ns=_time_ns(node, None))
        with self.workspace.writing(inputs[0].snapshot) as draft, self.workspace.memory() as memory:
            for file in write.files:
                (memory / file.name).write_bytes(file.data)
                (memory / file.name).chmod(_FILE_MODE)
            with opened(memory) as source, opened(draft.path) as target:
                how = _how(draft.path, copy, copy.time_ns, watch)
                for each in sources:
                    _copy(copy, each, Copying(source, target, how, cancel=watch.cancel))
            draft.keep()
        return draft.tree

    def make_folder(self, node: Node, inputs: Sequence[Tree], watch: Watch) -> Tree:
        """Make a folder in the root."""
        folder = node.operation
        assert isinstance(folder, MakeFolder)
        with self.workspace.writing(inputs[0].snapshot) as draft:
            owner = owner_in(draft.path, folder.owner, watch) or (0, 0)
            with opened(draft.path) as root, failures("mkdir"):
                make_folders(root, folder.path, Made(folder.mode, owner, _time_ns(node, None)))
            draft.keep()
        return draft.tree

    def stack(self, node: Node, inputs: Sequence[Tree], watch: Watch) -> Tree:
        """Put all that other inputs show on top of the root, whatever is there."""
        assert isinstance(node.operation, Stack)
        with self.workspace.writing(inputs[0].snapshot) as draft:
            with opened(draft.path) as root:
                for each in inputs[1:]:
                    if each.snapshot:
                        unpack(self.snapshotter.export(each.snapshot), root, watch.cancel.check)
            draft.keep()
        return draft.tree


@contextmanager
def opened(folder: Path) -> Iterator[int]:
    """Lend a descriptor of a folder."""
    fd = os.open(folder, tree.DIRECTORY_FLAGS)
    try:
        yield fd
    finally:
        os.close(fd)


def _copy(copy: Copy, source: CopySource, copying: Copying) -> None:
    """Copy what one source means."""
    for match in chosen(copying.source_fd, copy, source, copying.excludes):
        if copy.parents:
            copying.copy_with_parents(match, copy.target)
        elif source.unpack and is_archive(copying.source_fd, match):
            copying.unpack(match, copy.target)
        else:
            copying.copy(match, copy.target)
    copying.finish()


def _how(root: Path, copy: Copy, time_ns: int | None, watch: Watch) -> How:
    return How(owner_in(root, copy.owner, watch), modes.parse(copy.mode) if copy.mode else None, time_ns)


def _time_ns(node: Node, time_ns: int | None) -> int | None:
    if time_ns is not None or node.epoch_s is None:
        return time_ns
    return node.epoch_s * 1_000_000_000


def _literal(name: str) -> str:
    """Return a pattern that fits just this name."""
    return "".join(f"[{each}]" if each in "*?[" else each for each in name)
