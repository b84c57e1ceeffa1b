"""What the runtime `chroot` declares."""

from collections.abc import Iterable

from attrs import frozen

from moby.component import Component, HostNeed
from moby.contracts.ambient import Place
from moby.contracts.runtime import Runtime
from moby.hookspecs import hookimpl
from moby_runtime.chroot import FEATURES


@frozen
class Config:
    """Options of the runtime `chroot`: none."""


def make(config: Config, *, place: Place) -> Runtime:
    """Runs a program in a root, as a user: the jail of 1979, which hides nothing but files."""
    from moby_runtime.jails.runtime import Jails

    return Jails(place, "chroot", FEATURES)


@hookimpl
def moby_components() -> Iterable[Component]:
    """Return the component."""
    root = HostNeed("privilege", "root", why="no container can enter its root", optional=True)
    return [Component(name="chroot", factory=make, offers=FEATURES, host=(root,))]
