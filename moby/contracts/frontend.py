"""The kind `frontend`: speaks to clients, in a protocol of its own, and calls the engine's other parts for them."""

from collections.abc import Sequence
from typing import Protocol

from moby.contracts.kind import contract

__all__ = ["Frontend"]


@contract("frontend", version=1, many=True)
class Frontend(Protocol):
    """Answers clients from when it is told where, until it is closed (`__exit__`).

    Thread-safe. No call waits for a client, but for `drain`, which says for how long.
    """

    def check(self, addresses: Sequence[str] = ()) -> None:
        """Raise what `listen` would at these addresses, as far as it can be told beforehand, and listen at none.

        Called before `__enter__` too, of one behind which nothing is there yet: it calls no other part. What is passed
        as `fd://` stays as it is.
        """
        ...

    def listen(self, addresses: Sequence[str] = ()) -> tuple[str, ...]:
        """Answer at these addresses too, from when this returns; return them as clients are to spell them.

        `unix:///PATH`; `tcp://HOST:PORT`, where port 0 is any free one and the result names it; `fd://NUMBER`, a
        listening socket of this process, which is the front end's own from then on (sd_listen_fds(3)). None is what
        its own options say. A socket's file that nobody listens at is replaced, and is gone after `__exit__`; that of
        an `fd://` stays.

        Invalid for an address that it can't read, Unsupported for one that it won't serve (with the reason and what
        would make it), Conflict where somebody else listens there, HostUnfit where the host refuses. After an error
        it listens at none of these.
        """
        ...

    def drain(self, timeout_s: float) -> bool:
        """Accept no more clients, and wait for requests under way, at most so long; return whether all have ended.

        Requests that only their client ends (events, followed logs) are broken off by this first, so that it sees that
        there were more. From then on no request begins: clients that are connected, and ask nothing, are let go.
        """
        ...
