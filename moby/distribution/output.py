"""A folder of results that is replaced as a whole: there is the old one or the new one, and never a mixture."""

import errno
import fcntl
import hashlib
import os
import re
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from moby.errors import Conflict, HostUnfit
from moby.host import digests
from moby.host.renames import exchange

__all__ = ["SUMS", "is_whole", "listed", "replacing", "write_sums"]

SUMS = "SHA256SUMS"
ELSEWHERE = "name another folder with -o DIR"
HINTS = {
    errno.ENOSPC: f"make room there, or {ELSEWHERE}",
    errno.EDQUOT: f"make room in your quota, or {ELSEWHERE}",
    errno.ENAMETOOLONG: f"give the assembly a shorter name, or {ELSEWHERE}",
    errno.EFBIG: "raise the limit on the size of files (ulimit -f)",
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EIO), ELSEWHERE),
}
"""What fixes it where the file system refuses, by error number."""
LEFT = re.compile(r"\.[0-9a-f]{16}(\.old)?")
"""How the names of new and of old folders beside the folder go on."""


@contextmanager
def replacing(folder: Path) -> Iterator[Path]:
    """Yield a new, empty folder, which takes `folder`'s place when the block ends, unless by an exception.

    Conflict where `folder` holds what was not written by this; HostUnfit where the file system can't: no room, no
    permission. Whatever happens, also a signal, `folder` is what it was before, and nothing is left beside it.
    """
    with _explained(folder):
        _refuse_foreign(folder)
        _make_parent(folder.parent)
        fresh = folder.parent / f".{folder.name}.{secrets.token_hex(8)}"
        try:
            with ExitStack() as open_files:
                with _held(folder.parent):  # so that nobody sweeps the new folder before it is held
                    _sweep(folder)
                    fresh.mkdir()
                    open_files.enter_context(_held(fresh))
                yield fresh
                _place(fresh, folder)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)


def _make_parent(parent: Path) -> None:
    try:
        parent.mkdir(parents=True, exist_ok=True)
    except (FileNotFoundError, FileExistsError) as error:  # as in /proc, in a folder that was removed, below a file
        raise HostUnfit(f"can't make the folder {parent}: {error.strerror}", hint=ELSEWHERE) from error


def _place(fresh: Path, folder: Path) -> None:
    """Put the new folder where the old one is; afterwards the old one, if any, has the new one's old name."""
    try:
        fresh.rename(folder)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
    else:
        return
    if not exchange(fresh, folder):
        # This file system can't trade names, so there is an instant without the folder.
        aside = fresh.with_name(f"{fresh.name}.old")
        folder.rename(aside)
        try:
            fresh.rename(folder)
        except BaseException:
            aside.rename(folder)
            raise
        shutil.rmtree(aside, ignore_errors=True)


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder; waits for whoever has it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _refuse_foreign(folder: Path) -> None:
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise Conflict(f"{folder} is in the way: it is no folder", hint="move it, or name another folder with -o DIR")
    if not folder.is_dir():
        return
    ours = {SUMS, *listed(folder)}
    foreign = sorted(path for path in _files(folder) if path not in ours)
    if foreign:
        more = f" and {len(foreign) - 1} more" if len(foreign) > 1 else ""
        raise Conflict(
            f"{folder} holds {foreign[0]}{more}, which assembling did not put there",
            hint="move it out of there, or name another folder with -o DIR",
        )


def _sweep(folder: Path) -> None:
    """Remove what a killed process left beside the folder; one that lives holds its lock."""
    for left in sorted(folder.parent.glob(f".{folder.name}.*")):
        if not LEFT.fullmatch(left.name.removeprefix(f".{folder.name}")):
            continue
        if left.suffix == ".old" and not folder.exists():
            left.rename(folder)
            continue
        try:
            held = os.open(left, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(left, ignore_errors=True)
        except BlockingIOError:
            continue
        finally:
            os.close(held)


@contextmanager
def _explained(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in HINTS:
            raise
        raise HostUnfit(f"can't write {folder}: {error.strerror}", hint=HINTS[error.errno]) from error


def _files(folder: Path) -> Iterable[str]:
    return (path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())


def write_sums(folder: Path) -> None:
    """Write SHA256SUMS over all files of a folder, as sha256sum(1) reads it."""
    lines = [f"{_sha256(folder / name)}  {name}\n" for name in sorted(_files(folder)) if name != SUMS]
    (folder / SUMS).write_text("".join(lines))


def listed(folder: Path) -> dict[str, str]:
    """Return what a folder's SHA256SUMS lists: digest by file; nothing where there is none."""
    try:
        lines = (folder / SUMS).read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        return {}
    return {name: digest for digest, _, name in (line.partition("  ") for line in lines)}


def is_whole(folder: Path) -> bool:
    """Return whether a folder holds just what its SHA256SUMS lists, unchanged."""
    known = listed(folder)
    present = {*_files(folder)} - {SUMS} if folder.is_dir() else set()
    return bool(known) and present == set(known) and all(digests.digest(folder / name) == known[name] for name in known)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
