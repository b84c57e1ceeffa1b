"""Declares the packager `tree`."""

from collections.abc import Iterable

from moby.component import Component, HostNeed
from moby.contracts.packager import Packager
from moby.hookspecs import hookimpl


def make() -> Packager:
    """An engine with an interpreter of its own, as files that lie anywhere; other formats are made of it."""
    from moby_packager.tree.folder import Tree

    return Tree()


@hookimpl
def moby_components() -> Iterable[Component]:
    """Return the packager."""
    compiler = HostNeed("binary", "gcc", package="gcc", why="compiles what starts the interpreter")
    return [Component(name="tree", factory=make, takes="pyz", host=(compiler,))]
