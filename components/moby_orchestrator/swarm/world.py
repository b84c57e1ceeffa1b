"""All that a cluster's store has, at one moment."""

from collections.abc import Mapping
from typing import Any

import attrs

from moby.contracts.image_registry import Credentials
from moby.contracts.orchestrator import ClusterSpec, ConfigSpec, Node, Secret, Service, Task, Tokens
from moby.values import field, frozen
from moby_orchestrator.reconciling.view import State

__all__ = ["KINDS", "CLUSTER", "Config", "Leftover", "Settled", "Kept", "World"]

CLUSTER = "it"
"""The key of the cluster among clusters, of which there is one."""


@attrs.frozen
class Settled:
    """A cluster, as it is kept."""

    id: str
    spec: ClusterSpec
    tokens: Tokens
    created_ns: int
    updated_ns: int
    unlock_key: str = attrs.field(default="", repr=False)
    version: int = 0


@attrs.frozen
class Kept:
    """A secret with its data."""

    secret: Secret
    data: bytes = attrs.field(repr=False)
    version: int = 0


@attrs.frozen
class Config:
    """A config with its data."""

    id: str
    spec: ConfigSpec
    created_ns: int
    updated_ns: int
    version: int = 0


@attrs.frozen
class Leftover:
    """Something of an application's that goes as soon as nobody uses it."""

    type: str
    """`network` or `volume`."""
    name: str


KINDS: Mapping[str, type[Any]] = {
    "clusters": Settled,
    "services": Service,
    "tasks": Task,
    "nodes": Node,
    "secrets": Kept,
    "configs": Config,
    "credentials": Credentials,
    "leftovers": Leftover,
}
"""What a store has, by the first part of its documents' keys."""


@frozen
class World:
    """A moment of the store; `revision` rises with each change of anything."""

    revision: int = 0
    clusters: Mapping[str, Settled] = field(factory=dict)
    services: Mapping[str, Service] = field(factory=dict)
    tasks: Mapping[str, Task] = field(factory=dict)
    nodes: Mapping[str, Node] = field(factory=dict)
    secrets: Mapping[str, Kept] = field(factory=dict)
    configs: Mapping[str, Config] = field(factory=dict)
    credentials: Mapping[str, Credentials] = field(factory=dict)
    """By service."""
    leftovers: Mapping[str, Leftover] = field(factory=dict)

    @property
    def cluster(self) -> Settled | None:
        """The cluster, where there is one."""
        return self.clusters.get(CLUSTER)

    @property
    def state(self) -> State:
        """What plans are made of."""
        return State(self.services, self.tasks, self.nodes)
