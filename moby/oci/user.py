"""A container's user: `user[:group]` by name or number, read from the container's own /etc/passwd and /etc/group."""

import errno
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from moby.errors import Corrupt, NotFound, Unavailable
from moby.host.mounts import open_file_in_root
from moby.values import frozen

__all__ = ["User", "parse_user", "resolve_groups", "resolve_user"]

_BIGGEST_ID = 2**31 - 1
_BIGGEST_FILE_BYTES = 4 << 20
_HINT = f"name one that is there, or give a number up to {_BIGGEST_ID}"


@frozen
class User:
    """Whom a process runs as, in numbers that hold inside the container."""

    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = ()
    """Supplementary ones, sorted."""
    home: str = "/"


def resolve_user(rootfs: Path, text: str) -> User:
    """Return the user that `text` means in a root file system; an empty text is root.

    No symbolic link in it leads out of the root. A number needs no entry; NotFound names a name that has none.
    Unavailable where a program has a lease on the root's passwd or group.
    """
    root = os.open(rootfs, os.O_PATH | os.O_DIRECTORY)
    try:
        return parse_user(text, _text(root, "/etc/passwd"), _text(root, "/etc/group"))
    finally:
        os.close(root)


def resolve_groups(rootfs: Path, names: Sequence[str]) -> tuple[int, ...]:
    """Return the ids of groups by name or number, as a root file system has them; NotFound names one it hasn't."""
    if not names:
        return ()
    root = os.open(rootfs, os.O_PATH | os.O_DIRECTORY)
    try:
        text = _text(root, "/etc/group")
    finally:
        os.close(root)
    found = []
    for each in names:
        entry = _find(text, each, width=3)
        gid = _id(entry[2]) if entry else _id(each)
        if gid < 0:
            raise NotFound(f"there is no group {each!r} in the image's /etc/group", hint=_HINT)
        found.append(gid)
    return tuple(found)


def _text(root: int, path: str) -> str:
    """Return a file's text, empty where there is no regular file; a FIFO, a loop of links or a device blocks nobody."""
    try:
        descriptor = open_file_in_root(root, path)
    except OSError as error:
        if error.errno == errno.EAGAIN:
            hint = "try again once it has let go of the file (fcntl(2), F_SETLEASE)"
            raise Unavailable(f"{path}: a program in the container has a lease on it", hint=hint) from error
        if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            raise
        return ""
    if descriptor < 0:
        return ""
    with os.fdopen(descriptor, "rb") as file:
        # No more than is there: as much as there may be would be taken from the kernel, and given back, each time.
        data = file.read(min(os.fstat(descriptor).st_size, _BIGGEST_FILE_BYTES) + 1)
    if len(data) > _BIGGEST_FILE_BYTES:
        raise Corrupt(f"{path} of the image is bigger than {_BIGGEST_FILE_BYTES} bytes", hint="make the image again")
    return data.decode(errors="replace")


def parse_user(text: str, passwd: str, group: str) -> User:
    """Return the user that `text` means, given the texts of passwd(5) and group(5)."""
    name, _, group_name = text.partition(":")
    entry = _find(passwd, name or "0", width=7)
    if entry is not None:
        user_name, uid, gid, home = entry[0], _id(entry[2]), _id(entry[3]), entry[5] or "/"
    elif (uid := _id(name or "0")) >= 0:
        user_name, gid, home = "", 0, "/"
    else:
        raise NotFound(f"there is no user {name!r} in the image's /etc/passwd", hint=_HINT)
    if not group_name:
        return User(uid, gid, _memberships(group, user_name, gid) if user_name else (), home)
    found = _find(group, group_name, width=3)
    gid = _id(found[2]) if found else _id(group_name)
    if gid < 0:
        raise NotFound(f"there is no group {group_name!r} in the image's /etc/group", hint=_HINT)
    return User(uid, gid, (), home)


def _rows(text: str, width: int) -> Iterator[list[str]]:
    """Yield the lines that are whole: enough fields, and a number for an id."""
    for line in text.splitlines():
        fields = line.split(":")
        if len(fields) >= width and not line.startswith("#") and all(_id(each) >= 0 for each in _ids(fields)):
            yield fields


def _ids(fields: list[str]) -> list[str]:
    return fields[2:4] if len(fields) >= 7 else fields[2:3]


def _find(text: str, name: str, width: int) -> list[str] | None:
    """Find an entry by name, else by number: a name may consist of digits (useradd(8) warns, and lets it)."""
    rows = list(_rows(text, width))
    by_name = (row for row in rows if row[0] == name)
    by_number = (row for row in rows if _id(name) >= 0 and _id(row[2]) == _id(name))
    return next(by_name, None) or next(by_number, None)


def _memberships(group: str, name: str, primary: int) -> tuple[int, ...]:
    found = {_id(row[2]) for row in _rows(group, 4) if name in row[3].split(",")}
    return tuple(sorted(found - {primary}))


def _id(text: str) -> int:
    """Read an id; -1 is none, or one that the kernel would not take."""
    number = int(text) if text.isascii() and text.isdigit() and len(text) <= 10 else -1
    return number if number <= _BIGGEST_ID else -1
