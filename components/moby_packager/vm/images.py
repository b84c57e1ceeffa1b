"""An image out of an archive or a folder with an OCI layout, or of an archive as `docker save` writes it."""

import hashlib
import io
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import BinaryIO, cast

from attrs import frozen

from moby.contracts.images import ImageConfig
from moby.contracts.types import Digest
from moby.errors import Corrupt, Invalid, NotFound
from moby.oci import compression, layer
from moby.oci.digest import sha256
from moby.oci.image import Descriptor, is_index, parse_config, parse_index, parse_manifest

__all__ = ["Packed", "digest_of", "read"]

_DEEPEST_INDEX = 4
_MACHINE = ("linux", "amd64")
_HINT = "save it again, as with docker save or skopeo copy docker://NAME oci-archive:FILE"


@frozen
class Packed:
    """An image as it came."""

    config: ImageConfig
    layers: tuple[bytes, ...]
    """Lowest first; perhaps compressed."""


def read(path: Path) -> Packed:
    """Return the image of a file or folder, verified; Invalid or Corrupt say what is wrong with it."""
    files = _Files(path)
    if files.has("index.json"):
        return _of_layout(files, parse_index(files.read("index.json")).manifests, 0)
    if files.has("manifest.json"):
        return _of_docker(files)
    raise Invalid(f"{path} holds no image: neither index.json nor manifest.json is in it", hint=_HINT)


def digest_of(path: Path) -> str:
    """Return a digest that changes with an image; NotFound where there is none."""
    for each in (path / "index.json", path / "manifest.json") if path.is_dir() else (path,):
        if each.is_file():
            return hashlib.sha256(each.read_bytes()).hexdigest()
    raise NotFound(f"there is no image at {path}", hint=_HINT)


class _Files:
    """The files of an archive, or of a folder; only those that are asked for are read from a folder."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            raise NotFound(f"there is no image at {path}", hint=_HINT)
        self._path = path
        self._archived = None if path.is_dir() else _archived(path)

    def has(self, name: str) -> bool:
        return name in self._archived if self._archived is not None else (self._path / name).is_file()

    def read(self, name: str) -> bytes:
        """Return a file by its path; the caller has made sure that a folder's isn't anywhere else."""
        if not self.has(name):
            raise Invalid(f"{self._path} has no {name}", hint=_HINT)
        return self._archived[name] if self._archived is not None else (self._path / name).read_bytes()

    def blob(self, digest: Digest) -> bytes:
        """Return a blob, verified."""
        data = self.read(f"blobs/{digest.algorithm}/{digest.hex}")
        if hashlib.new(digest.algorithm, data).hexdigest() != digest.hex:
            raise Corrupt(f"blob {digest} of {self._path} isn't what its digest says", hint=_HINT)
        return data

    def choose(self, descriptors: Iterable[Descriptor]) -> Descriptor:
        """Return the one for the machine; where several are, the first."""
        fitting = [
            each for each in descriptors
            if each.platform is None or (each.platform.os, each.platform.architecture) == _MACHINE
        ]  # fmt: skip
        if not fitting:
            raise Invalid(f"{self._path} has no image for {'/'.join(_MACHINE)}", hint="save that one")
        return fitting[0]


def _archived(path: Path) -> Mapping[str, bytes]:
    with path.open("rb") as file:
        entries = layer.read(compression.plain(cast("BinaryIO", file)))
        return {entry.path: b"".join(content) for entry, content in entries if entry.type is layer.EntryType.FILE}


def _of_layout(files: _Files, descriptors: Iterable[Descriptor], depth: int) -> Packed:
    found = files.choose(descriptors)
    data = files.blob(found.digest)
    if is_index(found.media_type):
        if depth == _DEEPEST_INDEX:
            raise Invalid(f"index {found.digest} is nested deeper than {_DEEPEST_INDEX}")
        return _of_layout(files, parse_index(data).manifests, depth + 1)
    manifest = parse_manifest(data)
    config = parse_config(files.blob(manifest.config.digest))
    return Packed(config.config, tuple(files.blob(each.digest) for each in manifest.layers))


def _of_docker(files: _Files) -> Packed:
    """Read what `docker save` wrote before there was a layout beside it."""
    try:
        (item, *_) = json.loads(files.read("manifest.json"))
        places = [str(each) for each in item["Layers"]]
        about = str(item["Config"])
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise Invalid("manifest.json isn't as docker save writes it", hint=_HINT) from error
    _inside(*places, about)
    config = parse_config(files.read(about))
    layers = tuple(files.read(each) for each in places)
    _prove(layers, config.diff_ids)
    return Packed(config.config, layers)


def _inside(*names: str) -> None:
    for each in names:
        if each.startswith("/") or ".." in each.split("/"):
            raise Invalid(f"manifest.json names {each[:80]!r}, which is outside", hint=_HINT)


def _prove(layers: Iterable[bytes], diff_ids: tuple[Digest, ...]) -> None:
    found = [sha256(compression.plain(io.BytesIO(each)).read()) for each in layers]
    if tuple(found) != diff_ids:
        raise Corrupt("the layers aren't those that the image's config names", hint=_HINT)
