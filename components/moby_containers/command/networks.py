"""The verb network, with those below it."""

import ipaddress
from collections.abc import Sequence
from typing import Any

from moby.errors import Invalid
from moby_containers.command import values
from moby_containers.command.below import below, labels, listed, listing, pruning
from moby_containers.command.client import Client, query
from moby_containers.command.looking import filters, show
from moby_containers.command.verb import Parser, each, say

__all__ = ["network"]

_VERBS = ("connect", "create", "disconnect", "inspect", "list", "ls", "prune", "remove", "rm")
_COLUMNS = {"ID": "NETWORK ID", "Name": "NAME", "Driver": "DRIVER", "Scope": "SCOPE"}


def network(client: Client, parser: Parser, arguments: Sequence[str]) -> int:
    """Do something with networks."""
    verb, rest = below(parser, arguments, _VERBS)
    if verb in ("ls", "list"):
        asked = listing(parser, rest)
        found = client.get(f"/networks{query(filters=filters(asked.filter))}")
        rows = [_row(one, whole=asked.no_trunc) for one in sorted(found, key=lambda one: str(one["Name"]))]
        return listed(rows, asked, _COLUMNS, "ID")
    if verb == "create":
        return _create(client, parser, rest)
    if verb == "connect":
        return _connect(client, parser, rest)
    if verb == "disconnect":
        parser.add_argument("-f", "--force", action="store_true")
        parser.add_argument("network", metavar="NETWORK")
        parser.add_argument("container", metavar="CONTAINER")
        asked = parser.parse_args(rest)
        client.post(f"/networks/{asked.network}/disconnect", {"Container": asked.container, "Force": asked.force})
        return 0
    if verb == "prune":
        return _prune(client, parser, rest)
    parser.add_argument("-f", *(["--format"] if verb == "inspect" else ["--force"]), **_kind(verb))
    parser.add_argument("names", nargs="+", metavar="NETWORK")
    asked = parser.parse_args(rest)
    if verb == "inspect":
        return show(asked.names, lambda name: client.get(f"/networks/{name}"), asked.format)
    return each(asked.names, lambda name: client.delete(f"/networks/{name}"))


def _kind(verb: str) -> dict[str, Any]:
    return {"default": ""} if verb == "inspect" else {"action": "store_true"}


def _create(client: Client, parser: Parser, arguments: Sequence[str]) -> int:
    parser.add_argument("-d", "--driver", default="bridge")
    for name in ("--subnet", "--ip-range", "--gateway", "--aux-address", "--label", "--ipam-opt"):
        parser.add_argument(name, action="append", default=[])
    parser.add_argument("-o", "--opt", action="append", default=[])
    parser.add_argument("--ipam-driver", default="default")
    parser.add_argument("--scope", default="")
    for name in ("--internal", "--ipv6", "--attachable"):
        parser.add_argument(name, action="store_true")
    parser.add_argument("name", metavar="NETWORK")
    asked = parser.parse_args(arguments)
    body = {
        "Name": asked.name, "Driver": asked.driver, "Scope": asked.scope, "Internal": asked.internal,
        "EnableIPv6": asked.ipv6, "Attachable": asked.attachable, "Options": values.pairs(asked.opt),
        "Labels": values.pairs(asked.label),
        "IPAM": {
            "Driver": asked.ipam_driver, "Options": values.pairs(asked.ipam_opt),
            "Config": _pools(asked.subnet, asked.ip_range, asked.gateway, asked.aux_address),
        },
    }  # fmt: skip
    say(client.post("/networks/create", body)["Id"])
    return 0


def _pools(
    subnets: Sequence[str], ranges: Sequence[str], gateways: Sequence[str], others: Sequence[str]
) -> list[dict[str, Any]]:
    """Return pools, each with the ranges, gateways and addresses that lie in it."""
    if len(subnets) < len(ranges) or len(subnets) < len(gateways):
        raise Invalid("every ip-range or gateway must have a corresponding subnet")
    pools: list[dict[str, Any]] = [{"Subnet": each} for each in subnets]
    for key, what, given in (("IPRange", "range", ranges), ("Gateway", "gateway", gateways)):
        for text in given:
            pool = _pool_of(text, pools, what)
            if key in pool:
                raise Invalid(f"cannot configure multiple {what}s ({text}, {pool[key]}) on the same subnet "
                              f"({pool['Subnet']})")  # fmt: skip
            pool[key] = text
    for text in others:
        name, _, address = text.partition("=")
        _pool_of(address, pools, "aux-address").setdefault("AuxiliaryAddresses", {})[name] = address
    return pools


def _pool_of(text: str, pools: Sequence[dict[str, Any]], what: str) -> dict[str, Any]:
    address = text.partition("/")[0]
    try:
        for pool in pools:
            if ipaddress.ip_address(address) in ipaddress.ip_network(pool["Subnet"], strict=False):
                return pool
    except ValueError as error:
        raise Invalid(f"invalid {what}: {error}") from error
    raise Invalid(f"no matching subnet for {what} {text}")


def _connect(client: Client, parser: Parser, arguments: Sequence[str]) -> int:
    for name in ("--alias", "--link", "--link-local-ip", "--driver-opt"):
        parser.add_argument(name, action="append", default=[])
    for name in ("--ip", "--ip6"):
        parser.add_argument(name, default="")
    parser.add_argument("network", metavar="NETWORK")
    parser.add_argument("container", metavar="CONTAINER")
    asked = parser.parse_args(arguments)
    config = {
        "IPAMConfig": {"IPv4Address": asked.ip, "IPv6Address": asked.ip6, "LinkLocalIPs": asked.link_local_ip},
        "Aliases": asked.alias, "Links": asked.link or None, "DriverOpts": values.pairs(asked.driver_opt),
    }  # fmt: skip
    client.post(f"/networks/{asked.network}/connect", {"Container": asked.container, "EndpointConfig": config})
    return 0


def _prune(client: Client, parser: Parser, arguments: Sequence[str]) -> int:
    asked = pruning(
        parser, arguments, "WARNING! This will remove all custom networks not used by at least one container."
    )
    if asked is None:
        return 0
    gone = client.post(f"/networks/prune{query(filters=filters(asked.filter))}").get("NetworksDeleted")
    if gone:
        say("\n".join(["Deleted Networks:", *gone, ""]))
    return 0


def _row(found: Any, *, whole: bool) -> dict[str, Any]:
    return {
        "CreatedAt": found["Created"], "Driver": found["Driver"], "ID": found["Id"] if whole else found["Id"][:12],
        "IPv6": "true" if found.get("EnableIPv6") else "false",
        "Internal": "true" if found.get("Internal") else "false", "Labels": labels(found), "Name": found["Name"],
        "Scope": found["Scope"],
    }  # fmt: skip
