"""A project: what compose files say once they are read."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from attrs import evolve, field, frozen

from moby.errors import NotFound
from moby_orchestrator.compose.files.fields import Record, fixed

__all__ = ["Project", "config_hash", "image_of"]


@frozen
class Project:
    """Services and what they share; each by its name in the files."""

    name: str
    folder: Path
    files: tuple[str, ...] = ()
    services: Mapping[str, Record] = field(factory=dict)
    disabled: Mapping[str, Record] = field(factory=dict)
    """Those of profiles that aren't asked for."""
    networks: Mapping[str, Record] = field(factory=dict)
    volumes: Mapping[str, Record] = field(factory=dict)
    secrets: Mapping[str, Record] = field(factory=dict)
    configs: Mapping[str, Record] = field(factory=dict)
    environment: Mapping[str, str] = field(factory=dict, repr=False)
    env_files: tuple[str, ...] = ()
    """As `--env-file` names them."""
    extensions: Mapping[str, Any] = field(factory=dict)

    def service(self, name: str) -> Record:
        """Return a service; NotFound `no such service: NAME`."""
        if name in self.services:
            return self.services[name]
        raise NotFound(f"no such service: {name}", hint=f"there are {', '.join(sorted(self.services)) or 'none'}")

    def selected(self, names: Iterable[str], *, dependencies: bool = True) -> "Project":
        """Return the project with just these services, and what they depend on; of no names, all of them."""
        wanted = list(names)
        if not wanted:
            return self
        kept: set[str] = set()
        while wanted:
            name = wanted.pop()
            if name in kept:
                continue
            service = self.service(name)
            kept.add(name)
            if dependencies:
                on = service.get("depends_on") or {}
                wanted += [each for each, how in on.items() if how.get("required") or each in self.services]
        services = {name: _narrowed(each, kept) for name, each in self.services.items() if name in kept}
        others = {name: each for name, each in self.services.items() if name not in kept}
        return evolve(self, services=services, disabled={**self.disabled, **others})

    def used(self) -> "Project":
        """Return the project without networks, volumes, secrets and configs that no service has."""
        services = list(self.services.values())
        networks = {name for each in services for name in each.get("networks") or ()}
        volumes = {
            one["source"]
            for each in services
            for one in each.get("volumes") or ()
            if one.get("type") == "volume" and one.get("source")
        }
        secrets = {one["source"] for each in services for one in _secrets(each)}
        configs = {one["source"] for each in services for one in each.get("configs") or ()}
        return evolve(
            self,
            networks=_only(self.networks, networks),
            volumes=_only(self.volumes, volumes),
            secrets=_only(self.secrets, secrets),
            configs=_only(self.configs, configs),
        )


def _only(given: Mapping[str, Record], names: set[str]) -> dict[str, Record]:
    return {name: each for name, each in given.items() if name in names}


def _secrets(service: Record) -> list[Record]:
    return [*(service.get("secrets") or ()), *((service.get("build") or {}).get("secrets") or ())]


def _narrowed(service: Record, kept: set[str]) -> Record:
    on = service.get("depends_on")
    if not on or set(on) <= kept:
        return service
    rest = type(on)({name: how for name, how in on.items() if name in kept})
    return service.having(depends_on=rest) if rest else service.without("depends_on")


def config_hash(service: Record) -> str:
    """Return docker compose's fingerprint of what of a service is its containers'."""
    import hashlib

    plain = service.without("build", "pull_policy", "scale")
    if deploy := plain.get("deploy"):
        plain["deploy"] = deploy.without("replicas")
    return hashlib.sha256(fixed(plain).encode()).hexdigest()


def image_of(project: str, name: str, service: Record) -> str:
    """Return the image that a service's containers are made of; what is built has one of its own name."""
    return str(service.get("image") or f"{project}-{name}")
