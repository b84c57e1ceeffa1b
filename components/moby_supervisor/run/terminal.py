"""The terminal that this process was started from, if any."""

import os
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from moby.contracts.types import Window

__all__ = ["STREAMS", "among_streams", "controlled", "raw", "window"]

STREAMS = (0, 1, 2)


def window() -> Window | None:
    """Return the size of our own terminal."""
    for each in STREAMS:
        with suppress(OSError):
            size = os.get_terminal_size(each)
            return Window(size.lines, size.columns)
    return None


def among_streams() -> int:
    """Return a fresh descriptor of the terminal that one of the standard streams is, or -1."""
    return next((os.dup(each) for each in STREAMS if os.isatty(each)), -1)


def controlled() -> bool:
    """Whether this process has a controlling terminal, which one that hung up no longer is (tty(4))."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC))
    except OSError:
        return False
    return True


@contextmanager
def raw(descriptor: int) -> Iterator[None]:
    """Take the terminal's own handling of keys away, so that they all reach the container's."""
    try:
        before = termios.tcgetattr(descriptor)
        tty.setraw(descriptor)
    except termios.error:  # it has hung up just now, which is told in another way
        yield
        return
    try:
        yield
    finally:
        with suppress(termios.error):
            termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
