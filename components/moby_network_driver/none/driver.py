"""No network."""

from moby_network_driver.nothing.driver import NothingMade

__all__ = ["NoNetwork"]


class NoNetwork(NothingMade):
    """A network driver; see the contract."""

    name = "null"
    predefined = "none"
