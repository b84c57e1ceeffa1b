"""Finds manifests, and puts a manifest and all that it extends in the order in which they are merged."""

import os
import re
from collections.abc import Callable
from hashlib import sha256
from importlib import resources
from pathlib import Path

from attrs import define, field, frozen

from moby.errors import MobyError, Origin
from moby.manifest.document import MOST_BYTES, compose
from moby.manifest.draft import Layer
from moby.manifest.report import Report, shown
from moby.manifest.tree import Map, Scalar, Sequence, is_null

__all__ = ["MOST_CHAIN", "MOST_FILES", "OCI", "Fetch", "Gathering", "Source", "find", "shipped", "shipped_folder"]

Fetch = Callable[[str], Path]
"""Returns the main manifest of an assembly in an image registry, in a folder with what it extends."""
OCI = "oci://"

MOST_FILES = 200
MOST_CHAIN = 50
_LONGEST_NAME = 250
_BARE = re.compile(r"[a-z0-9][a-z0-9-]*", re.ASCII)
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")


@frozen
class Source:
    """A manifest's file: how it is shown, and where it is."""

    shown: str
    path: Path
    ours: bool = False
    """Whether it is a shipped or fetched assembly, which stays in its folder."""

    @property
    def folder(self) -> Path:
        """The folder that it stays in: for a file of an artifact that of the whole artifact."""
        own = self.shown.partition("#")[2] if self.shown.startswith(OCI) else ""
        return self.path.parents[own.count("/")]

    def beside(self, reference: str) -> str:
        """Return how a file is shown that this one names; one of an artifact as `oci://...#FILE`."""
        if self.shown.startswith(OCI):
            artifact, _, own = self.shown.partition("#")
            return f"{artifact}#{os.path.normpath(os.path.join(os.path.dirname(own), reference))}"  # noqa: PTH118, PTH120
        return os.path.normpath(Path(self.shown).parent / reference)


def shipped_folder() -> Path:
    """Return the folder of the shipped assemblies: in the package, or beside it in a checkout."""
    package = Path(str(resources.files("moby")))
    inside = package / "assemblies"
    return inside if inside.is_dir() else package.parent / "assemblies"


def shipped() -> tuple[str, ...]:
    """Return the names of the shipped assemblies, sorted."""
    return tuple(sorted(path.stem for path in shipped_folder().glob("*.yaml")))


def find(file_or_name: str | Path, report: Report) -> Source | None:
    """Return the manifest that a user names: a shipped assembly by its bare name, else a file."""
    given = str(file_or_name)
    if isinstance(file_or_name, str) and _BARE.fullmatch(given):
        return _named(given, report, None, Path())
    if scheme := _SCHEME.match(given):
        _refuse_scheme(scheme[1], given, report, None)
        return None
    if "\0" in given:
        report.add(f"{shown(given)} is no path", None)
        return None
    return Source(_legible(given), Path(given))


def _legible(path: str) -> str:
    """Return a path as text that locks and pictures can hold: what isn't UTF-8 in it as escapes."""
    return path.encode("utf-8", "backslashreplace").decode("utf-8")


def _named(name: str, report: Report, where: Origin | None, folder: Path | None) -> Source | None:
    """Return a shipped assembly; where there is none of the name, a folder's file that may be meant is proposed."""
    path = shipped_folder() / f"{name}.yaml"
    if name not in (names := shipped()):
        report.unknown("shipped assembly", name, names, where)
        meant = (folder / name, folder / f"{name}.yaml") if folder and len(name) < _LONGEST_NAME else ()
        for each in filter(Path.is_file, meant):
            report.add(f"{each.name} is also a file here", where, fix=f"./{each.name}")
        return None
    relative = os.path.relpath(path)
    return Source(str(path) if relative.startswith("..") else relative, path, ours=True)


def _refuse_scheme(scheme: str, given: str, report: Report, where: Origin | None) -> None:
    if scheme == "oci":
        fix = f"extends: [{given}] in a manifest of your own"
        report.add(f"can't read {shown(given)} here: oci:// is for extends", where, fix=fix)
        return
    report.add(
        f"can't extend {shown(given)}: {scheme}:// isn't supported",
        where,
        fix="name a local file or a shipped assembly",
    )


