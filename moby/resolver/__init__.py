"""From an assembly and the installed components to a plan: pure, deterministic, and with reasons where it fails.

How a need of a part is met:

- `each` gets all chosen parts of the kind, the default first, then by name. `one` gets the only one, or of several the
  default. `optional` gets what `one` would, if the kind is there; a kind is never filled for it, but for a verb that
  calls the engine through its front end.
- A kind that is needed, not chosen and not removed is filled by the one preferred part. Where several are preferred,
  they are narrowed to those that offer all features that are asked of the kind, are written for a contract that is
  served, and fit the target host; of what is left of one distribution, to the one that offers less than each other.
- A part is written for a version of its kind's contract, and of those it uses; the current one and the one before are
  served. Of a third party's kind, the user's version counts as current.
- With a target host, a part that doesn't fit is a problem; with the policy `skip-if-unfit` it is left out, and so are
  those of that policy that can't be without it; with `optional` it stays, and may fail at start.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from attrs import evolve

from moby.errors import Invalid, Problem
from moby.manifest.assembly import Assembly, Choice, Policy, Setting
from moby.placement import placed
from moby.plan import Instance, Plan
from moby.resolver.findings import a
from moby.resolver.formats import PACKAGER, chained
from moby.resolver.index import Index
from moby.resolver.order import start_order
from moby.resolver.part import Part
from moby.resolver.selection import Selection, select

if TYPE_CHECKING:
    from moby.registry import Catalog

__all__ = ["PACKAGER", "resolve", "resolve_build"]


def resolve(assembly: Assembly, catalog: "Catalog", *, target: Mapping[str, Any] | None = None) -> Plan:
    """Return the engine that an assembly comes to, for a target host's facts or for any host.

    The same input in any order gives the same plan. Invalid carries every problem, each with why and what fixes it.
    """
    _refuse_packagers(assembly)
    return _resolved(assembly, Index.of(catalog, target))


def _refuse_packagers(assembly: Assembly) -> None:
    """Raise for what builds distributions, written as a part of the engine."""
    problems = tuple(
        Problem(
            f"{PACKAGER}/{each.name} builds distributions, and is no part of an engine",
            assembly.where(each.path),
            fixes=(f"list {each.use} in distribution.formats, and its options in distribution.config.{each.use}",),
        )
        for each in assembly.choices
        if each.kind == PACKAGER
    )
    if problems:
        raise Invalid(f"{assembly.name} can't be assembled", problems=problems)


def resolve_build(assembly: Assembly, catalog: "Catalog") -> Plan:
    """Return the plan of what builds an assembly's artifacts: the packagers of its formats, those whose artifacts
    they take, and what they need, in an order in which each comes after what it takes.

    Invalid as for `resolve`, with positions in the manifest's `distribution`.
    """
    distribution = assembly.distribution
    chain = chained(assembly, catalog)
    wanted = sorted({*chain, *distribution.formats, *distribution.config})
    choices = tuple(Choice(PACKAGER, name, name, config=distribution.config.get(name, {})) for name in wanted)
    # Options may be inherited for a format that isn't built now: they are checked, and the packager stays out.
    build = Assembly(assembly.name, choices, origins=_build_origins(assembly), files=assembly.files)
    plan = _resolved(build, Index.of(catalog, None))
    return _in_chain(plan.closure(frozenset(f"{PACKAGER}/{name}" for name in chain)), chain, distribution.formats)


def _in_chain(plan: Plan, chain: Mapping[str, str], formats: Sequence[str]) -> Plan:
    """Say of each packager what it takes and for whom it is there, and put those last, in the chain's order."""
    others = [each for each in plan.instances if each.kind != PACKAGER]
    packagers = []
    for name, taken in chain.items():
        instance = next(each for each in plan.instances if each.key == f"{PACKAGER}/{name}")
        if name not in formats:
            user = next(each for each in chain if chain[each] == name)
            instance = evolve(instance, between=True, reason=f"{PACKAGER}/{user} takes what it gives")
        packagers.append(evolve(instance, takes=f"{PACKAGER}/{taken}" if taken else ""))
    return evolve(plan, instances=(*others, *packagers))


def _build_origins(assembly: Assembly) -> dict[str, tuple[Setting, ...]]:
    """Say of each packager that it was written where the formats, or else its options, are."""
    packagers = f"components.{PACKAGER}"
    origins = {}
    for path, settings in assembly.origins.items():
        if path == "distribution.formats":
            origins[packagers] = settings
        elif path.startswith("distribution.config."):
            name, _, option = path.removeprefix("distribution.config.").partition(".")
            if option:
                origins[f"{packagers}.{name}.config.{option}"] = settings
            elif name not in assembly.distribution.formats:
                origins[f"{packagers}.{name}"] = settings
    return origins


def _resolved(asked: Assembly, index: Index) -> Plan:
    choices = sorted(asked.choices, key=lambda choice: (choice.kind, choice.name))
    removals = sorted(asked.removals, key=lambda removal: removal.kind)
    assembly = evolve(asked, choices=tuple(choices), removals=tuple(removals))
    selection = select(assembly, index)
    if selection.findings:
        from moby.resolver.conflict import Case
        from moby.resolver.explanation import problems

        found = problems(Case(assembly, index), selection)
        raise Invalid(f"{assembly.name} can't be assembled", problems=found)
    return _plan(assembly, selection, index.target)


def _plan(assembly: Assembly, selection: Selection, target: Mapping[str, Any] | None) -> Plan:
    order = start_order(selection.needs())
    policies = _policies(selection, order)
    instances = tuple(_instance(assembly, selection, key, policies[key]) for key in order)
    return placed(Plan(assembly.name, instances, target, selection.skipped))


def _policies(selection: Selection, order: tuple[str, ...]) -> dict[str, Policy]:
    """Return what becomes of the engine without a part: one that only optional parts need is optional as they are."""
    policies: dict[str, Policy] = {}
    asked: dict[str, set[Policy]] = {}
    for key in reversed(order):
        choice = selection.parts[key].choice
        if choice is not None:
            policies[key] = choice.policy
        else:
            policies[key] = Policy.OPTIONAL if asked.get(key) == {Policy.OPTIONAL} else Policy.REQUIRED
        for binding in selection.bindings[key].values():
            for target in binding.targets:
                asked.setdefault(target, set()).add(policies[key])
    return policies


def _instance(assembly: Assembly, selection: Selection, key: str, policy: Policy) -> Instance:
    part = selection.parts[key]
    choice = part.choice
    config = {option.name: option.default for option in part.facts.options}
    if choice is not None:
        config |= {**choice.config, **choice.open}
    return Instance(
        kind=part.kind,
        name=part.name,
        facts=part.facts,
        config=config,
        open=tuple(sorted(choice.open)) if choice else (),
        default=part.default,
        served=choice.served if choice else False,
        policy=policy.value,
        reason=_reason(assembly, part),
        bindings=selection.bindings[key],
    )


def _reason(assembly: Assembly, part: Part) -> str:
    if part.choice is None:
        assert part.consumer is not None
        return f"{part.consumer.key} needs {a(part.kind)}; preferred"
    where = assembly.where(part.choice.path)
    return f"chosen at {where}" if where else "chosen"
