"""What a task's container is made of."""

from collections.abc import Mapping, Sequence

from moby.contracts.containers import Container, ContainerConfig, MountRequest, PortBinding, RestartPolicy
from moby.contracts.networks import EndpointConfig
from moby.contracts.orchestrator import EndpointMode, Node, PublishMode, ServiceSpec, Task
from moby.values import evolve
from moby_orchestrator.swarm.placeholders import Context, context_of, expand

__all__ = [
    "INGRESS", "NODE_ID", "SERVICE_ID", "TASK_ID", "config_of", "container_name", "endpoints_of", "is_ingress",
    "task_of",
]  # fmt: skip

NODE_ID, SERVICE_ID, SERVICE_NAME = (f"com.docker.swarm.{each}" for each in ("node.id", "service.id", "service.name"))
TASK, TASK_ID, TASK_NAME = (f"com.docker.swarm.{each}" for each in ("task", "task.id", "task.name"))
INGRESS = "ingress"
"""The network by which published ports reach tasks."""
_FIRST = 100
"""Priority of the network that a container's way out leads through."""


def container_name(task: Task) -> str:
    """Return the name of a task's container, as docker has it."""
    return f"{task.spec.name}.{task.slot or task.node_id}.{task.id}"


def task_of(container: Container, node_id: str, tasks: Mapping[str, Task]) -> str:
    """Return the task that a container was made for on a node; empty for somebody's who gave it such labels.

    Earlier engines said it by labels alone; theirs are known by what their tasks say.
    """
    labels = container.config.labels
    if labels.get(NODE_ID) != node_id:
        return ""
    task = tasks.get(labels.get(TASK_ID, ""))
    return container.config.task or (task.id if task and task.status.container_id == container.id else "")


def is_ingress(spec: ServiceSpec) -> bool:
    """Return whether something of a service is published for all its tasks."""
    return any(each.mode is PublishMode.INGRESS for each in spec.ports)


def config_of(task: Task, node: Node | None, files: Sequence[MountRequest]) -> ContainerConfig:
    """Return what a task's container is to be; Invalid for a placeholder that nobody knows."""
    spec, context = task.spec, context_of(task, node)
    asked = spec.container
    endpoints = endpoints_of(spec)
    return evolve(
        asked,
        environment=tuple(expand(each, context) for each in asked.environment),
        hostname=expand(asked.hostname, context),
        labels={**asked.labels, **_labels(task, context)},
        mounts=(*(_expanded(each, context) for each in asked.mounts), *files),
        restart=RestartPolicy(),
        auto_remove=False,
        network=asked.network if not endpoints else next(iter(endpoints)),
        endpoints=endpoints,
        ports=tuple(
            PortBinding(f"{each.target}/{each.protocol}", each.host_address, str(each.published or ""))
            for each in spec.ports
            if each.mode is PublishMode.HOST
        ),
        task=task.id,
    )


def endpoints_of(spec: ServiceSpec) -> Mapping[str, EndpointConfig]:
    """Return how a task is on its networks: by `tasks.NAME`, and by the service's names where that has no address."""
    names = (f"tasks.{spec.name}",)
    found = {}
    for network, config in spec.networks.items():
        own = (spec.name, *config.aliases) if spec.endpoint_mode is EndpointMode.DNSRR else ()
        found[network] = evolve(
            config, aliases=(*names, *own), ipv4_address="", ipv6_address="", mac_address="", service=True
        )  # fmt: skip
    if is_ingress(spec):
        found[INGRESS] = EndpointConfig(gateway_priority=-_FIRST, service=True)
    return found


def _labels(task: Task, context: Context) -> Mapping[str, str]:
    return {
        NODE_ID: task.node_id,
        SERVICE_ID: task.service_id,
        SERVICE_NAME: task.spec.name,
        TASK: "",
        TASK_ID: task.id,
        TASK_NAME: context["Task"]["Name"],
    }


def _expanded(mount: MountRequest, context: Context) -> MountRequest:
    return evolve(mount, source=expand(mount.source, context))
