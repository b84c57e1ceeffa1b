"""Services: ServiceSpec with its TaskTemplate to the contract's and back, and a service as it is shown."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from moby.contracts.containers import ContainerConfig, Resources
from moby.contracts.networks import EndpointConfig
from moby.contracts.orchestrator import (
    FileReference,
    Mode,
    Restart,
    Service,
    ServiceSpec,
    Task,
    TaskState,
    UpdatePolicy,
    UpdateStatus,
)
from moby.errors import Invalid
from moby.oci.reference import parse
from moby_frontend.docker.modes import go_mode, mode_of
from moby_frontend.docker.swarm.containers import (
    WHERE,
    read_container,
    read_log,
    read_resources,
    show_container,
    show_log,
    show_resources,
)
from moby_frontend.docker.swarm.faults import rejected
from moby_frontend.docker.swarm.names import Names
from moby_frontend.docker.swarm.policies import (
    read_endpoint_spec,
    read_mode,
    read_placement,
    read_policy,
    read_restart,
    show_endpoint_spec,
    show_mode,
    show_placement,
    show_policy,
    show_ports,
    show_restart,
)
from moby_frontend.docker.swarm.strict import lowered, read_all
from moby_frontend.docker.times import rfc3339
from moby_frontend.docker.translate.forms import NUMBER, TEXT, TEXT_MAP, TEXTS, Field, Form, items, object_of, show

__all__ = [
    "JOBS",
    "LAID_OUT",
    "STACK",
    "iteration",
    "read_service",
    "show_service",
    "show_spec",
    "show_status",
    "show_template",
]

STACK = "com.docker.stack.namespace"
"""The label by which docker's command says what a service is part of."""
JOBS = frozenset({Mode.REPLICATED_JOB, Mode.GLOBAL_JOB})
LAID_OUT = frozenset({Mode.REPLICATED, Mode.REPLICATED_JOB})
"""Modes whose tasks are numbered; of others a task is known by its node."""
_NAME = re.compile(r"[a-zA-Z0-9](?:[-_]*[A-Za-z0-9]+)*")
_SPEC = ("Name", "Labels", "TaskTemplate", "Mode", "UpdateConfig", "RollbackConfig", "Networks", "EndpointSpec")
_TEMPLATE = (
    "ContainerSpec", "Resources", "RestartPolicy", "Placement", "Networks", "LogDriver", "ForceUpdate", "Runtime",
)  # fmt: skip

# In -----------------------------------------------------------------------------------------------------------------


def read_service(body: Any, names: Names) -> ServiceSpec:
    """Return what a ServiceSpec asks for; Invalid by the name of a field that can't be kept, or in docker's words."""
    found = read_all((Field("Name", "name", TEXT), Field("Labels", "labels", TEXT_MAP)), body, "ServiceSpec", _SPEC)
    lower = lowered(body, "ServiceSpec")
    template = lowered(lower.get("tasktemplate"), "TaskTemplate")
    read_all((), lower.get("tasktemplate"), "TaskTemplate", _TEMPLATE)
    _check_runtime(template)
    name = _checked_name(found.get("name", ""))
    mode, counts = read_mode(lower.get("mode"))
    if mode in JOBS and (lower.get("updateconfig") or lower.get("rollbackconfig")):
        raise rejected(f"Jobs may not have {'an update' if lower.get('updateconfig') else 'a rollback'} config")
    endpoint_mode, ports = read_endpoint_spec(lower.get("endpointspec"))
    container, reservations = _read_template_container(template)
    spec = object_of(template.get("containerspec"), WHERE)
    restart = template.get("restartpolicy")
    return ServiceSpec(
        name=name,
        container=container,
        application=found.get("labels", {}).get(STACK, ""),
        labels=found.get("labels", {}),
        mode=mode,
        **counts,
        placement=read_placement(template.get("placement")),
        reservations=reservations,
        restart=Restart() if restart is None else read_restart(restart),
        update=read_policy(lower.get("updateconfig"), "UpdateConfig"),
        rollback=read_policy(lower.get("rollbackconfig"), "RollbackConfig"),
        networks=_read_networks(template.get("networks") or lower.get("networks"), names),
        ports=ports,
        endpoint_mode=endpoint_mode,
        secrets=_read_references(spec, "Secret"),
        configs=_read_references(spec, "Config"),
        force=NUMBER.read(template.get("forceupdate") or 0, "TaskTemplate.ForceUpdate"),
    )


