"""What a container has of the processor's caches and memory bandwidth (config-linux.md, IntelRdt)."""

from __future__ import annotations

import errno

from moby.errors import Problem
from moby.host import resctrl
from moby.values import frozen
from moby_runtime.records.failures import Failed, Failure, doing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

    from moby.host.blocks import Undo

__all__ = ["Class", "change", "enter", "make", "plan", "problems", "remove"]

_FIELD = "linux.intelRdt"


@frozen
class Class:
    """The groups that a container's processes are in, and which of them are its own and go with it."""

    groups: tuple[str, ...]
    own: tuple[str, ...]


def problems(data: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield what is wrong with `linux.intelRdt`."""
    named = data.get("closID", "/")
    if named != "/" and (named in resctrl.RESERVED or "/" in named or "\n" in named):
        yield Problem(f"config.json: {_FIELD}.closID is {named!r}, which can name no group; / is the one of all")
    for path, line in _lines(data):
        try:
            name, _ = resctrl.parsed(line)
        except ValueError:
            yield Problem(f"config.json: {path} is {line!r}, and no line such as L3:0=7f0;1=1f")
            continue
        if "\n" in line:
            yield Problem(f"config.json: {path} has more lines than one")
        elif path.endswith("memBwSchema") and name != "MB":
            yield Problem(f"config.json: {path} is of {name}, and must be of MB")
        elif path.endswith("l3CacheSchema") and not name.startswith("L3"):
            yield Problem(f"config.json: {path} is of {name}, and must be of L3")


def _lines(data: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the lines of `schemata` by their fields, in the order in which they are written."""
    for name in ("l3CacheSchema", "memBwSchema"):
        if data.get(name):
            yield f"{_FIELD}.{name}", data[name]
    for index, line in enumerate(data.get("schemata", ())):
        yield f"{_FIELD}.schemata[{index}]", line


def plan(container_id: str, data: Mapping[str, Any]) -> Class:
    """Choose the groups that a container asks for; Failed where no such file system is mounted."""
    with doing("share caches and memory bandwidth", _FIELD):
        top = resctrl.mounted()
    named = data.get("closID", "")
    group = top if named == "/" else f"{top}/{named or container_id}"
    monitored = f"{group}/mon_groups/{container_id}" if data.get("enableMonitoring") else ""
    groups, own = (group, monitored), (monitored, "" if named else group)
    return Class(tuple(each for each in groups if each), tuple(each for each in own if each))


def make(planned: Class, data: Mapping[str, Any], undo: Undo) -> None:
    """Make what of them isn't there; `undo` removes it.

    Failed names the field: where a group that is named isn't there, or is there with other shares.
    """
    named, lines = data.get("closID", ""), list(_lines(data))
    if not named or (lines and named != "/"):
        _make(planned.groups[0], lines, undo, alone=not named)
    else:
        with doing(f"find the group {named}", f"{_FIELD}.closID"):
            _compare(planned.groups[0], lines)
    for each in planned.groups[1:]:
        with doing("make a group that is monitored", f"{_FIELD}.enableMonitoring"):
            resctrl.make(each)
        undo.callback(resctrl.remove, each)


def _make(group: str, lines: list[tuple[str, str]], undo: Undo, *, alone: bool) -> None:
    """Make a group with its shares; unless it must be the container's `alone`, one that is there and has them does."""
    with doing(f"make the group {group}", f"{_FIELD}.closID"):
        try:
            resctrl.make(group)
        except FileExistsError:
            if alone:
                raise
            _compare(group, lines)
            return
    undo.callback(resctrl.remove, group)
    for path, line in lines:
        with doing(f"give {group} its shares", path):
            resctrl.write(group, line)


def _compare(group: str, lines: list[tuple[str, str]]) -> None:
    """See that a group is there, and has the shares that are asked for; FileNotFoundError, Failed."""
    there = resctrl.shares_of(group)
    for path, line in lines:
        name, wanted = resctrl.parsed(line)
        found = there.get(name, {})
        if any(found.get(domain) != value for domain, value in wanted.items()):
            shown = ";".join(f"{domain}={value}" for domain, value in found.items())
            told = f"{group} is there, and has {name}:{shown}"
            raise Failed(Failure("share a resctrl group", path, errno.EINVAL, told))


def enter(groups: tuple[str, ...], pid: int) -> None:
    """Move a process into a container's groups; Failed."""
    for group in groups:
        with doing("enter the groups of caches", _FIELD):
            resctrl.enter(group, pid)


def change(group: str, lines: Sequence[tuple[str, str]]) -> None:
    """Give a group other shares; Failed, by the flag or field of each line."""
    for path, line in lines:
        with doing("change the shares of caches", path):
            resctrl.write(group, line)


def remove(own: tuple[str, ...]) -> None:
    """Remove the groups that are a container's own."""
    for group in own:
        resctrl.remove(group)
