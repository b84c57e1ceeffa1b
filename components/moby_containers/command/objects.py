"""Verbs with verbs below them: volume, container."""

from collections.abc import Sequence
from typing import Any

from moby_containers.command import values
from moby_containers.command.below import below, labels, listed, listing, pruned, pruning
from moby_containers.command.client import Client, query
from moby_containers.command.looking import filters, show
from moby_containers.command.verb import _MODULES, Parser, do, each, say

__all__ = ["container", "volume", "volume_row"]

_ALIASES = {"ls": "ps", "list": "ps"}
_OTHERS = ("container", "network", "volume", "info", "events", "system")


def container(client: Client, parser: Parser, arguments: Sequence[str]) -> int:
    """Do a verb of containers, or prune."""
    plain = [each for verbs in _MODULES.values() for each in verbs if each not in _OTHERS]
    prefix = parser.prog
    verb, rest = below(parser, arguments, [*plain, *_ALIASES, "prune"])
    if verb != "prune":
        more = ["--type", "container"] if verb == "inspect" else []
        return do(client, _ALIASES.get(verb, verb), [*more, *rest], prefix=prefix, only_read=parser.only_read)
    asked = pruning(parser, rest, "WARNING! This will remove all stopped containers.")
    if asked is None:
        return 0
    done = client.post(f"/containers/prune{query(filters=filters(asked.filter))}")
    pruned("Deleted Containers:", done.get("ContainersDeleted"), done.get("SpaceReclaimed"))
    return 0


def volume(client: Client, parser: Parser, arguments: Sequence[str]) -> int:
    """Do something with volumes."""
    verb, rest = below(parser, arguments, ("create", "inspect", "ls", "list", "prune", "rm", "remove"))
    if verb == "create":
        return _create_volume(client, parser, rest)
    if verb in ("ls", "list"):
        return _list(client, parser, rest)
    if verb == "inspect":
        parser.add_argument("-f", "--format", default="")
        parser.add_argument("names", nargs="+", metavar="VOLUME")
        asked = parser.parse_args(rest)
        return show(asked.names, lambda name: client.get(f"/volumes/{name}"), asked.format)
    if verb == "prune":
        asked = pruning(
            parser, rest,
            "WARNING! This will remove anonymous local volumes not used by at least one container.", all=True,
        )  # fmt: skip
        if asked is None:
            return 0
        chosen = filters([*asked.filter, *(["all=true"] if asked.all else [])])
        done = client.post(f"/volumes/prune{query(filters=chosen)}")
        pruned("Deleted Volumes:", done.get("VolumesDeleted"), done.get("SpaceReclaimed"))
        return 0
    parser.add_argument("-f", "--force", action="store_true")
    parser.add_argument("names", nargs="+", metavar="VOLUME")
    asked = parser.parse_args(rest)
    return each(asked.names, lambda name: client.delete(f"/volumes/{name}{query(force=asked.force)}"))


def _create_volume(client: Client, parser: Parser, arguments: Sequence[str]) -> int:
    parser.add_argument("-d", "--driver", default="local")
    parser.add_argument("--label", action="append", default=[])
    parser.add_argument("-o", "--opt", action="append", default=[])
    parser.add_argument("name", nargs="?", default="", metavar="VOLUME")
    asked = parser.parse_args(arguments)
    body = {
        "Name": asked.name, "Driver": asked.driver, "DriverOpts": values.pairs(asked.opt),
        "Labels": values.pairs(asked.label),
    }  # fmt: skip
    say(client.post("/volumes/create", body)["Name"])
    return 0


def _list(client: Client, parser: Parser, arguments: Sequence[str]) -> int:
    asked = listing(parser, arguments)
    found = client.get(f"/volumes{query(filters=filters(asked.filter))}")["Volumes"]
    rows = [volume_row(each) for each in sorted(found or (), key=lambda each: str(each["Name"]))]
    return listed(rows, asked, {"Driver": "DRIVER", "Name": "VOLUME NAME"}, "Name")


def volume_row(found: Any) -> dict[str, Any]:
    """Return what is listed of a volume, as docker words it."""
    return {
        "Availability": "N/A", "Driver": found["Driver"], "Group": "N/A", "Labels": labels(found), "Links": "N/A",
        "Mountpoint": found["Mountpoint"], "Name": found["Name"], "Scope": found["Scope"], "Size": "N/A",
        "Status": "N/A",
    }  # fmt: skip
