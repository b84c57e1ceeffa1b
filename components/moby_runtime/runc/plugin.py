"""What the runtime `runc` declares."""

from collections.abc import Iterable

from attrs import field, frozen

from moby.component import Component, HostNeed
from moby.contracts.ambient import Place
from moby.contracts.runtime import Runtime
from moby.hookspecs import hookimpl
from moby_runtime.runc import RUNC


@frozen
class Config:
    """Options of the runtime `runc`."""

    binary: str = field(default="", metadata={"help": "path of runc; empty takes the one on PATH"})


def make(config: Config, *, place: Place) -> Runtime:
    """Makes containers with runc, the runtime of Docker and containerd."""
    from moby_runtime.oci_command.runtime import OciCommand

    return OciCommand(place, RUNC, config.binary)


@hookimpl
def moby_components() -> Iterable[Component]:
    """Return the component."""
    need = HostNeed("binary", "runc", ">=1.1", RUNC.package, why="it makes the containers", option="binary")
    return [Component(name="runc", factory=make, offers=RUNC.features, host=(need,))]
