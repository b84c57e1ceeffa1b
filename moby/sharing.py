"""Assemblies and distributions in image registries, as artifacts of OCI (image specification 1.1, manifest.md).

An artifact's layers are files, each named by its title. An assembly's last layer is the manifest itself; the others are
what it extends. What is fetched is pinned by its digest, so that it is kept and never asked for again.
"""

import io
import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from attrs import frozen

from moby import registry, resolver
from moby.contracts.image_registry import Credentials, ImageRegistry, Manifest
from moby.contracts.types import Digest, ImageReference
from moby.errors import Corrupt, HostUnfit, Invalid, MobyError, NotFound, Unsupported
from moby.manifest.assembly import Assembly, Choice
from moby.manifest.document import MOST_BYTES
from moby.manifest.sources import MOST_FILES, OCI
from moby.oci import digest as digests
from moby.oci import reference as references
from moby.surroundings import Roots, Surroundings
from moby.wiring import construct_all

__all__ = ["ASSEMBLY", "DISTRIBUTION", "Shared", "default_folder", "fetched", "send"]

ASSEMBLY = "application/vnd.moby.assembly.v1"
DISTRIBUTION = "application/vnd.moby.distribution.v1"
FILE = "application/vnd.moby.file.v1"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
EMPTY = "application/vnd.oci.empty.v1+json"
TITLE = "org.opencontainers.image.title"
KIND = "image-registry"


@frozen
class Shared:
    """What was sent."""

    reference: ImageReference
    """With its digest."""

    @property
    def pinned(self) -> str:
        """What `extends` takes."""
        return f"{OCI}{self.reference.domain}/{self.reference.path}@{self.reference.digest}"


