"""Nobody is found."""

from collections.abc import Collection, Sequence

from moby.contracts.discovery import PortRequest, Presence, Resolver
from moby.contracts.network_driver import Port
from moby.contracts.types import Fd
from moby.errors import Unsupported

__all__ = ["Nobody"]


class Nobody:
    """A discovery without names and ports; see the contract."""

    serves_names = False

    def enter(
        self, sandbox: str, namespace: Fd | None, presences: Sequence[Presence], resolver: Resolver | None = None
    ) -> None:
        """Do nothing: a caller serves no names where `serves_names` says so."""

    def claim(self, sandbox: str, requests: Sequence[PortRequest]) -> tuple[Port, ...]:
        """Refuse to hold ports: nothing here would hold them any longer than this process."""
        if requests:
            text = "this engine publishes no ports: its discovery is the part `none`"
            raise Unsupported(text, hint="choose `discovery: dns` in the assembly")
        return ()

    def leave(self, sandbox: str) -> None:
        """Do nothing."""

    def keep(self, sandboxes: Collection[str]) -> None:
        """Do nothing."""
