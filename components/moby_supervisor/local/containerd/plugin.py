"""Declares `supervisor/containerd`."""

from collections.abc import Iterable, Mapping

from attrs import field, frozen

from moby.component import OUTLIVES, Component, HostNeed
from moby.contracts.ambient import Clock, Keeper, Log, Place
from moby.contracts.log_driver import LogDriver
from moby.contracts.supervisor import Supervisor
from moby.hookspecs import hookimpl
from moby_supervisor.local import FEATURES


@frozen
class Config:
    """Options of the supervisor `containerd`."""

    address: str = field(
        default="",
        metadata={"help": "the Unix socket of a containerd that runs; empty starts one of the engine's own"},
    )
    namespace: str = field(default="moby", metadata={"help": "the namespace of containerd's in which containers are"})
    binary: str = field(
        default="containerd", metadata={"help": "the containerd to start; a name is looked for on PATH"}
    )
    runtimes: tuple[str, ...] = field(
        default=("runc",),
        metadata={"help": "runtimes that take runc's command line, the default one first: a name, or NAME=PATH"},
    )
    kill_timeout_s: float = field(default=10.0, metadata={"help": "how long a killed container may take to end"})
    log_timeout_s: float = field(
        default=10.0, metadata={"help": "how long the deletion of a container waits for a slow log"}
    )


def make(
    config: Config, *, logs: Mapping[str, LogDriver], keeper: Keeper, place: Place, clock: Clock, log: Log
) -> Supervisor:
    """Keeps containers that containerd and its shims run, as Docker's engine does."""
    from moby_supervisor.local.containerd.supervisor import Containerd

    named = [each.partition("=") for each in config.runtimes]
    return Containerd(
        {name: path or name for name, _, path in named}, logs, keeper, place, clock, log, address=config.address,
        namespace=config.namespace, binary=config.binary, timeouts_s=(config.kill_timeout_s, config.log_timeout_s),
    )  # fmt: skip


@hookimpl
def moby_components() -> Iterable[Component]:
    """Return the one component of this module."""
    need = HostNeed("binary", "containerd", ">=1.7", "containerd", why="it runs the containers", option="binary")
    return [
        Component(name="containerd", factory=make, offers=FEATURES, served=OUTLIVES, host=(need,), brings=("hpack",))
    ]
