"""Options of bridge networks, in Docker's words."""

import ipaddress
from collections.abc import Mapping

from moby.contracts.network_driver import Segment
from moby.errors import Invalid
from moby_network_driver.bridge.config import Config
from moby_network_driver.bridged.settings import Settings
from moby_network_driver.interfaces import words

__all__ = ["PREDEFINED", "check", "predefined_options", "settings_of"]

PREDEFINED = "bridge"
_BRIDGE = "com.docker.network.bridge."
_NAME, _ICC, _MASQUERADE = f"{_BRIDGE}name", f"{_BRIDGE}enable_icc", f"{_BRIDGE}enable_ip_masquerade"
_BINDING, _INHIBIT, _DEFAULT = f"{_BRIDGE}host_binding_ipv4", f"{_BRIDGE}inhibit_ipv4", f"{_BRIDGE}default_bridge"
_MODES = {4: f"{_BRIDGE}gateway_mode_ipv4", 6: f"{_BRIDGE}gateway_mode_ipv6"}
_MTU, _IPV6 = "com.docker.network.driver.mtu", "com.docker.network.enable_ipv6"
_PREFIX, _LONG_PREFIX = "com.docker.network.container_iface_prefix", "com.docker.network.container_interface_prefix"
_KNOWN = frozenset(
    {_NAME, _ICC, _MASQUERADE, _BINDING, _INHIBIT, _DEFAULT, *_MODES.values(), _MTU, _IPV6, _PREFIX, _LONG_PREFIX}
)
_ALL = "0.0.0.0"  # noqa: S104 - what docker writes for all
_NAT, _UNPROTECTED, _ROUTED, _ISOLATED = "nat", "nat-unprotected", "routed", "isolated"


def check(options: Mapping[str, str]) -> None:
    """Refuse what isn't known or can't be; Invalid."""
    words.known(options, _KNOWN, "bridge")
    for each in (_ICC, _MASQUERADE, _INHIBIT, _DEFAULT, _IPV6):  # the last is read, and means nothing, as with docker
        words.truth(options, each, True)
    for each in (_NAME, _PREFIX, _LONG_PREFIX):
        words.interface_name(options, each, "")
    words.mtu(options, _MTU, 0)
    for each in _MODES.values():
        words.choice(options, each, (_NAT, _UNPROTECTED, _ROUTED, _ISOLATED))
    _binding(options.get(_BINDING, ""))


def _binding(text: str) -> None:
    if not text:
        return
    try:
        ipaddress.IPv4Address(text)
    except ValueError:
        raise Invalid(f"failed to parse {_BINDING} value: {text} (nil ip)", hint="as 127.0.0.1") from None


def predefined_options(config: Config) -> dict[str, str]:
    """Return the options of the network that is there from the start."""
    found = {_DEFAULT: "true", _ICC: str(config.icc).lower(), _MASQUERADE: str(config.ip_masquerade).lower()}
    found[_BINDING] = config.host_binding_ipv4 or _ALL
    found |= {_MTU: str(config.mtu)} if config.mtu else {}
    found |= {_NAME: config.device} if config.device else {}
    check(found)
    return found


def settings_of(segment: Segment, config: Config) -> Settings:
    """Read a network's options."""
    options = segment.options
    check(options)
    mtu = words.mtu(options, _MTU, config.mtu)
    versions = [":" in each.subnet for each in segment.pools]
    if len(versions) > len(set(versions)):
        raise Invalid("bridge driver doesn't support multiple subnets", hint="name one of each family")
    if any(versions):
        words.enough_for_ipv6(_MTU, mtu)
    apart = _families(options, _ISOLATED)
    if apart and not segment.internal:
        raise Invalid(
            f"{_MODES[apart[0]]} is isolated, and network {segment.name} isn't internal", hint="add --internal"
        )
    return Settings(
        words.interface_name(options, _NAME, f"br-{segment.id[:12]}"),
        words.truth(options, _ICC, True),
        words.truth(options, _MASQUERADE, True),
        words.truth(options, _INHIBIT, False),
        mtu,
        apart,
        _families(options, _UNPROTECTED),
        _families(options, _ROUTED),
    )


def _families(options: Mapping[str, str], mode: str) -> tuple[int, ...]:
    return tuple(version for version, key in _MODES.items() if options.get(key) == mode)
