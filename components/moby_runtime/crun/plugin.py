"""What the runtime `crun` declares."""

from collections.abc import Iterable

from attrs import field, frozen

from moby.component import Component, HostNeed
from moby.contracts.ambient import Place
from moby.contracts.runtime import Runtime
from moby.hookspecs import hookimpl
from moby_runtime.crun import CRUN


@frozen
class Config:
    """Options of the runtime `crun`."""

    binary: str = field(default="", metadata={"help": "path of crun; empty takes the one on PATH"})


def make(config: Config, *, place: Place) -> Runtime:
    """Makes containers with crun, the runtime of Podman."""
    from moby_runtime.oci_command.runtime import OciCommand

    return OciCommand(place, CRUN, config.binary)


@hookimpl
def moby_components() -> Iterable[Component]:
    """Return the component."""
    need = HostNeed("binary", "crun", ">=1.14", CRUN.package, why="it makes the containers", option="binary")
    unmixed = HostNeed("cgroup", "unmixed", why="crun refuses both versions at once")
    return [Component(name="crun", factory=make, offers=CRUN.features, host=(need, unmixed))]
