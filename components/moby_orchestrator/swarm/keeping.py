"""Secrets and configs of a cluster."""

import re
from collections.abc import Mapping

from moby.contracts.ambient import Clock
from moby.contracts.orchestrator import Config, ConfigSpec, FileReference, Secret, SecretSpec, ServiceSpec
from moby.errors import Conflict, Invalid, Unsupported
from moby.values import evolve
from moby_orchestrator.swarm import finding
from moby_orchestrator.swarm.sealing import fresh_id
from moby_orchestrator.swarm.store import Draft, Store
from moby_orchestrator.swarm.world import Config as KeptConfig
from moby_orchestrator.swarm.world import Kept

__all__ = ["Configs", "Secrets"]

_NAME = re.compile(r"[a-zA-Z0-9]+(?:[a-zA-Z0-9_.-]*[a-zA-Z0-9])?")
_MOST_NAME = 64
_MOST_SECRET, _MOST_CONFIG = 500 * 1024, 1000 * 1024


def _check(kind: str, name: str, data: bytes, most: int, templating: str) -> None:
    if not _NAME.fullmatch(name) or len(name) > _MOST_NAME:
        raise Invalid(f"invalid {kind} name {name!r}: only {_MOST_NAME} letters, digits, `-`, `_` and `.` between them")
    if not 0 < len(data) <= most:
        raise Invalid(f"{kind} data must be larger than 0 and less than {most} bytes")
    if templating not in ("", "golang"):
        raise Invalid(f"invalid {kind} templating driver {templating!r}", hint="there is `golang`")


def _users(draft: Draft, name: str, kind: str) -> list[str]:
    return sorted(
        each.spec.name
        for each in draft.services.values()
        if not each.removing and any(reference.source == name for reference in _references(each.spec, kind))
    )


def _references(spec: ServiceSpec, kind: str) -> tuple[FileReference, ...]:
    return spec.secrets if kind == "secret" else spec.configs


def _refuse_used(draft: Draft, name: str, kind: str) -> None:
    if users := _users(draft, name, kind):
        which = "service" if len(users) == 1 else "services"
        raise Conflict(f"{kind} '{name}' is in use by the following {which}: {', '.join(users)}")


def _shown(kept: Kept) -> Secret:
    return evolve(kept.secret, version=kept.version)


class Secrets:
    """Secrets of a store; see the contract."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock

    def create(self, spec: SecretSpec) -> Secret:
        """Keep a secret."""
        if spec.driver:
            raise Unsupported(f"secret driver {spec.driver!r} isn't there", hint="this engine keeps secrets itself")
        _check("secret", spec.name, spec.data, _MOST_SECRET, spec.templating)
        id, now_ns = fresh_id(), self._clock.now_ns()  # noqa: A001
        with self._store.change() as draft:
            if any(each.secret.name == spec.name for each in draft.secrets.values()):
                raise Conflict(f"secret {spec.name} already exists")
            secret = Secret(id, spec.name, 0, now_ns, now_ns, spec.labels, templating=spec.templating)
            draft.secrets[id] = Kept(secret, spec.data)
        return self.get(id)

    def get(self, name: str) -> Secret:
        """Return a secret."""
        return _shown(finding.secret(name, self._store.world().secrets))

    def list(self) -> tuple[Secret, ...]:
        """Return all secrets."""
        return tuple(sorted(map(_shown, self._store.world().secrets.values()), key=lambda each: each.name))

    def label(self, name: str, labels: Mapping[str, str], version: int | None, data: bytes = b"") -> Secret:
        """Change a secret's labels."""
        with self._store.change() as draft:
            kept = finding.secret(name, draft.secrets)
            finding.check_version(version, kept.version)
            if data and data != kept.data:
                raise Invalid("only updates to Labels are allowed", hint="give the changed secret another name")
            secret = evolve(kept.secret, labels=labels, updated_ns=self._clock.now_ns())
            draft.secrets[secret.id] = evolve(kept, secret=secret)
        return self.get(kept.secret.id)

    def remove(self, name: str) -> None:
        """Forget a secret."""
        with self._store.change() as draft:
            kept = finding.secret(name, draft.secrets)
            _refuse_used(draft, kept.secret.name, "secret")
            del draft.secrets[kept.secret.id]


class Configs:
    """Configs of a store; see the contract."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock

    def create(self, spec: ConfigSpec) -> Config:
        """Keep a config."""
        _check("config", spec.name, spec.data, _MOST_CONFIG, spec.templating)
        id, now_ns = fresh_id(), self._clock.now_ns()  # noqa: A001
        with self._store.change() as draft:
            if any(each.spec.name == spec.name for each in draft.configs.values()):
                raise Conflict(f"config {spec.name} already exists")
            draft.configs[id] = KeptConfig(id, spec, now_ns, now_ns)
        return self.get(id)

    def get(self, name: str) -> Config:
        """Return a config."""
        return _told(finding.config(name, self._store.world().configs))

    def list(self) -> tuple[Config, ...]:
        """Return all configs."""
        return tuple(sorted(map(_told, self._store.world().configs.values()), key=lambda each: each.spec.name))

    def label(self, name: str, labels: Mapping[str, str], version: int | None) -> Config:
        """Change a config's labels."""
        with self._store.change() as draft:
            kept = finding.config(name, draft.configs)
            finding.check_version(version, kept.version)
            spec = evolve(kept.spec, labels=labels)
            draft.configs[kept.id] = evolve(kept, spec=spec, updated_ns=self._clock.now_ns())
        return self.get(kept.id)

    def remove(self, name: str) -> None:
        """Forget a config."""
        with self._store.change() as draft:
            kept = finding.config(name, draft.configs)
            _refuse_used(draft, kept.spec.name, "config")
            del draft.configs[kept.id]


def _told(kept: KeptConfig) -> Config:
    return Config(kept.id, kept.spec, kept.version, kept.created_ns, kept.updated_ns)
