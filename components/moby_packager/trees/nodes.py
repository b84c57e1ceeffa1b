"""A tree of files as one packager hands it to another: a tar whose headers also say whose bytes each file is."""

import io
import json
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath

from attrs import field, frozen

from moby.errors import Invalid

__all__ = ["Node", "below", "folder", "link", "plain", "read", "with_folders", "write"]

OWNERS = "MOBY.owners"
"""Record in a member's extended header: JSON, bytes by owner."""


@frozen
class Node:
    """One file, folder or symbolic link."""

    path: str
    """Relative, with `/`."""
    data: bytes = field(default=b"", repr=False)
    owners: Mapping[str, int] = field(factory=dict)
    """Whose the bytes are; they add up to them. A link's are none."""
    mode: int = 0o644
    target: str = ""
    """Of a link."""
    is_folder: bool = False


def plain(path: str, data: bytes, owner: str, *, executable: bool = False) -> Node:
    """Return a file that is one owner's."""
    return Node(path, data, {owner: len(data)}, 0o755 if executable else 0o644)


def link(path: str, target: str) -> Node:
    """Return a symbolic link."""
    return Node(path, mode=0o777, target=target)


def folder(path: str, mode: int = 0o755) -> Node:
    """Return a folder."""
    return Node(path, mode=mode, is_folder=True)


def below(nodes: Iterable[Node], place: str) -> list[Node]:
    """Return a tree inside a folder of another."""
    return [Node(f"{place}/{n.path}", n.data, n.owners, n.mode, n.target, n.is_folder) for n in nodes]


def with_folders(nodes: Iterable[Node]) -> list[Node]:
    """Return nodes sorted by path, with the folders that they are in; a folder comes before what is in it."""
    found = {node.path: node for node in nodes}
    for path in list(found):
        for parent in PurePosixPath(path).parents:
            if str(parent) != ".":
                found.setdefault(str(parent), folder(str(parent)))
    return [found[path] for path in sorted(found)]


def write(nodes: Sequence[Node], epoch_s: int, *, owners: bool = False) -> bytes:
    """Return a tar (POSIX.1-2001) of root's files, with one time, in the order given.

    With `owners` its headers say whose each file is, as `read` wants it; without, it is for everybody.
    """
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for node in nodes:
            info = tarfile.TarInfo(node.path)
            info.mode, info.mtime, info.size = node.mode, epoch_s, len(node.data)
            info.type = tarfile.DIRTYPE if node.is_folder else tarfile.SYMTYPE if node.target else tarfile.REGTYPE
            info.linkname = node.target
            if owners and node.owners:
                info.pax_headers = {OWNERS: json.dumps(dict(sorted(node.owners.items())))}
            archive.addfile(info, io.BytesIO(node.data) if info.isreg() else None)
    return out.getvalue()


def read(data: bytes) -> list[Node]:
    """Return the nodes of a tar that `write` made with owners; Invalid where it is none."""
    nodes = []
    try:
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            for info in archive:
                file = archive.extractfile(info) if info.isreg() else None
                content = file.read() if file else b""
                owners = json.loads(info.pax_headers.get(OWNERS, "{}"))
                nodes.append(Node(info.name, content, owners, info.mode, info.linkname, info.isdir()))
    except (tarfile.TarError, ValueError, EOFError) as error:
        raise Invalid(f"what was given is no tree: {error}", hint="assemble again") from error
    return nodes
