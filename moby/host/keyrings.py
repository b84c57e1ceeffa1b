"""Keyrings of the kernel (keyrings(7)), as far as a container needs one of its own."""

import errno

from moby.host.syscalls import syscall

__all__ = ["join_new_session"]

_JOIN_SESSION_KEYRING = 1


def join_new_session() -> None:
    """Leave the session keyring that was inherited for a new, empty one; OSError where there may be no more keys.

    Fine where the kernel has no keys, or a sandbox denies the call: it then denies it to all that is started, too.
    """
    try:
        syscall("keyctl", _JOIN_SESSION_KEYRING, None)
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.EPERM):
            raise
