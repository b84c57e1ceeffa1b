"""LXC's library, of which a container is run by one call (lxc/lxccontainer.h, version 1 of its interface)."""

from __future__ import annotations

import ctypes
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["LOCKS", "NAME", "Library"]

NAME = "liblxc.so.1"
LOCKS = "/run/lxc/lock"
"""Where it makes a folder for each that it keeps containers in, and never removes it (src/lxc/lxclock.c)."""


class _Container(ctypes.Structure):
    """The beginning of LXC's `struct lxc_container`, up to what is used of it."""


_Load = ctypes.CFUNCTYPE(ctypes.c_bool, ctypes.POINTER(_Container), ctypes.c_char_p)
_Start = ctypes.CFUNCTYPE(
    ctypes.c_bool, ctypes.POINTER(_Container), ctypes.c_int, ctypes.POINTER(ctypes.c_char_p)
)  # fmt: skip
_Container._fields_ = (
    *((name, ctypes.c_void_p) for name in ("name", "configfile", "pidfile", "slock", "privlock")),
    ("numthreads", ctypes.c_int),
    ("lxc_conf", ctypes.c_void_p),
    ("error_string", ctypes.c_void_p),
    ("error_num", ctypes.c_int),
    ("daemonize", ctypes.c_bool),
    ("config_path", ctypes.c_void_p),
    *((name, ctypes.c_void_p) for name in ("is_defined", "state", "is_running", "freeze", "unfreeze", "init_pid")),
    ("load_config", _Load),
    ("start", _Start),
)


class Library:
    """LXC's library, loaded; OSError where it isn't there."""

    def __init__(self, path: str = NAME) -> None:
        self._library = ctypes.CDLL(path, use_errno=True)
        self._library.lxc_container_new.restype = ctypes.POINTER(_Container)
        self._library.lxc_container_new.argtypes = (ctypes.c_char_p, ctypes.c_char_p)
        self._library.lxc_get_version.restype = ctypes.c_char_p

    @property
    def version(self) -> str:
        """Its version."""
        return bytes(self._library.lxc_get_version()).decode()

    def run(self, name: str, folder: str, config: str, arguments: Sequence[str]) -> int | None:
        """Run a container to its end, as this process's child; return its code, None where it wasn't made.

        The code of a first process that a signal ended is the signal's number, negative.

        `folder` is where LXC keeps containers. LXC takes over this process's signals; it must have one thread.
        """
        found = self._library.lxc_container_new(os.fsencode(name), os.fsencode(folder))
        if not found:
            return None
        container = found.contents
        container.daemonize = False
        if not container.load_config(found, os.fsencode(config)):
            return None
        words = (ctypes.c_char_p * (len(arguments) + 1))(*map(os.fsencode, arguments), None)
        if not container.start(found, 0, words):
            return None
        status = int(container.error_num)
        # LXC tells of a signal as wait(2) tells of one that stopped.
        return -(status >> 8) if status & 0x7F == 0x7F else status >> 8
