"""The mounts of config.json, done one by one inside a root (config.md, Mounts)."""

from __future__ import annotations

import errno
import os
import stat

from moby.host import cgroups as groups
from moby.host import mounts
from moby.values import evolve
from moby_runtime.native import mount_options
from moby_runtime.native.root import Root, bind
from moby_runtime.records.failures import doing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from moby_runtime.native.mount_options import MountOptions
    from moby_runtime.native.sources import Trees
    from moby_runtime.native.values import MountPoint


__all__ = ["filled_first", "make_readonly", "mount"]

_READ_ONLY = mounts.ATTRIBUTES["ro"]
_SHOWN = {"sysfs": "/sys", "mqueue": "/dev/mqueue"}
_UNLABELLED = frozenset({"proc", "sysfs", "cgroup", "cgroup2", "mqueue"})
"""File systems that take no SELinux context as an option."""


def mount(root: Root, point: MountPoint, cgroups: tuple[str, ...], trees: Trees) -> int:
    """Do one mount; `trees` are the sources that were opened before.

    Returns a descriptor of one that is to be made read-only once all else is made, else -1. Its place is resolved once:
    whatever is changed of it then, what it begins with and what is mounted on it goes by a descriptor of the mount.
    """
    options = mount_options.parse(point.options)
    with doing(f"mount {point.type or 'bind'} on {point.destination}", point.where):
        if options.remount:
            _remount(root, point, options)
        elif options.bind or point.type == "bind":
            _mount_bind(root, point, options, trees)
        elif point.type in ("cgroup", "cgroup2"):
            _mount_cgroups(root, point, options, cgroups)
        else:
            return _mount_filesystem(root, point, options)
    return -1


def _remount(root: Root, point: MountPoint, options: MountOptions) -> None:
    """Change what is mounted there already: the mount, or without `bind` its whole file system."""
    target = root.open(point.destination)
    try:
        if options.bind:
            _set(target, options)
        else:
            flags = mounts.FLAGS["remount"] | options.flags
            mounts.mount("none", f"/proc/self/fd/{target}", "", flags, ",".join(options.data))
            _set(target, mount_options.only_recursive(options))
    finally:
        os.close(target)


def _mount_bind(root: Root, point: MountPoint, options: MountOptions, trees: Trees) -> None:
    tree = trees.get(point.where, -1)
    if tree < 0:
        tree = mounts.clone_tree(os.path.join(root.spec.bundle, point.source), recursive=options.recursive)
    try:
        target = root.mount_target(point, folder=stat.S_ISDIR(os.fstat(tree).st_mode), tree=tree)
        try:
            _set(tree, options)
            mounts.attach(tree, target)
        finally:
            os.close(target)
    finally:
        os.close(tree)


def _set(tree: int, options: MountOptions) -> None:
    """Set attributes and propagation of a mount."""
    if options.all_on or options.all_off:
        mounts.set_attributes(tree, on=options.all_on, off=options.all_off, recursive=True)
    if options.on or options.off:
        _set_own(tree, options)
    for name in options.propagation:
        bit = mounts.PROPAGATION[name.removeprefix("r") if name.startswith("r") else name]
        mounts.set_attributes(tree, propagation=bit, recursive=name.startswith("r"))


def _set_own(tree: int, options: MountOptions) -> None:
    """Set the attributes of a mount itself; how it counts access stays where a user namespace may not change it."""
    try:
        mounts.set_attributes(tree, on=options.on, off=options.off)
    except PermissionError:
        if not options.off & mounts.ACCESS_TIME:
            raise
        mounts.set_attributes(
            tree, on=options.on & ~mounts.ACCESS_TIME, off=options.off & ~mounts.ACCESS_TIME
        )  # fmt: skip


def _mount_filesystem(root: Root, point: MountPoint, options: MountOptions) -> int:
    data = [each for option in options.data for each in _words(point.type, option) if _mapped(root, each)]
    like = point.type == "tmpfs" and not any(each.startswith("mode=") for each in data) and root.has(point.destination)
    target = root.mount_target(point, folder=True)
    try:
        if point.type in ("proc", "sysfs") and not root.is_itself(target, point.destination):
            raise OSError(errno.ELOOP, "a link in the image", point.destination)
        if like:
            data.append(f"mode={stat.S_IMODE(os.fstat(target).st_mode):o}")
        label = "" if point.type in _UNLABELLED else root.spec.mount_label
        later = filled_first(point)
        if later or options.copy_up or options.propagation or options.all_on or options.all_off:
            data += [f"context={label}"] if label else []
            return _mount_by_descriptor(point, options, data, target, later=later)
        data += [f'context="{label}"'] if label else []  # which has commas
        mounts.mount(point.source or point.type, f"/proc/self/fd/{target}", point.type, options.flags, ",".join(data))
    except PermissionError:
        # Only the owner of a network (or IPC) namespace mounts its sysfs (or mqueue); others get the host's view.
        shown = _SHOWN.get(point.type, "")
        if not root.spec.user_namespace or not os.path.isdir(shown):
            raise
        bind(shown, target)
    finally:
        os.close(target)
    return -1


