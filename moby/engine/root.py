"""An engine's folders on disk: made, locked against another use, and marked with their format."""

import contextlib
import fcntl
import os
import re
import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from moby.errors import Conflict, HostUnfit, Unavailable, Unsupported
from moby.host import tree
from moby.surroundings import Roots, make_folder

__all__ = ["FORMAT", "hold", "keep_room", "make_room", "missing", "purge", "serving", "stop_serving", "unmake"]

FORMAT = 1
"""Of everything stored under the state folder; raised when an older engine could no longer read it."""
_RESERVE_BYTES = 512 << 10
"""What ending writes, with room to spare: databases' logs, the keeper's program, what parts are told."""
_SERVE = "serve"
_PID_SIZE = 20
"""What a process that serves writes of itself: its number, filled up with spaces, and behind that its verb."""
_SOMEBODY_ELSES = "do it as the user that started this engine, or name a folder that you may write with --root DIR"
_NUMBER = re.compile(r"[0-9]{1,9}")


@contextmanager
def hold(roots: Roots, *, alone: bool = False) -> Iterator[None]:
    """Make the folders and hold their lock: shared by engines in the foreground, or alone.

    Conflict where somebody else holds it so that this can't be; Unsupported where a newer engine wrote the state.
    """
    for folder in (roots.state, roots.run, roots.cache):
        make_folder(folder)
    descriptor = _open(roots.run / "lock")
    try:
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Conflict(
                f"the engine {roots.engine!r} in {roots.run} is in use",
                hint="end what runs in it first, or name another folder with --root DIR",
            ) from error
        _check_format(roots.state / "format")
        if not alone:
            keep_room(roots)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def serving(roots: Roots, verb: str = _SERVE) -> Iterator[None]:
    """Be the one process that serves these folders, and say who it is; Conflict where another is, which it names."""
    make_folder(roots.run)
    descriptor = _open(roots.run / "serve.lock")
    try:
        if not _taken(descriptor):
            raise _served(roots, descriptor)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid():<{_PID_SIZE}}{verb}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _served(roots: Roots, descriptor: int) -> Conflict:
    """Return an error that says who serves these folders, since when, and what can be done."""
    said, began = os.pread(descriptor, 200, 0).decode("ascii", "replace"), os.fstat(descriptor).st_mtime
    pid, verb = said[:_PID_SIZE].strip(), said[_PID_SIZE:].strip()
    hint = "end that one first"
    if verb not in ("", _SERVE):
        hint = f"wait until that {verb} has ended, or end it; where `serve` is begun first, such commands call it"
    since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(began))
    who = f" by process {pid} ({verb or _SERVE}) since {since}" if pid.isdigit() else ""
    return Conflict(f"the engine {roots.engine!r} in {roots.run} is served already{who}", hint=hint)


def stop_serving(roots: Roots, patience_s: float) -> None:
    """Tell the process that serves these folders to end, and wait for it; Unavailable where it doesn't in time.

    HostUnfit where who calls may not.
    """
    path = roots.run / "serve.lock"
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    except OSError as error:
        raise HostUnfit(f"can't open {path}: {error.strerror}", hint=_SOMEBODY_ELSES) from error
    try:
        deadline = time.monotonic() + patience_s
        told = 0
        while not _taken(descriptor):
            pid = os.pread(descriptor, _PID_SIZE, 0).strip()  # of the one who has the lock, unless he just took it
            if pid.isdigit() and int(pid) != told:
                told = int(pid)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(told, signal.SIGTERM)
            if time.monotonic() > deadline:
                raise Unavailable(
                    f"the engine {roots.engine!r} in {roots.run} (process {told}) doesn't end", hint="see its log"
                )
            time.sleep(0.01)
    finally:
        os.close(descriptor)


def make_room(roots: Roots) -> None:
    """Give back the room that is kept for ending on a full disk; see `keep_room`."""
    with contextlib.suppress(OSError):
        (roots.state / "reserve").unlink()


def keep_room(roots: Roots) -> None:
    """Keep some room, so that `down` needs no other on a full disk; where there is none already, go without."""
    path = roots.state / "reserve"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError:
        return
    try:
        if os.fstat(descriptor).st_size < _RESERVE_BYTES:  # nothing yet, or what one has left who was killed here
            os.posix_fallocate(descriptor, 0, _RESERVE_BYTES)
    except OSError:
        with contextlib.suppress(OSError):
            path.unlink()
    finally:
        os.close(descriptor)


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def purge(roots: Roots, *, everything: bool = False) -> None:
    """Remove this boot's folder; with `everything` also the lasting state and the cache. Call under `hold`.

    Conflict where something is still mounted below; it stays, and so does what it shows.
    """
    for folder in (roots.run, roots.state, roots.cache) if everything else (roots.run,):
        try:
            parent = os.open(folder.parent, tree.DIRECTORY_FLAGS)
        except FileNotFoundError:
            continue
        try:
            tree.remove(parent, folder.name)
        finally:
            os.close(parent)


def missing(roots: Roots) -> tuple[Path, ...]:
    """Return the folders, and those above them, that aren't there yet, the innermost first."""
    folders = {each for folder in (roots.run, roots.state, roots.cache) for each in (folder, *folder.parents)}
    return tuple(each for each in sorted(folders, key=lambda each: -len(each.parts)) if not os.path.lexists(each))


def unmake(folders: Iterable[Path]) -> None:
    """Remove folders in which nothing is."""
    for each in folders:
        with contextlib.suppress(OSError):
            each.rmdir()


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        hint = "name a folder that you may write with --root DIR"
        raise HostUnfit(f"can't lock {path}: {error.strerror}", hint=hint) from error


def _check_format(path: Path) -> None:
    try:
        text = path.read_text(errors="replace")
    except FileNotFoundError:
        fresh = path.with_name(f".format.{os.getpid()}")
        with fresh.open("w", encoding="ascii") as file:
            file.write(f"{FORMAT}\n")
            file.flush()
            os.fsync(file.fileno())  # else a power cut may leave the name, and nothing in the file
        fresh.replace(path)
        return
    found = int(text) if _NUMBER.fullmatch(text.strip()) else None
    if found is None or found > FORMAT:
        raise Unsupported(
            f"{path.parent} was written in format {text.strip()[:20]!r}; this engine reads up to {FORMAT}",
            hint="start it with the newer engine, or name another folder with --root DIR",
        )
