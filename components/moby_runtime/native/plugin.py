"""What the native runtime declares."""

from collections.abc import Iterable

from attrs import field, frozen

from moby.component import Component, HostNeed
from moby.contracts.ambient import Log, Place
from moby.contracts.runtime import Runtime
from moby.hookspecs import hookimpl
from moby_runtime.native.features import FEATURES


@frozen
class Config:
    """Options of the native runtime."""

    systemd: bool = field(default=False, metadata={"help": "whether systemd holds each container, in a scope"})


def make(config: Config, *, place: Place, log: Log) -> Runtime:
    """Starts containers by system calls from Python, with no other program."""
    from moby_runtime.native.runtime import Native

    return Native(place, log, systemd=config.systemd)


@hookimpl
def moby_components() -> Iterable[Component]:
    """Return the component."""
    needs = (
        ("clone3", "starts processes in namespaces"),
        ("mount-setattr", "mounts by descriptor"),
        ("openat2", "resolves mount targets inside the root"),
        ("namespaces", "isolates containers"),
        ("user-namespaces", "lets an ordinary user make containers"),
    )
    host = tuple(HostNeed("kernel", name, why=why) for name, why in needs)
    return [Component(name="native", factory=make, offers=FEATURES, host=host, preferred=True)]
