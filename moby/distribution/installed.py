"""Python distributions as they are installed: their files, hashes, requirements and licences."""

import base64
import csv
import hashlib
import importlib.metadata
import json
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath

from attrs import field, frozen
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from moby.errors import Corrupt, Invalid, NotFound
from moby.host import digests

__all__ = ["FRAMEWORK", "PYTHONS", "Installed", "closure", "find", "running_python", "tree_digest"]

FRAMEWORK = "moby-framework"
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
"""The Pythons that an engine runs on; what a distribution needs on any of them goes in."""

LOCAL = frozenset({"RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json"})
"""Files of a dist-info folder that tell about one installation, not about the distribution."""
LICENCE = re.compile(r"^(licen[cs]e|copying|notice|authors)", re.IGNORECASE)


@frozen
class Installed:
    """A distribution; `files` are those that every installation of it has, with their SHA-256 (hexadecimal)."""

    name: str
    version: str
    root: Path
    """The folder that the files' paths are relative to."""
    files: Mapping[str, str] = field(repr=False)
    requires: tuple[str, ...] = ()
    licence: str = ""
    """Licence as the metadata give it: an SPDX expression where they follow the standard."""
    editable: bool = False
    """Whether it is a working tree; then `files` has no sources."""

    @property
    def label(self) -> str:
        """`NAME VERSION`."""
        return f"{self.name} {self.version}"

    @property
    def digest(self) -> str:
        """Digest of its RECORD without what differs from one installation to another."""
        lines = "".join(f"{path} {value}\n" for path, value in sorted(self.files.items()))
        return f"sha256:{hashlib.sha256(lines.encode()).hexdigest()}"

    def read(self, path: str) -> bytes:
        """Return a file's bytes; Corrupt where they aren't those that were installed."""
        try:
            data = (self.root / path).read_bytes()
        except OSError as error:
            raise Corrupt(f"{self.label}: {path} can't be read: {error.strerror}", hint=self._again) from error
        if path in self.files and hashlib.sha256(data).hexdigest() != self.files[path]:
            raise Corrupt(f"{self.label}: {path} is not what its RECORD says", hint=self._again)
        return data

    def licences(self) -> tuple[str, ...]:
        """Return the paths of its licence texts."""
        found = []
        for path in self.files:
            top, *rest = PurePosixPath(path).parts
            if top.endswith(".dist-info") and rest and (rest[0] == "licenses" or LICENCE.match(rest[0])):
                found.append(path)
        return tuple(sorted(found))

    def tops(self) -> frozenset[str]:
        """Return the top-level modules that it installs; of an editable one those of the folders it points to."""
        names = {PurePosixPath(path).parts[0].partition(".")[0] for path in self.files if _is_module(path)}
        return frozenset(names) if not self.editable else frozenset(names | _pointed(self))

    @property
    def _again(self) -> str:
        return f"pip install --force-reinstall {self.name}=={self.version}"


def _is_module(path: str) -> bool:
    return path.endswith((".py", ".so", ".pyd")) and ".dist-info/" not in path and not path.startswith("__editable__")


def _pointed(installed: Installed) -> set[str]:
    """Return the packages of the folders that an editable distribution's `.pth` files name."""
    found: set[str] = set()
    for path in installed.files:
        if path.endswith(".pth"):
            for line in (installed.root / path).read_text().splitlines():
                folder = Path(line)
                if folder.is_absolute() and folder.is_dir():
                    found.update(each.parent.name for each in folder.glob("*/__init__.py"))
                    found.update(each.stem for each in folder.glob("*.py"))
    return found


def find(name: str) -> Installed:
    """Return an installed distribution; NotFound says how to install it."""
    try:
        found = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError as error:
        raise NotFound(f"the Python distribution {name} isn't installed", hint=f"pip install {name}") from error
    metadata = found.metadata
    return Installed(
        name=canonicalize_name(metadata["Name"] or name),
        version=found.version,
        root=Path(str(found.locate_file(""))).resolve(),
        files=_files(found.read_text("RECORD") or ""),
        requires=tuple(found.requires or ()),
        licence=(metadata.get_all("License-Expression") or metadata.get_all("License") or [""])[0]
        .partition("\n")[0]
        .strip(),
        editable=_editable(found),
    )


