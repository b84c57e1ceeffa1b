"""What the host refuses, in our words."""

import errno
import os

import pytest

from moby.errors import HostUnfit
from moby.host.refusals import host_errors


def told(number, filename=None, **more):
    with pytest.raises(HostUnfit) as caught, host_errors("try", **more):
        raise OSError(number, os.strerror(number), filename)
    return caught.value.message, caught.value.hint


def test_what_is_refused_is_told_with_what_would_help():
    assert told(errno.ENOSPC, "/x") == (
        "can't try at /x: No space left on device", "make room on that disk, or use another --root"
    )  # fmt: skip
    assert told(errno.EIO) == ("can't try: Input/output error", "")
    assert told(errno.ENOSPC, hint="look there")[1] == told(errno.EIO, hint="look there")[1] == "look there"


def test_nothing_is_guessed_of_what_a_file_system_lacks():
    """As it may be locks, files without a name, or nodes."""
    message, hint = told(errno.EOPNOTSUPP)
    assert message == "can't try: Operation not supported"
    assert hint == "the file system of the --root has nothing of that sort; use a --root on another one"
