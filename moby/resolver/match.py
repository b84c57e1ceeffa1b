"""Whether parts suit each other and the host: features, contract versions, conflicts, host needs."""

from collections.abc import Collection, Iterator, Mapping

from moby.component import Conflicting, Facts, Need
from moby.manifest.assembly import Policy
from moby.registry.catalog import served
from moby.resolver.findings import Finding, Step, a, listed
from moby.resolver.index import Index
from moby.resolver.part import Part

__all__ = ["findings", "lacking", "suited", "wanted"]


def wanted(need: Need) -> str:
    """Say what a need asks for."""
    return a(need.kind) + (f" that offers {listed(need.features)}" if need.features else "")


def suited(index: Index, kind: str, features: Collection[str]) -> tuple[Facts, ...]:
    """Return the preferred parts of a kind, narrowed to those that suit where at least one does.

    Of several of one distribution it is the one that offers less than each other; between distributions nobody chooses.
    """
    found = index.preferred(kind)
    for fits in (
        lambda facts: not set(features) - set(facts.provides),
        lambda facts: not _dated(facts.contract, index.contract(kind)),
        lambda facts: not index.unfit(facts)[0],
    ):
        if len(found) > 1:
            found = tuple(filter(fits, found)) or found
    return tuple(filter(lambda facts: _least(facts, found), found)) or found


def _least(facts: Facts, found: tuple[Facts, ...]) -> bool:
    return all(
        other is facts or (other.distribution == facts.distribution and set(facts.provides) < set(other.provides))
        for other in found
    )


def lacking(part: Part, need: Need, found: list[Part], index: Index) -> list[Finding]:
    """Say what the providers of a need lack."""
    # The framework's own contracts are checked part by part; a third party's only shows where two meet.
    foreign = index.contract(need.kind) is None
    wrong: list[Finding] = []
    for provider in found:
        if need.features and not set(need.features) <= set(provider.facts.provides):
            why = _because(part, need, provider)
            wrong.append(_featureless(part, need.parameter, need.features, provider, why, index))
        if foreign and _dated(provider.facts.contract, need.contract):
            message = (
                f"{provider.facts.id} is written for version {provider.facts.contract} of the {need.kind} contract, "
                f"and {part.facts.id} takes {_served(need.contract)}"
            )
            subject, steps = (part.key, need.parameter), _because(part, need, provider)
            wrong.append(Finding("contract", subject, message, provider.path(), steps, _kinds(provider, part)))
    return wrong


def _featureless(
    part: Part, what: str, features: Collection[str], provider: Part, why: tuple[Step, ...], index: Index
) -> Finding:
    """Say which features a provider lacks, and who has all that are asked for."""
    missing = sorted(set(features) - set(provider.facts.provides))
    offers = Step(f"{provider.facts.id} offers {listed(provider.facts.provides)}")
    able = [facts.id for facts in index.named(provider.kind).values() if set(features) <= set(facts.provides)]
    others = Step(f"{listed(able)} offer{'s' if len(able) == 1 else ''} {listed(features)}")
    message = f"{provider.key} doesn't offer {listed(missing)}, which {part.key} needs"
    subject, steps = (part.key, what, *missing), (*why, offers, *([others] if able else []))
    return Finding("feature", subject, message, provider.path(), steps, _kinds(provider, part))


def _undemanded(part: Part, present: Mapping[str, list[Part]], index: Index) -> Iterator[Finding]:
    """Say what parts lack that this one gets through others."""
    for demand in part.facts.demands:
        for provider in present.get(demand.kind, ()):
            if not set(demand.features) <= set(provider.facts.provides):
                asked = f"{part.key} needs every {demand.kind} to offer {listed(demand.features)}"
                why = tuple(dict.fromkeys((*part.because(), Step(asked), *provider.because())))
                yield _featureless(part, demand.kind, demand.features, provider, why, index)


def _because(part: Part, need: Need, provider: Part) -> tuple[Step, ...]:
    steps = (*part.because(), Step(f"{part.key} needs {wanted(need)}"), *provider.because())
    return tuple(dict.fromkeys(steps))


