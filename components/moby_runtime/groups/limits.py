"""Limits: linux.resources (runtime-spec, config-linux.md) set in a cgroup, or refused by name."""

from __future__ import annotations

import errno
import os

from moby.errors import Conflict, HostUnfit, Invalid, MobyError
from moby.host.blocks import suppress
from moby.host.files import read_text
from moby_runtime.groups.limit_files import Files, Write, writes
from moby_runtime.records.failures import Failure, error_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from moby.host.cgroups import Group

__all__ = ["apply", "asked", "change", "without_effect"]

_ZERO_IS_A_LIMIT = frozenset({"swappiness"})
_ASKS_FOR_NOTHING = frozenset({"kernel", "kernelTCP", "checkBeforeUpdate", "useHierarchy"})


def asked(resources: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the fields that ask for a limit; rules for devices do so only for who could make any."""
    found = []
    for kind, value in resources.items():
        path = f"linux.resources.{kind}"
        if isinstance(value, list):
            found += [path] if value and kind != "devices" else []
        elif isinstance(value, dict):
            found += [f"{path}.{name}" for name, each in value.items() if _asks(kind, name, each)]
    return tuple(sorted(found))


def _asks(kind: str, name: str, value: Any) -> bool:
    if kind == "pids":
        return bool(name == "limit" and value >= 0)
    if name in _ASKS_FOR_NOTHING or (value == -1 and name in ("swappiness", "quota", "limit", "swap", "reservation")):
        return False
    return bool(value) or (value == 0 and name in _ZERO_IS_A_LIMIT)


def without_effect(resources: Mapping[str, Any]) -> Iterator[Failure]:
    """Yield what is asked for and not done, since no kernel has it any more, as other runtimes pass it over, too."""
    for name in ("kernel", "kernelTCP"):
        if resources.get("memory", {}).get(name, 0) > 0:
            path = f"linux.resources.memory.{name}"
            yield Failure("limit memory of the kernel", path, 0, f"{path} has no effect: kernels have no such limit")


def apply(group: Group, resources: Mapping[str, Any]) -> None:
    """Set limits; the error names the field that a missing controller or a wrong value is to blame for."""
    files = Files(group)
    # Some limits bound each other, so that which may go first depends on what they were: then the other did.
    failed = [each for each in writes(files, resources) if not _try(files, each)]
    for each in failed:
        with suppress(_Optional):
            path = _path(files, each)
            try:
                _write(path, each.text)
            except OSError as error:
                raise _refused(files, each, error) from error


def change(group: Group, resources: Mapping[str, Any]) -> None:
    """Set limits of what runs, all or none: where one is refused, the others are again what they were; as `apply`."""
    before = list(_now(Files(group), resources))
    try:
        apply(group, resources)
    except BaseException:
        # As with `apply`, some let the others go back only after them.
        for path, line in [*reversed(before), *before]:
            with suppress(OSError):
                _write(path, line)
        raise


def _now(files: Files, resources: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what is written to which files for all to be as it is, a line at a time, as such with one a device want."""
    for each in writes(files, resources):
        with suppress(_Optional, MobyError, OSError):  # what is wrong with it, `apply` tells
            path = _path(files, each)
            for line in read_text(path).splitlines() or [""]:
                yield path, f"{line}\n"


class _Optional(Exception):
    """There is no file, and need not be."""


def _try(files: Files, write: Write) -> bool:
    try:
        path = _path(files, write)
    except _Optional:
        return True
    try:
        _write(path, write.text)
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.EBUSY):
            return False
        raise _refused(files, write, error) from error
    return True


def _path(files: Files, write: Write) -> str:
    if write.wrong:
        raise Invalid(f"config.json: {write.field} {write.wrong}")
    if write.lacking:
        raise HostUnfit(
            f"cannot set {write.field} of config.json: {write.lacking}",
            hint="leave it out, or boot with systemd.unified_cgroup_hierarchy=0",
        )
    for name in write.files:
        if path := files.find(name, unified=write.unified):
            return path
    if write.optional:
        raise _Optional
    raise _missing(files, write)


def _missing(files: Files, write: Write) -> MobyError:
    names = " or ".join(write.files)
    controller = write.files[0].partition(".")[0]
    from moby.host.cgroup_figures import huge_page_sizes

    hint = f"boot with cgroup_enable={controller} and see that it is in a mounted tree, or leave the field out"
    if controller == "hugetlb" and (sizes := huge_page_sizes(files.group)):
        return Invalid(f"config.json: {write.field}.pageSize is none of this host's, which are {', '.join(sizes)}")
    if write.unified:
        hint = "boot with systemd.unified_cgroup_hierarchy=1, or leave the field out"
    return HostUnfit(f"cannot set {write.field} of config.json: no control group here has {names}", hint=hint)


def _write(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def _refused(files: Files, write: Write, error: OSError) -> MobyError:
    """Return what the kernel's answer means to the caller."""
    path = _path(files, write)
    name = path.rpartition("/")[2]
    message = f"cannot set {name} to {write.text!r} (config.json: {write.field}): {error.strerror}"
    if error.errno == errno.EBUSY and write.field.startswith("linux.resources.memory"):
        used = files.read("memory.usage_in_bytes") or files.read("memory.current")
        return Conflict(f"{message}; {used} bytes are in use", hint="choose a higher limit, or free memory inside")
    if error.errno == errno.EBUSY:
        return Conflict(message, hint="stop what uses it, then try again")
    if error.errno in (errno.EACCES, errno.ENOSPC) and name.startswith("cpuset."):
        return Invalid(message, hint="the control group above has fewer; name some of its own")
    if error.errno == errno.ENODEV:
        return Invalid(message, hint="there is no such device here")
    if error.errno in (errno.EINVAL, errno.ERANGE):
        return Invalid(message, hint=_range(name))
    return error_of(Failure(f"set {name} to {write.text!r}", write.field, error.errno or 0, path))


def _range(name: str) -> str:
    """Say what the kernel takes."""
    return {
        "memory.limit_in_bytes": "it can't be more than memory and swap together (memory.swap)",
        "memory.memsw.limit_in_bytes": "it is of memory and swap together, so it can't be less than memory.limit",
        "memory.swappiness": "it goes from 0 to 100",
        "memory.use_hierarchy": "this kernel always has a hierarchy; leave the field out",
        "cpu.cfs_period_us": "it goes from 1000 to 1000000",
        "cpu.cfs_quota_us": "it is at least 1000, or -1, and no more than the control group above has",
        "cpu.cfs_burst_us": "it can't be more than the quota",
        "cpu.max": "the period goes from 1000 to 1000000, the quota is at least 1000",
        "cpu.max.burst": "it can't be more than the quota",
        "cpu.rt_runtime_us": "the control group above must have as much time for real-time processes to give",
        "cpu.idle": "it is 0 or 1, and an idle group has no shares",
        "cpu.shares": "an idle group has no shares",
        "cpu.weight": "an idle group has no shares",
        "blkio.bfq.weight": "it goes from 1 to 1000",
        "blkio.weight": "it goes from 10 to 1000",
        "io.weight": "it goes from 1 to 10000",
    }.get(name, "")
