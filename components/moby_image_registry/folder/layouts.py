"""Repositories as OCI image layouts, one folder each: DOMAIN/PATH/{oci-layout,index.json,blobs} (image-layout.md)."""

import fcntl
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from moby.contracts.image_registry import Credentials, Manifest, Match, Pushed
from moby.contracts.types import Digest, ImageReference
from moby.errors import Corrupt, HostUnfit, Invalid, NotFound, Unavailable
from moby.oci import digest as digests
from moby.oci.reference import familiar, familiar_name

__all__ = ["Layouts"]

_REF = "org.opencontainers.image.ref.name"
_LAYOUT = b'{"imageLayoutVersion":"1.0.0"}\n'
_PATH = re.compile(r"[a-z0-9]+(?:[._/-]+[a-z0-9]+)*")
_DOMAIN = re.compile(r"[A-Za-z0-9.:\[\]-]+")
_LONGEST = 4 << 20
_CHUNK_BYTES = 1 << 20


class Layouts:
    """Fetches from, and sends to, folders. Whole after kill -9: everything is written aside and renamed."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def manifest(self, reference: ImageReference, credentials: Credentials | None = None) -> Manifest:
        """Read what a tag or a digest names."""
        folder = self._folder(reference)
        for entry in _entries(folder):
            named = entry.get("annotations", {}).get(_REF)
            if entry["digest"] == str(reference.digest) or (reference.digest is None and named == reference.tag):
                digest = digests.parse(entry["digest"])
                data = _read(_blob(folder, digest), _LONGEST)
                if hashlib.new(digest.algorithm, data).hexdigest() != digest.hex:
                    raise Corrupt(f"manifest {digest} in {folder} is not what its digest says", hint="push it again")
                return Manifest(digest, str(entry.get("mediaType", "")), data)
        raise NotFound(f"manifest for {familiar(reference)} not found: manifest unknown", hint=f"looked in {folder}")

    def resolve(self, reference: ImageReference, credentials: Credentials | None = None) -> tuple[Digest, str, int]:
        """Return digest, media type and size of what a tag names."""
        found = self.manifest(reference, credentials)
        return found.digest, found.media_type, len(found.data)

    def blob(
        self,
        reference: ImageReference,
        digest: Digest,
        size_bytes: int,
        credentials: Credentials | None = None,
        *,
        offset: int = 0,
    ) -> Iterator[bytes]:
        """Yield a blob from an offset to its end."""
        proof = hashlib.new(digest.algorithm)
        with _open(_blob(self._folder(reference), digest)) as file:
            if os.fstat(file.fileno()).st_size > size_bytes:
                raise Corrupt(f"blob {digest} of {familiar_name(reference)} is longer than {size_bytes} bytes")
            done = file.seek(offset)
            while chunk := file.read(_CHUNK_BYTES):
                done += len(chunk)
                proof.update(chunk)
                yield chunk
        if done != size_bytes:
            raise Unavailable(f"blob {digest} of {familiar_name(reference)} has {done} of {size_bytes} bytes")
        if offset == 0 and proof.hexdigest() != digest.hex:
            raise Corrupt(f"blob of {familiar_name(reference)} is not what its digest {digest} says")

    def push_blob(
        self,
        reference: ImageReference,
        digest: Digest,
        size_bytes: int,
        content: Callable[[], BinaryIO],
        credentials: Credentials | None = None,
        *,
        mount_from: Sequence[ImageReference] = (),
        progress: Callable[[int], None] | None = None,
    ) -> Pushed:
        """Copy a blob unless it is there, or link it from another repository."""
        target = _blob(self._folder(reference), digest)
        if target.exists():
            return Pushed.EXISTED
        with _writing(target.parent):
            target.parent.mkdir(parents=True, exist_ok=True)
            for each in mount_from:
                if each.domain == reference.domain:
                    with suppress(FileNotFoundError, FileExistsError):
                        os.link(_blob(self._folder(each), digest), target)
                        return Pushed.MOUNTED
            with _aside(target) as out, content() as source:
                proof, done = hashlib.new(digest.algorithm), 0
                while chunk := source.read(_CHUNK_BYTES):
                    out.write(chunk)
                    proof.update(chunk)
                    done += len(chunk)
                    if progress:
                        progress(done)
                if done != size_bytes or proof.hexdigest() != digest.hex:
                    raise Corrupt(f"what was sent to {familiar_name(reference)} is not what its digest {digest} says")
        return Pushed.SENT

    def push_manifest(
        self, reference: ImageReference, manifest: Manifest, credentials: Credentials | None = None
    ) -> Digest:
        """Write a manifest whose blobs are there, under a tag or its digest."""
        if hashlib.new(manifest.digest.algorithm, manifest.data).hexdigest() != manifest.digest.hex:
            raise Corrupt(f"manifest for {familiar_name(reference)} is not what its digest {manifest.digest} says")
        folder = self._folder(reference)
        for digest in _parts(manifest):
            if not _blob(folder, digest).exists():
                raise Invalid(
                    f"manifest for {familiar_name(reference)}: blob {digest} is not there", hint="push it first"
                )
        entry: dict[str, Any] = {
            "mediaType": manifest.media_type, "digest": str(manifest.digest), "size": len(manifest.data),
            "annotations": {_REF: reference.tag} if reference.tag else {},
        }  # fmt: skip
        target = _blob(folder, manifest.digest)
        with _writing(folder):
            target.parent.mkdir(parents=True, exist_ok=True)
            _put(target, manifest.data)
            with _alone(folder):
                _put(folder / "oci-layout", _LAYOUT)
                index = {
                    "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
                    "manifests": _with(_entries(folder), entry),
                }  # fmt: skip
                _put(folder / "index.json", json.dumps(index).encode())
        return manifest.digest

    def tags(self, reference: ImageReference, credentials: Credentials | None = None) -> Iterator[str]:
        """Yield the tags of a repository."""
        folder = self._folder(reference)
        if not (folder / "index.json").exists():
            raise NotFound(f"{familiar_name(reference)}: repository name not known", hint=f"looked in {folder}")
        for entry in _entries(folder):
            if tag := entry.get("annotations", {}).get(_REF):
                yield str(tag)

    def search(
        self, domain: str, words: str, credentials: Credentials | None = None, *, limit: int = 25
    ) -> tuple[Match, ...]:
        """Return repositories whose paths hold some words."""
        above = self._folder(ImageReference(domain, "x")).parent
        paths = sorted(str(each.parent.relative_to(above)) for each in above.rglob("index.json"))
        return tuple(Match(each) for each in paths if words in each)[:limit]

    def login(self, server: str, credentials: Credentials) -> str:
        """Accept anybody: who may read and write, the folder's modes say."""
        return ""

    def saved(self, server: str) -> Credentials | None:
        """Return none, since nobody asks."""
        return None

    def _folder(self, reference: ImageReference) -> Path:
        if not _PATH.fullmatch(reference.path) or not _DOMAIN.fullmatch(reference.domain) or ".." in str(reference):
            raise Invalid(f"{reference} is no name of a repository")
        return self._root / reference.domain.replace(":", "+") / reference.path


