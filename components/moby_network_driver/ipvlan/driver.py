"""The driver of ipvlan networks."""

from collections.abc import Mapping

from moby.contracts.ambient import Place
from moby.contracts.types import Fd
from moby.host.netlink import Message
from moby.host.rtnetlink import links
from moby_network_driver.parented.driver import OnParent, Sort

__all__ = ["ipvlan"]

_MODE, _FLAG = "ipvlan_mode", "ipvlan_flag"
_OPTIONS = {_MODE: ("l2", "l3", "l3s"), _FLAG: ("bridge", "private", "vepa")}


def _interface(name: str, parent: int, choices: Mapping[str, str], mac: str, mtu: int, namespace: Fd) -> Message:
    return links.ipvlan(name, parent, choices[_MODE], choices[_FLAG], mtu=mtu, namespace=namespace)


def ipvlan(place: Place) -> OnParent:
    """Return the driver."""
    sort = Sort("ipvlan", "di-", _OPTIONS, _interface, lambda choices: False, lambda choices: choices[_MODE] != "l2")
    return OnParent(sort, place)
