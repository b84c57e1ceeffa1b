"""The kind `packager`: turns an engine's files into an artifact of one format.

A packager is a function of its source: it reads no clock, environment, locale, umask or hash seed, and builds the
same bytes from the same source in any folder.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from attrs import field, frozen

from moby.contracts.kind import contract

__all__ = ["Artifact", "Entry", "Packager", "Source"]


@frozen
class Entry:
    """One file of an engine: where it lies in the import path, its bytes, and the component that brought it."""

    path: str
    """Relative, with `/`."""
    data: bytes = field(repr=False)
    owner: str
    """`kind/name` of the component, `moby` for the framework, or `NAME VERSION` of a Python distribution."""
    executable: bool = False


@frozen
class Source:
    """What to package: entries sorted by path, which with `__main__.py` and the lock among them are a whole engine."""

    name: str
    entries: tuple[Entry, ...]
    epoch_s: int = 315532800
    """The one time that may end up in the artifact: 1980-01-01, the oldest that zip knows."""


@frozen
class Artifact:
    """What was built, inside the folder that was given."""

    files: tuple[Path, ...]
    """Relative to the folder."""
    sizes_bytes: Mapping[str, int]
    """Bytes of the files by owner; they add up to the files' sizes. What nobody brought is `(format)`."""


@contract("packager", version=1, many=True)
class Packager(Protocol):
    """Turns an engine's files into an artifact of one format."""

    def build(self, source: Source, out: Path) -> Artifact:
        """Write the artifact into an existing, empty folder that the caller owns.

        Unsupported names an entry that the format can't carry. What was half-written is the caller's to remove.
        """
        ...
