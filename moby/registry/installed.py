"""Installed Python distributions that bring components, read from their dist-info folders and nothing else.

importlib.metadata parses every METADATA with the email package and every RECORD with csv; with hundreds of
distributions that is most of a second. Formats: packaging.python.org, "Recording installed projects", "Entry points
specification", "Direct URL data structure".
"""

import json
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from attrs import frozen

from moby.hookspecs import ENTRY_POINTS

__all__ = ["FRAMEWORK", "Distribution", "Entry", "canonical", "scan"]

FRAMEWORK = "moby-framework"
_SUFFIX = ".dist-info"


@frozen
class Entry:
    """An entry point: its name, and the plugin module that it names."""

    name: str
    module: str


@frozen
class Distribution:
    """An installed distribution: what it is called, where it lies, and the plugin modules that it names."""

    name: str
    version: str
    info: Path
    """Its dist-info folder."""
    entries: tuple[Entry, ...] = ()
    editable: bool = False

    @property
    def label(self) -> str:
        """`NAME VERSION`, as facts and messages have it."""
        return f"{self.name} {self.version}"

    @property
    def ours(self) -> bool:
        """Whether it is the framework itself."""
        return canonical(self.name) == FRAMEWORK

    def record(self) -> bytes:
        """Return its list of files with their hashes; empty where the installer left none."""
        return _bytes(self.info / "RECORD")


def canonical(name: str) -> str:
    """Return a distribution's name as the index compares it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def scan(path: Iterable[str]) -> list[Distribution]:
    """Return the distributions on an import path, sorted by name; of two of one name the first on the path counts.

    The empty entry, which is whatever folder the process is in, isn't searched.
    """
    found: dict[str, Distribution] = {}
    for folder in dict.fromkeys(path):
        for info in _infos(folder):
            name, version = _identity(info)
            found.setdefault(canonical(name), Distribution(name, version, info, _entries(info), _is_editable(info)))
    return [found[name] for name in sorted(found)]


def _infos(folder: str) -> Iterator[Path]:
    """Yield the dist-info folders in one folder of the import path."""
    if not folder:
        return
    try:
        names = sorted(name for name in os.listdir(folder) if name.endswith(_SUFFIX))  # noqa: PTH208 - three times faster
    except OSError:  # a zip file, or nothing
        return
    for name in names:
        yield Path(folder, name)


def _identity(info: Path) -> tuple[str, str]:
    """Return name and version from METADATA, or from the folder's name where that has none."""
    name, _, version = info.name.removesuffix(_SUFFIX).partition("-")
    head = _bytes(info / "METADATA").partition(b"\n\n")[0].decode("utf-8", "replace")
    for line in head.splitlines():
        key, colon, value = line.partition(":")
        if colon and key.lower() == "name":
            name = value.strip()
        elif colon and key.lower() == "version":
            version = value.strip()
    return name, version


def _entries(info: Path) -> tuple[Entry, ...]:
    """Return the entry points of our group, in the order in which they are written."""
    data = _bytes(info / "entry_points.txt")
    if ENTRY_POINTS.encode() not in data:
        return ()
    found, section = [], ""
    for raw in data.decode("utf-8", "replace").splitlines():
        line = raw.strip()
        if line.startswith("["):
            section = line.strip("[] ")
        elif section == ENTRY_POINTS and line and line[0] not in "#;":
            name, _, module = line.partition("=")
            found.append(Entry(name.strip(), module.partition("[")[0].strip()))
    return tuple(found)


def _is_editable(info: Path) -> bool:
    data = _bytes(info / "direct_url.json")
    if not data:
        return False
    try:
        return bool(json.loads(data)["dir_info"]["editable"])
    except (KeyError, TypeError, ValueError):
        return False


def _bytes(file: Path) -> bytes:
    try:
        with open(file, "rb") as stream:  # noqa: PTH123 - pathlib's costs twice as much, a thousand times over
            return stream.read()
    except OSError:
        return b""
