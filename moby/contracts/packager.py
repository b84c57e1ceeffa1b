"""The kind `packager`: turns an engine's files into an artifact of one format.

A packager is a function of its source: it reads no clock, environment, locale, umask or hash seed, and builds the
same bytes from the same source in any folder.

Formats are made of formats: one whose component says `takes="pyz"` finds in its source what the packager that gives
`pyz` made. The framework puts them in a chain, and keeps what each made for the next time that its input is the same.

Version 2 brought `Source.given`, `Artifact.brought` and `fingerprint`; a part of version 1 has none of them.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from attrs import field, frozen

from moby.contracts.kind import contract

__all__ = ["FORMAT", "Artifact", "Brought", "Entry", "Given", "HostBound", "Packager", "Source"]

FORMAT = "(format)"
"""The owner of bytes that nobody brought, as headers are."""


@frozen
class Entry:
    """One file of an engine: where it lies in the import path, its bytes, and the component that brought it."""

    path: str
    """Relative, with `/`."""
    data: bytes = field(repr=False)
    owner: str
    """`kind/name` of the component, `moby` for the framework, or `NAME VERSION` of a Python distribution."""
    executable: bool = False


@frozen(order=True)
class Brought:
    """What a packager put in that is neither the engine's nor its own: an interpreter, a library of the host's."""

    name: str
    version: str
    url: str = ""
    """Its package URL (purl), as `pkg:deb/debian/libc6@2.41-12?arch=amd64`."""

    @property
    def owner(self) -> str:
        """`NAME VERSION`, as sizes name it."""
        return f"{self.name} {self.version}"


@frozen
class Artifact:
    """What was built, inside the folder that was given."""

    files: tuple[Path, ...]
    """Relative to the folder."""
    sizes_bytes: Mapping[str, int]
    """Bytes of the files by owner; they add up to the files' sizes. What nobody brought is `(format)`."""
    brought: tuple[Brought, ...] = ()
    """What is inside and didn't come with the source, nor with what was given."""


@frozen
class Given:
    """What the packager made that this one takes."""

    folder: Path
    """Holds the files; they are to be read only, and go when the build ends."""
    artifact: Artifact

    def path(self) -> Path:
        """Return the one file that most formats are."""
        (only,) = self.artifact.files
        return self.folder / only


@frozen
class Source:
    """What to package: entries sorted by path, which with `__main__.py` and the lock among them are a whole engine."""

    name: str
    entries: tuple[Entry, ...]
    epoch_s: int = 315532800
    """The one time that may end up in the artifact: 1980-01-01, the oldest that zip knows."""
    given: Given | None = None
    """For a packager that takes something; else None."""


@contract("packager", version=2, many=True)
class Packager(Protocol):
    """Turns an engine's files into an artifact of one format."""

    def build(self, source: Source, out: Path) -> Artifact:
        """Write the artifact into an existing, empty folder that the caller owns.

        Unsupported names an entry that the format can't carry, or a name; HostUnfit a tool that isn't there or failed.
        What was half-written is the caller's to remove.
        """
        ...


class HostBound(Protocol):
    """What a packager is besides, where its bytes also depend on what the host has: a compiler, a copied library."""

    def fingerprint(self) -> str:
        """Return a text that changes whenever that does, the same on hosts that have the same; may read many files.

        HostUnfit says what isn't there.
        """
        ...
