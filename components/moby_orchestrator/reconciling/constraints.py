"""What a service says of nodes that it may be on (docker-service-create(1), --constraint)."""

from functools import lru_cache

from moby.contracts.orchestrator import Node
from moby.contracts.types import Platform
from moby.errors import Invalid
from moby.values import frozen

__all__ = ["Constraint", "allowed", "attribute", "known", "on_platform", "parse"]

_PLAIN = ("node.id", "node.hostname", "node.role", "node.platform.os", "node.platform.arch")
_PREFIXES = ("node.labels.", "engine.labels.")
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "i386": "386", "i686": "386"}


@frozen
class Constraint:
    """A key of a node, and the value that it must have, or must not; values are lower case."""

    key: str
    value: str
    equal: bool


@lru_cache(maxsize=4096)
def parse(text: str) -> Constraint:
    """Read `KEY==VALUE` or `KEY!=VALUE`; Invalid for anything else."""
    for operator in ("==", "!="):
        key, found, value = (part.strip() for part in text.partition(operator))
        if found:
            break
    if not found or not key or not value:
        raise Invalid(f"constraint {text!r} is neither KEY==VALUE nor KEY!=VALUE")
    key = known(key)
    return Constraint(key, _alike(key, value), operator == "==")


def known(key: str) -> str:
    """Return a key of nodes as it is written usually; Invalid for one that nodes don't have."""
    if key.lower() in _PLAIN:
        return key.lower()
    for prefix in _PREFIXES:
        if key.lower().startswith(prefix) and len(key) > len(prefix):
            return prefix + key[len(prefix) :]
    raise Invalid(f"{key!r} is no key of a node", hint=f"{', '.join(_PLAIN)}, node.labels.NAME, engine.labels.NAME")


def attribute(node: Node, key: str) -> str:
    """Return what a node has under a constraint's key, in lower case; empty where it has nothing."""
    match key:
        case "node.id":
            value = node.id
        case "node.hostname":
            value = node.description.hostname
        case "node.role":
            value = node.spec.role
        case "node.platform.os":
            value = node.description.platform.os
        case "node.platform.arch":
            value = node.description.platform.architecture
        case _:
            of, _, name = key.partition(".labels.")
            value = (node.spec.labels if of == "node" else node.description.labels).get(name, "")
    return _alike(key, value)


def allowed(constraints: tuple[str, ...], node: Node) -> bool:
    """Return whether a node satisfies all constraints."""
    return all((attribute(node, each.key) == each.value) is each.equal for each in map(parse, constraints))


def on_platform(platforms: tuple[Platform, ...], node: Node) -> bool:
    """Return whether a node's platform is one of some; an empty field is any, as are no platforms."""
    has = node.description.platform
    return not platforms or any(
        each.os in ("", has.os)
        and _ARCHITECTURES.get(each.architecture, each.architecture)
        in ("", _ARCHITECTURES.get(has.architecture, has.architecture))
        for each in platforms
    )


def _alike(key: str, value: str) -> str:
    value = value.lower()
    return _ARCHITECTURES.get(value, value) if key == "node.platform.arch" else value
