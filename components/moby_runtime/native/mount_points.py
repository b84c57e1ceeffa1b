"""The mounts of config.json, done one by one inside a root (config.md, Mounts)."""

from __future__ import annotations

import errno
import os
import stat

from moby.host import cgroups as groups
from moby.host import mounts
from moby.values import evolve
from moby_runtime.native import mount_options
from moby_runtime.native.failures import doing
from moby_runtime.native.root import Root, bind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from moby_runtime.native.mount_options import MountOptions
    from moby_runtime.native.sources import Trees
    from moby_runtime.native.values import MountPoint


__all__ = ["filled_first", "make_readonly", "mount"]

_READ_ONLY = mounts.ATTRIBUTES["ro"]
_SHOWN = {"sysfs": "/sys", "mqueue": "/dev/mqueue"}
_UNLABELLED = frozenset({"proc", "sysfs", "cgroup", "cgroup2", "mqueue"})
"""File systems that take no SELinux context as an option."""


def mount(root: Root, point: MountPoint, cgroups: tuple[str, ...], trees: Trees) -> None:
    """Do one mount; `trees` are the sources that were opened before."""
    options = mount_options.parse(point.options)
    with doing(f"mount {point.type or 'bind'} on {point.destination}", point.where):
        if options.remount:
            _remount(root, point, options)
        elif options.bind or point.type == "bind":
            _mount_bind(root, point, options, trees)
        elif point.type in ("cgroup", "cgroup2"):
            _mount_cgroups(root, point, options, cgroups)
            _finish(root, point, options)
        else:
            _mount_filesystem(root, point, options)
            _finish(root, point, options)


def _remount(root: Root, point: MountPoint, options: MountOptions) -> None:
    """Change what is mounted there already: the mount, or without `bind` its whole file system."""
    target = root.open(point.destination)
    try:
        if options.bind:
            _set(target, options)
        else:
            flags = mounts.FLAGS["remount"] | options.flags
            mounts.mount("none", f"/proc/self/fd/{target}", "", flags, ",".join(options.data))
    finally:
        os.close(target)
    if not options.bind:
        _finish(root, point, options)


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


def _mount_filesystem(root: Root, point: MountPoint, options: MountOptions) -> None:
    data = [option for option in options.data if _mapped(root, option)]
    like = point.type == "tmpfs" and not any(each.startswith("mode=") for each in data) and root.has(point.destination)
    target = root.mount_target(point, folder=True)
    covered = -1
    try:
        if point.type in ("proc", "sysfs") and not root.is_itself(target, point.destination):
            raise OSError(errno.ELOOP, "a link in the image", point.destination)
        if like:
            data.append(f"mode={stat.S_IMODE(os.fstat(target).st_mode):o}")
        if root.spec.mount_label and point.type not in _UNLABELLED:
            data.append(f'context="{root.spec.mount_label}"')
        if options.copy_up:
            covered = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=target)
        flags = options.flags & ~mounts.FLAGS["ro"] if filled_first(point) else options.flags
        mounts.mount(point.source or point.type, f"/proc/self/fd/{target}", point.type, flags, ",".join(data))
        if options.copy_up:
            _fill(root, point, covered)
    except PermissionError:
        # Only the owner of a network (or IPC) namespace mounts its sysfs (or mqueue); others get the host's view.
        shown = _SHOWN.get(point.type, "")
        if not root.spec.user_namespace or not os.path.isdir(shown):
            raise
        bind(shown, target)
    finally:
        os.close(target)
        if covered >= 0:
            os.close(covered)


def _fill(root: Root, point: MountPoint, covered: int) -> None:
    """Copy what a tmpfs covers into it."""
    from moby_runtime.native.copyup import copy_up

    fresh = root.open(point.destination, os.O_RDONLY | os.O_DIRECTORY)
    try:
        copy_up(covered, fresh)
    finally:
        os.close(fresh)


def filled_first(point: MountPoint) -> bool:
    """Whether a mount is read-only once all else is made: devices and mounts below get their places in it first."""
    asked = point.type == "tmpfs" and "ro" in point.options
    return asked and bool(mount_options.parse(point.options).on & _READ_ONLY)


def make_readonly(root: Root, point: MountPoint) -> None:
    """Make a mount read-only that has been written to until now."""
    with doing(f"make {point.destination} read-only", point.where):
        fd = root.open(point.destination)
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


def _finish(root: Root, point: MountPoint, options: MountOptions) -> None:
    """Set what mount(2) doesn't of a mount that is attached."""
    if not (options.propagation or options.all_on or options.all_off):
        return
    fd = root.open(point.destination)
    try:
        _set(fd, mount_options.only_recursive(options))
    finally:
        os.close(fd)


def _mount_cgroups(root: Root, point: MountPoint, options: MountOptions, cgroups: tuple[str, ...]) -> None:
    """Show the container's own control group: a bind works for both versions, and for ordinary users too.

    Where it has none, since its caller may make none, the caller's are shown, read-only.
    """
    target = root.mount_target(point, folder=True)
    try:
        if not cgroups:
            cgroups = _caller_groups()
            options = evolve(options, on=options.on | _READ_ONLY, off=options.off & ~_READ_ONLY)
        if not cgroups:
            raise OSError(errno.EPERM, "the container is in no control group that is seen", point.destination)
        folders = {_tree_name(folder): folder for folder in cgroups}
        if list(folders) == ["cgroup"]:
            _bind_cgroup(folders["cgroup"], target, options)
            return
        mounts.mount("tmpfs", f"/proc/self/fd/{target}", "tmpfs", options.flags & ~1, "mode=755")
    finally:
        os.close(target)
    for name, folder in folders.items():
        each = root.target(f"{point.destination}/{name}", folder=True)
        try:
            _bind_cgroup(folder, each, options)
        finally:
            os.close(each)
    fd = root.open(point.destination)
    try:
        mounts.set_attributes(fd, on=options.on, off=options.off)
    finally:
        os.close(fd)


def _caller_groups() -> tuple[str, ...]:
    """Return the groups that a container without one of its own is in, which are its caller's."""
    seen = (tree for tree in groups.hierarchies() if "/.." not in tree.own)
    return tuple(tree.folder(tree.own) for tree in seen)


def _tree_name(folder: str) -> str:
    """Return the last part of the path that a control group's tree is mounted at."""
    device = os.stat(folder).st_dev
    while os.stat(above := os.path.dirname(folder)).st_dev == device:
        folder = above
    return os.path.basename(folder)


def _bind_cgroup(folder: str, target: int, options: MountOptions) -> None:
    tree = mounts.clone_tree(folder)
    try:
        mounts.set_attributes(tree, on=options.on, off=options.off)
        mounts.attach(tree, target)
    finally:
        os.close(tree)
