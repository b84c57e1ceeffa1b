"""OCI layouts in folders of this machine: stores of blobs, and the index by which what is in them is found."""

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from attrs import frozen

from moby.contracts.types import Digest
from moby.errors import Invalid, NotFound
from moby.oci import digest as digests

__all__ = ["LayoutBlobs", "add", "find"]

_NAME = "org.opencontainers.image.ref.name"
_LONG_NAME = "io.containerd.image.name"
_INDEX = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json"}


@frozen
class LayoutBlobs:
    """The blobs of a layout; see the contract."""

    folder: Path

    def has(self, digest: Digest) -> bool:
        """Whether a blob is there."""
        return self._path(digest).exists()

    def read(self, digest: Digest) -> BinaryIO:
        """Open a blob; see the contract."""
        try:
            return self._path(digest).open("rb")
        except FileNotFoundError:
            raise NotFound(f"{self.folder} has no blob {digest}") from None

    def write(self, digest: Digest, size_bytes: int, chunks: Iterator[bytes]) -> None:
        """Store a blob, aside until it is whole; see the contract."""
        path = self._path(digest)
        if path.exists():
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        fd, fresh = tempfile.mkstemp(prefix=".blob", dir=path.parent)
        try:
            with os.fdopen(fd, "wb") as file:
                for chunk in chunks:
                    file.write(chunk)
            Path(fresh).chmod(0o644)
            Path(fresh).replace(path)
        finally:
            Path(fresh).unlink(missing_ok=True)

    def _path(self, digest: Digest) -> Path:
        return self.folder / "blobs" / digest.algorithm / digest.hex


def find(folder: Path, tag: str = "latest") -> Digest:
    """Return what a layout has by a name, or all that it has where that is one; NotFound for none."""
    listed = _manifests(folder)
    named = [each for each in listed if _name(each) == tag]
    found = named or (listed if len(listed) == 1 else [])
    if not found:
        raise NotFound(f"the layout {folder} has nothing of the name {tag!r}", hint="name a digest or another tag")
    try:
        return digests.parse(str(found[-1]["digest"]))
    except (LookupError, Invalid):
        raise Invalid(f"{folder}/index.json names no digest") from None


def add(folder: Path, descriptor: dict[str, Any], tag: str = "", name: str = "") -> None:
    """Have a layout tell of one more manifest, by a name that was another's until now."""
    folder.mkdir(parents=True, exist_ok=True)
    annotations = {key: value for key, value in ((_NAME, tag), (_LONG_NAME, name)) if value}
    listed = _manifests(folder) if (folder / "index.json").exists() else []
    kept = [each for each in listed if each.get("digest") != descriptor["digest"] and not (tag and _name(each) == tag)]
    shown = {**descriptor, **({"annotations": annotations} if annotations else {})}
    _write(folder / "oci-layout", {"imageLayoutVersion": "1.0.0"})
    _write(folder / "index.json", {**_INDEX, "manifests": [*kept, shown]})


def _manifests(folder: Path) -> list[dict[str, Any]]:
    try:
        found = json.loads((folder / "index.json").read_bytes())["manifests"]
    except FileNotFoundError:
        raise NotFound(f"{folder} is no OCI layout: it has no index.json") from None
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        raise Invalid(f"{folder}/index.json can't be read: {error}") from error
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def _name(descriptor: dict[str, Any]) -> object:
    annotations = descriptor.get("annotations")
    return annotations.get(_NAME) if isinstance(annotations, dict) else None


def _write(path: Path, document: dict[str, Any]) -> None:
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.write_text(json.dumps(document))
    fresh.replace(path)
