"""A driver whose networks need nothing made."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from moby.contracts.network_driver import Attachment, Link, Segment
from moby.contracts.types import Fd
from moby.errors import Invalid

__all__ = ["NothingMade"]


class NothingMade:
    """A network driver without interfaces; see the contract."""

    name = ""
    scope = "local"
    predefined = ""
    predefined_options: Mapping[str, str] = MappingProxyType({})
    creatable = False
    shares_host = False
    addressed = False
    publishes = False

    def check(self, options: Mapping[str, str]) -> None:
        """Refuse all options: there is nothing to choose."""
        for each in options:
            raise Invalid(f"{each!r} is not an option of {self.name} networks", hint="it has none")

    def make(self, segment: Segment) -> None:
        """Make nothing."""

    def unmake(self, segment: Segment) -> None:
        """Remove nothing."""

    def attach(self, segment: Segment, attachment: Attachment, namespace: Fd) -> Link:
        """Leave the namespace as it is."""
        return Link()

    def publish(self, segment: Segment, attachment: Attachment) -> None:
        """Publish nothing."""

    def detach(self, segment: Segment, attachment: Attachment, namespace: Fd | None = None) -> None:
        """Leave the namespace as it is."""

    def keep(self, held: Sequence[tuple[Segment, Sequence[Attachment]]]) -> None:
        """Nothing was made for anybody."""
