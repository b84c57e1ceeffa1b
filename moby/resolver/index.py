"""The installed components, arranged for looking up, with the framework's own contract versions and the target."""

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from attrs import define, field

from moby.component import Facts
from moby.registry.catalog import contract_versions

if TYPE_CHECKING:
    from moby.registry import Broken, Catalog

__all__ = ["Index"]


@define(slots=False)
class Index:
    """What a resolution looks things up in; made once, shared by all that explaining a failure tries."""

    parts: Mapping[str, Mapping[str, Facts]]
    """By kind, then name."""
    broken: "tuple[Broken, ...]" = ()
    target: Mapping[str, Any] | None = None
    _fits: dict[str, tuple[str, str]] = field(factory=dict)
    _preferred: dict[str, tuple[Facts, ...]] = field(factory=dict)

    @classmethod
    def of(cls, catalog: "Catalog", target: Mapping[str, Any] | None) -> "Index":
        """Arrange a catalog."""
        parts: dict[str, dict[str, Facts]] = {}
        for facts in catalog.components.values():
            parts.setdefault(facts.kind, {})[facts.name] = facts
        return cls(parts, tuple(catalog.broken), target)

    def anywhere(self) -> "Index":
        """Return the same for any host."""
        return Index(self.parts, self.broken, None)

    @cached_property
    def kinds(self) -> frozenset[str]:
        """All kinds that are known: of installed parts, of their needs, and of the framework's contracts."""
        needed = {need.kind for named in self.parts.values() for facts in named.values() for need in facts.needs}
        return frozenset(self.parts) | needed | frozenset(contract_versions())

    def named(self, kind: str) -> Mapping[str, Facts]:
        """Return the installed parts of a kind by name."""
        return self.parts.get(kind, {})

    def many(self, kind: str) -> bool:
        """Say whether an engine may have several of a kind."""
        return any(facts.many for facts in self.named(kind).values())

    def preferred(self, kind: str) -> tuple[Facts, ...]:
        """Return the parts that may fill a kind, by name."""
        if kind not in self._preferred:
            named = self.named(kind)
            self._preferred[kind] = tuple(named[name] for name in sorted(named) if named[name].preferred)
        return self._preferred[kind]

    def contract(self, kind: str) -> int | None:
        """Return the version of the framework's own contract of a kind; None where the kind is a third party's."""
        return contract_versions().get(kind)

    def unfit(self, facts: Facts) -> tuple[str, str]:
        """Return what the target lacks for a part, and what would help; empty where it fits or is any host."""
        if self.target is None or not facts.host:
            return "", ""
        if facts.id not in self._fits:
            self._fits[facts.id] = _unfit(self.target, facts)
        return self._fits[facts.id]


def _unfit(target: Mapping[str, Any], facts: Facts) -> tuple[str, str]:
    from moby.host.facts import satisfies

    for need in (each for each in facts.host if not each.optional):
        probe = satisfies(target, need.what, need.name, need.version, package=need.package)
        if not probe.ok:
            wanted = f"{need.what} {need.name}{need.version}" + (f" ({need.why})" if need.why else "")
            return f"{wanted}: {probe.detail}", probe.fix
    return "", ""
