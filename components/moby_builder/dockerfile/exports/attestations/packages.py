"""Packages that a tree of files says are installed in it: Debian's, Alpine's, rpm's manifests, Python's, Node's.

The tree is anybody's: no link is followed, nothing of it is run, and of what is too big or no text nothing is said.
"""

import json
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from attrs import frozen

from moby.host import tree
from moby.host.mounts import open_in_root

__all__ = ["Package", "distribution_of", "packages_in"]

_MOST_BYTES = 64 << 20
_MOST_PACKAGES = 100_000


@frozen(order=True)
class Package:
    """A package that is installed."""

    type: str
    """As package URLs name it: `deb`, `apk`, `rpm`, `pypi`, `npm`."""
    name: str
    version: str
    architecture: str = ""
    license: str = ""
    """As the package says it."""
    found_in: str = ""
    """The file that says so."""


def packages_in(root: Path) -> tuple[Package, ...]:
    """Return all packages of a tree, sorted, each once."""
    found: dict[tuple[str, str, str], Package] = {}
    for path, name, folder in _files(root):
        read = _reader_of(path, name)
        if read is None:
            continue
        for each in read(path, _text(folder, name)):
            if each.name and each.version and len(found) < _MOST_PACKAGES:
                found.setdefault((each.type, each.name, each.version), each)
    return tuple(sorted(found.values()))


def distribution_of(root: Path) -> str:
    """Return what a tree's os-release(5) calls its distribution; empty where it says nothing."""
    for folder in ("etc", "usr/lib"):
        with suppress(OSError), _opened(root, folder) as fd:
            for line in _text(fd, "os-release").splitlines():
                key, _, value = line.partition("=")
                if key == "ID":
                    return value.strip().strip("\"'")
    return ""


@contextmanager
def _opened(root: Path, folder: str) -> Iterator[int]:
    """Lend a folder of a tree, as one that has it as its root would find it."""
    fd = os.open(root, tree.DIRECTORY_FLAGS)
    try:
        inner = open_in_root(fd, folder, os.O_RDONLY | os.O_DIRECTORY)
    finally:
        os.close(fd)
    try:
        yield inner
    finally:
        os.close(inner)


def _files(root: Path) -> Iterator[tuple[str, str, int]]:
    """Yield paths of files from the root, their names, and their folders' descriptors."""
    fd = os.open(root, tree.DIRECTORY_FLAGS)
    try:
        for path, folders, names, folder in os.fwalk(".", dir_fd=fd, follow_symlinks=False):
            folders.sort()
            shown = path.removeprefix(".").strip("/")
            for name in sorted(names):
                yield f"{shown}/{name}".strip("/"), name, folder
    finally:
        os.close(fd)


def _text(folder: int, name: str) -> str:
    """Return a regular file's text; empty for what isn't one, or is too big."""
    with suppress(OSError):
        if not stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            return ""  # nor is it opened: a device is the host's own
        file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
        with os.fdopen(file, "rb") as opened:
            found = os.fstat(opened.fileno())
            if stat.S_ISREG(found.st_mode) and found.st_size <= _MOST_BYTES:
                return opened.read(_MOST_BYTES).decode("utf-8", "replace")
    return ""


_Reader = Callable[[str, str], Iterator[Package]]


def _reader_of(path: str, name: str) -> _Reader | None:
    if path == "var/lib/dpkg/status" or (path.startswith("var/lib/dpkg/status.d/") and "." not in name):
        return _dpkg
    if path in ("lib/apk/db/installed", "usr/lib/apk/db/installed"):
        return _apk
    if path == "var/lib/rpmmanifest/container-manifest-2":
        return _rpm
    if (name == "METADATA" and path.endswith(".dist-info/METADATA")) or (
        name == "PKG-INFO" and path.endswith(".egg-info/PKG-INFO")
    ):
        return _python
    if name == "package.json" and _is_node(path):
        return _node
    return None


def _is_node(path: str) -> bool:
    """Whether a package.json is that of a package, and not of something inside one."""
    above = path.split("/")[:-1]
    return len(above) >= 2 and (
        above[-2] == "node_modules" or (len(above) >= 3 and above[-3] == "node_modules" and above[-2].startswith("@"))
    )


def _paragraphs(text: str) -> Iterator[Mapping[str, str]]:
    """Yield paragraphs of `Name: value` lines (deb822(5)), the first line of each value."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        if not line.strip():
            if found:
                yield found
            found = {}
        elif not line[0].isspace():
            key, _, value = line.partition(":")
            found.setdefault(key.strip(), value.strip())
    if found:
        yield found


def _dpkg(path: str, text: str) -> Iterator[Package]:
    for each in _paragraphs(text):
        if each.get("Status", "installed").endswith(" installed") or "Status" not in each:
            yield Package(
                "deb", each.get("Package", ""), each.get("Version", ""), each.get("Architecture", ""), found_in=path
            )


def _apk(path: str, text: str) -> Iterator[Package]:
    for each in _paragraphs(text):
        yield Package("apk", each.get("P", ""), each.get("V", ""), each.get("A", ""), each.get("L", ""), path)


def _rpm(path: str, text: str) -> Iterator[Package]:
    """Read lines of name, version-release, times, vendor, epoch, size, architecture, ..., tabs between them."""
    for line in text.splitlines():
        fields = line.split("\t")
        if len(fields) >= 8:
            yield Package("rpm", fields[0], fields[1], fields[7], found_in=path)


def _python(path: str, text: str) -> Iterator[Package]:
    head = next(_paragraphs(text), {})
    license_ = head.get("License-Expression") or head.get("License", "")
    yield Package("pypi", head.get("Name", "").lower().replace("_", "-"), head.get("Version", ""), "", license_, path)


def _node(path: str, text: str) -> Iterator[Package]:
    with suppress(ValueError, RecursionError):
        found = json.loads(text)
        if isinstance(found, dict):
            name, version, license_ = found.get("name"), found.get("version"), found.get("license")
            if isinstance(name, str) and isinstance(version, str):
                yield Package("npm", _whole(name), _whole(version), "", _whole(license_), path)


def _whole(value: object) -> str:
    """Return a text without halves of characters, which JSON may hold and no file can."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else ""
