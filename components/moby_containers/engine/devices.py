"""Devices of the host in a container, and what its cgroup lets it do with them."""

import os
import re
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from moby.contracts.containers import DeviceMapping, DeviceRate
from moby.errors import Invalid
from moby.host.user_maps import is_host_root
from moby.values import frozen

__all__ = ["Devices", "all_devices", "mapped_devices", "numbers_of", "rules_of"]

_RULE = re.compile(r"([acb]) (\d+|\*):(\d+|\*) ([rwm]{1,3})")
_SKIPPED = frozenset({"pts", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts", ".udev", "console"})


@frozen
class Devices:
    """Nodes and rules, as config.json has them."""

    nodes: tuple[dict[str, Any], ...] = ()
    rules: tuple[dict[str, Any], ...] = ()
    binds: tuple[tuple[str, str], ...] = ()
    """Paths of the host's, and inside, of those that only a mount can show there: nodes take root of the host."""


def mapped_devices(asked: Iterable[DeviceMapping]) -> Devices:
    """Return the devices that were asked for; of a folder all that are in it."""
    makes = is_host_root()
    binds: list[tuple[str, str]] = []
    nodes: list[dict[str, Any]] = []
    rules: list[dict[str, Any]] = []
    for each in asked:
        path = each.path or each.host_path
        permissions = each.permissions or "rwm"
        if not re.fullmatch("[rwm]{1,3}", permissions):
            raise Invalid(f"invalid device mode: {permissions}")
        for host, inside in _found(each.host_path, path):
            node = _node(host, inside)
            if makes or host == inside:
                nodes.append(node)
            else:
                binds.append((host, inside))
            numbers = {name: node[name] for name in ("type", "major", "minor")}
            rules.append({"allow": True, **numbers, "access": permissions})
    return Devices(tuple(nodes), tuple(rules), tuple(binds))


def _found(host: str, inside: str) -> list[tuple[str, str]]:
    problem = f'error gathering device information while adding custom device "{host}": '
    try:
        real = os.path.realpath(host, strict=True)
        mode = Path(real).stat().st_mode
    except OSError as error:
        raise Invalid(problem + (error.strerror or "").lower()) from error
    if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
        return [(real, inside)]
    if not stat.S_ISDIR(mode):
        raise Invalid(problem + "not a device node")
    found = [(each, os.path.join(inside, os.path.relpath(each, real))) for each in _below(real)]  # noqa: PTH118
    if not found:
        raise Invalid(problem + "not a device node")
    return found


def _below(folder: str) -> Iterator[str]:
    with os.scandir(folder) as entries:
        for each in sorted(entries, key=lambda entry: entry.name):
            if each.is_dir(follow_symlinks=False):
                if each.name not in _SKIPPED:
                    yield from _below(each.path)
            elif not each.is_symlink() and each.name not in _SKIPPED:
                mode = each.stat(follow_symlinks=False).st_mode
                if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
                    yield each.path


def _node(host: str, inside: str) -> dict[str, Any]:
    status = Path(host).stat()
    return {
        "path": inside,
        "type": "c" if stat.S_ISCHR(status.st_mode) else "b",
        "major": os.major(status.st_rdev),
        "minor": os.minor(status.st_rdev),
        "fileMode": stat.S_IMODE(status.st_mode),
        "uid": status.st_uid,
        "gid": status.st_gid,
    }


def all_devices(asked: Iterable[DeviceMapping] = ()) -> Devices:
    """Return all devices of the host, as for a privileged container, and those that it is to have elsewhere.

    Where the host has a device, that one stays.
    """
    nodes = []
    for each in _below("/dev"):
        try:
            nodes.append(_node(each, each))
        except FileNotFoundError:
            continue  # it has just gone
    there = {each["path"] for each in nodes}
    moved = mapped_devices(each for each in asked if each.path not in ("", each.host_path))
    nodes += [each for each in moved.nodes if each["path"] not in there]
    binds = tuple((host, inside) for host, inside in moved.binds if inside not in there)
    return Devices(tuple(nodes), ({"allow": True, "access": "rwm"},), binds)


def rules_of(asked: Iterable[str]) -> tuple[dict[str, Any], ...]:
    """Return rules that were asked for as `c 10:200 rwm`."""
    found = []
    for each in asked:
        match = _RULE.fullmatch(each)
        if not match:
            raise Invalid(f"invalid device cgroup rule format: '{each}'")
        numbers = {
            name: int(text) for name, text in (("major", match[2]), ("minor", match[3])) if text != "*"
        }  # fmt: skip
        found.append({"allow": True, "type": match[1], **numbers, "access": match[4]})
    return tuple(found)


def numbers_of(path: str) -> dict[str, int]:
    """Return the numbers of a block device, for its limits."""
    try:
        status = Path(path).stat()
    except OSError as error:
        raise Invalid(f"{path}: {(error.strerror or '').lower()}") from error
    if not stat.S_ISBLK(status.st_mode):
        raise Invalid(f"{path}: not a block device")
    return {"major": os.major(status.st_rdev), "minor": os.minor(status.st_rdev)}


def rates_of(asked: Iterable[DeviceRate]) -> list[dict[str, int]]:
    """Return limits of devices as config.json has them."""
    return [{**numbers_of(each.path), "rate": each.rate} for each in asked]
