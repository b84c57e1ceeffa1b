"""Groups of resctrl: shares of a processor's caches and memory bandwidth (kernel, filesystems/resctrl.rst)."""

from __future__ import annotations

import errno
import os

from moby.host.blocks import suppress
from moby.host.files import read_text, write_text
from moby.host.mount_table import mount_table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    Shares = Mapping[str, Mapping[str, str]]
    """What a resource has of each cache: `L3` has `7f0` of `0`."""

__all__ = ["RESERVED", "enter", "make", "mounted", "parsed", "remove", "shares_of", "write"]

RESERVED = frozenset({"", ".", "..", "info", "mon_groups", "mon_data"})
"""Names that are no group's."""


def mounted() -> str:
    """Return where the file system is mounted; OSError (EOPNOTSUPP) where it isn't."""
    for entry in mount_table():
        if entry.kind == "resctrl":
            return entry.point
    why = "no resctrl file system is mounted here"
    raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP), why)


def parsed(line: str) -> tuple[str, dict[str, str]]:
    """Read a line of `schemata`, as `L3:0=7f0;1=1f`; ValueError where it is none.

    Numbers are told without what spells the same: upper case and zeros before them.
    """
    name, colon, rest = line.strip().partition(":")
    found = {}
    for part in rest.split(";"):
        domain, equals, value = part.partition("=")
        if not (colon and name and equals and domain.strip() and value.strip()):
            raise ValueError(line)
        found[domain.strip().lstrip("0") or "0"] = value.strip().lower().lstrip("0") or "0"
    return name.strip(), found


def shares_of(folder: str) -> Shares:
    """Return what a group has now; OSError where there is no such group."""
    return dict(parsed(line) for line in read_text(f"{folder}/schemata").splitlines() if line.strip())


def write(folder: str, line: str) -> None:
    """Change what a group has by one line; OSError with what the kernel says where it refuses that."""
    try:
        write_text(f"{folder}/schemata", f"{line}\n")
    except OSError as error:
        raise OSError(error.errno, error.strerror, _said(folder) or line) from error


def _said(folder: str) -> str:
    """Return why the kernel refused the last thing, in its words."""
    while folder not in ("/", ""):
        with suppress(OSError):
            return read_text(f"{folder}/info/last_cmd_status").strip()
        folder = os.path.dirname(folder)
    return ""


def make(folder: str) -> None:
    """Make a group; FileExistsError where there is one, OSError (ENOSPC) where the processor has no more."""
    os.mkdir(folder, 0o755)


def enter(folder: str, pid: int) -> None:
    """Move a process into a group, with what it starts from then on."""
    write_text(f"{folder}/tasks", str(pid))


def remove(folder: str) -> None:
    """Remove a group, whose processes go to the one above; removing twice is fine."""
    with suppress(FileNotFoundError):
        os.rmdir(folder)
