"""From a manifest's file to its plans, with every problem on the way told at once."""

from collections.abc import Callable, Sequence
from pathlib import Path

from attrs import evolve, frozen

from moby import manifest, registry, resolver
from moby.errors import Invalid, MobyError, Origin, Problem
from moby.manifest.assembly import Assembly, Choice, DistributionChoice, Setting
from moby.plan import Plan
from moby.refusals import refused
from moby.registry import Catalog
from moby.target import target_facts

__all__ = ["Resolved", "alone", "fetched", "resolve_file"]


@frozen
class Resolved:
    """An assembly, what it was resolved against, the plan of its engine, and that of what makes its distribution."""

    assembly: Assembly
    catalog: Catalog
    engine: Plan
    build: Plan


def resolve_file(
    file: str,
    *,
    sets: Sequence[str] = (),
    formats: Sequence[str] = (),
    target: str = "",
    catalog: Catalog | None = None,
) -> Resolved:
    """Read and resolve a manifest, or the shipped one of that name.

    Invalid carries the problems of reading it, of its engine and of its formats, by their lines, each once.
    `formats` take the place of the manifest's, `target` that of its target.
    """
    reading = manifest.read(file, sets=tuple(sets), fetch=fetched)
    if reading.assembly is None:
        raise Invalid(f"{file} can't be read", problems=reading.problems)
    assembly = _with_formats(reading.assembly, formats) if formats else reading.assembly
    installed = catalog or registry.discover()
    problems = list(reading.problems)

    def engine() -> Plan:
        facts = target_facts(target or assembly.distribution.target, installed)
        return resolver.resolve(assembly, installed, target=facts)

    plans = [_tried(each, problems) for each in (engine, lambda: resolver.resolve_build(assembly, installed))]
    if not problems:
        problems += refused(assembly, *(each for each in plans if each is not None))
    if problems or plans[0] is None or plans[1] is None:
        raise Invalid(f"{file} can't be assembled", problems=_in_order(problems))
    return Resolved(assembly, installed, plans[0], plans[1])


WHOLE = ("builder", "containers", "orchestrator")
"""Kinds of parts that are tried in a whole engine."""
_AROUND = "docker"
_INSTEAD = (Choice("image-registry", "folder", "folder"),)
"""So that nothing is asked of the world's registries."""
_FOR_CLIENTS = ("builder", "command", "frontend")


def alone(component: str, catalog: Catalog) -> Plan:
    """Return the plan of just one component, by its id, whose needs are filled with what is preferred.

    One of a kind that is tried in a whole engine has the shipped assembly `docker` around it, without what that has for
    clients. Invalid where its needs can't be filled.
    """
    kind, _, name = component.partition("/")
    if kind == resolver.PACKAGER:
        formats = DistributionChoice((name,))
        return resolver.resolve_build(Assembly("conformance", distribution=formats), catalog)
    if kind in WHOLE:
        around = manifest.load(_AROUND)
        own = (*_INSTEAD, Choice(kind, name, name))
        left_out = (*_FOR_CLIENTS, *(each.kind for each in own))
        kept = tuple(each for each in around.choices if each.kind not in left_out)
        return resolver.resolve(Assembly("conformance", (*kept, *own)), catalog)
    plan = resolver.resolve(Assembly("conformance", (Choice(kind, name, name),)), catalog)
    return plan.closure(frozenset({component}))


def fetched(reference: str) -> Path:
    """Fetch what a manifest extends from an image registry, which few do."""
    from moby import sharing

    return sharing.fetched(reference)


def _tried(resolve: Callable[[], Plan], problems: list[Problem]) -> Plan | None:
    """Resolve, and add what is at fault to the problems; another error is raised unless there are some already."""
    try:
        return resolve()
    except Invalid as error:
        problems += error.problems or (Problem(error.message, fixes=(error.hint,) if error.hint else ()),)
    except MobyError:
        if not problems:
            raise
    return None


def _with_formats(assembly: Assembly, formats: Sequence[str]) -> Assembly:
    chosen = evolve(assembly.distribution, formats=tuple(dict.fromkeys(formats)))
    flag = (Setting(list(formats), Origin("--format")),)
    return evolve(assembly, distribution=chosen, origins={**assembly.origins, "distribution.formats": flag})


def _in_order(problems: Sequence[Problem]) -> tuple[Problem, ...]:
    """Return problems, each once, by their lines; those of one file together, in the order in which files came up."""
    files = list(dict.fromkeys(each.where.source for each in problems if each.where))

    def place(problem: Problem) -> tuple[int, int, int]:
        where = problem.where
        return (files.index(where.source), where.line, where.column) if where else (len(files), 0, 0)

    return tuple(sorted(dict.fromkeys(problems), key=place))
