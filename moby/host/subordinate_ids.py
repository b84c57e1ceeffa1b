"""Subordinate ids: which of the host's ids a user may give to processes of its own (subuid(5), subgid(5))."""

import os
import pwd
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

__all__ = ["FILES", "fix", "missing", "names_of", "ranges"]

FILES = {"uid": Path("/etc/subuid"), "gid": Path("/etc/subgid")}


def names_of(uid: int) -> tuple[str, ...]:
    """Return how these files may call a user: by its name, where it has one, and by its number."""
    with suppress(KeyError):
        return (pwd.getpwuid(uid).pw_name, str(uid))
    return (str(uid),)


def ranges(file: Path, names: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """Return what a file gives a user: first ids, and how many from each on. A line that is no such is passed over."""
    try:
        text = file.read_text("utf-8", errors="replace")
    except OSError:
        return ()
    found = []
    for line in text.splitlines():
        name, _, numbers = line.strip().partition(":")
        first, _, count = numbers.partition(":")
        if name in names and _is_number(first) and _is_number(count) and int(count):
            found.append((int(first), int(count)))
    return tuple(found)


def fix(names: Sequence[str]) -> str:
    """Return the command that gives a user subordinate ids."""
    return f"as root: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {names[0]}"


def missing(uid: int | None = None) -> Path | None:
    """Return the file that gives a user (else this process's) none; None where it has both kinds."""
    names = names_of(os.getuid() if uid is None else uid)
    return next((file for file in FILES.values() if not ranges(file, names)), None)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 10