def _blob(folder: Path, digest: Digest) -> Path:
    return folder / "blobs" / digest.algorithm / digest.hex


def _entries(folder: Path) -> list[dict[str, Any]]:
    """Return what an index lists; Corrupt where it is none."""
    path = folder / "index.json"
    try:
        found = json.loads(_read(path, _LONGEST))["manifests"]
        for each in found:
            digests.parse(each["digest"])
            if not isinstance(each.get("annotations") or {}, dict):
                raise TypeError("annotations")
            each["annotations"] = each.get("annotations") or {}
    except NotFound:
        return []
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError, Invalid) as error:
        raise Corrupt(f"{path} is no index of images: {error}", hint="mend it, or push the images again") from error
    return list(found)


def _with(entries: list[dict[str, Any]], new: dict[str, Any]) -> list[dict[str, Any]]:
    """Return an index's entries with one more: its tag moves to it, and what had the tag stays by its digest."""
    tag = new["annotations"].get(_REF)
    others = [
        each for each in entries if each["digest"] != new["digest"] or each["annotations"].get(_REF) not in (tag, None)
    ]
    for each in others:
        if tag and each["annotations"].get(_REF) == tag:
            del each["annotations"][_REF]
    known = any(each["digest"] == new["digest"] for each in others)
    return others if known and not tag else [*others, new]


def _parts(manifest: Manifest) -> Iterator[Digest]:
    """Yield the digests of what a manifest or an index is made of."""
    try:
        found = json.loads(manifest.data)
        described = [found["config"], *found["layers"]] if "layers" in found else found["manifests"]
        yield from (digests.parse(each["digest"]) for each in described)
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise Invalid("a manifest that names no parts") from error


def _open(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except FileNotFoundError as error:
        raise NotFound(f"{path} is not there") from error
    except OSError as error:
        raise HostUnfit(f"{path} can't be read: {error.strerror}") from error


def _read(path: Path, limit: int) -> bytes:
    with _open(path) as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise Corrupt(f"{path} is longer than {limit} bytes")
    return data


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise HostUnfit(f"{folder} can't be written: {error.strerror}", hint="look at its modes and disk") from error


@contextmanager
def _aside(target: Path) -> Iterator[BinaryIO]:
    """Write a file under another name, which becomes its own once it is whole."""
    with tempfile.NamedTemporaryFile(dir=target.parent, prefix=".new-", delete=False) as out:
        try:
            yield out  # type: ignore[misc]  # it is one, but for its type
            out.flush()
            os.fchmod(out.fileno(), 0o644)
            Path(out.name).replace(target)
        except BaseException:
            Path(out.name).unlink()
            raise


def _put(target: Path, data: bytes) -> None:
    with _aside(target) as out:
        out.write(data)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Let one at a time change an index."""
    with (folder / ".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
