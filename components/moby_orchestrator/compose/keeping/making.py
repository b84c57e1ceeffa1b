"""What a task's container is made of: its service's, and what is its own."""

import re
from collections.abc import Mapping

from moby.contracts.containers import Container, ContainerConfig, MountRequest, PortBinding, RestartPolicy
from moby.contracts.networks import EndpointConfig
from moby.contracts.orchestrator import Node, RestartCondition, ServiceSpec
from moby.values import evolve
from moby_orchestrator.compose import names
from moby_orchestrator.compose.keeping.planning import wanted_name
from moby_orchestrator.compose.keeping.values import DATA, OWN, Kept, key_of

__all__ = ["config_of", "labels_of"]

_PLACE = re.compile(r"\{\{\s*\.([A-Za-z]+)\.([A-Za-z]+)\s*\}\}")
_POLICIES = {
    RestartCondition.NONE: "no",
    RestartCondition.ON_FAILURE: "on-failure",
    RestartCondition.ANY: "always",
}


def labels_of(service: Kept, number: int, image_id: str, replaces: str = "") -> dict[str, str]:
    """Return the labels by which docker compose and this find a container again."""
    spec = service.spec
    waits = (
        f"{key_of(spec.application, each.service)}:{each.condition}:{str(each.restart).lower()}"
        for each in spec.dependencies
    )
    found = {
        names.SERVICE: key_of(spec.application, spec.name),
        f"{names.PREFIX}version": names.VERSION,
        names.ONEOFF: "False",
        names.HASH: service.template,
        names.NUMBER: str(number),
        f"{names.PREFIX}depends_on": ",".join(waits),
        names.IMAGE: image_id,
        OWN: service.id,
    }
    if service.data:
        found[DATA] = str(service.data)
    if spec.application:
        found[names.PROJECT] = spec.application
    if replaces:
        found[names.REPLACE] = replaces
    return {**spec.container.labels, **found}


def config_of(
    service: Kept, number: int, node: Node, image_id: str, image_volumes: tuple[str, ...], old: Container | None = None
) -> ContainerConfig:
    """Return what a service's container of a number is; it has the anonymous volumes of the one that it replaces."""
    spec, container = service.spec, service.spec.container
    words = {
        "Service.ID": service.id,
        "Service.Name": spec.name,
        "Node.ID": node.id,
        "Node.Hostname": node.description.hostname,
        "Task.Name": wanted_name(service, number),
        "Task.Slot": str(number),
    }

    def filled(text: str) -> str:
        return _PLACE.sub(lambda found: words.get(f"{found[1]}.{found[2]}", found[0]), text)

    inherited = _inherited(container, image_volumes, old) if old else ()
    known = {each.target for each in inherited}
    mounts = [evolve(each, source=filled(each.source)) for each in container.mounts if each.target not in known]
    return evolve(
        container,
        labels=labels_of(service, number, image_id, old.id if old else ""),
        environment=tuple(map(filled, container.environment)),
        hostname=filled(container.hostname),
        mounts=(*mounts, *inherited),
        volumes=tuple(each for each in container.volumes if each not in known),
        restart=_policy(spec),
        ports=tuple(
            PortBinding(f"{each.target}/{each.protocol}", each.host_address, str(each.published or ""))
            for each in spec.ports
        ),
        network=next(iter(spec.networks), ""),
        endpoints=_endpoints(spec, wanted_name(service, number)),
    )


def _policy(spec: ServiceSpec) -> RestartPolicy:
    restart, name = spec.restart, _POLICIES[spec.restart.condition]
    if restart.condition is RestartCondition.NONE:
        return RestartPolicy(name)
    if restart.condition is RestartCondition.ON_FAILURE and not restart.window_ns:
        return RestartPolicy(name, restart.max_attempts, restart.delay_ns)  # as docker shows it
    return RestartPolicy(name, 0, restart.delay_ns, restart.max_attempts, restart.window_ns)


def _endpoints(spec: ServiceSpec, name: str) -> Mapping[str, EndpointConfig]:
    own = (name, key_of(spec.application, spec.name))
    return {
        network: evolve(each, aliases=tuple(dict.fromkeys((*own, *each.aliases))))
        for network, each in spec.networks.items()
    }


def _inherited(container: ContainerConfig, image_volumes: tuple[str, ...], old: Container) -> tuple[MountRequest, ...]:
    """Return the anonymous volumes of a container that the next one has too."""
    asked = {each.target for each in container.mounts if each.source or each.type != "volume"}
    anonymous = {*container.volumes, *image_volumes, *(each.target for each in container.mounts)} - asked
    return tuple(
        MountRequest("volume", each.destination, each.name, read_only=not each.read_write)
        for each in old.mounts
        if each.type == "volume" and each.destination in anonymous
    )
