"""The driver of macvlan networks."""

from collections.abc import Mapping

from moby.contracts.ambient import Place
from moby.contracts.types import Fd
from moby.host.netlink import Message
from moby.host.rtnetlink import links
from moby_network_driver.parented.driver import OnParent, Sort

__all__ = ["macvlan"]

_MODE = "macvlan_mode"
_OPTIONS = {_MODE: ("bridge", "private", "vepa", "passthru")}


def _interface(name: str, parent: int, choices: Mapping[str, str], mac: str, mtu: int, namespace: Fd) -> Message:
    return links.macvlan(name, parent, choices[_MODE], mac=mac, mtu=mtu, namespace=namespace)


def _own_mac(choices: Mapping[str, str]) -> bool:
    """Tell that one which has its parent to itself has that one's MAC address too."""
    return choices[_MODE] != "passthru"


def macvlan(place: Place) -> OnParent:
    """Return the driver."""
    return OnParent(Sort("macvlan", "dm-", _OPTIONS, _interface, _own_mac, lambda choices: False), place)
