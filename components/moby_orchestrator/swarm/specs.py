"""What is wrong with a service's spec, and how its ports are published."""

import re
from collections.abc import Iterable, Iterator, Mapping

from moby.contracts.networks import Networks
from moby.contracts.orchestrator import EndpointMode, Mode, PublishedPort, PublishMode, Service, ServiceSpec
from moby.errors import Conflict, Invalid, MobyError, NotFound, Problem
from moby.values import evolve
from moby_orchestrator.reconciling import bounds, constraints
from moby_orchestrator.swarm.store import Draft

__all__ = ["check", "check_networks", "check_references", "published"]

_NAME = re.compile(r"[a-zA-Z0-9]+(?:[a-zA-Z0-9_.-]*[a-zA-Z0-9])?")
_MOST = 63
_PORTS = range(1, 65536)
_CHOSEN = range(30000, 32768)
"""Of which a port is chosen that is published at none in particular; as docker."""


_OF_ONE = ("ipv4_address", "ipv6_address", "mac_address")


def check(spec: ServiceSpec) -> None:
    """Refuse what can't be as described; Invalid has every problem."""
    found = tuple(_problems(spec))
    if found:
        raise Invalid(found[0], problems=tuple(map(Problem, found)))


def _problems(spec: ServiceSpec) -> Iterator[str]:
    if not _NAME.fullmatch(spec.name) or len(spec.name) > _MOST:
        yield f"invalid name {spec.name!r}: it is up to {_MOST} letters, digits, and `_`, `-` and `.` between them"
    if not spec.container.image:
        yield "ContainerSpec: image reference must be provided"
    if spec.replicas < 0 or spec.completions < 0:
        yield "replicas: a service can't have fewer than 0 tasks"
    yield from bounds.problems(spec)
    yield from _in_words(constraints.parse, spec.placement.constraints)
    yield from _in_words(constraints.known, spec.placement.spread)
    if spec.placement.max_replicas_per_node and spec.mode not in (Mode.REPLICATED, Mode.REPLICATED_JOB):
        yield "max replicas per node is of replicated services alone"
    yield from _port_problems(spec)
    for network, endpoint in spec.networks.items():
        for what in _OF_ONE:
            if getattr(endpoint, what):
                yield f"networks: {what} of {network} is one container's, and tasks come and go"


def _in_words(check_one: object, words: Iterable[str]) -> Iterator[str]:
    for each in words:
        try:
            check_one(each)  # type: ignore[operator]  # a function, by its callers
        except MobyError as error:
            yield error.message


def _port_problems(spec: ServiceSpec) -> Iterator[str]:
    seen = set()
    for port in spec.ports:
        if port.target not in _PORTS or (port.published and port.published not in _PORTS):
            yield f"invalid port {port.published}:{port.target}: ports are 1 to 65535"
        if port.protocol not in ("tcp", "udp", "sctp"):
            yield f"invalid protocol {port.protocol!r}"
        ingress = port.mode is PublishMode.INGRESS
        if ingress and spec.endpoint_mode is EndpointMode.DNSRR:
            yield f"EndpointSpec: port published with ingress mode can't be used with dnsrr mode ({port.target})"
        key = (port.published, port.protocol, port.mode)
        if port.published and key in seen:
            yield f"EndpointSpec: duplicate published ports provided ({port.published}/{port.protocol})"
        seen.add(key)


def check_references(spec: ServiceSpec, draft: Draft) -> None:
    """Refuse secrets and configs that aren't there; NotFound names the first."""
    secrets = {each.secret.name for each in draft.secrets.values()}
    configs = {each.spec.name for each in draft.configs.values()}
    for kind, there, references in (("secret", secrets, spec.secrets), ("config", configs, spec.configs)):
        for each in references:
            if each.source not in there:
                raise NotFound(f"{kind} {each.source} not found")
        targets = [each.target or each.source for each in references]
        twice = next((each for each in targets if targets.count(each) > 1), None)
        if twice is not None:
            raise Invalid(f"{kind} references have a conflicting target: {twice!r}")


def check_networks(spec: ServiceSpec, networks: Networks) -> None:
    """Refuse networks that aren't there; NotFound."""
    for each in spec.networks:
        networks.get(each)


def published(spec: ServiceSpec, service_id: str, services: Mapping[str, Service]) -> tuple[PublishedPort, ...]:
    """Return a service's ports as they are published; Conflict names who has one.

    A port that was chosen for it before stays.
    """
    taken = {
        (port.published, port.protocol): each
        for each in sorted(services.values(), key=lambda each: not each.removing)  # who stays counts, not who goes
        if each.id != service_id
        for port in each.ports
        if port.mode is PublishMode.INGRESS
    }
    before = services[service_id].ports if service_id in services else ()
    found: list[PublishedPort] = []
    for port in spec.ports:
        if port.mode is PublishMode.INGRESS and port.published:
            _refuse_taken(port, taken)
    for port in spec.ports:
        if port.mode is PublishMode.HOST or port.published:
            found.append(port)
            continue
        mine = {(each.published, each.protocol) for each in (*found, *spec.ports)}
        kept = [each.published for each in before if evolve(each, published=0) == port]
        free = (each for each in (*kept, *_CHOSEN) if {(each, port.protocol)}.isdisjoint({*mine, *taken}))
        number = next(free, 0)
        if not number:
            raise Conflict(f"no port is left to publish {port.target}/{port.protocol} at")
        found.append(evolve(port, published=number))
    return tuple(found)


def _refuse_taken(port: PublishedPort, taken: Mapping[tuple[int, str], Service]) -> None:
    other = taken.get((port.published, port.protocol))
    if other is not None and not other.removing:
        raise Conflict(
            f"port '{port.published}' is already in use by service '{other.spec.name}' ({other.id}) as an ingress port"
        )
