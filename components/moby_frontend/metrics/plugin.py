"""The component `frontend/metrics`."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from attrs import field, frozen

from moby.component import Component
from moby.contracts.ambient import Log, Place
from moby.contracts.containers import Containers
from moby.contracts.events import Events
from moby.contracts.frontend import Frontend
from moby.contracts.images import Images
from moby.contracts.volumes import Volumes
from moby.hookspecs import hookimpl

if TYPE_CHECKING:
    from attrs import Attribute

__all__ = ["Config", "make", "moby_components"]


def _addresses(config: "Config", _option: "Attribute[tuple[str, ...]]", value: tuple[str, ...]) -> None:
    from moby_frontend.listening.addresses import readable
    from moby_frontend.metrics.reach import private

    public = config.public
    readable(value, lambda address, host: private(address, host, public=public))


@frozen
class Config:
    """Options of `frontend/metrics`."""

    addresses: tuple[str, ...] = field(
        default=(),
        validator=_addresses,
        metadata={"help": "Where to listen: tcp://127.0.0.1:PORT, unix:///PATH, fd://."},
    )
    group: str = field(default="docker", metadata={"help": "The group that may use Unix sockets, where there is it."})
    public: bool = field(default=False, metadata={"help": "Whether other machines may ask too, without any proof."})


def make(
    config: Config, *, containers: Containers, images: Images, volumes: Volumes, events: Events, place: Place, log: Log
) -> Frontend:
    """Serves metrics of the engine and its containers to Prometheus."""
    from moby_frontend.metrics.counting import EventCounts
    from moby_frontend.metrics.exposition import text
    from moby_frontend.metrics.figures import Parts, collect
    from moby_frontend.metrics.frontend import MetricsFrontend

    counts = EventCounts(events)
    parts = Parts(containers, images, volumes, place.engine or "moby")
    return MetricsFrontend(
        lambda: text(collect(parts, counts.now())), counts, log,
        addresses=config.addresses, group=config.group, public=config.public,
    )  # fmt: skip


@hookimpl
def moby_components() -> Iterable[Component]:
    """Return this module's components."""
    return [Component(name="metrics", factory=make)]
