"""Digests of what steps see of their inputs; of snapshots, which never change, they are written down."""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from attrs import asdict

from moby.contracts.metadata import Metadata
from moby.contracts.types import Digest
from moby.host import tree
from moby_builder.dockerfile.effects.failures import failures
from moby_builder.dockerfile.effects.listings import KeptListing, Listing, RootListing
from moby_builder.dockerfile.effects.selection import digest_of_copy, digest_of_path, lines_of_copy
from moby_builder.dockerfile.effects.workspace import Workspace
from moby_builder.dockerfile.operations import Copy, MountKind, Node, Run
from moby_builder.dockerfile.portions import portions
from moby_builder.dockerfile.solver.effects import Tree, Watch

__all__ = ["Contents", "Listings", "digest_of_tree"]

_BUCKET = "builder/contents"
_MOST_FILES = 500

Listings = dict[Path, KeptListing]
"""Of kept folders, as they are now."""


class Contents:
    """Digests of parts of trees. Thread-safe."""

    def __init__(self, workspace: Workspace, metadata: Metadata) -> None:
        self._workspace = workspace
        self._bucket = metadata.bucket(_BUCKET)
        self._metadata = metadata

    def digest(self, node: Node, tree: Tree, number: int, listings: Listings, watch: Watch) -> Digest | None:
        """Return the digest of what an operation sees of an input; None where it sees all of it, or changes it."""
        wanted = _wanted(node, number)
        if wanted is None:
            return None
        if tree.folder is not None or not tree.snapshot:
            return self._computed(node, tree, number, listings, watch)
        key = f"{tree.snapshot}\n{hashlib.sha256(wanted.encode()).hexdigest()}"
        known = self._bucket.get(key)
        if known is None:
            known = self._computed(node, tree, number, listings, watch).hex
            self._bucket.put(key, known)
        return Digest("sha256", known)

    def files(self, node: Node, tree: Tree, number: int, listings: Listings) -> Mapping[str, str]:
        """Return a short digest for each file that a COPY takes of a kept folder; none where there are very many."""
        listing = listings.get(tree.folder) if tree.folder is not None else None
        if listing is None or not isinstance(node.operation, Copy):
            return {}
        assert tree.folder is not None
        found: dict[str, str] = {}
        root = os.open(tree.folder, _FOLDER)
        try:
            for name, facts in _named(lines_of_copy(root, node.operation, number, listing)):
                found[name] = hashlib.sha256(facts.encode("utf-8", "surrogateescape")).hexdigest()[:8]
                if len(found) > _MOST_FILES:
                    return {}
        finally:
            os.close(root)
        return found

    def forget(self, snapshot: str) -> None:
        """Forget a snapshot that was removed."""
        for some in portions(self._bucket.keys(f"{snapshot}\n")):
            with self._metadata.transaction():
                for key in some:
                    self._bucket.delete(key)

    def _computed(self, node: Node, tree: Tree, number: int, listings: Listings, watch: Watch) -> Digest:
        with self._workspace.reading(tree) as path:
            root = os.open(path, _FOLDER)
            try:
                kept = listings.get(tree.folder) if tree.folder is not None else None
                listing: Listing = kept or RootListing(root, watch.cancel)
                with failures("failed to calculate checksum"):
                    return _digest(node, root, number, listing)
            finally:
                os.close(root)


def digest_of_tree(root: Path, watch: Watch) -> Digest:
    """Return the digest of all that is below a folder."""
    fd = os.open(root, _FOLDER)
    try:
        return digest_of_path(fd, "/", RootListing(fd, watch.cancel))
    finally:
        os.close(fd)


_FOLDER = tree.DIRECTORY_FLAGS


def _wanted(node: Node, number: int) -> str | None:
    """Return a text that says what an operation sees of an input; None where it isn't a part that can be told."""
    operation = node.operation
    found: list[Any] = []
    if isinstance(operation, Copy) and number:
        found = [asdict(each) for each in operation.sources if each.input == number]
        found += [operation.parents, operation.require] if found else []
    elif isinstance(operation, Run) and number:
        mounts = [each for each in operation.mounts if each.input == number]
        if any(each.kind is not MountKind.BIND for each in mounts):
            return None
        found = sorted({each.source for each in mounts})
    return json.dumps(found, sort_keys=True) if found else None


def _named(copied: Iterable[Iterable[str]]) -> Iterator[tuple[str, str]]:
    """Yield names and what counts of them."""
    for lines in copied:
        for line in lines:
            name, _, facts = line.partition("\0")
            if facts:
                yield name, facts


def _digest(node: Node, root: int, number: int, listing: Listing) -> Digest:
    operation = node.operation
    if isinstance(operation, Copy):
        return digest_of_copy(root, operation, number, listing)
    assert isinstance(operation, Run)
    total = hashlib.sha256()
    for source in sorted({each.source for each in operation.mounts if each.input == number}):
        total.update(str(digest_of_path(root, source, listing)).encode())
    return Digest("sha256", total.hexdigest())
