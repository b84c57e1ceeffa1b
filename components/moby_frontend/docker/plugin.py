"""The component `frontend/docker`."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from attrs import field, frozen
from attrs.validators import ge

from moby.component import Component
from moby.contracts.ambient import Clock, Log, Place
from moby.contracts.builder import Builder
from moby.contracts.containers import Containers
from moby.contracts.events import Events
from moby.contracts.frontend import Frontend
from moby.contracts.image_registry import ImageRegistry
from moby.contracts.images import Images
from moby.contracts.networks import Networks
from moby.contracts.orchestrator import Orchestrator
from moby.contracts.supervisor import Supervisor, SupervisorFeature
from moby.contracts.tracer import Tracer
from moby.contracts.volumes import Volumes
from moby.errors import Invalid
from moby.hookspecs import hookimpl

if TYPE_CHECKING:
    from attrs import Attribute

__all__ = ["Config", "make", "moby_components"]


_TLS = ("tls_certificate", "tls_key", "tls_authority")


def _addresses(config: "Config", option: "Attribute[Any]", value: tuple[str, ...]) -> None:
    from moby_frontend.docker.access import guarded
    from moby_frontend.listening.addresses import readable

    tls = any(getattr(config, name) for name in _TLS)
    readable(value, lambda address, _: guarded(address, tls=tls))


def _socket(_config: "Config", _option: "Attribute[str]", value: str) -> None:
    from moby_frontend.listening.addresses import readable

    readable([f"unix://{value}"] if value else [], lambda *_: None)


def _rules(_config: "Config", _option: "Attribute[Any]", value: tuple[str, ...]) -> None:
    from moby_frontend.docker.access import access

    access(value)


def _version(_config: "Config", _option: "Attribute[str]", value: str) -> None:
    from moby_frontend.docker.bounds import version

    version(value)


def _not_below(config: "Config", _option: "Attribute[str]", value: str) -> None:
    from moby_frontend.docker.bounds import bounds, version

    version(value)
    try:
        version(config.lowest_api)
    except Invalid:
        return  # which is said of that option
    bounds(config.lowest_api, value)


def _together(config: "Config", _option: "Attribute[str]", value: str) -> None:
    missing = [name for name in _TLS if not getattr(config, name)]
    if value and missing:
        raise Invalid(f"TLS needs {' and '.join(missing)} too")


@frozen
class Config:
    """Options of `frontend/docker`."""

    addresses: tuple[str, ...] = field(
        default=(),
        validator=_addresses,
        metadata={"help": "Where to listen: unix:///PATH, tcp://HOST:PORT (with TLS alone), fd://."},
    )
    socket: str = field(
        default="",
        validator=_socket,
        metadata={
            "alone": True,
            "help": "The path of a Unix socket to listen at, besides addresses; %t in it is the user's runtime folder.",
        },
    )
    group: str = field(default="docker", metadata={"help": "The group that may use Unix sockets, where there is it."})
    allow: Literal["all", "read", "none"] = field(
        default="all",
        metadata={"help": "What clients may do: everything, only what changes nothing, or nothing but ping."},
    )
    rules: tuple[str, ...] = field(
        default=(),
        validator=_rules,
        metadata={
            "help": "What is decided before `allow`, by the first that fits: `deny POST /containers/*/exec`, "
            '`allow GET,HEAD /images/* uid=1000`, `deny POST /containers/create body="Privileged": *true`.'
        },
    )
    authorization: tuple[str, ...] = field(
        default=(),
        metadata={"help": "Plugins of docker's (authz) that are asked about each call that the rules allow, in order."},
    )
    tls_certificate: str = field(
        default="", validator=_together, metadata={"help": "PEM file of the server's certificate."}
    )
    tls_key: str = field(default="", validator=_together, metadata={"help": "PEM file of its key."})
    tls_authority: str = field(
        default="", validator=_together, metadata={"help": "PEM file of who signs the clients' certificates."}
    )
    lowest_api: str = field(
        default="1.24", validator=_version, metadata={"help": "The oldest version of the API that is answered."}
    )
    highest_api: str = field(
        default="1.51", validator=_not_below, metadata={"help": "The newest version of the API that is answered."}
    )
    connections: int = field(
        default=4096, validator=ge(1), metadata={"help": "Refuse clients while so many are connected."}
    )


def make(
    config: Config,
    *,
    containers: Containers,
    images: Images,
    volumes: Volumes,
    networks: Networks,
    events: Events,
    supervisor: Supervisor,
    image_registry: ImageRegistry | None,
    builder: Builder | None,
    orchestrator: Orchestrator | None,
    tracer: Tracer | None,
    place: Place,
    clock: Clock,
    log: Log,
) -> Frontend:
    """Speaks the Docker Engine API, so that docker's own clients work."""
    from moby_frontend.docker.access import access
    from moby_frontend.docker.bounds import bounds
    from moby_frontend.docker.frontend import DockerFrontend, Tls
    from moby_frontend.docker.parts import Parts

    lowest, highest = bounds(config.lowest_api, config.highest_api)
    parts = Parts(
        containers, images, volumes, networks, events, supervisor, place, clock, log, lowest, highest, image_registry,
        builder, orchestrator, tracer=tracer, authorization=config.authorization,
    )  # fmt: skip
    files = (config.tls_certificate, config.tls_key, config.tls_authority)
    return DockerFrontend(
        parts,
        access((*config.rules, config.allow)),
        addresses=(*((f"unix://{config.socket}",) if config.socket else ()), *config.addresses),
        group=config.group,
        tls=Tls(*map(Path, files)) if any(files) else None,
        limit=config.connections,
    )


@hookimpl
def moby_components() -> Iterable[Component]:
    """Return this module's components."""
    features = {"supervisor": (SupervisorFeature.ATTACH_MANY, SupervisorFeature.LOGS)}
    return [Component(name="docker", factory=make, features=features, preferred=True, brings=("h11", "hpack"))]
