"""The host's network."""

from moby_network_driver.nothing.driver import NothingMade

__all__ = ["HostNetwork"]


class HostNetwork(NothingMade):
    """A network driver; see the contract."""

    name = "host"
    predefined = "host"
    shares_host = True
