"""Building formats out of formats: each packager in its turn, and what it made kept for the same input."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from attrs import asdict, define, field, frozen

from moby.contracts.packager import Artifact, Brought, Given, Packager, Source
from moby.errors import Invalid, MobyError, Unsupported
from moby.lock import Lock
from moby.plan import Instance, Plan
from moby.values import evolve

__all__ = ["Made", "Steps", "default_folder", "fingerprints"]

_FORMAT = 1
_KEPT_BYTES = 1 << 30
"""What is kept in all; the oldest goes first."""
_RECORD = "artifact.json"
Build = Callable[[Packager, Source, Path], Artifact]


@frozen
class Made:
    """What one packager made, and where it lies."""

    folder: Path
    artifact: Artifact


def default_folder() -> Path | None:
    """Return the folder in the user's XDG cache folder; None for a user without a home."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    with suppress(RuntimeError):
        return (Path(base) if Path(base).is_absolute() else Path.home() / ".cache") / "moby" / "steps"
    return None


def fingerprints(build: Plan, packagers: Mapping[str, Packager]) -> dict[str, str]:
    """Return what of the host decides bytes, by packager whose bytes it does."""
    bound = {each.name: getattr(packagers[each.name], "fingerprint", None) for each in build.of_kind("packager")}
    return {name: ask() for name, ask in sorted(bound.items()) if ask is not None}


@define
class Steps:
    """Runs the packagers of a lock's build plan; each is wired already."""

    lock: Lock
    packagers: Mapping[str, Packager]
    """By name."""
    hosts: Mapping[str, str] = field(factory=dict)
    """As `fingerprints` says."""
    cache: Path | None = None
    """Where what was made is kept; None keeps nothing."""
    _digests: dict[str, str] = field(factory=dict)

    def run(self, source: Source, folder: Path, tell: Callable[[str], None] = lambda step: None) -> dict[str, Made]:
        """Build every format of the plan, each into `folder`/.NAME, and return them by name, in the plan's order."""
        made: dict[str, Made] = {}
        for instance in self.lock.build.instances:
            if instance.kind == "packager":
                taken = made.get(instance.takes.partition("/")[2])
                own = folder / f".{instance.name}"
                own.mkdir()
                tell(instance.name)
                given = Given(taken.folder, taken.artifact) if taken else None
                artifact = self._step(instance, evolve(source, given=given), own)
                brought = {*artifact.brought, *(taken.artifact.brought if taken else ())}
                made[instance.name] = Made(own, evolve(artifact, brought=tuple(sorted(brought))))
        return made

    def _step(self, instance: Instance, source: Source, own: Path) -> Artifact:
        key = self._key(instance, source)
        found = _recalled(self.cache, key, own)
        if found is not None:
            return found
        artifact = _built(instance.name, self.packagers[instance.name], source, own)
        _keep(self.cache, key, own, artifact)
        return artifact

    def _key(self, instance: Instance, source: Source) -> str:
        """Return a digest of all that decides what a packager makes."""
        name = instance.facts.distribution.partition(" ")[0]
        pin = next((each.digest for each in self.lock.distributions if each.name == name), "")
        whole = hashlib.sha256()
        said = [_FORMAT, instance.facts.id, instance.facts.version, pin, dict(instance.config), self.lock.python]
        whole.update(json.dumps([*said, self.hosts.get(instance.name, "")], sort_keys=True).encode())
        whole.update(self._source(source).encode())
        if source.given is not None:
            for path in source.given.artifact.files:
                whole.update(f"{path}\0{_sha256(source.given.folder / path)}\0".encode())
            whole.update(json.dumps(_record(source.given.artifact), sort_keys=True).encode())
        return whole.hexdigest()

    def _source(self, source: Source) -> str:
        """Return the digest of an engine's files, which are the same for all formats."""
        if source.name not in self._digests:
            whole = hashlib.sha256(f"{source.name}\0{source.epoch_s}\0".encode())
            for entry in source.entries:
                head = f"{entry.path}\0{entry.owner}\0{entry.executable}\0{len(entry.data)}\0"
                whole.update(head.encode() + entry.data)
            self._digests[source.name] = whole.hexdigest()
        return self._digests[source.name]


def _built(name: str, packager: Packager, source: Source, own: Path) -> Artifact:
    """Let one packager build; Invalid where its count of bytes isn't that of its files."""
    try:
        artifact = packager.build(source, own)
    except Unsupported as error:
        raise Unsupported(f"packager/{name}: {error.message}", hint=error.hint) from error
    except MobyError as error:
        error.message = f"packager/{name}: {error.message}"
        raise
    total = sum((own / path).stat().st_size for path in artifact.files)
    if total != sum(artifact.sizes_bytes.values()):
        raise Invalid(f"packager/{name} lists other sizes than the {total} bytes that it made")
    return evolve(artifact, sizes_bytes=dict(sorted(artifact.sizes_bytes.items())))


def _record(artifact: Artifact) -> dict[str, Any]:
    return {
        "files": [str(each) for each in artifact.files],
        "sizes": dict(artifact.sizes_bytes),
        "brought": [asdict(each) for each in artifact.brought],
    }


def _recalled(cache: Path | None, key: str, own: Path) -> Artifact | None:
    """Copy what was made of the same input into a folder; None where it wasn't, or isn't whole any more."""
    if cache is None:
        return None
    try:
        found = json.loads((cache / key / _RECORD).read_bytes())
        files = tuple(Path(each) for each in found["files"])
        for path in files:
            (own / path).parent.mkdir(parents=True, exist_ok=True)
            (own / path).write_bytes((cache / key / path).read_bytes())
            (own / path).chmod(found["modes"][str(path)])
        brought = tuple(Brought(**each) for each in found["brought"])
        whole = all(_sha256(own / path) == found["digests"][str(path)] for path in files)
    except (OSError, ValueError, LookupError, TypeError):
        whole = False
    if whole:
        with suppress(OSError):
            os.utime(cache / key)
        return Artifact(files, found["sizes"], brought)
    shutil.rmtree(cache / key, ignore_errors=True)
    for left in own.iterdir():
        shutil.rmtree(left) if left.is_dir() else left.unlink()
    return None


def _keep(cache: Path | None, key: str, own: Path, artifact: Artifact) -> None:
    """Keep what was made, whole or not at all; a cache that can't be written is none."""
    if cache is None or any(".." in path.parts or path.is_absolute() for path in artifact.files):
        return
    fresh = cache / f".{key}.{os.getpid()}"
    try:
        cache.mkdir(parents=True, exist_ok=True)
        _tidy(cache)
        for path in artifact.files:
            (fresh / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(own / path, fresh / path)
        modes = {str(path): (own / path).stat().st_mode & 0o777 for path in artifact.files}
        digests = {str(path): _sha256(own / path) for path in artifact.files}
        (fresh / _RECORD).write_text(json.dumps({**_record(artifact), "modes": modes, "digests": digests}))
        fresh.rename(cache / key)
    except OSError:
        shutil.rmtree(fresh, ignore_errors=True)


def _tidy(cache: Path) -> None:
    """Remove the oldest of what is kept, and what a killed process left, beyond what all may take."""
    kept = sorted(cache.iterdir(), key=lambda each: each.stat().st_mtime, reverse=True)
    total = 0
    for each in kept:
        total += sum(_sizes(each))
        if total > _KEPT_BYTES:
            shutil.rmtree(each, ignore_errors=True)


def _sizes(folder: Path) -> Iterable[int]:
    return (path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
