"""What the runtime `cgroup` declares."""

from collections.abc import Iterable

from attrs import frozen

from moby.component import Component, HostNeed
from moby.contracts.ambient import Place
from moby.contracts.runtime import Runtime
from moby.hookspecs import hookimpl
from moby_runtime.cgroup import FEATURES


@frozen
class Config:
    """Options of the runtime `cgroup`: none."""


def make(config: Config, *, place: Place) -> Runtime:
    """Runs programs in a root under limits that count what they use, without namespaces: process containers."""
    from moby_runtime.jails.runtime import Jails

    return Jails(place, "cgroup", FEATURES)


@hookimpl
def moby_components() -> Iterable[Component]:
    """Return the component."""
    root = HostNeed("privilege", "root", why="no container can enter its root", optional=True)
    return [Component(name="cgroup", factory=make, offers=FEATURES, host=(root,))]
