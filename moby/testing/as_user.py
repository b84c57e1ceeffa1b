"""Part of a test as an ordinary user, in a process of its own."""

import os
from collections.abc import Callable

from moby.host.processes import set_child_subreaper, set_dumpable
from moby.testing.copied import in_copy

__all__ = ["NOBODY", "as_nobody"]

NOBODY = 65534
"""The user and group that own nothing."""


def as_nobody(run: Callable[[], None]) -> None:
    """Run something in a copy of this process that has become an ordinary user; fail the test if it raises.

    Only for root. Whatever it makes must lie where that user may write.
    """

    def become_and_run() -> None:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
        # Whoever changes its user owns its /proc entry again only so; a program started as that user does anyway.
        set_dumpable(True)
        set_child_subreaper()  # which a runtime's caller is, and a copy of one isn't
        run()

    in_copy(become_and_run, "as an ordinary user")
