"""Repositories that are kept, each with the objects of a remote that were fetched so far."""

import os
import shutil
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from urllib.parse import urlsplit

from attrs import frozen

from moby.errors import Conflict
from moby.host.locks import locked

__all__ = ["KeptRepository", "Repositories", "note"]

_REMOTE = "builder-remote"
"""In a repository, the file that says which remote it is of."""
_LOCK = ".lock"


@frozen
class KeptRepository:
    """A repository that is kept."""

    key: str
    remote: str
    created_ns: int
    used_ns: int
    size_bytes: int


def note(repository: Path, url: str) -> None:
    """Write down whose objects a repository has, without what may be secret in the URL, and that it is used."""
    file = repository / _REMOTE
    if not file.exists():
        parts = urlsplit(url)
        shown = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl() if parts.netloc else url
        file.write_text(shown, encoding="utf-8")
    os.utime(repository)


@frozen
class Repositories:
    """Repositories below a folder. Thread-safe, also against other processes."""

    folder: Path

    def list(self) -> tuple[KeptRepository, ...]:
        """Return all that are kept, sorted by key."""
        found = []
        for path in sorted(self.folder.glob(f"*/{_REMOTE}")):
            with suppress(FileNotFoundError):
                noted, used = path.stat(), path.parent.stat()
                remote = path.read_text(encoding="utf-8")
                found.append(
                    KeptRepository(path.parent.name, remote, noted.st_mtime_ns, used.st_mtime_ns, _size(path.parent))
                )
        return tuple(found)

    def in_use(self, key: str) -> bool:
        """Whether a build has it at the moment."""
        with self._lock(key) as free:
            return not free

    def remove(self, key: str) -> None:
        """Remove one; Conflict where a build has it."""
        with self._lock(key) as free:
            if not free:
                raise Conflict(f"the repository {key} is in use", hint="wait for that build's end")
            shutil.rmtree(self.folder / key, ignore_errors=True)

    def _lock(self, key: str) -> AbstractContextManager[bool]:
        return locked(self.folder / f"{key}{_LOCK}", wait=False)


def _size(folder: Path) -> int:
    total = 0
    for path, _, names in os.walk(folder):
        for each in names:
            with suppress(OSError):
                total += (Path(path) / each).lstat().st_size
    return total
