"""The component `content/containerd`."""

from collections.abc import Iterable

from attrs import field, frozen

from moby.component import Component
from moby.contracts.ambient import Place
from moby.contracts.content import Content
from moby.hookspecs import hookimpl

__all__ = ["Config", "make", "moby_components"]


@frozen
class Config:
    """Options of `content/containerd`."""

    address: str = field(
        default="/run/containerd/containerd.sock", metadata={"help": "The Unix socket of a containerd that runs."}
    )
    namespace: str = field(
        default="",
        metadata={"help": "The namespace of containerd's that blobs are in, one engine's alone; empty is its own."},
    )


def make(config: Config, *, place: Place) -> Content:
    """Keeps blobs in containerd's content store, by its gRPC API."""
    import hashlib
    import os

    from moby.grpc.client import Client
    from moby_content.local.containerd.service import Service
    from moby_content.local.containerd.store import RemoteStore

    # Whoever collects takes what is in the namespace for its own.
    own = f"moby-{hashlib.sha256(os.fsencode(os.path.realpath(place.state))).hexdigest()[:12]}"
    return RemoteStore(place.state, Service(Client(config.address, config.namespace or own)))


@hookimpl
def moby_components() -> Iterable[Component]:
    """Return this module's components."""
    return [Component(name="containerd", factory=make, brings=("hpack",))]
