"""The mounts of a container that starts: sources found, volumes mounted, what a volume begins with copied up."""

import os
import stat
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from pathlib import Path

from moby.contracts.events import Event
from moby.contracts.types import Mount
from moby.errors import HostUnfit, Invalid, MobyError, NotFound
from moby.host import mounts as kernel
from moby.host.mount_table import mount_table
from moby.host.mounts import open_in_root
from moby.host.tree import mount_id, set_mode
from moby_containers.engine.entries import Point
from moby_containers.engine.parts import Parts

__all__ = ["copy_up", "place", "propagation_of", "unplace"]

_READ_ONLY = {"non": "ro", "all": "rro"}
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_CHUNK_BYTES = 1 << 20


def place(points: Iterable[Point], container_id: str, parts: Parts, folder: Path) -> tuple[Mount, ...]:
    """Return the mounts, the ones nearer to the root first; `unplace` undoes what it did. Tells of each volume."""
    found = []
    for number, each in enumerate(sorted(points, key=lambda point: point.request.target.count("/"))):
        asked = each.request
        if asked.type == "tmpfs":
            found.append(_tmpfs(each))
            continue
        if each.volume:
            source = parts.volumes.mount(each.volume, container_id)
            _tell(parts, "mount", container_id, each)
            if asked.subpath:
                source = _subpath(source, asked.subpath, folder / f"subpath-{number}")
        else:
            source = Path(asked.source)
            _check_source(each)
            _check_propagation(each)
        found.append(Mount(asked.target, str(source), "bind", _bind_options(each)))
    return tuple(found)


def unplace(points: Iterable[Point], container_id: str, parts: Parts, folder: Path) -> list[Exception]:
    """Undo `place`, whether it came to its end or not; return what failed. Tells of each volume."""
    failed: list[Exception] = []
    names = [each for each in os.listdir(folder) if each.startswith("subpath-")] if folder.is_dir() else []  # noqa: PTH208
    for each in names:
        with suppress(OSError):
            kernel.unmount(str(folder / each), detach=True)
    for point in points:
        if point.volume:
            try:
                parts.volumes.unmount(point.volume, container_id)
                _tell(parts, "unmount", container_id, point)
            except NotFound:
                continue
            except (MobyError, OSError) as error:
                failed.append(error)
    return failed


def _tell(parts: Parts, action: str, container_id: str, point: Point) -> None:
    """Publish, with docker's attributes, what was done with a volume."""
    attributes = {"driver": parts.volumes.get(point.volume).driver, "container": container_id}
    if action == "mount":
        writable = str(not point.request.read_only).lower()
        attributes |= {"destination": point.request.target, "read/write": writable, "propagation": ""}
    parts.events.publish(Event("volume", action, point.volume, attributes))


def propagation_of(points: Iterable[Point]) -> str:
    """Return how the container's root must be for its binds: as docker, the most open that one of them asks for."""
    asked = {each.request.propagation.removeprefix("r") for each in points}
    return "rshared" if "shared" in asked else "rslave" if "slave" in asked else ""


def _bind_options(point: Point) -> tuple[str, ...]:
    asked = point.request
    options = ["bind" if asked.non_recursive else "rbind"]
    if asked.read_only:
        deep = not (asked.non_recursive or asked.read_only_non_recursive)
        options.append("rro" if deep else "ro")
    propagation = asked.propagation or "rprivate"
    return (*options, "rprivate" if point.volume else propagation)


def _tmpfs(point: Point) -> Mount:
    asked = point.request
    options = {"noexec": "", "nosuid": "", "nodev": ""}
    for each in asked.options:
        for taken in (f"no{each}", each.removeprefix("no")):
            options.pop(taken, None)
        options[each] = ""
    if asked.read_only:
        options["ro"] = ""
    if asked.size_bytes:
        options[f"size={asked.size_bytes}"] = ""
    if asked.mode:
        options[f"mode={asked.mode:o}"] = ""
    return Mount(asked.target, "tmpfs", "tmpfs", tuple(options))


def _check_source(point: Point) -> None:
    asked = point.request
    try:
        os.stat(asked.source)  # noqa: PTH116
    except FileNotFoundError:
        if not asked.create_source:
            raise Invalid(
                f'invalid mount config for type "bind": bind source path does not exist: {asked.source}'
            ) from None
        Path(asked.source).mkdir(mode=0o755, parents=True, exist_ok=True)
    except OSError as error:
        raise Invalid(f"error while creating mount source path '{asked.source}': {error.strerror}") from error


def _check_propagation(point: Point) -> None:
    """Refuse what couldn't be: nothing goes on to, or comes from, a mount that is private."""
    wanted = point.request.propagation.removeprefix("r")
    enough = {"shared": ("shared:",), "slave": ("shared:", "master:")}.get(wanted)
    if enough is None:
        return
    fd = os.open(point.request.source, os.O_PATH | os.O_CLOEXEC)
    try:
        number = mount_id(fd)
    finally:
        os.close(fd)
    found = next((each for each in mount_table("thread-self") if each.id == number), None)
    if found is not None and not any(tag.startswith(enough) for tag in found.tags):
        kinds = "shared" if wanted == "shared" else "shared or slave"
        raise HostUnfit(
            f"path {point.request.source} is mounted on {found.point} but it is not a {kinds} mount",
            hint=f"mount --make-rshared {found.point}",
        )


