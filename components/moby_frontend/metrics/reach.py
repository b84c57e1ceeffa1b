"""Who may reach metrics, which tell of every container there is."""

from contextlib import suppress
from ipaddress import ip_address

from moby.errors import Unsupported

__all__ = ["private"]


def private(address: str, host: str, *, public: bool) -> None:
    """Raise Unsupported for an address that others than this host's reach, where that isn't wanted."""
    with suppress(ValueError):
        if public or ip_address(host).is_loopback:
            return
    if host != "localhost":
        raise Unsupported(
            f"{address} would tell everybody who reaches the port which containers there are",
            hint="listen at tcp://127.0.0.1:PORT or unix:///PATH, or set `public: true`",
        )
