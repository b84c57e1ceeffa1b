"""The component `tracer/otlp`."""

import platform
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from attrs import field, frozen
from attrs.validators import ge, le

from moby.component import Component
from moby.contracts.ambient import Clock, Log, Place
from moby.contracts.tracer import Tracer, TracerFeature
from moby.hookspecs import hookimpl

if TYPE_CHECKING:
    from attrs import Attribute

__all__ = ["Config", "make", "moby_components"]


def _endpoint(_config: "Config", _option: "Attribute[str]", value: str) -> None:
    from moby_tracer.otlp.exporting import Collector

    Collector.of(value, {})


@frozen
class Config:
    """Options of `tracer/otlp`."""

    endpoint: str = field(
        default="http://127.0.0.1:4318",
        validator=_endpoint,
        metadata={"help": "The collector, which takes OTLP over HTTP as JSON."},
    )
    headers: Mapping[str, str] = field(factory=dict, metadata={"help": "Headers of each export, a token for one."})
    ratio: float = field(
        default=1.0,
        validator=[ge(0.0), le(1.0)],
        metadata={"help": "The part that is kept of what begins here."},
    )


def make(config: Config, *, clock: Clock, log: Log, place: Place) -> Tracer:
    """Sends what the engine does as spans to an OpenTelemetry collector."""
    from moby_tracer.otlp.exporting import Collector, Exporting
    from moby_tracer.otlp.tracer import Otlp

    collector = Collector.of(config.endpoint, config.headers)
    resource = {"service.name": place.engine or "moby", "host.name": platform.node()}
    return Otlp(clock, Exporting(collector.send, resource, log), config.ratio)


@hookimpl
def moby_components() -> Iterable[Component]:
    """Return this module's components."""
    return [Component(name="otlp", factory=make, preferred=True, offers=(TracerFeature.OTLP,))]
