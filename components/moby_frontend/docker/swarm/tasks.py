"""Tasks as they are shown."""

from collections.abc import Iterable, Mapping
from typing import Any

from moby.contracts.network_driver import Port
from moby.contracts.networks import Endpoint
from moby.contracts.orchestrator import Mode, ServiceSpec, Task, TaskState, TaskStatus
from moby_frontend.docker.swarm.names import Names
from moby_frontend.docker.swarm.services import JOBS, LAID_OUT, iteration, show_template
from moby_frontend.docker.times import rfc3339

__all__ = ["show_task", "show_tasks", "shown_slot"]

_BEFORE_ITS_NODE = frozenset({TaskState.NEW, TaskState.PENDING, TaskState.ASSIGNED, TaskState.ACCEPTED})


def show_tasks(tasks: Iterable[Task], names: Names) -> list[dict[str, Any]]:
    """Return tasks; what those of one spec have alike is made once."""
    specs: dict[int, tuple[ServiceSpec, dict[str, Any]]] = {}  # with what they are of, which so keeps its number
    shown = []
    for task in tasks:
        if (known := specs.get(id(task.spec))) is None:
            known = specs[id(task.spec)] = task.spec, show_template(task.spec, names)
        shown.append(_show(task, known[1]))
    return shown


def show_task(task: Task, names: Names) -> dict[str, Any]:
    """Return a task."""
    return _show(task, show_template(task.spec, names))


def _show(task: Task, template: Mapping[str, Any]) -> dict[str, Any]:
    updated = max(task.created_ns, task.status.time_ns)
    shown: dict[str, Any] = {
        "ID": task.id,
        "Version": {"Index": task.version},
        "CreatedAt": rfc3339(task.created_ns),
        "UpdatedAt": rfc3339(updated),
        "Labels": {},
        "Spec": template,
        "ServiceID": task.service_id,
        **({"Slot": shown_slot(task)} if shown_slot(task) else {}),
        **({"NodeID": task.node_id} if task.node_id else {}),
        "Status": _show_status(task.status),
        "DesiredState": task.desired.value,
    }
    if task.endpoints:
        shown["NetworksAttachments"] = [_show_attachment(each) for each in task.endpoints]
    if task.spec.mode in JOBS:
        shown["JobIteration"] = iteration(task.template)
    return shown | {"Volumes": None}


def shown_slot(task: Task) -> int:
    """Return a task's slot; jobs' are counted from 0 by docker, by which its command follows them."""
    if task.spec.mode not in LAID_OUT:
        return 0
    return task.slot - 1 if task.spec.mode is Mode.REPLICATED_JOB else task.slot


def _show_status(status: TaskStatus) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "Timestamp": rfc3339(status.time_ns),
        "State": status.state.value,
        "Message": status.message or status.state.value,
    }
    if status.error:
        shown["Err"] = status.error
    if status.state not in _BEFORE_ITS_NODE:
        shown["ContainerStatus"] = {
            "ContainerID": status.container_id, "PID": status.pid, "ExitCode": status.exit_code or 0,
        }  # fmt: skip
    ports = [_show_port(each) for each in status.ports]
    return shown | {"PortStatus": {"Ports": ports} if ports else {}}


def _show_port(port: Port) -> dict[str, Any]:
    return {
        "Protocol": port.protocol, "TargetPort": port.container_port, "PublishedPort": port.host_port,
        "PublishMode": "host",
    }  # fmt: skip


def _show_attachment(endpoint: Endpoint) -> dict[str, Any]:
    pairs = (
        (endpoint.ipv4_address, endpoint.ipv4_prefix),
        (endpoint.ipv6_address, endpoint.ipv6_prefix),
    )
    return {
        "Network": {"ID": endpoint.network_id, "Version": {}, "Spec": {"Name": endpoint.network}},
        "Addresses": [f"{address}/{prefix}" for address, prefix in pairs if address],
    }