def _check_runtime(template: Mapping[str, Any]) -> None:
    runtime = template.get("runtime") or "container"
    if runtime in {"plugin", "attachment"}:
        raise Invalid(f"TaskTemplate.Runtime: this engine's tasks are containers, and no {runtime}s")
    if runtime != "container":
        raise Invalid("unsupported runtime")
    if template.get("containerspec") is None:
        raise Invalid("mismatched Runtime and *Spec fields")


def _checked_name(name: str) -> str:
    if not name:
        return ""
    if not _NAME.fullmatch(name):
        raise rejected("name must be valid as a DNS name component")
    if len(name) > 63:
        raise rejected("name must be 63 characters or fewer")
    return name


def _read_template_container(template: Mapping[str, Any]) -> tuple[ContainerConfig, Any]:
    container = read_container(template.get("containerspec"))
    image = container.get("image", "")
    if not image:
        raise rejected("ContainerSpec: image reference must be provided")
    try:
        parse(image)
    except Invalid as error:
        raise rejected(f'ContainerSpec: "{image}" is not a valid repository/tag') from error
    targets = [each.target for each in container["mounts"]]
    if twice := sorted({each for each in targets if targets.count(each) > 1}):
        raise rejected(f"ContainerSpec: duplicate mount point: {twice[0]}")
    limits, reservations = read_resources(template.get("resources"))
    resources = Resources(**limits, ulimits=container.pop("ulimits"))
    log = read_log(template.get("logdriver"))
    return ContainerConfig(**container, resources=resources, log=log), reservations


_NETWORK = (
    Field("Target", "target", TEXT),
    Field("Aliases", "aliases", TEXTS),
    Field("DriverOpts", "driver_options", TEXT_MAP),
)


def _read_networks(value: Any, names: Names) -> dict[str, EndpointConfig]:
    found = {}
    for each in items(value, "TaskTemplate.Networks"):
        given = read_all(_NETWORK, each, "TaskTemplate.Networks")
        name = names.network(given.pop("target", ""))
        if name in found:
            raise Invalid(f"TaskTemplate.Networks: {name} is there twice; put all aliases into one")
        found[name] = EndpointConfig(**given)
    return found


def _id(value: Any, where: str) -> int:
    text = TEXT.read(value, where)
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise Invalid(f"{where}: {text!r} is no number of a user or group")
    return int(text)


def _mode(value: Any, where: str) -> int:
    number: int = NUMBER.read(value, where)
    return mode_of(number) & 0o7777


_FILE = (
    Field("Name", "target", TEXT),
    Field("UID", "uid", Form(_id, str)),
    Field("GID", "gid", Form(_id, str)),
    Field("Mode", "mode", Form(_mode, go_mode)),
)


def _read_references(spec: Mapping[str, Any], kind: str) -> tuple[FileReference, ...]:
    """Return which secrets, or configs, are which files."""
    found, where = [], f"{WHERE}.{kind}s"
    for each in items({key.lower(): value for key, value in spec.items()}.get(f"{kind.lower()}s"), where):
        fields = (Field(f"{kind}ID", "id", TEXT), Field(f"{kind}Name", "name", TEXT))
        given = read_all(fields, each, where, ("File",))
        file = lowered(each, where).get("file")
        if not (given.get("id") and given.get("name") and file):
            raise rejected(f"malformed {kind.lower()} reference")
        inner = {"target": given["name"]} | read_all(_FILE, file, f"{where}.File")
        found.append(FileReference(source=given["name"], **inner))
    return tuple(found)


# Out ----------------------------------------------------------------------------------------------------------------


def show_spec(spec: ServiceSpec, names: Names, *, defaults: bool = False) -> dict[str, Any]:
    """Return a ServiceSpec; with `defaults` what is as if nothing had been said is shown too."""
    labels = dict(spec.labels)
    if spec.application:
        labels.setdefault(STACK, spec.application)
    shown = {
        "Name": spec.name,
        "Labels": labels,
        "TaskTemplate": show_template(spec, names, defaults=defaults) | {"Runtime": "container"},
        "Mode": show_mode(spec.mode, spec.replicas, spec.completions),
        "EndpointSpec": show_endpoint_spec(spec.endpoint_mode, spec.ports),
    }
    for name, policy in (("UpdateConfig", spec.update), ("RollbackConfig", spec.rollback)):
        if defaults or policy != UpdatePolicy():
            shown[name] = show_policy(policy)
    return shown


