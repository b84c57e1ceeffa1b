"""Cases as data: services, tasks and nodes in few words, plans as lines."""

from pathlib import Path

import yaml
from moby_orchestrator.reconciling.actions import Assign, Drop, End, Forget, Lose, Progress, Refuse, RollBack, Start
from moby_orchestrator.reconciling.template import fingerprint
from moby_orchestrator.reconciling.view import State

from moby.contracts.containers import ContainerConfig, LogChoice, MountRequest
from moby.contracts.orchestrator import (
    Availability,
    Condition,
    Dependency,
    FailureAction,
    FileReference,
    Mode,
    Node,
    NodeDescription,
    NodeSpec,
    NodeState,
    Order,
    Placement,
    PublishedPort,
    PublishMode,
    Reservations,
    Restart,
    RestartCondition,
    Role,
    Service,
    ServiceSpec,
    Task,
    TaskState,
    TaskStatus,
    UpdatePolicy,
    UpdateState,
    UpdateStatus,
)
from moby.contracts.supervisor import HealthStatus
from moby.contracts.types import Platform

SECOND = 1_000_000_000
FOLDER = Path(__file__).parent / "cases"


def cases(name):
    """A file's cases, each with its name."""
    found = yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    assert found, f"no cases in {name}"
    return found


TIMES = {"delay", "monitor", "window"}
WORDS = {"order": Order, "failure_action": FailureAction}


def _timed(values, **words):
    """`delay: 5` becomes `delay_ns`, and words those of their enumerations."""
    return {
        f"{key}_ns" if key in TIMES else key: round(value * SECOND)
        if key in TIMES
        else words.get(key, lambda x: x)(value)
        for key, value in values.items()
    }


def policy(values):
    return UpdatePolicy(**_timed(values, **WORDS))


def spec(name, given):
    """A service's spec; `image` is what tells templates apart."""
    given = dict(given)
    mounts = tuple(MountRequest("volume", "/data", "data", driver=each) for each in given.pop("volumes", ()))
    container = ContainerConfig(given.pop("image", "new"), mounts=mounts, log=LogChoice(given.pop("log", "")))
    made = {"name": name, "container": container, "mode": Mode(given.pop("mode", "replicated"))}
    placement = {
        key: tuple(each) if isinstance(each, list) else each for key, each in given.pop("placement", {}).items()
    }
    if platforms := placement.pop("platforms", ()):
        placement["platforms"] = tuple(Platform(*each.split("/")) for each in platforms)
    made["placement"] = Placement(**placement)
    made["reservations"] = Reservations(**given.pop("reservations", {}))
    made["restart"] = Restart(**_timed(given.pop("restart", {}), condition=RestartCondition))
    made["update"], made["rollback"] = policy(given.pop("update", {})), policy(given.pop("rollback", {}))
    made["ports"] = tuple(PublishedPort(**_timed(each, mode=PublishMode)) for each in given.pop("ports", ()))
    made["secrets"] = tuple(FileReference(each, each) for each in given.pop("secrets", ()))
    made["dependencies"] = tuple(
        Dependency(**_timed(each, condition=Condition)) for each in given.pop("dependencies", ())
    )
    return ServiceSpec(**made, **given)


def service(name, given):
    """A service whose id is its name; `status: STATE@SECONDS`, and `previous` an image."""
    given = dict(given)
    status, previous, removing = given.pop("status", ""), given.pop("previous", ""), given.pop("removing", False)
    found = spec(name, given)
    update = None
    if status:
        state, _, began = status.partition("@")
        update = UpdateStatus(UpdateState(state), round(float(began) * SECOND))
    before = spec(name, {**given, "image": previous}) if previous else None
    return Service(
        name, found, fingerprint(found), previous=before, previous_template=fingerprint(before) if before else "",
        update=update, removing=removing,
    )  # fmt: skip


def task(services, line):
    """`SERVICE.SLOT[.ATTEMPT] STATE [on=NODE] [image=..] [desired=..] [at=..] [started=..] [made=..] [health=..]`."""
    name, state, *rest = line.split()
    given = dict(each.split("=") for each in rest)
    service_id, slot, *attempt = name.split(".")
    owner = services.get(service_id)
    present = owner.spec if owner else spec(service_id, {})
    made_of = spec(service_id, {"image": given["image"]}) if "image" in given else present
    wanted = "complete" if present.mode.value.endswith("-job") else "running"
    at = round(float(given.get("at", 0)) * SECOND)
    started = at if state == "running" else 0
    return Task(
        id=name,
        service_id=service_id,
        spec=made_of if made_of is present or not owner else present,
        template=fingerprint(made_of),
        slot=int(slot),
        attempt=int(attempt[0]) if attempt else 1,
        node_id=given.get("on", ""),
        desired=TaskState(given.get("desired", wanted)),
        status=TaskStatus(
            TaskState(state),
            at,
            round(float(given["started"]) * SECOND) if "started" in given else started,
            HealthStatus(given.get("health", "none")),
        ),
        created_ns=round(float(given.get("made", 0)) * SECOND),
    )


def node(name, given):
    given = dict(given or {})
    labels = given.pop("labels", {})
    os, architecture = given.pop("platform", "linux/amd64").split("/")
    plugins = given.pop("plugins", None)
    return Node(
        name,
        NodeSpec(
            labels=labels,
            role=Role(given.pop("role", "worker")),
            availability=Availability(given.pop("availability", "active")),
        ),
        NodeDescription(
            given.pop("hostname", name),
            Platform(os, architecture),
            plugins=None if plugins is None else frozenset(tuple(each.split("/")) for each in plugins),
            labels=given.pop("engine", {}),
            **{key: given.pop(key) for key in ("nano_cpus", "memory_bytes", "generic") if key in given},
        ),
        NodeState(given.pop("state", "ready")),
        round(given.pop("since", 0) * SECOND),
        **given,
    )


def state_of(case):
    services = {name: service(name, given or {}) for name, given in case.get("services", {}).items()}
    tasks = [task(services, line) for line in case.get("tasks", ())]
    nodes = case.get("nodes", {"a": {}})
    nodes = dict.fromkeys(nodes.split()) if isinstance(nodes, str) else nodes
    return State(services, {each.id: each for each in tasks}, {name: node(name, each) for name, each in nodes.items()})


def told(action):
    """An action as a line."""
    match action:
        case Start(each):
            where = f"on {each.node_id}" if each.status.state is TaskState.ASSIGNED else "nowhere"
            reasons = f": {'; '.join(f'{p.reason.name} {p.nodes}' for p in each.problems)}" if each.problems else ""
            return f"start {each.service_id}.{each.slot}.{each.attempt} {where}{reasons}"
        case Assign(task_id, node_id):
            return f"assign {task_id} to {node_id}"
        case Refuse(task_id, problems):
            return f"refuse {task_id}: {'; '.join(f'{p.reason.name} {p.nodes}' for p in problems)}"
        case End(task_id, desired, why):
            return f"end {task_id}: {why}" if desired is TaskState.SHUTDOWN else f"{desired.value} {task_id}: {why}"
        case Forget(task_id):
            return f"forget {task_id}"
        case Lose(task_id):
            return f"lose {task_id}"
        case Progress(service_id, update):
            return f"{service_id} {update.state.value}: {update.message}"
        case RollBack(service_id, message):
            return f"{service_id} rolls back: {message}"
        case Drop(service_id):
            return f"drop {service_id}"
