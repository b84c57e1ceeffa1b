"""The bounding set of capabilities: what is dropped of it, and who may not."""

import errno
import os

import pytest

from moby.host import capabilities, processes

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root has something to drop")

KILL = capabilities.numbers(["CAP_KILL"])
SETPCAP = capabilities.numbers(["CAP_SETPCAP"])


def ends_with(steps):
    """Do steps in a copy of this process; return its exit code."""

    def child():
        os._exit(steps())

    _, pidfd = processes.clone(child)
    try:
        return processes.reap(pidfd)
    finally:
        os.close(pidfd)


def test_all_but_what_is_kept_are_dropped():
    def steps():
        capabilities.drop_bounding(KILL)
        return 0 if capabilities.bounding() == KILL else 1

    assert ends_with(steps) == 0


def test_who_may_drop_none_is_told():
    def steps():
        left = capabilities.effective() - SETPCAP
        capabilities.apply(effective=left, permitted=left, inheritable=())
        try:
            capabilities.drop_bounding(KILL)
        except OSError as error:
            return error.errno
        return 0

    assert ends_with(steps) == errno.EPERM


def test_who_may_drop_none_may_lack_them():
    def steps():
        capabilities.drop_bounding(KILL)
        left = capabilities.effective() - SETPCAP
        capabilities.apply(effective=left, permitted=left, inheritable=())
        capabilities.drop_bounding(KILL)
        return 0 if capabilities.bounding() == KILL else 1

    assert ends_with(steps) == 0
