"""Docker's ids of networks, secrets and configs, and the names by which orchestrators know them."""

from functools import cached_property
from typing import Protocol

from moby.contracts.networks import Networks
from moby.contracts.orchestrator import Orchestrator
from moby.errors import MobyError, NotFound

__all__ = ["Known", "Names"]


class Names(Protocol):
    """Ids by names and back. A name of which there is nothing any more is its own id."""

    def network(self, target: str) -> str:
        """Return the name of a network, by name or id; NotFound."""
        ...

    def network_id(self, name: str) -> str:
        """Return the id of a network."""
        ...

    def secret_id(self, name: str) -> str:
        """Return the id of a secret."""
        ...

    def config_id(self, name: str) -> str:
        """Return the id of a config."""
        ...


class Known:
    """What an engine and its orchestrator know, each looked up once, when it is first wanted."""

    def __init__(self, networks: Networks, orchestrator: Orchestrator) -> None:
        self._networks, self._orchestrator = networks, orchestrator

    def network(self, target: str) -> str:
        """Return the name of a network; NotFound."""
        try:
            return self._networks.get(target).name
        except NotFound:
            raise NotFound(f"network {target} not found") from None

    def network_id(self, name: str) -> str:
        """Return the id of a network."""
        return self._ids.get(name, name)

    def secret_id(self, name: str) -> str:
        """Return the id of a secret."""
        return self._secrets.get(name, name)

    def config_id(self, name: str) -> str:
        """Return the id of a config."""
        return self._configs.get(name, name)

    @cached_property
    def _ids(self) -> dict[str, str]:
        return {each.name: each.id for each in self._networks.list()}

    @cached_property
    def _secrets(self) -> dict[str, str]:
        try:
            return {each.name: each.id for each in self._orchestrator.secrets()}
        except MobyError:  # an orchestrator without secrets of their own
            return {}

    @cached_property
    def _configs(self) -> dict[str, str]:
        try:
            return {each.spec.name: each.id for each in self._orchestrator.configs()}
        except MobyError:
            return {}
