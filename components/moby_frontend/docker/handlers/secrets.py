"""A swarm's secrets and configs."""

from collections.abc import Mapping

from moby.errors import Invalid
from moby_frontend.docker.call import Call, Reply, empty, reply_json
from moby_frontend.docker.filters import Filters
from moby_frontend.docker.parts import Parts
from moby_frontend.docker.swarm.asking import begins
from moby_frontend.docker.swarm.faults import Code, rejected, told
from moby_frontend.docker.swarm.membership import manager
from moby_frontend.docker.swarm.objects import (
    check_config,
    check_secret,
    read_config,
    read_secret,
    show_config,
    show_secret,
)

__all__ = [
    "config", "configs", "create_config", "create_secret", "remove_config", "remove_secret", "secret", "secrets",
    "update_config", "update_secret",
]  # fmt: skip

_KNOWN = frozenset({"id", "label", "name", "names"})
_LABELS_ALONE = "only updates to Labels are allowed"


def _fits(filters: Filters, identity: str, name: str, labels: Mapping[str, str]) -> bool:
    return (
        begins(filters, "id", identity)
        and begins(filters, "name", name)
        and filters.exact("names", name)
        and filters.labels(labels)
    )


def _version(call: Call, what: str) -> int:
    text = call.query.text("version")
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise Invalid(f"invalid {what} version")
    return int(text)


def secrets(parts: Parts, call: Call) -> Reply:
    """List secrets."""
    orchestrator, filters = manager(parts), Filters(call.query.text("filters"), _KNOWN)
    found = (each for each in orchestrator.secrets() if _fits(filters, each.id, each.name, each.labels))
    return reply_json([show_secret(each) for each in found])


def secret(parts: Parts, call: Call) -> Reply:
    """Show a secret, without its data."""
    return reply_json(show_secret(manager(parts).secret(call.names["id"])))


def create_secret(parts: Parts, call: Call) -> Reply:
    """Keep a secret."""
    orchestrator, spec = manager(parts), read_secret(call.json(required=True))
    with told(Code.ALREADY_EXISTS):
        check_secret(spec)
        made = orchestrator.create_secret(spec)
    return reply_json({"ID": made.id}, 201)


def update_secret(parts: Parts, call: Call) -> Reply:
    """Change a secret's labels."""
    orchestrator, version = manager(parts), _version(call, "secret")
    spec, found = read_secret(call.json(required=True)), orchestrator.secret(call.names["id"])
    if (spec.name, spec.driver, spec.templating) != (found.name, found.driver, found.templating):
        raise rejected(_LABELS_ALONE)
    with told(outdated=lambda: orchestrator.secret(found.id).version != version):
        orchestrator.label_secret(found.id, spec.labels, version, data=spec.data)
    return empty(200)


def remove_secret(parts: Parts, call: Call) -> Reply:
    """Forget a secret."""
    orchestrator = manager(parts)
    with told(Code.INVALID_ARGUMENT):
        orchestrator.remove_secret(orchestrator.secret(call.names["id"]).id)
    return empty()


def configs(parts: Parts, call: Call) -> Reply:
    """List configs."""
    orchestrator, filters = manager(parts), Filters(call.query.text("filters"), _KNOWN)
    found = (each for each in orchestrator.configs() if _fits(filters, each.id, each.spec.name, each.spec.labels))
    return reply_json([show_config(each) for each in found])


def config(parts: Parts, call: Call) -> Reply:
    """Show a config."""
    return reply_json(show_config(manager(parts).config(call.names["id"])))


def create_config(parts: Parts, call: Call) -> Reply:
    """Keep a config."""
    orchestrator, spec = manager(parts), read_config(call.json(required=True))
    with told(Code.ALREADY_EXISTS):
        check_config(spec)
        made = orchestrator.create_config(spec)
    return reply_json({"ID": made.id}, 201)


def update_config(parts: Parts, call: Call) -> Reply:
    """Change a config's labels."""
    orchestrator, version = manager(parts), _version(call, "config")
    spec, found = read_config(call.json(required=True)), orchestrator.config(call.names["id"])
    same = spec.name == found.spec.name and spec.templating == found.spec.templating
    if not same or spec.data not in {b"", found.spec.data}:
        raise rejected(_LABELS_ALONE)
    with told(outdated=lambda: orchestrator.config(found.id).version != version):
        orchestrator.label_config(found.id, spec.labels, version)
    return empty(200)


def remove_config(parts: Parts, call: Call) -> Reply:
    """Forget a config."""
    orchestrator = manager(parts)
    with told(Code.INVALID_ARGUMENT):
        orchestrator.remove_config(orchestrator.config(call.names["id"]).id)
    return empty()
