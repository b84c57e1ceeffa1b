"""The verb `image from-host`: an image made of the host's own programs and the libraries that they load.

The same files give the same image: times are the epoch, owners root, entries sorted.
"""

import difflib
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from attrs import frozen

from moby.contracts.images import ImageConfig
from moby.errors import NotFound
from moby_images.command.elf import needs_of
from moby_images.command.files import Files

__all__ = ["PROGRAMS", "Built", "build"]

PROGRAMS = (
    "basename", "cat", "chmod", "chown", "cp", "cut", "date", "dd", "df", "dirname", "du", "echo", "env", "expr",
    "false", "find", "grep", "head", "hostname", "id", "ip", "kill", "ln", "ls", "mkdir", "mktemp", "mount", "mv",
    "nproc", "printf", "ps", "pwd", "readlink", "rm", "rmdir", "sed", "seq", "sh", "sleep", "sort", "stat", "stty",
    "sync", "tail", "tee", "test", "timeout", "touch", "tr", "true", "tty", "umount", "uname", "uniq", "wc", "whoami",
    "xargs", "yes",
)  # fmt: skip
"""What an image is made of where nothing is named: those of these that the host has."""

_MERGED = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
_FOLDERS = ("dev", "etc", "home", "proc", "root", "run", "sys", "usr", "usr/bin", "var")
_SYSTEM_PATH = ("/bin", "/usr/bin", "/sbin", "/usr/sbin")
_SHELL = Path("/bin/sh")
_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_LOADER_FILES = ("ld.so.cache", "ld-musl-*.path")
_ETC = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n",
    "etc/group": "root:x:0:\ntty:x:5:\nnogroup:x:65534:\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}


@frozen
class Built:
    """An image's one layer to be, and how it is run."""

    files: Files
    config: ImageConfig


def build(programs: Sequence[str] = (), added: Iterable[tuple[Path, str]] = ()) -> Built:
    """Gather named programs, or else the usual ones, what they load, and files to add at given places.

    NotFound names a program that isn't there, and the nearest that is.
    """
    files = Files()
    for name in _MERGED:
        if Path("/", name).is_symlink():
            files.same(name)
    for name in _FOLDERS:
        files.folder(name)
    for name in ("tmp", "var/tmp"):
        files.folder(name, 0o1777)
    for path, text in _ETC.items():
        files.text(path, text)
    found = [_found(name) for name in programs] if programs else [each for each in map(_usual, PROGRAMS) if each]
    if not found:
        raise NotFound("none of the usual programs is on this host", hint="name the programs that the image is for")
    loaded = {each for program in found for each in needs_of(program)}
    for path in sorted({os.fspath(each) for each in found} | loaded | _loader_files(loaded)):
        files.same(path)
    for source, target in added:
        files.copy(source, target)
    return Built(files, ImageConfig(command=(_shell(found),), environment=(_PATH,)))


def _loader_files(loaded: Iterable[str]) -> set[str]:
    """Return what tells a loader where to look, if a library lies elsewhere than where it looks anyway."""
    libraries = [Path(each) for each in loaded if ".so" in Path(each).name]
    own = {each.parent.resolve() for each in libraries if each.name.startswith(("libc.", "ld-"))}
    usual = own | {Path(each).resolve() for each in ("/lib", "/usr/lib", "/lib64", "/usr/lib64")}
    if all(each.parent.resolve() in usual for each in libraries):
        return set()
    return {os.fspath(each) for pattern in _LOADER_FILES for each in Path("/etc").glob(pattern)}


def _shell(found: Sequence[Path]) -> str:
    """Return what runs when nothing else is asked for: the shell, by its usual path, else the first program."""
    shell = next((each for each in found if each.name == "sh"), None)
    if shell and _SHELL.exists() and shell.samefile(_SHELL):
        shell = _SHELL
    return os.fspath(shell or found[0])


def _usual(name: str) -> Path | None:
    """Find one of the usual programs in the system's own folders, whatever PATH holds, else by PATH."""
    return _search(name, _SYSTEM_PATH) or _search(name, _path())


def _found(name: str) -> Path:
    path = Path(name).absolute() if "/" in name else _search(name, (*_path(), *_SYSTEM_PATH))
    if path is None or not _is_file(path):
        near = difflib.get_close_matches(Path(name).name, _installed(), 1)
        hint = f"did you mean {near[0]}?" if near else "name a program on PATH, or the path of one"
        raise NotFound(f"no program {name!r} is on this host", hint=hint)
    return path


def _search(name: str, folders: Iterable[str]) -> Path | None:
    candidates = (Path(folder, name) for folder in folders)
    return next((each for each in candidates if _is_file(each) and os.access(each, os.X_OK)), None)


def _path() -> tuple[str, ...]:
    """Return PATH's folders; a relative one would make the image depend on where it is made."""
    return tuple(each for each in os.environ.get("PATH", "").split(":") if each.startswith("/"))


def _is_file(path: Path) -> bool:
    """Say whether a file is there for this user; PATH may lead through folders that it may not enter."""
    return os.path.isfile(path)  # noqa: PTH113  # Path's raises where a folder may not be entered


def _installed() -> list[str]:
    names: set[str] = set()
    for folder in (*_path(), *_SYSTEM_PATH):
        with suppress(OSError):
            names.update(entry.name for entry in os.scandir(folder))
    return sorted(names)