def _files(record: str) -> dict[str, str]:
    """Read RECORD (PyPA, Recording installed projects), without scripts, which hold the interpreter's path."""
    files = {}
    for row in csv.reader(record.splitlines()):
        path, value = row[0], row[1] if len(row) > 1 else ""
        local = path.startswith(("..", "/")) or path.endswith(".pyc") or PurePosixPath(path).name in LOCAL
        if value.startswith("sha256=") and not local:
            digest = value.removeprefix("sha256=")
            files[path] = base64.urlsafe_b64decode(f"{digest}{'=' * (-len(digest) % 4)}").hex()
    return files


def _editable(found: importlib.metadata.Distribution) -> bool:
    text = found.read_text("direct_url.json")
    if text:
        return bool(json.loads(text).get("dir_info", {}).get("editable"))
    return found.read_text("RECORD") is None


def tree_digest(folders: Iterable[tuple[str, Path]]) -> str:
    """Return the digest of all files in (name, folder), but bytecode and hidden ones; where they lie doesn't count."""
    whole = hashlib.sha256()
    for name, folder in sorted(folders):
        for relative in sorted(_own(folder), key=lambda each: each.split("/")) or (["."] if folder.is_file() else []):
            whole.update(f"{name}/{relative} {digests.digest(folder / relative)}\n".encode())
    return f"sha256:{whole.hexdigest()}"


def _own(folder: Path) -> Iterator[str]:
    """Return the paths of files in a folder; texts, since there are thousands and each command counts them."""
    for place, inner, files in os.walk(folder):
        inner[:] = [each for each in inner if not each.startswith(".") and each != "__pycache__"]
        below = place.removeprefix(str(folder)).lstrip("/")
        for each in files:
            path = f"{place}/{each}"
            if not each.startswith(".") and not each.endswith(".pyc") and os.path.isfile(path):  # noqa: PTH113 - many
                yield f"{below}/{each}" if below else each


def closure(brought: Mapping[str, Iterable[str]]) -> dict[str, tuple[Installed, frozenset[str]]]:
    """Return the distributions that requirements come to, with all that those require, and for whom, by name.

    `brought` is requirements by owner. NotFound and Invalid name who needs what isn't installed, or not in that
    version.
    """
    found: dict[str, tuple[Installed, frozenset[str]]] = {}
    waiting = [(text, owner, owner) for owner, texts in sorted(brought.items()) for text in sorted(texts)]
    seen: set[tuple[str, str]] = set()
    while waiting:
        text, owner, by = waiting.pop(0)
        if (text, owner) in seen:
            continue
        seen.add((text, owner))
        wanted = _requirement(text, by)
        installed = _satisfying(wanted, by)
        _, owners = found.get(installed.name, (installed, frozenset[str]()))
        found[installed.name] = (installed, owners | {owner})
        for extra in sorted(wanted.extras) or [""]:
            waiting += [(each, owner, installed.label) for each in _needed(installed, extra)]
    return dict(sorted(found.items()))


def _requirement(text: str, by: str) -> Requirement:
    try:
        return Requirement(text)
    except InvalidRequirement as error:
        raise Invalid(f"{by} needs {text!r}, which is no requirement: {error}") from error


def _satisfying(wanted: Requirement, by: str) -> Installed:
    try:
        installed = find(wanted.name)
    except NotFound as error:
        raise NotFound(f"{by} needs {wanted}, which isn't installed", hint=f"pip install '{wanted}'") from error
    if not wanted.specifier.contains(installed.version, prereleases=True):
        raise Invalid(f"{by} needs {wanted}, but {installed.version} is installed", hint=f"pip install '{wanted}'")
    return installed


def _needed(installed: Installed, extra: str) -> list[str]:
    """Return what a distribution requires on any Python that an engine runs on, without the markers."""
    needed = []
    for text in installed.requires:
        wanted = _requirement(text, installed.label)
        environments = [{"python_version": each, "python_full_version": f"{each}.0"} for each in PYTHONS]
        marker = wanted.marker
        if marker is None or any(marker.evaluate({**each, "extra": extra}) for each in environments):
            wanted.marker = None
            needed.append(str(wanted))
    return needed


def running_python() -> str:
    """Return the minor version of this Python, as `3.13`."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"
