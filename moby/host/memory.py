"""How much freed memory the C library keeps for later (mallopt(3))."""

from moby.host.syscalls import libc

__all__ = ["keep_little"]

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_KEPT_BYTES = 2 << 20
_LARGE_BYTES = 4 << 20


def keep_little() -> None:
    """Have at most 2 MiB at an end of the heap kept, and blocks of 4 MiB given back at once.

    Else glibc keeps twice what the largest freed block had, for good, in each thread's heap: in a process that runs for
    long and once unpacked an image that is a fifth of its memory. Other C libraries have nothing to be told.
    """
    mallopt = getattr(libc, "mallopt", None)
    if mallopt is not None:
        mallopt(_TRIM_THRESHOLD, _KEPT_BYTES)
        mallopt(_MMAP_THRESHOLD, _LARGE_BYTES)
