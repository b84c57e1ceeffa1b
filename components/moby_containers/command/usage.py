"""`system df`: what everything takes on disk, summed up or each by itself."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from moby_containers.command import template, words
from moby_containers.command.client import Client
from moby_containers.command.looking import row
from moby_containers.command.objects import volume_row
from moby_containers.command.verb import Parser, say

__all__ = ["df"]

_COLUMNS = {"Type": "TYPE", "TotalCount": "TOTAL", "Active": "ACTIVE", "Size": "SIZE", "Reclaimable": "RECLAIMABLE"}
_ALIVE = ("running", "paused", "restarting")
_DETAIL: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "Images": ("Images space usage:", {
        "Repository": "REPOSITORY", "Tag": "TAG", "ID": "IMAGE ID", "CreatedSince": "CREATED", "Size": "SIZE",
        "SharedSize": "SHARED SIZE", "UniqueSize": "UNIQUE SIZE", "Containers": "CONTAINERS",
    }),
    "Containers": ("Containers space usage:", {
        "ID": "CONTAINER ID", "Image": "IMAGE", "Command": "COMMAND", "LocalVolumes": "LOCAL VOLUMES", "Size": "SIZE",
        "RunningFor": "CREATED", "Status": "STATUS", "Names": "NAMES",
    }),
    "Volumes": ("Local Volumes space usage:", {"Name": "VOLUME NAME", "Links": "LINKS", "Size": "SIZE"}),
    "BuildCache": ("Build cache usage: 0B", {
        "ID": "CACHE ID", "CacheType": "CACHE TYPE", "Size": "SIZE", "CreatedSince": "CREATED",
        "LastUsedSince": "LAST USED", "UsageCount": "USAGE", "Shared": "SHARED",
    }),
}  # fmt: skip


def df(client: Client, parser: Parser, arguments: Sequence[str]) -> int:
    """Show what images, containers and volumes take on disk."""
    parser.add_argument("-v", "--verbose", action="store_true")
    parser.add_argument("--format", default="")
    asked = parser.parse_args(arguments)
    found = client.get("/system/df")
    if not asked.verbose:
        for line in template.shown(_summary(found), asked.format, _COLUMNS):
            say(line)
        return 0
    whole = bool(asked.format)
    detail = {
        "Images": [_image(each, whole=whole) for each in found["Images"] or ()],
        "Containers": [_container(each, whole=whole) for each in found["Containers"] or ()],
        "Volumes": [_volume(each) for each in found["Volumes"] or ()],
        "BuildCache": [],
    }
    if whole:
        say(template.shown([detail], asked.format, {})[0])
        return 0
    parts = ["\n".join([title, "", *template.shown(detail[key], "", columns)])
             for key, (title, columns) in _DETAIL.items()]  # fmt: skip
    say("\n\n".join(parts))
    return 0


def _summary(found: Mapping[str, Any]) -> list[dict[str, str]]:
    images, containers, volumes = (found[each] or () for each in ("Images", "Containers", "Volumes"))
    taken = sum(each["Size"] - each["SharedSize"] for each in images if each["Containers"])
    sizes = [(each.get("SizeRw") or 0, each["State"] in _ALIVE) for each in containers]
    kept = [(max(0, each["UsageData"]["Size"]), each["UsageData"]["RefCount"] > 0) for each in volumes]
    total = found["LayersSize"]
    return [
        _line("Images", len(images), sum(each["Containers"] > 0 for each in images), total, total - taken),
        _used("Containers", sizes),
        _used("Local Volumes", kept),
        {**_line("Build Cache", 0, 0, 0, 0)},
    ]


def _used(kind: str, sizes: Sequence[tuple[int, bool]]) -> dict[str, str]:
    """Return the line of what has a size each, and is in use or not."""
    total, idle = sum(size for size, _ in sizes), sum(size for size, used in sizes if not used)
    return _line(kind, len(sizes), sum(used for _, used in sizes), total, idle)


def _line(kind: str, count: int, active: int, total: int, reclaimable: int) -> dict[str, str]:
    share = f" ({reclaimable * 100 // total}%)" if total > 0 else ""
    return {
        "Active": str(active), "Reclaimable": f"{words.size(reclaimable, 4)}{share}", "Size": words.size(total, 4),
        "TotalCount": str(count), "Type": kind,
    }  # fmt: skip


def _image(found: Mapping[str, Any], *, whole: bool) -> dict[str, str]:
    name, _, tag = (found["RepoTags"] or ["<none>:<none>"])[0].rpartition(":")
    return {
        "Containers": str(found["Containers"]), "CreatedAt": words.moment(found["Created"]),
        "CreatedSince": f"{words.age(int(time.time()) - found['Created'])} ago", "Digest": "",
        "ID": found["Id"] if whole else found["Id"].removeprefix("sha256:")[:12], "Repository": name,
        "SharedSize": words.size(found["SharedSize"], 4), "Size": words.size(found["Size"]), "Tag": tag,
        "UniqueSize": words.size(found["Size"] - found["SharedSize"], 4), "VirtualSize": words.size(found["Size"], 4),
    }  # fmt: skip


def _container(found: Mapping[str, Any], *, whole: bool) -> dict[str, str]:
    return {**row(found, whole=whole), "Size": words.size(found.get("SizeRw") or 0)}


def _volume(found: Mapping[str, Any]) -> dict[str, str]:
    used = found["UsageData"]
    return {**volume_row(found), "Links": str(used["RefCount"]), "Size": words.size(max(0, used["Size"]), 4)}