def _kinds(first: Part, second: Part) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*first.kinds(), *second.kinds())))


def findings(parts: Mapping[str, Part], present: Mapping[str, list[Part]], index: Index) -> list[Finding]:
    """Say what can't live together, what the target can't carry, and what is written for other contracts."""
    found: list[Finding] = []
    for _, part in sorted(parts.items()):
        found += _conflicts(part, present)
        found += _undemanded(part, present, index)
        found += _unfit(part, index)
        found += _other_contract(part, index)
        found += _unset(part)
    return list({finding.identity: finding for finding in found}.values())


def _conflicts(part: Part, present: Mapping[str, list[Part]]) -> Iterator[Finding]:
    for conflict in part.facts.conflicts:
        for other in _meant(conflict, present):
            if other is part:
                continue
            why = f": {conflict.why}" if conflict.why else ""
            what = conflict.component or a(conflict.kind) + (
                f" that offers {conflict.feature}" if conflict.feature else ""
            )
            steps = (*part.because(), Step(f"{part.facts.id} can't live beside {what}{why}"), *other.because())
            message = f"{part.key} can't live beside {other.key}{why}"
            kinds = _kinds(part, other)
            # The filled one's choice may be the other's: then the place of the chosen one says more.
            where = other.path() if other.choice else part.path()
            unique = tuple(dict.fromkeys(steps))
            first, second = sorted((part.key, other.key))
            yield Finding("conflict", (first, second), message, where, unique, kinds)


def _meant(conflict: Conflicting, present: Mapping[str, list[Part]]) -> list[Part]:
    kind = conflict.kind or conflict.component.partition("/")[0]
    found = present.get(kind, [])
    if conflict.component:
        return [part for part in found if part.facts.id == conflict.component]
    return [part for part in found if not conflict.feature or conflict.feature in part.facts.provides]


def _unfit(part: Part, index: Index) -> Iterator[Finding]:
    lacks, fix = index.unfit(part.facts)
    if not lacks or (part.choice and part.choice.policy is Policy.OPTIONAL):
        return
    steps = (
        *part.because(),
        Step(f"{part.facts.id} needs {lacks}"),
        Step("the target host is given", "distribution.target"),
    )
    helps = f"; on that host: {fix}" if fix else ""
    message = f"{part.key} doesn't fit the target host: it needs {lacks}{helps}"
    yield Finding("host", (part.key,), message, part.path(), steps, part.kinds(), host=True)


def _unset(part: Part) -> Iterator[Finding]:
    """Say which options a part must be given that nobody chose, and so nobody gave any."""
    missing = [option.name for option in part.facts.options if option.required]
    if part.choice is None and missing:
        options = f"option{'s' if len(missing) > 1 else ''} {listed(missing)}"
        message = f"{part.key} must be given {options}: choose it, with {options}"
        yield Finding("unset", (part.key,), message, part.path(), part.because(), part.kinds())


def _other_contract(part: Part, index: Index) -> Iterator[Finding]:
    """Check a part against the framework's own contracts: the one that it keeps, and those that it uses."""
    own = index.contract(part.kind)
    if own is not None and _dated(part.facts.contract, own):
        message = (
            f"{part.facts.id} is written for version {part.facts.contract} of the {part.kind} contract, "
            f"and this framework serves {_served(own)}"
        )
        yield Finding("contract", (part.key,), message, part.path(), part.because(), part.kinds())
    for need in part.facts.needs:
        known = index.contract(need.kind)
        if known is not None and _dated(need.contract, known):
            message = (
                f"{part.facts.id} is written to use version {need.contract} of the {need.kind} contract, "
                f"and this framework serves {_served(known)}"
            )
            steps = (*part.because(), Step(f"{part.key} needs {wanted(need)}"))
            yield Finding("contract", (part.key, need.parameter), message, part.path(), steps, part.kinds())


def _dated(version: int, current: int | None) -> bool:
    return current is not None and not served(version, current)


def _served(current: int) -> str:
    return f"{current} and {current - 1}" if current > 1 else f"{current}"
