"""The kind `network-driver`: makes networks of one sort, and puts containers on them.

Version 1 knows the sorts that need nothing made: `none` and `host`.
"""

from collections.abc import Mapping
from typing import Protocol

from moby.contracts.kind import contract

__all__ = ["NetworkDriver"]


@contract("network-driver", version=1, many=True)
class NetworkDriver(Protocol):
    """Makes networks of one sort, and puts containers on them. Thread-safe; nothing of it changes while it runs."""

    name: str
    """Of the sort, as people see and ask for it; docker calls that of `none` `null`."""
    scope: str
    """`local` or `swarm`, for people to see."""
    predefined: str
    """Name of the network of this sort that is there from the start; empty for none."""
    creatable: bool
    """Whether users may create networks of this sort."""
    shares_host: bool
    """Whether its containers are in the host's network namespace."""

    def check(self, options: Mapping[str, str]) -> None:
        """Refuse options of a network: Invalid names one that it doesn't know or can't use."""
        ...
