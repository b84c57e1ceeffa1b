"""What bind mounts are made of, where that must be opened before the container's own steps.

Who becomes root of a user namespace has lost the host's root, and with it the way to sources below folders that only
that may enter. And only the host's root gives a mount ids of its own.
"""

from __future__ import annotations

import os

from moby.host import mounts, namespaces
from moby.host.blocks import Undo, suppress
from moby_runtime.native import mount_options
from moby_runtime.native.values import IdMapping, MountPoint, Spec, lines_of
from moby_runtime.programs.program import above
from moby_runtime.records.failures import doing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    Trees = Mapping[str, int]
    """Detached mounts, by the field that asks for them."""
    _Mappings = tuple[tuple[IdMapping, ...], tuple[IdMapping, ...]]

__all__ = ["Trees", "mapped_trees", "open_trees"]


def open_trees(spec: Spec, opened: Trees) -> Trees:
    """Open the sources of all bind mounts, besides those that are open; what isn't there yet is left for later."""
    found = dict(opened)
    for point in spec.mounts:
        options = mount_options.parse(point.options)
        if options.bind and not options.remount and point.where not in found:
            with doing(f"open {point.source}", point.where), suppress(FileNotFoundError):
                found[point.where] = mounts.clone_tree(
                    os.path.join(spec.bundle, point.source), recursive=options.recursive
                )
    return found


def mapped_trees(spec: Spec, first: int, undo: Undo) -> Trees:
    """Return the trees of bind mounts with ids of their own, as descriptors from a number on; `undo` closes them."""
    users: dict[_Mappings, int] = {}
    found = {}
    for point in spec.mounts:
        if point.mapped:
            with doing(f"map the ids of the mount on {point.destination}", point.where):
                tree = _mapped_tree(spec, point, _user(spec, point, users, undo))
                undo.callback(os.close, tree)
                if above(tree, first) != tree:
                    tree = above(tree, first)
                    undo.callback(os.close, tree)
            found[point.where] = tree
    return found


def _mapped_tree(spec: Spec, point: MountPoint, user: int) -> int:
    options = mount_options.parse(point.options)
    tree = mounts.clone_tree(os.path.join(spec.bundle, point.source), recursive=options.recursive)
    try:
        mounts.map_ids(tree, user, recursive="ridmap" in point.options)
    except BaseException:
        os.close(tree)
        raise
    return tree


def _user(spec: Spec, point: MountPoint, users: dict[_Mappings, int], undo: Undo) -> int:
    """Return a user namespace with the ids that a mount gets: its own, else the container's."""
    joined = spec.namespaces.get("user", "")
    if point.uid_mappings:
        wanted = (point.uid_mappings, point.gid_mappings)
    elif joined:
        wanted = ((), ())
    else:
        wanted = (spec.uid_mappings, spec.gid_mappings)
    if wanted not in users:
        if wanted == ((), ()):
            fd = os.open(joined, os.O_RDONLY | os.O_CLOEXEC)
        else:
            fd = namespaces.mapped_user(lines_of(wanted[0]), lines_of(wanted[1]))
        undo.callback(os.close, fd)
        users[wanted] = fd
    return users[wanted]
