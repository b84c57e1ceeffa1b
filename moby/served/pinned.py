"""Which thread's calls of a part go by the socket of a context that it is in."""

import threading

from moby.served.calling import Exchange

__all__ = ["Pinned"]


class Pinned(threading.local):
    """Another one in each thread."""

    by: Exchange | None = None
    """How this thread's calls go while it is in a context that holds for it; None for as usual."""
