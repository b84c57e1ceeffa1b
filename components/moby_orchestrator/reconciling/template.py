"""What of a service's spec its tasks are made of."""

import hashlib
import json
from collections.abc import Mapping
from enum import Enum
from typing import Any

import attrs

from moby.contracts.orchestrator import PublishMode, ServiceSpec

__all__ = ["fingerprint"]


def fingerprint(spec: ServiceSpec, others: Mapping[str, str] | None = None) -> str:
    """Return what tells two specs apart whose tasks aren't the same.

    How many there are, how they are spread, restarted and updated, and what is published for all of them is changed
    without replacing any. `others` are the fingerprints of services by name, for dependencies that say `restart`.
    """
    made_of = {
        "container": spec.container,
        "constraints": sorted(spec.placement.constraints),
        "platforms": spec.placement.platforms,
        "reservations": spec.reservations,
        "networks": spec.networks,
        "ports": [port for port in spec.ports if port.mode is PublishMode.HOST],
        "secrets": spec.secrets,
        "configs": spec.configs,
        "force": spec.force,
        "after": {each.service: (others or {}).get(each.service) for each in spec.dependencies if each.restart},
    }
    text = json.dumps(_plain(made_of), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(value: Any) -> Any:
    """Return a value as JSON has it, without what is as by default, so that fields can be added later."""
    if attrs.has(type(value)):
        given = ((each.name, getattr(value, each.name), each.default) for each in attrs.fields(type(value)))
        return {name: _plain(each) for name, each, default in given if each != _made(default)}
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, (set, frozenset)):
        return sorted(map(_plain, value))
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return value.value if isinstance(value, Enum) else value


def _made(default: Any) -> Any:
    return default.factory() if isinstance(default, attrs.Factory) else default  # type: ignore[arg-type]
