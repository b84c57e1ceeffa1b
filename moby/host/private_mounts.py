"""Mounts that nobody else sees, and that are gone with whoever made them, however that ends.

A mount namespace may belong to one thread (unshare(2), CLONE_NEWNS), whose end is the namespace's.
"""

import threading
from collections.abc import Callable

from moby.host import mounts, namespaces

__all__ = ["apart"]


def apart(work: Callable[[], None]) -> None:
    """Run something in a thread with a mount namespace of its own; what it raises is raised here.

    Nothing that it mounts gets out; unmounts of others still come in. OSError (EPERM) without the right to mount.
    """
    failed: list[BaseException] = []

    def run() -> None:
        try:
            namespaces.unshare(namespaces.FLAGS["mount"])
            mounts.set_propagation("/", "rslave")
            work()
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run, name="private-mounts")
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
