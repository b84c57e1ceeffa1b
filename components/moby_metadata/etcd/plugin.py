"""The component `metadata/etcd`."""

from collections.abc import Iterable

from attrs import field, frozen
from attrs.validators import ge

from moby.component import COPIED, Component
from moby.contracts.metadata import Metadata
from moby.hookspecs import hookimpl

__all__ = ["Config", "make", "moby_components"]


@frozen
class Config:
    """Options of `metadata/etcd`."""

    endpoints: tuple[str, ...] = field(
        default=("http://127.0.0.1:2379",), metadata={"help": "Where members listen, each as http://HOST:PORT."}
    )
    prefix: str = field(
        default="/moby/", metadata={"help": "What all keys begin with; engines that share it share their metadata."}
    )
    timeout_s: float = field(default=5.0, metadata={"help": "How long a member may take to answer."})
    max_request_bytes: int = field(
        default=1536 << 10,
        validator=ge(1),
        metadata={"help": "How much the members take at once, as their own --max-request-bytes."},
    )


def make(config: Config) -> Metadata:
    """Keeps documents in etcd 3, where several hosts may share them."""
    from moby_metadata.etcd.client import Client
    from moby_metadata.etcd.store import Store

    return Store(Client(config.endpoints, config.timeout_s), config.prefix, config.max_request_bytes)


@hookimpl
def moby_components() -> Iterable[Component]:
    """Return this module's components."""
    return [Component(name="etcd", factory=make, served=COPIED, brings=("hpack",))]
