"""What is refused, in docker's words."""

import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence

from moby.contracts.network_driver import NetworkDriver
from moby.contracts.networks import EndpointConfig, Network
from moby.errors import Denied, Invalid, Unsupported
from moby_networks.registry.records import Joined, Known

__all__ = [
    "check_config", "check_configuration", "check_made", "check_name", "check_reachable", "check_together",
    "is_exclusive",
]  # fmt: skip

_KEPT_NAMES = ("bridge", "host", "none", "default")
_CHARACTERS = "[a-zA-Z0-9][a-zA-Z0-9_.-]"
_NAME = re.compile(f"{_CHARACTERS}*")
_MAC = re.compile("[0-9a-fA-F]{2}([:-][0-9a-fA-F]{2}){5}")
_SHARED = "container sharing network namespace with another container or host cannot be connected to any other network"
_PRIVATE = "container cannot be connected to multiple networks with one of the networks in private ({}) mode"


def check_name(name: str) -> None:
    """Refuse names that are kept, Denied, and what is none."""
    if name in _KEPT_NAMES:
        raise Denied(f"operation is not permitted on predefined {name} network", hint="take another name")
    if not _NAME.fullmatch(name):
        raise Invalid(f'"{name}" includes invalid characters for a network name, only "{_CHARACTERS}" are allowed')


def check_configuration(network: Network) -> None:
    """Refuse what configurations of others can't have, and networks that are made from one."""
    if network.config_only and (network.ingress or network.internal or network.attachable):
        raise Denied(
            "configuration network can only contain network specific fields. Network operator fields like [ ingress | "
            "internal | attachable | scope ] are not supported."
        )
    if network.config_only and network.config_from:
        raise Denied("a configuration network cannot depend on another configuration network")
    own = (network.ipam, network.ipam_options, network.labels, network.enable_ipv6, network.ipam_driver != "default")
    for what, there in (("user specified configurations", any(own)), ("network driver options", bool(network.options))):
        if network.config_from and there:
            raise Denied(f"{what} are not supported if the network depends on a configuration network")


def check_made(network: Network) -> None:
    """Refuse networks that nobody can be on."""
    if network.config_only:
        raise Denied("cannot create endpoint on configuration-only network", hint="make one by --config-from")


def is_exclusive(network: Network, driver: NetworkDriver) -> bool:
    """Whether who is on a network can be on no other."""
    return network.predefined and not driver.creatable


def check_together(networks: Sequence[Network], driver_of: Callable[[str], NetworkDriver]) -> None:
    """Refuse networks that don't go together."""
    if len(networks) < 2:
        return
    if any(driver_of(each.driver).shares_host for each in networks):
        raise Invalid(_SHARED, hint="choose one of them")
    alone = next((each.name for each in networks if is_exclusive(each, driver_of(each.driver))), None)
    if alone is not None:
        raise Invalid(_PRIVATE.format(alone), hint="choose one of them")


def check_reachable(joined: Joined) -> None:
    """Refuse to put running containers on networks into whose namespace no interface can be put."""
    if joined.namespace:
        return
    # It was on `none`: its namespace is one that the runtime made, which nobody else knows.
    name = joined.config.name or joined.container_id[:12]
    raise Unsupported(
        f"container {name} was started on network none, after which it can be put on another only while it is stopped",
        hint="stop it, connect it, and start it again",
    )


def check_config(known: Known, driver: NetworkDriver, config: EndpointConfig, *, prefix: str = "") -> None:
    """Refuse what a container can't have on a network."""
    wanted = {version: text for version, text in ((4, config.ipv4_address), (6, config.ipv6_address)) if text}
    problems = []
    if wanted and known.network.predefined:
        problems.append("user specified IP address is supported on user defined networks only")
    if config.aliases and known.network.predefined:
        problems.append("network-scoped alias is supported only for containers in user defined networks")
    problems += [f"invalid IPv{version} address: {text}" for version, text in wanted.items() if not _is(text, version)]
    problems += [f"invalid link-local IP address: {each}" for each in config.link_local_ips if not _is(each, 4, 6)]
    problems += _out_of_range(known, wanted)
    if config.mac_address and not _MAC.fullmatch(config.mac_address):
        problems.append(f"invalid MAC address: {config.mac_address}")
    if problems:
        listed = problems[0] if len(problems) == 1 else "\n".join(f"* {each}" for each in problems)
        raise Invalid(f"{prefix}invalid endpoint settings:\n{listed}")
    if driver.shares_host and config.mac_address:
        raise Invalid("conflicting options: mac-address and the network mode")


def _is(text: str, *versions: int) -> bool:
    """Whether a text is an address of such a family."""
    try:
        return ipaddress.ip_address(text).version in versions
    except ValueError:
        return False


def _out_of_range(known: Known, wanted: Mapping[int, str]) -> list[str]:
    problems = []
    for version, text in wanted.items():
        subnets = [each for each in map(ipaddress.ip_network, known.asked) if each.version == version]
        if not subnets:
            problems.append(
                "user specified IP address is supported only when connecting to networks with user configured subnets"
            )
        elif not _is(text, version) or not any(ipaddress.ip_address(text) in each for each in subnets):
            problems.append(f"no configured subnet or ip-range contain the IP address {text}")
    return problems