def _words(kind: str, option: str) -> list[str]:
    """Return what an option says, several things or none, as mount(2) takes it; paths of overlays have commas."""
    return [each for each in ([option] if kind == "overlay" else option.split(",")) if each]


def _mount_by_descriptor(point: MountPoint, options: MountOptions, data: list[str], target: int, *, later: bool) -> int:
    """Make a mount that more is done to than mounting; return its descriptor where it is read-only `later`."""
    on, flags = options.on, options.flags
    if later:
        on, flags = on & ~_READ_ONLY, flags & ~mounts.FLAGS["ro"]
    tree = mounts.new_tree(point.type, point.source or point.type, data, flags=flags, on=on)
    try:
        if options.copy_up:
            _copy_up(target, tree)
        mounts.attach(tree, target)
        _set(tree, mount_options.only_recursive(options))
        if later:
            kept, tree = tree, -1
            return kept
    finally:
        if tree >= 0:
            os.close(tree)
    return -1


def _copy_up(target: int, tree: int) -> None:
    """Copy what a tmpfs will cover into it."""
    from moby_runtime.native.copyup import copy_up

    covered, fresh = (os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=each) for each in (target, tree))
    try:
        copy_up(covered, fresh)
    finally:
        os.close(covered)
        os.close(fresh)


def filled_first(point: MountPoint) -> bool:
    """Whether a mount is read-only once all else is made: devices and mounts below get their places in it first."""
    asked = point.type == "tmpfs" and "ro" in point.options
    return asked and bool(mount_options.parse(point.options).on & _READ_ONLY)


def make_readonly(fd: int, point: MountPoint) -> None:
    """Make a mount read-only that has been written to until now, and close its descriptor."""
    with doing(f"make {point.destination} read-only", point.where):
        try:
            mounts.set_attributes(fd, on=_READ_ONLY)
        finally:
            os.close(fd)


def _mapped(root: Root, option: str) -> bool:
    """Whether a file system may be given this option: devpts' gid=5 isn't there in a namespace of one user."""
    if not option.startswith("gid=") or not root.spec.new("user"):
        return True
    group = int(option.removeprefix("gid="))
    return any(each.inside <= group < each.inside + each.size for each in root.spec.gid_mappings)


def _mount_cgroups(root: Root, point: MountPoint, options: MountOptions, cgroups: tuple[str, ...]) -> None:
    """Show the container's own cgroup: a bind works for both versions, and for ordinary users too.

    Where it has none, since its caller may make none, the caller's are shown, read-only.
    """
    target = root.mount_target(point, folder=True)
    try:
        if not cgroups:
            cgroups = _caller_groups()
            options = evolve(options, on=options.on | _READ_ONLY, off=options.off & ~_READ_ONLY)
        if not cgroups:
            raise OSError(errno.EPERM, "the container is in no control group that is seen", point.destination)
        folders = _by_tree(cgroups)
        if list(folders) == ["cgroup"]:
            _bind_cgroup(folders["cgroup"], target, options)
        else:
            _bind_cgroups(folders, target, options)
    finally:
        os.close(target)


def _bind_cgroups(folders: Mapping[str, str], target: int, options: MountOptions) -> None:
    """Show groups in several trees, each by its name in a folder of their own."""
    flags = options.flags & ~mounts.FLAGS["ro"]
    tree = mounts.new_tree("tmpfs", "tmpfs", ["mode=755"], flags=flags, on=options.on & ~_READ_ONLY)
    try:
        mounts.attach(tree, target)
        for name, folder in folders.items():
            os.mkdir(name, 0o755, dir_fd=tree)
            each = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=tree)
            try:
                _bind_cgroup(folder, each, options)
            finally:
                os.close(each)
        _set(tree, options)
    finally:
        os.close(tree)


def _caller_groups() -> tuple[str, ...]:
    """Return the groups that a container without one of its own is in, which are its caller's."""
    seen = (tree for tree in groups.hierarchies() if "/.." not in tree.own)
    return tuple(tree.folder(tree.own) for tree in seen)


def _by_tree(cgroups: tuple[str, ...]) -> Mapping[str, str]:
    """Return groups by the last part of the path that the tree of each is mounted at."""
    mount = _mount_of(cgroups[0])
    # Most often all have the same path in their trees.
    inside = cgroups[0].removeprefix(mount)
    alike = inside and all(each.endswith(inside) for each in cgroups)
    return {os.path.basename(each.removesuffix(inside) if alike else _mount_of(each)): each for each in cgroups}


def _mount_of(folder: str) -> str:
    """Return where a cgroup's tree is mounted."""
    device = os.stat(folder).st_dev
    while os.stat(above := os.path.dirname(folder)).st_dev == device:
        folder = above
    return folder


def _bind_cgroup(folder: str, target: int, options: MountOptions) -> None:
    tree = mounts.clone_tree(folder)
    try:
        mounts.set_attributes(tree, on=options.on, off=options.off)
        mounts.attach(tree, target)
        _set(tree, mount_options.only_recursive(options))
    finally:
        os.close(tree)
