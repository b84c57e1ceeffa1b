"""A bundle as a jail takes it: what asks for more than a root, a user and limits is refused by its field's name."""

from __future__ import annotations

import os
from pathlib import Path

from moby.errors import NotFound
from moby.host.namespaces import FLAGS
from moby.values import frozen
from moby_runtime.groups import resources
from moby_runtime.programs import reading
from moby_runtime.programs.refusals import beyond, refuse
from moby_runtime.records.shape import CONFIG, PROCESS, RESOURCES, mistakes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from moby.contracts.streams import Stdio
    from moby_runtime.programs.values import ProcessSpec

__all__ = ["Bundle", "check_resources", "check_terminal", "process_of", "read"]

_KEPT: Mapping[str, frozenset[str]] = {
    "": frozenset({"ociVersion", "root", "process", "annotations", "linux"}),
    "root": frozenset({"path"}),
    "process": frozenset(
        {"args", "env", "cwd", "user", "capabilities", "noNewPrivileges", "rlimits", "oomScoreAdj", "consoleSize"}
    ),
    "linux": frozenset(),
}
"""Of the fields of the specification; the rest asks for what takes a namespace, or a filter."""
_GROUPED = frozenset({"resources", "cgroupsPath"})
_WHY = {
    "": "it makes no namespaces",
    "hooks": "it runs nothing but the container's own program",
    "linux.cgroupsPath": "it makes no control group",
    "linux.resources": "it makes no control group, so it limits nothing",
    "linux.seccomp": "it filters no system calls",
    "process.terminal": "it has no devpts of the container's own to take one from",
}


@frozen
class Bundle:
    """What a jail takes of a bundle."""

    path: str
    rootfs: str
    process: ProcessSpec
    annotations: Mapping[str, str]
    cgroups_path: str = ""
    resources: Mapping[str, Any] = {}


def read(path: str, name: str, *, grouped: bool) -> Bundle:
    """Read a bundle for the runtime of a name, which may make cgroups; errors as Runtime.create."""
    path = os.fspath(Path(path).absolute())
    data = reading.config_of(path)
    reading.refuse(list(mistakes(data, CONFIG)))
    reading.refuse([*reading.process_problems(data.get("process", {})), *_problems(data)])
    linux = data.get("linux", {})
    if grouped:
        reading.refuse(list(resources.problems(linux.get("resources", {}))))
    refuse(name, list(_lacking(data, grouped=grouped)), _WHY)
    rootfs = os.path.realpath(Path(path, data["root"]["path"]))
    if not Path(rootfs).is_dir():
        raise NotFound(f"there is no root file system at {rootfs}", hint="root.path is relative to the bundle")
    return Bundle(
        path,
        rootfs,
        reading.process_of(data["process"]),
        data.get("annotations", {}),
        linux.get("cgroupsPath", ""),
        linux.get("resources", {}),
    )


def process_of(data: Mapping[str, Any], name: str, stdio: Stdio) -> ProcessSpec:
    """Read one more process; errors as Runtime.exec."""
    data = reading.without_null(data)
    reading.refuse(list(mistakes(data, PROCESS, "process")))
    reading.refuse(list(reading.process_problems(data)))
    refuse(name, list(beyond(data, "process", _KEPT["process"])), _WHY)
    check_terminal(name, stdio)
    return reading.process_of(data)


def check_terminal(name: str, stdio: Stdio) -> None:
    """See that no terminal is wanted."""
    if stdio.terminal:
        refuse(name, ["process.terminal"], _WHY)


def check_resources(data: Mapping[str, Any]) -> None:
    """Check linux.resources, as Runtime.update gets it."""
    reading.refuse(list(mistakes(data, RESOURCES, "linux.resources")))
    reading.refuse(list(resources.problems(data)))


def _problems(data: Mapping[str, Any]) -> Iterator[Any]:
    if not data.get("ociVersion", "").startswith("1."):
        yield reading.wrong("ociVersion", f"must be a version such as 1.2.0, not {data.get('ociVersion')!r}")
    if not data.get("root", {}).get("path"):
        yield reading.wrong("root.path", "is missing")
    for index, each in enumerate(data.get("linux", {}).get("namespaces", ())):
        if each.get("type") not in FLAGS:
            known = ", ".join(sorted(FLAGS))
            yield reading.wrong(f"linux.namespaces[{index}].type", f"is {each.get('type')!r}; there are {known}")


def _lacking(data: Mapping[str, Any], *, grouped: bool) -> Iterator[str]:
    for where, kept in _KEPT.items():
        known = kept | _GROUPED if where == "linux" and grouped else kept
        yield from beyond(data.get(where, {}) if where else data, where, known)
