"""Files and folders in the run folder that are named by what is in them, so that a live process's stay as they are.

What makes them is imported as they are made: the processes of parts, which seldom do, would each be 1 MiB larger.
"""

import os
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

__all__ = ["stored", "stored_copy", "stored_file"]

_SETTLED_NS = 2_000_000_000
"""As long as the coarsest of file systems take two times for one."""
_SECOND_NS = 1_000_000_000
"""What changed at a whole second isn't known by that: in mounted images all times may be one that was chosen."""


def stored(folder: Path, files: Mapping[str, bytes]) -> Path:
    """Return a folder with these files, `FOLDER-DIGEST`, made whole or not at all."""
    import hashlib
    import shutil

    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(f"{name}\0{len(files[name])}\0".encode() + files[name])
    made = folder.with_name(f"{folder.name}-{digest.hexdigest()[:32]}")
    if made.is_dir():
        return made
    fresh = made.with_name(f".{made.name}.{os.getpid()}")
    shutil.rmtree(fresh, ignore_errors=True)
    for name, data in files.items():
        path = fresh / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    try:
        fresh.rename(made)
    except OSError:
        shutil.rmtree(fresh, ignore_errors=True)
        if not made.is_dir():
            raise
    return made


def stored_file(folder: Path, data: bytes, suffix: str) -> Path:
    """Return a file with these bytes, `FOLDER/DIGEST.SUFFIX`, made whole or not at all."""
    import hashlib

    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / f"{hashlib.sha256(data).hexdigest()[:32]}{suffix}"
    if not path.exists():
        fresh = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            fresh.write_bytes(data)
            fresh.chmod(0o600)
            fresh.replace(path)
        except BaseException:
            fresh.unlink(missing_ok=True)  # on a full disk it would hold what room there was
            raise
    return path


def stored_copy(folder: Path, original: Path) -> Path:
    """Return a copy of a file, `FOLDER/DIGEST.SUFFIX`. One that is as it was, by stat(2), isn't read again."""
    began_ns = time.time_ns()
    before = original.stat()
    known = folder / f".{_stamp(before)}"
    with suppress(OSError):
        path = folder / known.readlink()
        if path.exists():
            return path
    path = stored_file(folder, original.read_bytes(), original.suffix)
    after = original.stat()
    settled = began_ns - max(after.st_mtime_ns, after.st_ctime_ns) > _SETTLED_NS and after.st_ctime_ns % _SECOND_NS
    if settled and _stamp(before) == _stamp(after):
        with suppress(OSError):  # somebody else was quicker, perhaps
            known.symlink_to(path.name)
    return path


def _stamp(status: os.stat_result) -> str:
    """Return by what a file is known: as in `moby.host.digests`, whose memory is a user's, and not one boot's."""
    numbers = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    return "-".join(f"{each:x}" for each in numbers)
