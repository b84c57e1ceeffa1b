"""What discovery comes to: the components that can be used, and the parts that can't, each with its reason."""

import pkgutil
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache

from attrs import field, frozen

from moby.component import Facts
from moby.errors import NotFound
from moby.registry.installed import Distribution

__all__ = ["Broken", "Catalog", "contract_versions", "served", "settle"]

_CONTRACT = re.compile(rb'^@contract\("([a-z0-9-]+)", version=(\d+)', re.MULTILINE)


@frozen(order=True)
class Broken:
    """A part that is left out: the distribution (`NAME VERSION`), its plugin module if it is that, and the reason."""

    distribution: str
    module: str
    reason: str

    def __str__(self) -> str:
        return ": ".join(filter(None, (self.distribution, self.module, self.reason)))


@frozen
class Catalog:
    """The installed components by id, sorted, and what was left out."""

    components: Mapping[str, Facts] = field(factory=dict)
    broken: tuple[Broken, ...] = ()
    distributions: tuple[Distribution, ...] = ()
    """Those that bring components, or try to."""

    def get(self, id: str) -> Facts | None:
        """Return the component of an id, `kind/name`."""
        return self.components.get(id)

    def of_kind(self, kind: str) -> tuple[Facts, ...]:
        """Return the components of a kind, sorted by name."""
        return tuple(each for each in self.components.values() if each.kind == kind)

    def kinds(self) -> tuple[str, ...]:
        """Return the kinds of which there is a component, sorted."""
        return tuple(sorted({each.kind for each in self.components.values()}))

    def find(self, name: str) -> Facts:
        """Return the component of an id or of a bare name; NotFound lists the candidates or the nearest."""
        found = [each for each in self.components.values() if name in (each.id, each.name)]
        if len(found) == 1:
            return found[0]
        if found:
            listed = ", ".join(each.id for each in found)
            raise NotFound(f"more than one component is called {name!r}: {listed}", hint="give the kind as well")
        from difflib import get_close_matches

        known = [*self.components, *(each.name for each in self.components.values())]
        near = get_close_matches(name, known, n=1)
        listed = "" if near else f"; installed: {', '.join(self.components) or 'none'}"
        raise NotFound(
            f"no component {name!r} is installed{listed}",
            hint=f"did you mean {near[0]}? (moby components lists all)"
            if near
            else "moby plugins lists what is broken",
        )


def served(written_for: int, offered: int) -> bool:
    """Tell whether a part written for one version of a contract works where another is offered: the same, or N-1."""
    return written_for in (offered, offered - 1) and written_for > 0


@lru_cache(maxsize=1)
def contract_versions() -> Mapping[str, int]:
    """Return the version of each contract that the framework has, by kind.

    Read from their sources: importing them all takes 70 ms, a fifth of what `moby check` takes.
    """
    from moby import contracts

    found: dict[str, int] = {}
    for module in pkgutil.iter_modules(contracts.__path__):
        source = pkgutil.get_data(contracts.__name__, f"{module.name}.py") or b""
        found.update({kind.decode(): int(version) for kind, version in _CONTRACT.findall(source)})
    return found


def settle(
    facts: Iterable[Facts],
    broken: Iterable[Broken],
    distributions: Iterable[Distribution] = (),
    versions: Mapping[str, int] | None = None,
) -> Catalog:
    """Return the catalog of all facts that were found, without those of an unserved contract or a contested id."""
    versions = contract_versions() if versions is None else versions
    claims: dict[str, list[Facts]] = {}
    left_out = list(broken)
    for each in facts:
        reason = _unserved(each, versions)
        if reason:
            left_out.append(Broken(each.distribution, each.module, reason))
        else:
            claims.setdefault(each.id, []).append(each)
    for claimants in claims.values():
        if len(claimants) > 1:
            left_out.extend(_contested(claimants))
    kept = {each: claims[each][0] for each in sorted(claims) if len(claims[each]) == 1}
    return Catalog(kept, tuple(sorted(set(left_out))), tuple(distributions))


def _unserved(facts: Facts, versions: Mapping[str, int]) -> str:
    """Say which contract of a component's isn't served, if one isn't; kinds of third parties are theirs to judge."""
    asked = [(facts.kind, facts.contract), *((need.kind, need.contract) for need in facts.needs)]
    for kind, written_for in asked:
        offered = versions.get(kind)
        if offered is None or served(written_for, offered):
            continue
        serves = f"{offered - 1} and {offered}" if offered > 1 else f"{offered}"
        fix = "install a newer framework" if written_for > offered else f"install a newer {facts.distribution}"
        return (
            f"component {facts.id} was written for version {written_for} of the contract {kind}, and this framework "
            f"serves {serves}; {fix}"
        )
    return ""


def _contested(claimants: list[Facts]) -> Iterable[Broken]:
    for each in claimants:
        others = [f"{other.distribution} ({other.module})" for other in claimants if other is not each]
        yield Broken(
            each.distribution,
            each.module,
            f"component {each.id} is also claimed by {', '.join(others)}; uninstall all but one",
        )
