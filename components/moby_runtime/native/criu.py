"""CRIU, asked as it asks to be: messages over a socket that its process inherits (criu, images/rpc.proto).

The messages are protocol buffers, of which this writes and reads the few kinds of fields that CRIU's have.
"""

from __future__ import annotations

import array
import os
import socket

from moby_runtime.records.failures import Failed, Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    Field = int | str | bool | bytes
    Notified = Callable[[str, int, int], object]
    """Told of a step: its name, the pid of the first process once there is one, and a descriptor or -1."""

__all__ = ["DUMP", "LIMIT_S", "RESTORE", "Conversation", "Endless", "Refused", "message", "options"]

DUMP, RESTORE = 1, 2
"""criu_req_type."""
_NOTIFY = 6
_LARGEST = 1 << 16
LIMIT_S = 600.0
"""How long CRIU may say nothing: what it takes for memory is read or written meanwhile."""
_VARINT, _BYTES = 0, 2
_WIDTHS = {1: 8, 5: 4}
_FIELDS = {
    "images_dir_fd": 1, "pid": 2, "leave_running": 3, "ext_unix_sk": 4, "tcp_established": 5, "evasive_devices": 6,
    "shell_job": 7, "file_locks": 8, "log_level": 9, "log_file": 10, "notify_scripts": 12, "root": 13,
    "work_dir_fd": 17, "link_remap": 18, "ext_mnt": 23, "manage_cgroups": 24, "cg_root": 25,
    "inherit_fd": 27, "ext_sharing": 29, "ext_masters": 30, "manage_cgroups_mode": 34, "external": 37, "empty_ns": 38,
    "join_ns": 39, "freeze_cgroup": 44, "timeout": 45, "tcp_skip_in_flight": 46, "orphan_pts_master": 50,
    "lsm_profile": 53, "lsm_mount_context": 63, "network_lock": 64,
}  # fmt: skip
"""criu_opts."""


class Refused(Exception):
    """CRIU couldn't do what it was asked; the log that it wrote says why."""


def options(**fields: Field | Iterable[Field]) -> bytes:
    """Return criu_opts; a field of several values is a list, one that is a message its bytes."""
    found = b""
    for name, value in fields.items():
        values = value if isinstance(value, (list, tuple)) else (value,)
        for each in values:
            found += _encoded(_FIELDS[name], each)
    return found


def message(*fields: tuple[int, Field]) -> bytes:
    """Return a message of numbered fields."""
    return b"".join(_encoded(number, value) for number, value in fields)


def _encoded(number: int, value: Any) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3 | _VARINT) + _varint(int(value))
    data = os.fsencode(value)
    return _varint(number << 3 | _BYTES) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    """Return a number, seven bits a byte, the lowest first."""
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)


def _decoded(data: bytes) -> dict[int, Any]:
    """Read the fields of a message: numbers and bytes; ValueError where it is none."""
    found: dict[int, Any] = {}
    at = 0
    while at < len(data):
        key, at = _number(data, at)
        kind = key & 7
        if kind == _VARINT:
            found[key >> 3], at = _number(data, at)
            continue
        size = _WIDTHS.get(kind, -1)
        if kind == _BYTES:
            size, at = _number(data, at)
        if size < 0 or at + size > len(data):
            raise ValueError("a field that is cut off, or of a kind that there isn't")
        found[key >> 3] = data[at : at + size]
        at += size
    return found


def _number(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data):
        value |= (data[at] & 0x7F) << shift
        if data[at] <= 0x7F:
            return value, at + 1
        at, shift = at + 1, shift + 7
    raise ValueError("a number that is cut off")


class Endless(Exception):
    """CRIU said nothing for too long, and is to be ended."""


class Conversation:
    """One request of a process of CRIU's, and what it tells meanwhile."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        connection.settimeout(LIMIT_S)

    def ask(self, kind: int, wanted: bytes, notified: Notified) -> int:
        """Have something done; return the pid of what was restored, or 0.

        Refused where it fails, or ends without a word, Endless where it says nothing for LIMIT_S. What `notified`
        raises ends it, and is raised again.
        """
        self._say(message((1, kind), (2, wanted)))
        while True:
            answer, descriptors = self._next()
            failed = not answer.get(2)
            if failed or answer.get(1) != _NOTIFY:
                for fd in descriptors:
                    os.close(fd)
                if failed:
                    raise Refused(os.fsdecode(answer.get(9, b"")))
                return int(_decoded(answer.get(4, b"")).get(1, 0))
            said = _decoded(answer.get(5, b""))
            fd = descriptors[0] if descriptors else -1
            notified(os.fsdecode(said.get(1, b"")), int(said.get(2, 0)), fd)
            self._say(message((1, _NOTIFY), (3, True)))

    def _say(self, data: bytes) -> None:
        try:
            self._connection.send(data)
        except (BrokenPipeError, ConnectionResetError):
            raise Refused from None

    def _next(self) -> tuple[dict[int, Any], list[int]]:
        room = socket.CMSG_SPACE(array.array("i").itemsize)
        try:
            data, ancillary, _, _ = self._connection.recvmsg(_LARGEST, room, socket.MSG_CMSG_CLOEXEC)
        except ConnectionResetError:
            raise Refused from None
        except TimeoutError:
            raise Endless from None
        found = array.array("i")
        for level, kind, content in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                found.frombytes(content[: len(content) - len(content) % found.itemsize])
        if not data:
            raise Refused
        try:
            return _decoded(data), list(found)
        except ValueError as error:
            raise Failed(Failure("understand criu", "", 0, str(error))) from error
