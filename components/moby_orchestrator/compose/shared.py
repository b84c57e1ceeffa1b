"""A project's networks, volumes and images: made before its containers, removed after them."""

import json
from collections.abc import Mapping
from typing import Any

from moby.errors import Conflict, MobyError, NotFound
from moby.oci import logins
from moby.oci import reference as references
from moby_orchestrator.compose import names
from moby_orchestrator.compose.calling import Engine, filters
from moby_orchestrator.compose.files.fields import Record
from moby_orchestrator.compose.files.project import Project, image_of
from moby_orchestrator.compose.progress import Progress

__all__ = ["image_ids", "make_networks", "make_volumes", "pull", "push", "remove_networks", "remove_volumes"]


def make_networks(engine: Engine, project: Project, progress: Progress) -> None:
    """Make the networks that aren't there; NotFound for an external one."""
    for key, network in project.networks.items():
        name = network["name"]
        found = _network(engine, name)
        if network.get("external"):
            if found is None:
                raise NotFound(f"network {name} declared as external, but could not be found", hint="make it first")
            continue
        if found is not None:
            _warn_foreign(f"network {name}", found.get("Labels") or {}, project, progress)
            continue
        thing = f"Network {name}"
        progress.tell(thing, "Creating")
        engine.post("networks", "create", body=_network_body(project, key, network))
        progress.tell(thing, "Created")


def _warn_foreign(what: str, labels: Mapping[str, str], project: Project, progress: Progress) -> None:
    if labels.get(names.PROJECT) != project.name:
        progress.warn(f"{what} exists but was not created for project {project.name}: it is used as it is")


def _network(engine: Engine, name: str) -> Mapping[str, Any] | None:
    listed = engine.get("networks", filters=filters(name=[name]))
    return next((each for each in listed if name in (each["Name"], each["Id"])), None)


def _network_body(project: Project, key: str, network: Record) -> dict[str, Any]:
    ipam = network.get("ipam") or {}
    pools = [
        {
            "Subnet": each.get("subnet", ""),
            "IPRange": each.get("ip_range", ""),
            "Gateway": each.get("gateway", ""),
            "AuxiliaryAddresses": each.get("aux_addresses") or {},
        }
        for each in ipam.get("config") or ()
    ]
    found: dict[str, Any] = {
        "Name": network["name"],
        "CheckDuplicate": True,
        "Labels": names.resource_labels(project, names.NETWORK, key, network.get("labels") or {}),
        "Driver": network.get("driver", ""),
        "Options": network.get("driver_opts"),
        "Internal": network.get("internal", False),
        "Attachable": network.get("attachable", False),
        "EnableIPv6": network.get("enable_ipv6", False),
        "IPAM": {"Driver": ipam.get("driver", ""), "Config": pools} if ipam else None,
        "EnableIPv4": network.get("enable_ipv4"),
    }
    return {key: each for key, each in found.items() if each is not None}


def make_volumes(engine: Engine, project: Project, progress: Progress) -> None:
    """Make the volumes that aren't there; NotFound for an external one."""
    for key, volume in project.volumes.items():
        name = volume["name"]
        try:
            found = engine.get("volumes", name)
        except NotFound:
            if volume.get("external"):
                raise NotFound(f'external volume "{name}" not found', hint="make it first") from None
        else:
            if not volume.get("external"):
                _warn_foreign(f"volume {name}", found.get("Labels") or {}, project, progress)
            continue
        thing = f'Volume "{name}"'
        progress.tell(thing, "Creating")
        labels = names.resource_labels(project, names.VOLUME, key, volume.get("labels") or {})
        body = {
            "Name": name,
            "Driver": volume.get("driver", ""),
            "DriverOpts": volume.get("driver_opts") or {},
            "Labels": labels,
        }
        engine.post("volumes", "create", body=body)
        progress.tell(thing, "Created")


def remove_networks(engine: Engine, project: Project, progress: Progress) -> int:
    """Remove the project's own networks, and return how many there were; those in use stay."""
    wanted = {each["name"] for each in project.networks.values() if not each.get("external")}
    listed = engine.get("networks", filters=filters(label=[f"{names.PROJECT}={project.name}"]))
    there = [each for each in listed if not project.files or each["Name"] in wanted]
    for each in there:
        _remove(engine, progress, f"Network {each['Name']}", "networks", each["Id"])
    return len(there)


def remove_volumes(engine: Engine, project: Project, progress: Progress) -> int:
    """Remove the project's own volumes, and return how many there were; those in use stay."""
    wanted = {each["name"] for each in project.volumes.values() if not each.get("external")}
    listed = engine.get("volumes", filters=filters(label=[f"{names.PROJECT}={project.name}"]))
    there = [each["Name"] for each in listed.get("Volumes") or () if not project.files or each["Name"] in wanted]
    for each in there:
        _remove(engine, progress, f"Volume {each}", "volumes", each)
    return len(there)


def _remove(engine: Engine, progress: Progress, thing: str, *path: str) -> None:
    progress.tell(thing, "Removing")
    try:
        engine.delete(*path)
    except Conflict:
        progress.tell(thing, "Resource is still in use")
    except NotFound:
        progress.tell(thing, "No resource found to remove")
    else:
        progress.tell(thing, "Removed")


def image_ids(engine: Engine, project: Project) -> dict[str, str]:
    """Return the ids of the images of a project's services that are there, by their names."""
    found = {}
    for image in {image_of(project.name, name, service) for name, service in project.services.items()}:
        try:
            found[image] = engine.get("images", image, "json")["Id"]
        except NotFound:
            continue
    return found


def pull(engine: Engine, service: str, image: str, platform: str, progress: Progress) -> None:
    """Pull an image as whom the user has logged in."""
    reference = references.parse(image)
    tag = str(reference.digest) if reference.digest else reference.tag
    query = {"fromImage": references.familiar_name(reference), "tag": tag, "platform": platform}
    progress.tell(service, "Pulling")
    _follow(engine, ("images", "create"), query, reference.domain)
    progress.tell(service, "Pulled")


def push(engine: Engine, service: str, image: str, progress: Progress) -> None:
    """Push an image as whom the user has logged in."""
    reference = references.parse(image)
    progress.tell(service, "Pushing")
    path = ("images", references.familiar_name(reference), "push")
    _follow(engine, path, {"tag": reference.tag}, reference.domain)
    progress.tell(service, "Pushed")


def _follow(engine: Engine, path: tuple[str, ...], query: Mapping[str, Any], domain: str) -> None:
    who = logins.header(logins.saved(domain))
    for line in engine.lines("POST", *path, headers={"X-Registry-Auth": who} if who else None, **query):
        if line.get("error"):
            raise MobyError(f"Error response from daemon: {json.dumps(line['error'])[1:-1]}")
