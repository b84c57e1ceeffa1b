"""What the runtime `lxc` declares."""

from collections.abc import Iterable

from attrs import field, frozen

from moby.component import Component, HostNeed
from moby.contracts.ambient import Place
from moby.contracts.runtime import Runtime
from moby.hookspecs import hookimpl
from moby_runtime.lxc import FEATURES


@frozen
class Config:
    """Options of the runtime `lxc`."""

    library: str = field(default="", metadata={"help": "path of liblxc.so.1; empty takes the host's"})


def make(config: Config, *, place: Place) -> Runtime:
    """Makes containers with LXC, as Docker did in its first year."""
    from moby_runtime.lxc.runtime import Lxc

    return Lxc(place, config.library)


@hookimpl
def moby_components() -> Iterable[Component]:
    """Return the component."""
    need = HostNeed("binary", "lxc-start", ">=4.0", "lxc", why="its library makes the containers", option="library")
    root = HostNeed("privilege", "root", why="no container can be made", optional=True)
    return [Component(name="lxc", factory=make, offers=FEATURES, host=(need, root))]
