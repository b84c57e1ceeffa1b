"""SHA-256 of files, remembered in the user's cache folder for as long as a file is the same by what stat(2) says.

That is its inode, size, and both of its times, of which no program sets when the inode last changed. What changed just
now isn't remembered, since another change at the same time, as file systems count it, wouldn't show. Nor is what
changed at a whole second: in mounted images (squashfs, ISO 9660) all times may be one that was chosen at their making.
"""

import hashlib
import json
import os
import time
from contextlib import suppress
from pathlib import Path

__all__ = ["digest", "keep"]

_FORMAT = 1
_SETTLED_NS = 2_000_000_000
"""As long as the coarsest of file systems take two times for one."""
_SECOND_NS = 1_000_000_000
_OTHERS_WRITE = 0o022
_MOST = 16_384
Stamp = list[int]

_remembered: dict[str, dict[str, tuple[Stamp, str]]] = {}
"""By file of the cache: stamps and digests, by device and inode, those that were asked for last at the end."""
_fresh: set[str] = set()
"""Files of the cache that lack something."""


def digest(path: str | Path) -> str:
    """Return a file's SHA-256 in hexadecimal; OSError where it can't be read."""
    file = _file()
    known = _known(file)
    key, stamp = _stamp(os.stat(path))
    found = known.pop(key, None)
    if found is None or found[0] != stamp:
        began_ns = time.time_ns()
        with open(path, "rb") as stream:
            key, stamp = before = _stamp(os.fstat(stream.fileno()))
            found = (stamp, hashlib.file_digest(stream, "sha256").hexdigest())
            after = _stamp(os.fstat(stream.fileno()))
        if after != before or began_ns - max(stamp[1:]) < _SETTLED_NS or stamp[-1] % _SECOND_NS == 0:
            return found[1]
        _fresh.add(file)
    known[key] = found
    return found[1]


def keep() -> None:
    """Write down what was found; where that can't be, the next process reads the files again."""
    file = _file()
    if not file or file not in _fresh:
        return
    _fresh.discard(file)
    kept = dict(list(_known(file).items())[-_MOST:])
    draft = f"{file}.{os.getpid()}"
    with suppress(OSError):
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(draft, "x", encoding="ascii", opener=_own) as stream:
                json.dump({"format": _FORMAT, "digests": kept}, stream)
            Path(draft).rename(file)
        finally:
            Path(draft).unlink(missing_ok=True)


def _own(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _stamp(status: os.stat_result) -> tuple[str, Stamp]:
    return f"{status.st_dev}:{status.st_ino}", [status.st_size, status.st_mtime_ns, status.st_ctime_ns]


def _file() -> str:
    """Return the file in the user's XDG cache folder; nothing for a user without a home."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    with suppress(RuntimeError):
        folder = base if base.startswith("/") else f"{Path.home()}/.cache"
        return f"{folder}/moby/digests.json"
    return ""


def _known(file: str) -> dict[str, tuple[Stamp, str]]:
    if file not in _remembered:
        _remembered[file] = _read(file)
    return _remembered[file]


def _read(file: str) -> dict[str, tuple[Stamp, str]]:
    """Return what was kept; nothing where another user may have written it, or it is damaged."""
    try:
        with open(file, "rb") as stream:
            status = os.fstat(stream.fileno())
            if status.st_uid != os.geteuid() or status.st_mode & _OTHERS_WRITE:
                return {}
            data = json.load(stream)
        if data["format"] != _FORMAT:
            return {}
        found = data["digests"].items()
        return {str(key): ([int(each) for each in stamp], str(digest)) for key, (stamp, digest) in found}
    except (OSError, ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError):
        return {}
