"""The kind `enclosure`: the namespaces that an engine lives in, where who starts it isn't root.

All processes of the engine are inside, those of its containers among them. What is outside is the host, as its user has
it: files are the same, other networks are not. Source: user_namespaces(7); RootlessKit.
"""

from typing import Protocol

from moby.contracts.kind import contract
from moby.contracts.types import Fd

__all__ = ["Enclosure"]


@contract("enclosure", version=1)
class Enclosure(Protocol):
    """Makes an ordinary user's processes root of namespaces of their own. Thread-safe, but for `enter`.

    A distribution enters its enclosure before it does anything else, with each of its calls that runs parts.
    """

    def enter(self) -> None:
        """Move the calling process, which has one thread, inside: it is root there, in the same working folder.

        The first one makes what there is to enter; it stays for as long as any process is inside. Entering again is
        fine. HostUnfit names what this host, or its user, lacks. Unsupported where another distribution has made
        what there is to enter, Unavailable where nothing comes of making it.
        """
        ...

    def bind(self, protocol: str, address: str, port: int) -> Fd:
        """Return a socket at a port of the host's network, which listens unless it is UDP's; the caller closes it.

        OSError as the kernel outside has it. Unavailable where whoever opens them has ended.
        """
        ...
