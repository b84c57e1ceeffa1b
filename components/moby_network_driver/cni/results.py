"""What plugins answer (CNI specification, section 5)."""

import ipaddress
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from moby.errors import HostUnfit
from moby.values import frozen

__all__ = ["Result", "empty", "refusal", "result_of"]

_ANY = {4: "0.0.0.0/0", 6: "::/0"}
_MOST_TOLD = 1000
_INTERFACE = re.compile(r"[!-$&-.0-9;-~]{1,15}")
"""What Linux lets one be called, in ASCII: no `/`, no `:`, no `%`."""


@frozen
class Result:
    """What a list of plugins made for a container."""

    document: Mapping[str, Any]
    """As it was answered, for the next plugin."""
    mac: str = ""
    """Of the interface in the container; empty where none was told."""
    addresses: tuple[str, ...] = ()
    """With prefixes."""
    gateways: tuple[str, ...] = ()
    """Of the default routes that they made, at most one of a family."""
    devices: tuple[str, ...] = ()
    """Interfaces of the host's that have to do with it."""


def empty(version: str) -> Mapping[str, Any]:
    """Return what a list without an answer made."""
    return {"cniVersion": version}


def result_of(text: bytes, program: str, interface: str) -> Result:
    """Read an answer; HostUnfit where it is none."""

    def wrong(what: str) -> HostUnfit:
        shown = text[:_MOST_TOLD].decode(errors="replace")
        return HostUnfit(f"plugin {program} answered what is no result of CNI: {what}", hint=f"it said {shown!r}")

    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise wrong("no JSON") from None
    if not isinstance(document, dict):
        raise wrong("no map")
    interfaces, ips, routes = (_maps(document.get(key)) for key in ("interfaces", "ips", "routes"))
    if interfaces is None or ips is None or routes is None:
        raise wrong("interfaces, ips and routes are lists of maps")
    try:
        within = {number for number, each in enumerate(interfaces) if each.get("sandbox")}
        own = [each for each in interfaces if each.get("sandbox") and each.get("name") == interface]
        mine = [each for each in ips if not interfaces or each.get("interface", -1) in within]
        return Result(
            document,
            str(own[0].get("mac", "")) if own else "",
            tuple(str(ipaddress.ip_interface(str(each["address"]))) for each in mine),
            _gateways(mine, routes),
            tuple(_name(each["name"]) for each in interfaces if not each.get("sandbox")),
        )
    except (KeyError, ValueError, TypeError) as error:
        raise wrong(f"{type(error).__name__}: {error}") from error


def _name(value: Any) -> str:
    if not isinstance(value, str) or not _INTERFACE.fullmatch(value):
        raise ValueError(f"{value!r} is no interface")
    return value


def _maps(value: Any) -> Sequence[Mapping[str, Any]] | None:
    """Return a list of maps, which may be left out; None where it isn't one."""
    found = [] if value is None else value
    return found if isinstance(found, list) and all(isinstance(each, dict) for each in found) else None


def _gateways(ips: Sequence[Mapping[str, Any]], routes: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Return where default routes lead: their own gateway, else that of an address of their family."""
    found: dict[int, str] = {}
    for route in routes:
        for version, everywhere in _ANY.items():
            if ipaddress.ip_network(str(route["dst"])).with_prefixlen == everywhere:
                ways = map(str, filter(None, (route.get("gw"), *(each.get("gateway") for each in ips))))
                fitting = [each for each in ways if ipaddress.ip_address(each).version == version]
                if fitting:
                    found.setdefault(version, str(ipaddress.ip_address(fitting[0])))
    return tuple(found.values())


def refusal(text: bytes, errors: bytes, code: int) -> str:
    """Return what a plugin that failed says of it."""
    try:
        document = json.loads(text)
        words = [str(document[key]) for key in ("msg", "details") if document.get(key)]
    except (ValueError, RecursionError, TypeError, AttributeError, KeyError):
        words = []
    said = (text or errors)[:_MOST_TOLD].decode(errors="replace").strip()
    return ": ".join(words) or said or f"it ended with {code}"