def default_folder() -> Path:
    """Return the folder in the user's XDG cache folder; HostUnfit for a user without a home."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    try:
        return (Path(base) if Path(base).is_absolute() else Path.home() / ".cache") / "moby" / "assemblies"
    except RuntimeError as error:
        raise HostUnfit("there is no folder to keep what is fetched", hint="set XDG_CACHE_HOME") from error


def send(files: Mapping[str, Path], kind: str, where: str, client: ImageRegistry | None = None) -> Shared:
    """Send files under a reference, which needs a tag, and return it with its digest; an ImageRegistry's errors.

    `files` are by title, the main one last; `kind` is ASSEMBLY or DISTRIBUTION.
    """
    reference = references.parse(where.removeprefix(OCI))
    there = client or _client()
    credentials = there.saved(reference.domain)
    layers = [_described(FILE, path.read_bytes(), {TITLE: name}) for name, path in files.items()]
    for path in files.values():
        _push(there, reference, path.read_bytes(), credentials)
    _push(there, reference, b"{}", credentials)
    data = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "artifactType": kind,
            "config": _described(EMPTY, b"{}"),
            "layers": layers,
        },
        sort_keys=True,
    ).encode()
    digest = there.push_manifest(reference, Manifest(digests.sha256(data), MANIFEST, data), credentials)
    return Shared(ImageReference(reference.domain, reference.path, reference.tag, digest))


def _push(there: ImageRegistry, reference: ImageReference, data: bytes, credentials: Credentials | None) -> None:
    there.push_blob(reference, digests.sha256(data), len(data), lambda: io.BytesIO(data), credentials)


def fetched(where: str, folder: Path | None = None, client: ImageRegistry | None = None) -> Path:
    """Return the main manifest of an assembly that `send` sent, in a folder of its own with what it extends.

    Invalid where it isn't pinned by a digest, with the digest that would; Unsupported what is no assembly; Corrupt
    names that don't stay in their folder; an ImageRegistry's errors. What was fetched once is not asked for again.
    """
    reference = references.parse(where.removeprefix(OCI), default_tag=False)
    if reference.digest is None:
        raise Invalid(f"{where} isn't pinned, and may be another tomorrow", hint=_pin(where, client))
    kept = (folder or default_folder()) / str(reference.digest).replace(":", "-")
    if not kept.is_dir():
        _fetch(reference, client or _client(), kept)
    names = (kept / ".order").read_text("utf-8").splitlines()
    return kept / names[-1]


def _pin(where: str, client: ImageRegistry | None) -> str:
    """Return what to write instead of a tag."""
    reference = references.parse(where.removeprefix(OCI))
    try:
        there = client or _client()
        digest, _, _ = there.resolve(reference, there.saved(reference.domain))
    except MobyError:
        return f"add the digest: {where}@sha256:..."
    return Shared(ImageReference(reference.domain, reference.path, "", digest)).pinned


def _fetch(reference: ImageReference, client: ImageRegistry, kept: Path) -> None:
    """Put an assembly's files into a folder, whole or not at all."""
    credentials = client.saved(reference.domain)
    layers = _layers(client.manifest(reference, credentials).data, reference)
    kept.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=f".{kept.name}.", dir=kept.parent))
    try:
        for name, (digest, size) in layers.items():
            content = b"".join(client.blob(reference, digest, size, credentials))
            (fresh / name).parent.mkdir(parents=True, exist_ok=True)
            (fresh / name).write_bytes(content)
        (fresh / ".order").write_text("".join(f"{name}\n" for name in layers), "utf-8")
        fresh.rename(kept)
    except OSError:
        if not kept.is_dir():  # else somebody else was quicker
            raise
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _layers(data: bytes, reference: ImageReference) -> dict[str, tuple[Digest, int]]:
    """Return digest and size of an assembly's files by name, as a manifest of a stranger tells them."""
    try:
        found = json.loads(data)
        kind = found.get("artifactType")
        named = [(each["annotations"][TITLE], digests.parse(each["digest"]), each["size"]) for each in found["layers"]]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError, MobyError) as error:
        raise Unsupported(f"{reference} is no assembly that `moby push` sent", hint="name one that is") from error
    if kind != ASSEMBLY or not named:
        raise Unsupported(f"{reference} is no assembly, but {kind or 'an image'}", hint="name an assembly")
    if len(named) > MOST_FILES or any(not isinstance(size, int) or size > MOST_BYTES for _, _, size in named):
        raise Unsupported(f"{reference} has more or bigger files than an assembly may have")
    for name, _, _ in named:
        if not _is_inside(name):
            raise Corrupt(f"{reference} has a file called {name!r}, which isn't inside its folder")
    names = [name for name, _, _ in named]
    for name in names:
        if names.count(name) > 1 or any(each.startswith(f"{name}/") for each in names):
            raise Corrupt(f"{reference} has two files called {name!r}, or a folder of that name")
    return {name: (digest, size) for name, digest, size in named}


def _is_inside(name: Any) -> bool:
    """Return whether a name is a path of plain components."""
    if not isinstance(name, str) or not name.isprintable() or len(name.encode()) > 255:
        return False
    parts = PurePosixPath(name).parts
    return str(PurePosixPath(name)) == name and bool(parts) and not any(each[0] in "./" for each in parts)


def _described(kind: str, data: bytes, annotations: Mapping[str, str] | None = None) -> dict[str, Any]:
    found: dict[str, Any] = {"mediaType": kind, "digest": str(digests.sha256(data)), "size": len(data)}
    return {**found, "annotations": dict(annotations)} if annotations else found


def _client() -> ImageRegistry:
    """Make the preferred image registry client that is installed."""
    catalog = registry.discover()
    preferred: Sequence[str] = [each.name for each in catalog.of_kind(KIND) if each.preferred]
    if not preferred:
        raise NotFound("no part of the kind image-registry is installed", hint="install one that is preferred")
    plan = resolver.resolve(Assembly("sharing", (Choice(KIND, preferred[0], preferred[0]),)), catalog)
    with tempfile.TemporaryDirectory(prefix="moby-sharing-") as folder:
        made = construct_all(plan, Surroundings(Roots.under(Path(folder), "sharing")))
    found: ImageRegistry = made[f"{KIND}/{preferred[0]}"]
    return found
