"""The program to run: found inside the root, opened once, and run as what was opened.

Processes of the container may change the files meanwhile. Were the host's interpreter, which runs this, executed
by way of /proc/self/exe, they would get hold of its file and could overwrite it later (CVE-2019-5736). So the kernel
is given a folder's descriptor, a name that must be no link, and no script: what stands in a script's first line is
done here, by the same steps.
"""

from __future__ import annotations

import errno
import os
import stat

from moby.host import mounts, processes
from moby.values import frozen
from moby_runtime.programs.home import with_home
from moby_runtime.records.failures import Failed, Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import NoReturn

    from moby_runtime.programs.values import ProcessSpec

__all__ = ["become", "execute", "look", "places"]

_DEEPEST = 5
_MOST_LINKS = 40
_FIRST_LINE = 256
"""As binfmt_script of Linux has them."""


@frozen
class _Opened:
    """A regular file: the folder that it is in, its name there, and what tells it from others."""

    folder: int
    name: str
    identity: tuple[int, int]


def execute(
    process: ProcessSpec, own_program: tuple[int, int], last: Callable[[], object], *, by_path: bool = False
) -> NoReturn:
    """Become the user's program, after a last step; OSError where it isn't there or can't run.

    `own_program` is the device and inode of the interpreter that runs this, which is refused by any name. With
    `by_path` it is done without execveat(2), which needs /proc, and calls the process by a number.
    """
    # Anew, since where fs.suid_dumpable is 1 the change of user took it back.
    processes.set_dumpable(False)
    program = _find(process)
    try:
        become(program, process.args, with_home(process), process.cwd, own_program, last, by_path=by_path)
    except OSError as error:
        raise OSError(error.errno, error.strerror, program) from error


def look(process: ProcessSpec) -> None:
    """See whether the program is there and may be run by this user; OSError as `execute`."""
    program = _find(process)
    try:
        os.close(_open(program, process.cwd).folder)
    except OSError as error:
        raise OSError(error.errno, error.strerror, program) from error


def become(
    path: str,
    arguments: Sequence[str],
    environment: Sequence[str],
    cwd: str,
    own_program: tuple[int, int],
    last: Callable[[], object] = lambda: None,
    *,
    by_path: bool = False,
) -> NoReturn:
    """Become the program of a path; OSError as `execute`."""
    for _ in range(_DEEPEST):
        opened = _open(path, cwd)
        if opened.identity == own_program:
            raise OSError(errno.EACCES, "it is the host's own interpreter")
        words = _interpreter(opened)
        if not words and by_path:
            pinned = _pinned(opened)
            last()
            processes.execute_path(pinned, arguments, environment)
        if not words:
            last()
            processes.execute(opened.folder, opened.name, arguments, environment)
        arguments = (*words, path, *arguments[1:])
        path = words[0]
    raise OSError(errno.ELOOP, "scripts that run scripts")


def _find(process: ProcessSpec) -> str:
    """Find the program in the PATH of its environment, as execvp(3) does."""
    name = process.args[0]
    if "/" in name:
        return name
    denied = False
    for path in places(process):
        try:
            mode = os.stat(path).st_mode
        except OSError:
            continue
        if stat.S_ISREG(mode) and os.access(path, os.X_OK):
            return path
        denied = denied or not stat.S_ISDIR(mode)
    raise OSError(errno.EACCES if denied else errno.ENOENT, "", name)


def places(process: ProcessSpec) -> tuple[str, ...]:
    """Return the paths that its program may have, of which it is the first that there is."""
    name = process.args[0]
    if "/" in name:
        return (name,)
    search = next((each[5:] for each in reversed(process.env) if each.startswith("PATH=")), "/bin:/usr/bin")
    return tuple([f"{folder or '.'}/{name}" for folder in search.split(":")])


def _open(path: str, cwd: str) -> _Opened:
    """Follow a path to a file, through no link of /proc; a pipe or device is refused and never waited for."""
    root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    place = f"{cwd}/{path}" if not path.startswith("/") else path
    for _ in range(_MOST_LINKS):
        above, _, name = place.rpartition("/")
        if name in ("", ".", ".."):
            raise OSError(errno.EACCES, "a folder")
        folder = mounts.open_in_root(root, above, os.O_PATH | os.O_DIRECTORY)
        fd = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
        found = os.fstat(fd)
        if not stat.S_ISLNK(found.st_mode):
            break
        place = f"{above}/{target}" if not (target := os.readlink("", dir_fd=fd)).startswith("/") else target
        os.close(fd)
        os.close(folder)
    else:
        raise OSError(errno.ELOOP, "too many links")
    os.close(fd)
    os.close(root)
    if not stat.S_ISREG(found.st_mode) or not os.access(name, os.X_OK, dir_fd=folder):
        raise OSError(errno.EACCES, "no file that may be run")
    return _Opened(folder, name, (found.st_dev, found.st_ino))


def _is(path: str, opened: _Opened) -> bool:
    """Whether a path leads to a file; one of a /proc that is no such thing may lead anywhere."""
    try:
        found = os.stat(path)
    except OSError:
        return False
    return (found.st_dev, found.st_ino) == opened.identity


def _pinned(opened: _Opened) -> str:
    """Return a path that is exactly this file, whatever becomes of its name."""
    fd = os.open(opened.name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=opened.folder)
    found = os.fstat(fd)
    if (found.st_dev, found.st_ino) != opened.identity:
        raise OSError(errno.ETXTBSY, "it is replaced at this moment")
    path = f"/proc/self/fd/{fd}"
    if not _has_proc() or not _is(path, opened):
        step = "start the program: the profile refuses execveat, and without it a program is started only by /proc"
        raise Failed(Failure(step, "linux.seccomp", errno.ENOENT))
    return path


def _has_proc() -> bool:
    """Whether /proc is the kernel's, and no folder of the image, in which links would lead elsewhere a moment later."""
    try:
        fd = os.open("/proc", os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return mounts.is_proc(fd)
    finally:
        os.close(fd)


def _interpreter(opened: _Opened) -> tuple[str, ...]:
    """Return the interpreter of a script, and the one argument that its first line may give; nothing for others."""
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        fd = os.open(opened.name, flags, dir_fd=opened.folder)
    except PermissionError:
        return ()  # of which the kernel will read more than the user may, but as a script it won't take it
    try:
        found = os.fstat(fd)
        if (found.st_dev, found.st_ino) != opened.identity:
            raise OSError(errno.ETXTBSY, "it is replaced at this moment")
        data = os.read(fd, _FIRST_LINE)
    finally:
        os.close(fd)
    if not data.startswith(b"#!"):
        return ()
    line, ended, _ = data[2:].partition(b"\n")
    name, separated, argument = line.strip(b" \t\0").partition(b" ")
    if b"\t" in name:
        name, separated, argument = line.strip(b" \t\0").partition(b"\t")
    if not name or not (ended or separated or len(data) < _FIRST_LINE):
        raise OSError(errno.ENOEXEC, "its first line names no interpreter")
    words = (name, argument.strip(b" \t"))
    return tuple(os.fsdecode(word) for word in words if word)
