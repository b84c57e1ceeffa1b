"""The archive that a kernel unpacks into its first root (early-userspace/buffer-format.rst of its documentation)."""

import os
import stat
from collections import Counter
from collections.abc import Iterable

from attrs import field, frozen

from moby_packager.trees.nodes import Node

__all__ = ["Record", "record", "write"]

MAGIC = "070701"
LAST = "TRAILER!!!"
HEADER_BYTES = 110
ALIGNMENT = 4


@frozen
class Record:
    """One file of whatever sort, as inodes have it."""

    path: str
    mode: int
    """With the sort of file."""
    data: bytes = field(default=b"", repr=False)
    """A link's is its target."""
    uid: int = 0
    gid: int = 0
    device: tuple[int, int] = (0, 0)
    """Major and minor number."""
    link_of: str = ""
    """Another record's path, of which this is one more name; that one comes first."""


def record(node: Node) -> Record:
    """Return a file of a tree, which is root's."""
    kind = stat.S_IFDIR if node.is_folder else stat.S_IFLNK if node.target else stat.S_IFREG
    return Record(node.path, kind | node.mode, node.target.encode() or node.data)


def write(records: Iterable[Record], epoch_s: int) -> bytes:
    """Return the archive, with one time, in the order given; folders come before what is in them."""
    given = list(records)
    names = Counter(each.link_of or each.path for each in given)
    numbers: dict[str, int] = {}
    parts = []
    for each in given:
        whose = each.link_of or each.path
        number = numbers.setdefault(whose, len(numbers) + 1)
        parts.append(_member(each, number, names[whose], epoch_s))
    parts.append(_member(Record(LAST, 0), 0, 1, 0))
    return b"".join(parts)


def _member(each: Record, number: int, names: int, epoch_s: int) -> bytes:
    name = os.fsencode(each.path) + b"\0"
    links = 2 if stat.S_ISDIR(each.mode) else names
    values = (
        number, each.mode, each.uid, each.gid, links, epoch_s, len(each.data), 0, 0, *each.device, len(name), 0,
    )  # fmt: skip
    head = (MAGIC + "".join(f"{value:08X}" for value in values)).encode() + name
    return _padded(head) + _padded(each.data)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % ALIGNMENT)
