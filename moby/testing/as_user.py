"""Part of a test as an ordinary user, in a process of its own."""

import os
import traceback
from collections.abc import Callable

import pytest

from moby.host.processes import set_child_subreaper, set_dumpable

__all__ = ["NOBODY", "as_nobody"]

NOBODY = 65534
"""The user and group that own nothing."""


def as_nobody(run: Callable[[], None]) -> None:
    """Run something in a copy of this process that has become an ordinary user; fail the test if it raises.

    Only for root. Whatever it makes must lie where that user may write.
    """
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.close(read)
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
            # Whoever changes its user owns its /proc entry again only so; a program started as that user does anyway.
            set_dumpable(True)
            set_child_subreaper()  # which a runtime's caller is, and a copy of one isn't
            run()
            code = 0
        except BaseException:
            os.write(write, traceback.format_exc().encode()[-60000:])
        finally:
            os._exit(code)
    os.close(write)
    with os.fdopen(read, "rb") as file:
        told = file.read().decode(errors="replace")
    _, status = os.waitpid(pid, 0)
    if told or status:
        pytest.fail(f"as an ordinary user:\n{told or f'status {status}'}")
