"""Cgroups below a container's own, which its processes have made, for a program that joins them."""

from __future__ import annotations

import os
import posixpath

from moby.errors import Invalid
from moby.host.cgroups import Group, Hierarchy, hierarchies

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["below"]


def below(group: Group, wanted: Mapping[str, str]) -> Group:
    """Return the group with the wanted folders in place of those above them; Invalid where one isn't there.

    `wanted` are paths by controller; an empty one is that of the tree of version 2.
    """
    trees = hierarchies()
    left = dict(wanted)
    folders = []
    for folder in group.folders:
        names = _names(next((tree for tree in trees if folder.startswith(f"{tree.mount}/")), None))
        asked = {left.pop(name) for name in names & left.keys()}
        if len(asked) > 1:
            raise Invalid(
                f"controllers {', '.join(sorted(names))} share their groups, so they can't be in different ones"
            )
        folders.append(_inside(folder, asked.pop()) if asked else folder)
    if left:
        missing = ", ".join(repr(name) for name in sorted(left))
        raise Invalid(f"the container has no control group of the controller {missing}")
    return Group(tuple(folders))


def _names(tree: Hierarchy | None) -> frozenset[str]:
    if tree is None:
        return frozenset()
    return frozenset({""}) if tree.version == 2 else frozenset(name.removeprefix("name=") for name in tree.controllers)


def _inside(folder: str, path: str) -> str:
    """Return a folder below one, whatever `..` the path has."""
    found = f"{folder}/{posixpath.normpath(f'/{path}').lstrip('/')}".rstrip("/")
    if not os.path.isdir(found):
        raise Invalid(f"the container has no control group {path!r}", hint="a process inside makes it, with mkdir")
    return found
