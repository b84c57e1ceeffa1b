"""A swarm's services."""

import secrets
from collections.abc import Callable
from typing import Any

from moby.contracts.orchestrator import FileReference, Mode, Orchestrator, Service, ServiceSpec
from moby.errors import Invalid, NotFound
from moby.values import evolve
from moby_frontend.docker.call import Call, Reply, empty, reply_json, stream
from moby_frontend.docker.failures import Status
from moby_frontend.docker.filters import Filters
from moby_frontend.docker.handlers.images_registry import credentials
from moby_frontend.docker.handlers.logs import log_query, passed_on
from moby_frontend.docker.parts import Parts
from moby_frontend.docker.swarm.asking import begins, version_of
from moby_frontend.docker.swarm.faults import Code, rejected, told
from moby_frontend.docker.swarm.membership import manager
from moby_frontend.docker.swarm.names import Known
from moby_frontend.docker.swarm.services import read_service, show_service, show_status

__all__ = ["create", "inspect", "listed", "logs", "remove", "update"]

_KNOWN = frozenset({"id", "label", "mode", "name", "runtime"})
_MODES = {
    Mode.REPLICATED: "replicated", Mode.GLOBAL: "global", Mode.REPLICATED_JOB: "replicated-job",
    Mode.GLOBAL_JOB: "global-job",
}  # fmt: skip


def listed(parts: Parts, call: Call) -> Reply:
    """List services, with `status` how many of their tasks run."""
    text = call.query.text("status")
    if text and text.lower() not in {"1", "t", "true", "0", "f", "false"}:
        raise Invalid(f'invalid value for status: {text}: strconv.ParseBool: parsing "{text}": invalid syntax')
    orchestrator, filters = manager(parts), Filters(call.query.text("filters"), _KNOWN)
    names = Known(parts.networks, orchestrator)
    found = [each for each in orchestrator.services() if _fits(filters, each)]
    shown = [show_service(each, names) for each in found]
    if call.query.flag("status"):
        for each, line in zip(found, shown, strict=True):
            line["ServiceStatus"] = show_status(each, orchestrator.tasks(service=each.id))
    return reply_json(shown)


def _fits(filters: Filters, service: Service) -> bool:
    return (
        begins(filters, "id", service.id)
        and begins(filters, "name", service.spec.name)
        and filters.labels(service.spec.labels)
        and filters.exact("mode", _MODES[service.spec.mode])
        and filters.exact("runtime", "container")
    )


def create(parts: Parts, call: Call) -> Reply:
    """Begin to keep a service."""
    orchestrator, body = manager(parts), call.json(required=True)
    spec = read_service(body, Known(parts.networks, orchestrator))
    if not spec.name:
        spec = evolve(spec, name=f"service_{secrets.token_hex(6)}")
    taken = any(each.spec.name == spec.name for each in orchestrator.services())
    _check_files(orchestrator, spec)
    with told(Code.ALREADY_EXISTS if taken else Code.INVALID_ARGUMENT):
        made = orchestrator.create(spec, credentials=credentials(call))
    return reply_json({"ID": made.id, "Warnings": None}, 201)


def _check_files(orchestrator: Orchestrator, spec: ServiceSpec) -> None:
    """Refuse secrets and configs that aren't there, of which docker says that the description is wrong."""
    _check_there("secret", orchestrator.secret, spec.secrets)
    _check_there("config", orchestrator.config, spec.configs)


def _check_there(kind: str, find: Callable[[str], object], files: tuple[FileReference, ...]) -> None:
    for each in files:
        try:
            find(each.source)
        except NotFound as error:
            raise rejected(f"{kind} not found: {each.source}") from error


def inspect(parts: Parts, call: Call) -> Reply:
    """Show a service, with `insertDefaults` as if all had been said."""
    orchestrator = manager(parts)
    found = orchestrator.service(call.names["id"])
    defaults = call.query.flag("insertDefaults")
    return reply_json(show_service(found, Known(parts.networks, orchestrator), defaults=defaults))


def update(parts: Parts, call: Call) -> Reply:
    """Change a service, or with `rollback=previous` make it be as before."""
    orchestrator, body = manager(parts), call.json(required=True)
    version, query = version_of(call, "service"), call.query
    found = orchestrator.service(call.names["id"])
    outdated = lambda: orchestrator.service(found.id).version != version  # noqa: E731 - a name for three places
    if query.text("registryAuthFrom") not in {"", "spec", "previous-spec"}:
        raise Status(500, "unsupported registryAuthFrom value")
    match query.text("rollback"):
        case "previous":
            with told(outdated=outdated):
                orchestrator.roll_back(found.id, version)
        case "":
            if query.text("registryAuthFrom") == "previous-spec":
                raise Invalid("registryAuthFrom: only a rollback takes the credentials of before")
            spec = read_service(body, Known(parts.networks, orchestrator))
            if not spec.name:
                raise rejected("meta: name must be provided")
            _check_files(orchestrator, spec)
            with told(Code.INVALID_ARGUMENT, outdated):
                orchestrator.update(found.id, spec, version, credentials=credentials(call))
        case other:
            raise Status(500, f"unrecognized rollback option {other}")
    return reply_json({"Warnings": None})


def remove(parts: Parts, call: Call) -> Reply:
    """End a service."""
    orchestrator = manager(parts)
    with told():
        orchestrator.remove(orchestrator.service(call.names["id"]).id)
    return empty(200)


def logs(parts: Parts, call: Call) -> Reply:
    """Show the output of a service's tasks."""
    orchestrator, query = manager(parts), log_query(call, status=500)
    found = orchestrator.service(call.names["id"])
    return shown_logs(orchestrator, call, found.id, query, found.spec.container.terminal)


def shown_logs(orchestrator: Orchestrator, call: Call, identity: str, query: Any, terminal: bool) -> Reply:
    """Answer with the output of a service or a task."""
    fd = orchestrator.logs(identity, evolve(query, framed=not terminal))
    multiplexed = not terminal and call.version >= (1, 42)
    kind = "multiplexed-stream" if multiplexed else "raw-stream"
    return stream(passed_on(call, fd, follows=query.follow), f"application/vnd.docker.{kind}")
