"""What of a keeper is on disk, and what the kernel is told or asked by files."""

import os
import time

__all__ = ["append", "own_score", "remove", "say", "set_score", "shorten", "start_time", "write"]

LONGEST_LOG = 4 << 20


def write(path: str, data: bytes) -> None:
    """Write a file whole, or not at all."""
    folder, _, name = path.rpartition("/")
    fresh = f"{folder}/.{name}" if folder else f".{name}"
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]
    finally:
        os.close(fd)
    os.replace(fresh, path)


def append(path: str, data: bytes) -> None:
    """Add a line to a file."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, data)
    except OSError as error:
        say(f"an exit can't be written: {error}")
    finally:
        os.close(fd)


def remove(path: str) -> None:
    """Remove a file; none is fine."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


def start_time(pid: int) -> str:
    """Return when a process started, in ticks since boot; empty where there is none, or only its exit status."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in (b"Z", b"X") else fields[19].decode()


def own_score() -> str:
    """Make the kernel spare this process when memory is short; return what its parts are to have."""
    try:
        with open("/proc/self/oom_score_adj", encoding="ascii") as file:
            score = file.read().strip()
    except OSError:
        return ""
    set_score(os.getpid(), "-999")
    return score


def set_score(pid: int, score: str) -> None:
    """Set a process's oom_score_adj, where we may (proc_pid_oom_score_adj(5))."""
    if not score:
        return
    try:
        with open(f"/proc/{pid}/oom_score_adj", "w", encoding="ascii") as file:
            file.write(score)
    except OSError:
        return


def say(text: str) -> None:
    """Write a line to the log."""
    try:
        os.write(2, f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} warning keeper: {text}\n".encode())
    except OSError:
        return


def shorten(path: str) -> None:
    """Move what a long log holds to a second file; who appends to it goes on at its beginning."""
    try:
        if os.stat(path).st_size < LONGEST_LOG:
            return
        with open(path, "r+b") as file:
            write(f"{path}.1", file.read(2 * LONGEST_LOG))
            file.truncate(0)
    except OSError:
        return
