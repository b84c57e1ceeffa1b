"""in-toto statements: a predicate about things that are named by their digests (in-toto, spec/v0.1/statement.md)."""

import hashlib
import json
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from moby.contracts.types import Digest, ImageReference, Platform
from moby.oci import reference as references
from moby.oci.digest import CHUNK_BYTES

__all__ = ["files_in", "image_name", "image_subjects", "statement"]

_STATEMENT = "https://in-toto.io/Statement/v0.1"

Subject = Mapping[str, Any]


def statement(predicate_type: str, predicate: Mapping[str, Any], subjects: Sequence[Subject]) -> bytes:
    """Return a statement; the same values give the same bytes."""
    document = {
        "_type": _STATEMENT, "predicateType": predicate_type, "subject": list(subjects), "predicate": predicate,
    }  # fmt: skip
    return json.dumps(document, sort_keys=True, indent=1, ensure_ascii=False).encode()


def image_name(reference: ImageReference, platform: Platform) -> str:
    """Return an image's name as a package URL (package-url, docker)."""
    version = f"@{quote(reference.tag, safe='')}" if reference.tag else ""
    return f"pkg:docker/{references.familiar_name(reference)}{version}?platform={quote(str(platform), safe='')}"


def image_subjects(names: Sequence[ImageReference], platform: Platform, digest: Digest) -> list[Subject]:
    """Return an image's manifest as what is stated about, by each of its names."""
    shown = [image_name(each, platform) for each in names] or ["_"]
    return [{"name": each, "digest": {digest.algorithm: digest.hex}} for each in shown]


def files_in(root: Path) -> Iterator[Subject]:
    """Yield all regular files of a tree as what is stated about, sorted by path."""
    for path, folders, names, fd in os.fwalk(root, follow_symlinks=False):
        folders.sort()
        for name in sorted(names):
            if stat.S_ISREG(os.lstat(name, dir_fd=fd).st_mode):
                shown = (
                    os.path.relpath(f"{path}/{name}", root)
                    .encode("utf-8", "surrogateescape")
                    .decode("utf-8", "replace")
                )
                yield {"name": shown, "digest": {"sha256": _sha256(fd, name)}}


def _sha256(folder: int, name: str) -> str:
    found = hashlib.sha256()
    with os.fdopen(os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder), "rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            found.update(chunk)
    return found.hexdigest()