def show_template(spec: ServiceSpec, names: Names, *, defaults: bool = False) -> dict[str, Any]:
    """Return the part of a ServiceSpec that a task is made of."""
    container = show_container(spec.container, defaults=defaults)
    for kind, files, identity in (
        ("Secret", spec.secrets, names.secret_id),
        ("Config", spec.configs, names.config_id),
    ):
        if files:
            container[f"{kind}s"] = [
                {"File": show(_FILE, each), f"{kind}ID": identity(each.source), f"{kind}Name": each.source}
                for each in files
            ]
    networks = [_show_network(name, config, names) for name, config in spec.networks.items()]
    log = show_log(spec.container.log)
    return {
        "ContainerSpec": container,
        "Resources": show_resources(spec.container.resources, spec.reservations),
        **({"RestartPolicy": show_restart(spec.restart)} if defaults or spec.restart != Restart() else {}),
        "Placement": show_placement(spec.placement),
        **({"Networks": networks} if networks else {}),
        **({"LogDriver": log} if log else {}),
        "ForceUpdate": spec.force,
    }


def _show_network(name: str, config: EndpointConfig, names: Names) -> dict[str, Any]:
    aliases = {"Aliases": list(config.aliases)} if config.aliases else {}
    options = {"DriverOpts": dict(config.driver_options)} if config.driver_options else {}
    return {"Target": names.network_id(name), **aliases, **options}


def show_service(service: Service, names: Names, *, defaults: bool = False) -> dict[str, Any]:
    """Return a service as it is kept."""
    spec = service.spec
    shown: dict[str, Any] = {
        "ID": service.id,
        "Version": {"Index": service.version},
        "CreatedAt": rfc3339(service.created_ns),
        "UpdatedAt": rfc3339(service.updated_ns),
        "Spec": show_spec(spec, names, defaults=defaults),
    }
    if service.previous is not None:
        shown["PreviousSpec"] = show_spec(service.previous, names)
    shown["Endpoint"] = _show_endpoint(service)
    if service.update is not None:
        shown["UpdateStatus"] = _show_update(service.update)
    if spec.mode in JOBS:
        last = {"LastExecution": rfc3339(service.updated_ns)} if service.updated_ns else {}
        shown["JobStatus"] = {"JobIteration": iteration(service.template), **last}
    return shown


def iteration(template: str) -> dict[str, int]:
    """Return what tells one run of a job from the next, as docker's clients compare it: equal for equal templates."""
    import zlib

    return {"Index": zlib.crc32(template.encode())}


def _show_endpoint(service: Service) -> dict[str, Any]:
    if not service.ports and not service.addresses:
        return {"Spec": {}}
    ports = show_ports(service.ports)
    return {
        "Spec": show_endpoint_spec(service.spec.endpoint_mode, service.spec.ports),
        **({"Ports": ports} if ports else {}),
        **(
            {"VirtualIPs": [{"NetworkID": key, "Addr": each} for key, each in service.addresses.items()]}
            if service.addresses
            else {}
        ),
    }


def _show_update(update: UpdateStatus) -> dict[str, Any]:
    return {
        "State": update.state.value,
        **({"StartedAt": rfc3339(update.started_ns)} if update.started_ns else {}),
        **({"CompletedAt": rfc3339(update.finished_ns)} if update.finished_ns else {}),
        **({"Message": update.message} if update.message else {}),
    }


def show_status(service: Service, tasks: Iterable[Task]) -> dict[str, int]:
    """Return how many of a service's tasks run, should, and have ended well (`docker service ls`)."""
    spec, job = service.spec, service.spec.mode in JOBS
    own = [each for each in tasks if not job or each.template == service.template]
    running = sum(each.status.state is TaskState.RUNNING for each in own)
    complete = sum(each.status.state is TaskState.COMPLETE for each in own)
    if spec.mode in LAID_OUT:
        wanted = spec.replicas
    else:
        aim = TaskState.COMPLETE if job else TaskState.RUNNING
        wanted = sum(each.desired is aim and each.status.state is not TaskState.COMPLETE for each in own)
    return {"RunningTasks": running, "DesiredTasks": wanted, "CompletedTasks": complete}