@define
class Gathering:
    """Reads a manifest and what it extends, each file once, the extended before the one that extends it."""

    report: Report
    fetch: Fetch | None = None
    """For what lies in image registries; without it that can't be had."""
    layers: list[Layer] = field(factory=list)
    digests: dict[str, str] = field(factory=dict)
    """SHA-256 of every file, by how it is shown, in the order of merging."""
    _done: set[str] = field(factory=set)
    _count: int = 0

    def gather(self, source: Source, chain: tuple[Source, ...] = (), where: Origin | None = None) -> bool:
        """Add a manifest's layers, unless they are there already; `where` is the line that extends it.

        False, with the reason reported, if this manifest itself can't be had.
        """
        real = os.path.realpath(source.path)
        if real in self._done:
            return True
        open_files = [os.path.realpath(each.path) for each in chain]
        if real in open_files:
            names = " -> ".join(each.shown for each in (*chain[open_files.index(real) :], source))
            self.report.add(f"extends goes round in a circle: {names}", where, fix="take this line out")
            return False
        self._count += 1
        if self._count > MOST_FILES or len(chain) > MOST_CHAIN:
            self.report.add(f"extends more than {MOST_FILES} files, or more than {MOST_CHAIN} in a chain", where)
            return False
        data = self._bytes(source, chain, where)
        root = None if data is None else compose(data, source.shown, self.report)
        if data is None or root is None:
            return False
        if not isinstance(root, Map):
            kind = "a list" if isinstance(root, Sequence) else "a single value"
            self.report.add(f"a manifest is a map, not {kind}", root.origin, fix="it begins with `moby: 1`")
            return False
        self._extended(source, root, chain)
        self._done.add(real)
        self.layers.append(Layer(source.shown, root, inherits="extends" in root.entries))
        self.digests[source.shown] = sha256(data).hexdigest()
        return True

    def _bytes(self, source: Source, chain: tuple[Source, ...], where: Origin | None) -> bytes | None:
        try:
            with source.path.open("rb") as file:
                return file.read(MOST_BYTES + 1)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            because = tuple(f"{after.shown} extends {before.shown}" for before, after in _pairs((*chain, source)))
            self.report.add(
                f"can't read {source.shown}: {reason}",
                where or Origin(source.shown),
                because=because,
                fix=f"shipped assemblies: {', '.join(shipped())}" if not chain else "",
            )
            return None

    def _extended(self, source: Source, root: Map, chain: tuple[Source, ...]) -> None:
        entry = root.entries.get("extends")
        if entry is None or is_null(entry.node):
            return
        if not isinstance(entry.node, Sequence):
            self.report.add("extends must be a list", entry.node.origin, fix="extends: [NAME_OR_FILE]")
            return
        for item in entry.node.items:
            found = False
            if not isinstance(item, Scalar) or not isinstance(item.value, str):
                self.report.add("extends takes names and paths, as text", item.origin)
            elif target := self._target(source, item.value, item.origin):
                found = self.gather(target, (*chain, source), item.origin)
            self.report.partial |= not found

    def _target(self, source: Source, reference: str, where: Origin) -> Source | None:
        """Find what a line of `extends` names; what it names stays inside the shipped folder for a shipped one."""
        if _BARE.fullmatch(reference):
            return _named(reference, self.report, where, None if source.ours else source.path.parent)
        if reference.startswith(OCI) and self.fetch:
            return self._fetched(self.fetch, reference, where)
        if scheme := _SCHEME.match(reference):
            _refuse_scheme(scheme[1], reference, self.report, where)
            return None
        if not reference or "\0" in reference or "${" in reference:
            why = "parameters aren't known yet here" if "${" in reference else "that is no path"
            self.report.add(f"can't extend {shown(reference)}: {why}", where)
            return None
        path = source.path.parent / reference
        folder = os.path.realpath(source.folder)
        if source.ours and os.path.commonpath([folder, os.path.realpath(path)]) != folder:
            of = "its artifact" if source.shown.startswith(OCI) else "the folder of shipped assemblies"
            self.report.add(f"can't extend {shown(reference)}: it leaves {of}", where)
            return None
        return Source(source.beside(reference), path, source.ours)

    def _fetched(self, fetch: Fetch, reference: str, where: Origin) -> Source | None:
        try:
            return Source(reference, fetch(reference), ours=True)
        except MobyError as error:
            self.report.add(f"can't extend {shown(reference)}: {error.message}", where, fix=error.hint)
            return None


def _pairs(chain: tuple[Source, ...]) -> list[tuple[Source, Source]]:
    """Return who is extended by whom, from the file at fault up to the root."""
    return [(chain[at + 1], chain[at]) for at in reversed(range(len(chain) - 1))]
