"""Settings of the kernel that a container may have of its own, since they belong to a namespace."""

from __future__ import annotations

import os

from moby.host.namespaces import PROC_NAMES
from moby_runtime.programs.reading import wrong

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from moby.errors import Problem

__all__ = ["owns", "problems"]

_IPC = frozenset(
    f"kernel.{name}"
    for name in ("msgmax", "msgmnb", "msgmni", "sem", "shmall", "shmmax", "shmmni", "shm_rmid_forced")
)  # fmt: skip


def owns(namespaces: Mapping[str, str], name: str) -> bool:
    """Whether a container has a namespace of a kind that isn't the caller's, which a path may name too."""
    path = namespaces.get(name)
    if not path:
        return path is not None
    try:
        return not os.path.samestat(os.stat(path), os.stat(f"/proc/self/ns/{PROC_NAMES[name]}"))
    except OSError:
        return True  # which joining it will tell


def problems(keys: Iterable[str], namespaces: Mapping[str, str]) -> Iterator[Problem]:
    """Yield which settings would change the host; namespaces are paths by kind, empty for new ones."""
    for key in keys:
        dotted = key.replace("/", ".")
        if ".." in key:
            yield wrong(f"linux.sysctl.{key}", "is no setting")
        elif dotted.startswith("net."):
            yield from _reach(key, "network", namespaces)
        elif dotted.startswith("fs.mqueue.") or dotted in _IPC:
            yield from _reach(key, "ipc", namespaces)
        elif dotted == "kernel.domainname":
            yield from _reach(key, "uts", namespaces)
        else:
            yield wrong(f"linux.sysctl.{key}", "belongs to no namespace, so it would change the host")


def _reach(key: str, needed: str, namespaces: Mapping[str, str]) -> Iterator[Problem]:
    if not owns(namespaces, needed):
        yield wrong(f"linux.sysctl.{key}", f"would change the host, without a namespace of its own of kind {needed}")
