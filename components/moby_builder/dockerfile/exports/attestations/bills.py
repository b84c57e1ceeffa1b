"""Bills of materials that an image made: in-toto statements in files, whose content is anybody's."""

import json
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from attrs import frozen

from moby.errors import Invalid

__all__ = ["Bill", "bills_in"]

_MOST_BYTES = 64 << 20


@frozen
class Bill:
    """What a file states."""

    filename: str
    type: str
    predicate: Mapping[str, Any]


def bills_in(folder: Path) -> Iterator[Bill]:
    """Yield what the files of a folder state, by name; Invalid for one that states nothing, or is too big."""
    for name in sorted(os.listdir(folder)):  # noqa: PTH208
        try:
            found = json.loads(_data(folder / name))
            json.dumps([name, found], ensure_ascii=False).encode()  # what can't be written on isn't taken
        except (OSError, ValueError, RecursionError) as error:
            raise Invalid(f"the generator's {name[:100]!r} can't be read: {error}") from error
        kind, predicate = (found.get("predicateType"), found.get("predicate")) if isinstance(found, dict) else ("", {})
        if not isinstance(kind, str) or not kind or not isinstance(predicate, dict):
            raise Invalid(f"the generator's {name[:100]!r} is no statement", hint="it is to be in-toto's, as JSON")
        yield Bill(name, kind, predicate)


def _data(path: Path) -> bytes:
    """Return what is in a regular file; ValueError for what is no such file, or too big."""
    if not stat.S_ISREG(path.lstat().st_mode):  # nor is it opened: a device is the host's own
        raise ValueError("no regular file")
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode) or found.st_size > _MOST_BYTES:
            raise ValueError(f"no regular file of at most {_MOST_BYTES} bytes")
        return file.read(_MOST_BYTES)
