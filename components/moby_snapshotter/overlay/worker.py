"""The process that unpacks one layer: its bytes come by a pipe, and what became of them goes back by a socket.

It imports little, since one is started for each large layer. It ends with its maker, whose end of the pipe is then the
layer's.
"""

import json
import os
import socket
import sys
from typing import Any

from moby.errors import MobyError
from moby.oci.unpack import Limits
from moby.oci.upper import UpperUnpacking

__all__ = ["BELOW", "BATCH", "main"]

BELOW = b"below"
"""What it says when it must look below; it gets the folders' descriptors, so many at a time, and none at the end."""
BATCH = 128


def main() -> None:
    """Unpack, and tell what came of it, by descriptors and numbers that are the program's arguments."""
    data, control, own, owners, most_bytes, most_entries = map(int, sys.argv[1:])
    with socket.socket(fileno=control) as told:
        unpacking = UpperUnpacking(
            own, bool(owners), Limits(most_bytes, most_entries),
            lowers=lambda: _lowers(told), user_attributes=not owners,
        )  # fmt: skip
        told.sendall(json.dumps(_unpacked(unpacking, data)).encode())


def _unpacked(unpacking: UpperUnpacking, data: int) -> dict[str, Any]:
    try:
        with open(data, "rb", buffering=0) as layer:  # a descriptor has no Path
            unpacking.apply(layer)
        unpacking.finish()
    except MobyError as error:
        return {"error": type(error).__name__, "message": error.message, "hint": error.hint}
    except OSError as error:
        return {"error": "OSError", "errno": error.errno, "message": error.strerror, "path": _text(error.filename)}
    return {"size_bytes": unpacking.size_bytes, "inodes": unpacking.entries}


def _text(path: object) -> str | None:
    return os.fsdecode(path) if isinstance(path, (str, bytes)) else None


def _lowers(told: socket.socket) -> tuple[int, ...]:
    """Ask for what is below, and return its descriptors."""
    told.sendall(BELOW)
    found: list[int] = []
    while True:
        _, descriptors, _, _ = socket.recv_fds(told, 1, BATCH)
        if not descriptors:
            return tuple(found)
        found += descriptors