def _subpath(volume: Path, subpath: str, target: Path) -> Path:
    """Return a place where a part of a volume is mounted, which no link in it can lead elsewhere."""
    root = os.open(volume, os.O_PATH | os.O_DIRECTORY)
    try:
        inside = open_in_root(root, subpath)
    except OSError as error:
        raise Invalid(f"failed to access subpath {subpath} of the volume: {(error.strerror or '').lower()}") from error
    finally:
        os.close(root)
    try:
        if stat.S_ISDIR(os.fstat(inside).st_mode):
            target.mkdir(mode=0o700, exist_ok=True)
        else:
            target.touch(mode=0o600)
        tree = kernel.clone_tree("", recursive=True, directory_fd=inside)
        place = os.open(target, os.O_PATH)
        try:
            kernel.attach(tree, place)
        finally:
            os.close(tree)
            os.close(place)
    finally:
        os.close(inside)
    return target


def copy_up(rootfs: Path, inside: str, volume: Path) -> None:
    """Fill an empty volume with what the image has at its place, owners and modes too; a full one stays as it is."""
    root = os.open(rootfs, os.O_PATH | os.O_DIRECTORY)
    try:
        source = open_in_root(root, inside, _FOLDER & ~os.O_NOFOLLOW)
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise Invalid(f"{inside} of the image can't be copied: {error.strerror}") from error
    finally:
        os.close(root)
    target = os.open(volume, _FOLDER)
    try:
        if not os.listdir(target):  # noqa: PTH208
            _copy_folder(source, target)
    finally:
        os.close(source)
        os.close(target)


class _Copying:
    """A folder on its way into another, of the same name in two others."""

    def __init__(self, name: str, source: int, target: int) -> None:
        with ExitStack() as opened:
            self.source, self.target = (_opened(name, each, opened) for each in (source, target))
            self.status = os.fstat(self.source)
            self.left = iter(os.listdir(self.source))  # noqa: PTH208 - a descriptor
            self.links: dict[tuple[int, int], str] = {}
            self.close = opened.pop_all().close


def _opened(name: str, folder: int, closing: ExitStack) -> int:
    fd = os.open(name, _FOLDER, dir_fd=folder)
    closing.callback(os.close, fd)
    return fd


def _copy_folder(source: int, target: int) -> None:
    """Copy a tree by descriptors; each level keeps two open, so that no deeper tree than the limit of files allows."""
    levels = [_Copying(".", source, target)]
    try:
        while levels:
            level = levels[-1]
            for name in level.left:
                if (inner := _copy_one(level, name)) is not None:
                    levels.append(inner)
                    break
            else:
                _finish(level.source, level.target, level.status)
                levels.pop().close()
    finally:
        for each in levels:
            each.close()


def _copy_one(into: _Copying, name: str) -> _Copying | None:
    """Copy what isn't a folder; return a folder that is to be copied."""
    source, target = into.source, into.target
    status = os.stat(name, dir_fd=source, follow_symlinks=False)
    kind = stat.S_IFMT(status.st_mode)
    if kind == stat.S_IFDIR:
        os.mkdir(name, 0o700, dir_fd=target)
        return _Copying(name, source, target)
    known = into.links.get((status.st_dev, status.st_ino))
    if known is not None:
        os.link(known, name, src_dir_fd=target, dst_dir_fd=target, follow_symlinks=False)
        return None
    if status.st_nlink > 1:
        into.links[status.st_dev, status.st_ino] = name
    if kind == stat.S_IFREG:
        _copy_file(source, target, name, status)
    elif kind == stat.S_IFLNK:
        os.symlink(os.readlink(name, dir_fd=source), name, dir_fd=target)
        os.chown(name, status.st_uid, status.st_gid, dir_fd=target, follow_symlinks=False)
    else:
        os.mknod(name, status.st_mode, status.st_rdev, dir_fd=target)
        os.chown(name, status.st_uid, status.st_gid, dir_fd=target, follow_symlinks=False)
        set_mode(target, name, stat.S_IMODE(status.st_mode))  # another container may have the volume already
    return None


def _copy_file(source: int, target: int, name: str, status: os.stat_result) -> None:
    flags = os.O_CLOEXEC | os.O_NOFOLLOW
    read = os.open(name, flags | os.O_RDONLY | os.O_NONBLOCK, dir_fd=source)
    try:
        write = os.open(name, flags | os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=target)
        try:
            while os.sendfile(write, read, None, _CHUNK_BYTES):
                pass
            _finish(read, write, status)
        finally:
            os.close(write)
    finally:
        os.close(read)


def _finish(source: int, target: int, status: os.stat_result) -> None:
    """Give what was made the owner, mode, extended attributes and times of what it was made of."""
    os.fchown(target, status.st_uid, status.st_gid)
    os.fchmod(target, stat.S_IMODE(status.st_mode))
    for each in os.listxattr(source):
        with suppress(OSError):
            os.setxattr(target, each, os.getxattr(source, each))
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))
