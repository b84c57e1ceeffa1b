"""What is done inside a container's network namespace: an interface gets its addresses, and comes up."""

import contextlib
import errno
import re
import time
from collections.abc import Mapping

from moby.contracts.types import Fd
from moby.errors import Conflict, Invalid
from moby.host import network_settings
from moby.host.elsewhere import in_namespace
from moby.host.netlink import Channel
from moby.host.rtnetlink import addresses, links
from moby.values import field, frozen

__all__ = ["SYSCTLS", "Interface", "absent", "configure", "remove", "settings_of"]

SYSCTLS = "com.docker.network.endpoint.sysctls"
_TRIES, _PAUSE_S = 200, 0.01
_SETTING = re.compile(r"net\.(ipv4|ipv6|mpls)\.(conf|neigh)\.IFNAME\.([a-z0-9_]+)")


@frozen
class Interface:
    """How an interface is to be, that is in the namespace already."""

    name: str
    made_as: str = ""
    """Its name so far, where that is another one."""
    addresses: tuple[str, ...] = ()
    """With prefixes."""
    alias: str = ""
    settings: Mapping[tuple[str, ...], str] = field(factory=dict)


def settings_of(options: Mapping[str, str], interface: str) -> dict[tuple[str, ...], str]:
    """Read `net.ipv4.conf.IFNAME.log_martians=1,...` (docker run --network name=...,driver-opt=...)."""
    found: dict[tuple[str, ...], str] = {}
    for each in filter(None, options.get(SYSCTLS, "").split(",")):
        key, sign, value = each.partition("=")
        match = _SETTING.fullmatch(key.strip())
        if not match or not sign:
            raise Invalid(
                f"{SYSCTLS}: {each!r} is no setting of an interface", hint="as net.ipv4.conf.IFNAME.arp_ignore=1"
            )
        found[match[1], match[2], interface, match[3]] = value.strip()
    return found


def configure(namespace: Fd, interface: Interface) -> None:
    """Have an interface be as it should, and up. OSError as the kernel has it."""
    in_namespace(namespace, lambda: _configure(interface))


def _configure(interface: Interface) -> None:
    with Channel() as channel:
        index = links.index_of(channel, interface.made_as or interface.name)
        if interface.made_as:
            _rename(channel, index, interface.name)
        _settle(interface)
        made = [addresses.add(index, each) for each in interface.addresses]
        if interface.alias:
            made.append(links.change(index, alias=interface.alias, what=interface.name))
        try:
            channel.run(*made, links.change(index, up=True, what=interface.name))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            _bring_up(channel, index, interface.name)


def _bring_up(channel: Channel, index: int, name: str) -> None:
    """Set an interface up once one with its MAC address, that is going, has gone.

    The kernel removes a namespace's interfaces some time after it, and tells nobody outside.
    """
    for _ in range(_TRIES):
        try:
            return channel.run(links.change(index, up=True, what=name))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            time.sleep(_PAUSE_S)
    raise Conflict("the MAC address is another interface's on the same parent", hint="choose another one")


def _rename(channel: Channel, index: int, name: str) -> None:
    try:
        channel.run(links.change(index, name=name))
    except OSError as error:
        if error.errno != errno.EEXIST:
            raise
        raise _taken(name) from error


def _taken(name: str) -> Conflict:
    return Conflict(f"interface {name} exists already in the container", hint="give this one another name")


def _settle(interface: Interface) -> None:
    """Make an interface's settings: with no IPv6 address it has no IPv6 at all, and it never listens to routers."""
    ipv6 = any(":" in each for each in interface.addresses)
    # A kernel without IPv6 hasn't got these.
    with contextlib.suppress(FileNotFoundError):
        network_settings.set_to("0" if ipv6 else "1", "ipv6", "conf", interface.name, "disable_ipv6")
        if ipv6:
            network_settings.set_to("0", "ipv6", "conf", interface.name, "accept_ra")
    for parts, value in interface.settings.items():
        network_settings.set_to(value, *parts)


def absent(namespace: Fd, name: str) -> None:
    """Conflict where there is an interface of this name in a namespace."""
    with in_namespace(namespace, Channel) as channel:
        if links.look_up(channel, name):
            raise _taken(name)


def remove(namespace: Fd, made_as: str, alias: str) -> None:
    """Delete the interface that was made with this name, or has this alias by now; nothing where there is none."""
    with in_namespace(namespace, Channel) as channel:
        for each in links.dump(channel):
            if each.alias == alias or each.name == made_as:
                channel.run(links.delete(each.index, each.name))
