"""How far a front end has come with its end, for the threads that answer its clients."""

import os

__all__ = ["Ends"]


class Ends:
    """Two moments, each a descriptor that is readable from then on: no call begins any more, and none goes on."""

    def __init__(self) -> None:
        self.draining = False
        """Whether no call begins any more, which is so before its descriptor says it."""
        self.draining_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self.ending_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def drain(self) -> None:
        """Let no call begin, and end what only clients would; a repeated call does nothing."""
        self.draining = True
        os.eventfd_write(self.draining_fd, 1)

    def end(self) -> None:
        """End what is waited for, too."""
        self.drain()
        os.eventfd_write(self.ending_fd, 1)

    def close(self) -> None:
        """Let go of the descriptors, which nobody may know any more."""
        os.close(self.draining_fd)
        os.close(self.ending_fd)
