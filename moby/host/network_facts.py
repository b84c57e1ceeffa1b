"""Whether a host lets packets of containers through: probes for networks that lead beyond it."""

import os
from collections.abc import Callable
from functools import wraps

from moby.host import network_settings

__all__ = ["forward_accepted", "ipv4_forwarding", "ipv6_forwarding"]

_ANY_BRIDGE = "br-ID"
Found = tuple[bool, str, str]
"""As Probe has them."""


def _of_root(look: Callable[[], Found]) -> Callable[[], Found]:
    @wraps(look)
    def tried() -> Found:
        return look() if os.geteuid() == 0 else (True, "an ordinary user's engine has a network of its own", "")

    return tried


@_of_root
def ipv4_forwarding() -> Found:
    """Whether the host passes on what isn't for itself."""
    return _switched_on("net.ipv4.ip_forward", network_settings.read("ipv4", "ip_forward"))


@_of_root
def ipv6_forwarding() -> Found:
    """The same of IPv6, where there is that."""
    return _switched_on("net.ipv6.conf.all.forwarding", network_settings.read("ipv6", "conf", "all", "forwarding"))


def _switched_on(name: str, value: str) -> Found:
    if not value:
        return True, f"this kernel has no {name}", ""
    return value == "1", f"{name} is {value}", "" if value == "1" else f"sysctl -w {name}=1"


@_of_root
def forward_accepted() -> Found:
    """Whether no chain drops what is forwarded, but where it has rules about bridges."""
    from moby.host.hindrances import forward_chains, hindrances  # which most engines' doctors do without
    from moby.host.nftables import Nftables

    try:
        with Nftables() as nftables:
            found = tuple(hindrances(forward_chains(nftables), [_ANY_BRIDGE]))
    except OSError as error:
        return True, f"the chains that see what is forwarded can't be read: {error.strerror}", ""
    if not found:
        return True, "no chain drops what is forwarded", ""
    return False, "; ".join(each.drops for each in found), "; ".join(rule for each in found for rule in each.rules)
