"""The component `snapshotter/containerd`."""

from collections.abc import Iterable

from attrs import field, frozen

from moby.component import Component
from moby.contracts.ambient import Place
from moby.contracts.metadata import Metadata
from moby.contracts.snapshotter import Snapshotter
from moby.hookspecs import hookimpl

__all__ = ["Config", "make", "moby_components"]


@frozen
class Config:
    """Options of `snapshotter/containerd`."""

    address: str = field(
        default="/run/containerd/containerd.sock", metadata={"help": "The Unix socket of a containerd that runs."}
    )
    namespace: str = field(default="moby", metadata={"help": "The namespace of containerd's that snapshots are in."})
    snapshotter: str = field(default="overlayfs", metadata={"help": "Which of containerd's snapshotters."})
    max_unpacked_bytes: int = field(
        default=64 << 30, metadata={"help": "Refuse a layer that unpacks to more than this many bytes."}
    )
    max_unpacked_files: int = field(
        default=4_000_000, metadata={"help": "Refuse a layer that unpacks to more than this many files."}
    )


def make(config: Config, *, metadata: Metadata, place: Place) -> Snapshotter:
    """Has one of containerd's snapshotters keep layers, by its gRPC API."""
    from moby.grpc.client import Client
    from moby.oci.unpack import Limits
    from moby_snapshotter.containerd.service import Service
    from moby_snapshotter.containerd.snapshots import Containerd

    service = Service(Client(config.address, config.namespace), config.snapshotter)
    limits = Limits(config.max_unpacked_bytes, config.max_unpacked_files)
    return Containerd(place.state, metadata, service, config.snapshotter, limits)


@hookimpl
def moby_components() -> Iterable[Component]:
    """Return this module's components."""
    return [Component(name="containerd", factory=make, brings=("hpack",))]
