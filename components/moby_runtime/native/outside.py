"""What an image of a container's processes leaves to the host: bind mounts, cgroups, streams, namespaces.

CRIU knows each by a key. What it stands for is written beside the image by a name that says where in the bundle it is
from, so that the container may be made again of a bundle, and in a cgroup, that lies elsewhere.
"""

from __future__ import annotations

import os
import stat

from moby.errors import Corrupt
from moby.host import mounts
from moby.host.cgroups import hierarchies
from moby.host.files import read_text
from moby.host.mount_table import MountEntry, mount_table
from moby.values import frozen
from moby_runtime.native import mount_options
from moby_runtime.records.json_text import decoded, encoded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from moby_runtime.native.values import MountPoint, Spec

__all__ = ["Outside", "look", "read", "source_of", "write"]

_FILE = "moby.json"
_TERMINALS = frozenset({4, 5, *range(136, 144)})
"""Major numbers (kernel, admin-guide/devices.txt)."""


@frozen
class Outside:
    """What an image leaves out."""

    mounts: Mapping[str, str]
    """Names, as `source_of` reads them, by the path inside."""
    streams: Mapping[str, str]
    """CRIU's keys, by the number of a descriptor."""

    @property
    def files(self) -> tuple[str, ...]:
        """Return the keys of files that it doesn't leave out by itself, as it does pipes."""
        return tuple(sorted({each for each in self.streams.values() if not each.startswith("pipe:")}))


def look(pid: int, spec: Spec, groups: tuple[str, ...]) -> Outside:
    """Find it out for the first process of a running container."""
    table = mount_table(pid)
    return Outside(dict(_mounts(pid, table, spec, groups)), dict(_streams(pid, {each.id for each in table})))


def _mounts(pid: int, table: tuple[MountEntry, ...], spec: Spec, groups: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    asked = _asked(pid, spec)
    ours = {each.point: each for each in mount_table()}
    trees = {_device(folder): folder for folder in (groups or [tree.mount for tree in hierarchies()])}
    above: list[tuple[str, int]] = []
    for entry in table:
        if entry.point == "/":
            continue
        index = asked.get(entry.id, -1)
        if index >= 0:
            above.append((entry.point, index))
            yield entry.point, f"mount:{index}"
        elif entry.kind in ("cgroup", "cgroup2"):
            if entry.device in trees:
                yield entry.point, f"cgroup:{_tree_of(trees[entry.device])}"
        elif entry.device == _device("/dev"):
            yield entry.point, f"device:{entry.root}"
        else:
            yield from _below(entry, above, spec, ours)


def _below(
    entry: MountEntry, above: list[tuple[str, int]], spec: Spec, ours: Mapping[str, MountEntry]
) -> Iterator[tuple[str, str]]:
    """Tell a mount that came with one of the host's folders, below which it is there too."""
    for point, index in reversed(above):
        if entry.point.startswith(f"{point}/"):
            inner = entry.point.removeprefix(point)
            shown = ours.get(os.path.realpath(_source(spec, spec.mounts[index]) + inner))
            if shown is not None and shown.device == entry.device:
                yield entry.point, f"mount:{index}:{inner}"
            return
    shown = ours.get(os.path.realpath(spec.rootfs + entry.point))
    if shown is not None and shown.device == entry.device:
        yield entry.point, f"root:{entry.point}"


def _asked(pid: int, spec: Spec) -> dict[int, int]:
    """Return which of the bundle's bind mounts a mount is, by its id."""
    found = {}
    root = os.open(f"/proc/{pid}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for index, point in enumerate(spec.mounts):
            if not mount_options.binds(point) or mount_options.parse(point.options).remount:
                continue
            try:
                fd = mounts.open_in_root(root, point.destination)
            except OSError:
                continue  # the container has taken it away
            found[_mount_of(f"self/fdinfo/{fd}")] = index
            os.close(fd)
    finally:
        os.close(root)
    return found


def _mount_of(path: str) -> int:
    lines = read_text(f"/proc/{path}").splitlines()
    return next(int(line[7:]) for line in lines if line.startswith("mnt_id:"))


def _device(path: str) -> str:
    number = os.stat(path).st_dev
    return f"{os.major(number)}:{os.minor(number)}"


def _tree_of(folder: str) -> str:
    """Return where the tree of a cgroup is mounted."""
    return next(
        tree.mount for tree in hierarchies() if folder == tree.mount or folder.startswith(f"{tree.mount}/")
    )  # fmt: skip


def _streams(pid: int, inside: set[int]) -> Iterator[tuple[str, str]]:
    """Yield pipes, which the caller may have an end of, and standard streams that are files of the host."""
    for name in sorted(os.listdir(f"/proc/{pid}/fd"), key=int):
        link = os.readlink(f"/proc/{pid}/fd/{name}")
        if link.startswith("pipe:["):
            yield name, link
        elif int(name) < 3 and link.startswith("/"):
            mount = _mount_of(f"{pid}/fdinfo/{name}")
            found = os.stat(f"/proc/{pid}/fd/{name}")
            if mount in inside:
                continue
            if stat.S_ISCHR(found.st_mode) and os.major(found.st_rdev) in _TERMINALS:
                yield name, f"tty[{found.st_rdev:x}:{found.st_dev:x}]"
            else:
                yield name, f"file[{mount:x}:{found.st_ino:x}]"


def write(outside: Outside, image: Path) -> None:
    """Put it beside an image."""
    text = encoded({"mounts": outside.mounts, "streams": outside.streams})
    (image / _FILE).write_text(text, encoding="ascii")


def read(image: Path) -> Outside:
    """Return what was put beside an image; Corrupt where it isn't there, or isn't that."""
    try:
        data = decoded((image / _FILE).read_text(encoding="utf-8"))
        found = Outside(data["mounts"], data["streams"])
        texts = [text for each in (found.mounts, found.streams) for pair in each.items() for text in pair]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Corrupt(f"{image}/{_FILE} can't be read: {error}", hint="write the image again") from error
    if not all(isinstance(each, str) for each in texts):
        raise Corrupt(f"{image}/{_FILE} is no list of mounts and streams", hint="write the image again")
    return found


def source_of(name: str, spec: Spec, groups: tuple[str, ...]) -> str:
    """Return the host's path of what a mount is made of; Corrupt where the bundle has no such mount."""
    kind, _, rest = name.partition(":")
    plain = rest.startswith("/") and os.path.normpath(rest) == rest
    if kind == "device" and plain:
        return f"/dev{rest}"
    if kind == "root" and plain:
        return f"{spec.rootfs}{rest}"
    if kind == "cgroup" and rest in {tree.mount for tree in hierarchies()}:
        return next((each for each in groups if each.startswith(f"{rest}/")), rest)
    number, _, inner = rest.partition(":")
    known = number.isdecimal() and int(number) < len(spec.mounts)
    if kind != "mount" or not known or (inner and not (inner[0] == "/" and os.path.normpath(inner) == inner)):
        raise Corrupt(f"the image has a mount {name!r}, which the bundle lacks", hint="restore it of its own bundle")
    return _source(spec, spec.mounts[int(number)]) + inner


def _source(spec: Spec, point: MountPoint) -> str:
    return os.path.join(spec.bundle, point.source)
