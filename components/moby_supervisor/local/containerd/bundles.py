"""A bundle as containerd is given it: its configuration, with every path absolute, and a cgroup."""

import hashlib
import os
import re
from pathlib import Path
from typing import Any

from moby.contracts.ambient import Place
from moby.errors import Invalid, NotFound
from moby.oci.bundle import check_process, config_of, domain_by_setting, possible_in

__all__ = ["check_process", "container_name", "group_of", "read"]

_NAME = re.compile(r"[A-Za-z0-9]+(?:[._-][A-Za-z0-9]+)*")
_LONGEST = 76


def container_name(container_id: str) -> str:
    """Return the name that containerd takes for a container: its id, or where that can't be, a digest of it."""
    if len(container_id) <= _LONGEST and _NAME.fullmatch(container_id):
        return container_id
    return hashlib.sha256(container_id.encode()).hexdigest()


def read(bundle: Path, place: Place, container_id: str) -> dict[str, Any]:
    """Read a bundle's configuration; NotFound where bundle or root are missing, Invalid names the field."""
    bundle = bundle.absolute()
    data = config_of(bundle)
    if not isinstance(data.get("root"), dict):
        raise Invalid("config.json must be an object, with an object at root")
    check_process(data.get("process") or {})
    root = bundle / str(data["root"].get("path", ""))
    if not root.is_dir():
        raise NotFound(f"there is no root file system at {root} (config.json: root.path)")
    data["root"]["path"] = os.path.realpath(root)
    for index, each in enumerate(data.get("mounts") or ()):
        _place(each, index, bundle)
    linux = data.setdefault("linux", {})
    linux["cgroupsPath"] = group_of(str(linux.get("cgroupsPath") or ""), place, container_id)
    if data.get("process"):
        data["process"] = possible_in(data)
    return domain_by_setting(data)


def _place(mount: dict[str, Any], index: int, bundle: Path) -> None:
    """Make a bind mount's source absolute."""
    if mount.get("type") != "bind" and not {"bind", "rbind"} & set(mount.get("options") or ()):
        return
    source = bundle / str(mount.get("source", ""))
    if not source.exists():
        raise Invalid(f"config.json: mounts[{index}].source: there is no {mount.get('source')!r}")
    mount["source"] = str(source)


def group_of(path: str, place: Place, container_id: str) -> str:
    """Return the path of a container's cgroup: its own, else one that no other engine root has."""
    if path.startswith("/"):
        return path
    root = hashlib.sha256(os.fsencode(place.run.absolute())).hexdigest()[:12]
    return f"/moby-{place.engine or 'engine'}-{root}/{path or container_id}"
