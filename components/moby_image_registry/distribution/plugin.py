"""Declares `image-registry/distribution`."""

from collections.abc import Iterable, Mapping

from attrs import field, frozen

from moby.component import Component
from moby.contracts.ambient import Clock, Log
from moby.contracts.image_registry import ImageRegistry
from moby.hookspecs import hookimpl


@frozen
class Config:
    """Options of the image-registry `distribution`."""

    insecure: tuple[str, ...] = field(
        default=(), metadata={"help": "hosts, with their port, and networks as 10.0.0.0/8, that may be asked over HTTP"}
    )
    mirrors: Mapping[str, tuple[str, ...]] = field(
        factory=dict, metadata={"help": "by an image registry's host, URLs to ask before it, in order"}
    )
    certificates: str = field(
        default="/etc/docker/certs.d",
        metadata={"help": "folder with a folder HOST[:PORT] each: *.crt to trust, *.cert and *.key to show"},
    )
    attempts: int = field(default=5, metadata={"help": "how often a request is tried before it fails"})
    stall_s: float = field(default=60.0, metadata={"help": "how long a service may be silent in the midst of it"})


def make(config: Config, *, clock: Clock, log: Log) -> ImageRegistry:
    """Fetches and sends images by the OCI distribution API, from Docker Hub and others."""
    from moby_image_registry.distribution.deferred import Deferred

    def client() -> ImageRegistry:
        from moby_image_registry.distribution.registry import Distribution
        from moby_image_registry.distribution.settings import Settings

        settings = Settings(
            tuple(config.insecure), dict(config.mirrors), config.certificates, config.attempts, config.stall_s
        )
        return Distribution(settings, clock, log)

    return Deferred(client)


@hookimpl
def moby_components() -> Iterable[Component]:
    """Return the one component of this module."""
    return [Component(name="distribution", factory=make, brings=("urllib3",), preferred=True)]
