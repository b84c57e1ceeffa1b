"""Volumes."""

from typing import Any

from moby.contracts.volumes import Volume
from moby.errors import Conflict, MobyError
from moby_frontend.docker.call import Call, Reply, empty, reply_json
from moby_frontend.docker.filters import Filters
from moby_frontend.docker.handlers.pruned import tell_pruned
from moby_frontend.docker.parts import Parts
from moby_frontend.docker.translate.forms import TEXT, TEXT_MAP, Field, read

__all__ = ["create", "inspect", "listed", "prune", "remove", "show_volume"]

_FIELDS = (
    Field("Name", "name", TEXT),
    Field("Driver", "driver", TEXT),
    Field("DriverOpts", "options", TEXT_MAP),
    Field("Labels", "labels", TEXT_MAP),
)
_ANONYMOUS = "com.docker.volume.anonymous"


def show_volume(volume: Volume) -> dict[str, Any]:
    """Return a volume as docker shows it."""
    labels = dict(volume.labels)
    if volume.anonymous:
        labels.setdefault(_ANONYMOUS, "")
    return {
        "CreatedAt": _whole_seconds(volume.created),
        "Driver": volume.driver,
        "Labels": labels or None,
        "Mountpoint": str(volume.mountpoint or ""),
        "Name": volume.name,
        "Options": dict(volume.options) or None,
        "Scope": volume.scope,
    }


def _whole_seconds(text: str) -> str:
    head, dot, _ = text.partition(".")
    return f"{head}Z" if dot and text.endswith("Z") else text


def listed(parts: Parts, call: Call) -> Reply:
    """List volumes."""
    filters = Filters(call.query.text("filters"), {"dangling", "name", "driver", "label"})
    dangling = filters.flag("dangling", default=False) if "dangling" in filters else None
    found = [
        show_volume(each)
        for each in parts.volumes.list()
        if filters.matches("name", each.name)
        and filters.exact("driver", each.driver)
        and filters.labels(_labels(each))
        and dangling in {None, not each.users}
    ]
    return reply_json({"Volumes": found, "Warnings": None})


def _labels(volume: Volume) -> dict[str, str]:
    return {**({_ANONYMOUS: ""} if volume.anonymous else {}), **volume.labels}


def create(parts: Parts, call: Call) -> Reply:
    """Make a volume, or find it."""
    body = read(_FIELDS, call.json(), "VolumeCreateRequest")
    made = parts.volumes.create(
        body.get("name", ""), body.get("driver", ""), body.get("options"), body.get("labels")
    )  # fmt: skip
    return reply_json(show_volume(made), 201)


def inspect(parts: Parts, call: Call) -> Reply:
    """Show a volume."""
    return reply_json(show_volume(parts.volumes.get(call.names["name"])))


def remove(parts: Parts, call: Call) -> Reply:
    """Delete a volume."""
    parts.volumes.remove(call.names["name"], force=call.query.flag("force"))
    return empty()


def prune(parts: Parts, call: Call) -> Reply:
    """Delete volumes that no container has: the anonymous, with `all` every one that was made without options.

    Those are the default driver's alone: what another has, as a plugin, may be in use by other hosts.
    """
    known = {"label", "label!", "all"} if call.version >= (1, 42) else {"label", "label!"}
    filters = Filters(call.query.text("filters"), known)
    every = call.version < (1, 42) or filters.flag("all", default=False)
    gone, size, default = [], 0, parts.volumes.drivers()[0]
    for each in parts.volumes.list():
        labels = _labels(each)
        fits = filters.labels(labels) and filters.no_label(labels)
        # What options say, such as where a share of NFS is, can't be had back.
        if each.driver != default or each.users or each.options or not fits or not (every or each.anonymous):
            continue
        try:
            bytes_ = max(0, parts.volumes.size_bytes(each.name))
            parts.volumes.remove(each.name)
        except Conflict:
            continue  # a container has it by now
        except MobyError as error:
            parts.log.warning("a volume was not pruned", volume=each.name, error=str(error))
            continue
        gone.append(each.name)
        size += bytes_
    tell_pruned(parts, "volume", size)
    return reply_json({"VolumesDeleted": gone, "SpaceReclaimed": size})
