"""Which formats are made of which: the chain of packagers that an assembly's formats come to."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from moby.component import Facts
from moby.errors import Invalid, Problem
from moby.manifest.assembly import Assembly
from moby.resolver.findings import listed

if TYPE_CHECKING:
    from moby.registry import Catalog

__all__ = ["PACKAGER", "chained"]

PACKAGER = "packager"


def chained(assembly: Assembly, catalog: "Catalog") -> dict[str, str]:
    """Return by packager's name, of all that take part, the name of the one that it takes from, empty for none.

    Each stands after what it takes. A format that isn't installed is passed over: resolving says so. Invalid names
    what nobody gives, what several give, and what is made of itself.
    """
    asked = assembly.distribution.formats
    installed = {each.name: each for each in catalog.of_kind(PACKAGER)}
    chain: dict[str, str] = {}
    problems = []
    for name in sorted(asked):
        path: list[str] = []
        while name and name in installed and name not in chain:
            if name in path:
                problems.append(_circle(path, name))
                break
            path.append(name)
            found = _giver(installed[name], tuple(installed.values()), asked)
            if isinstance(found, Problem):
                problems.append(found)
                break
            name = found  # noqa: PLW2901 - the next of this chain
        else:
            for each in reversed(path):
                giver = _giver(installed[each], tuple(installed.values()), asked)
                chain[each] = giver if isinstance(giver, str) else ""
    if problems:
        where = assembly.where("distribution.formats")
        placed = tuple(Problem(each.message, where, each.because, each.fixes) for each in problems)
        raise Invalid(placed[0].message, problems=tuple(dict.fromkeys(placed)))
    return chain


def _giver(facts: Facts, installed: Sequence[Facts], asked: Sequence[str]) -> str | Problem:
    """Return who gives what a packager takes: one that was asked for, else the only one, else the preferred one."""
    if not facts.takes:
        return ""
    givers = [each for each in installed if (each.gives or each.name) == facts.takes]
    named = [each for each in givers if each.name in asked]
    for choice in (named, givers, [each for each in givers if each.preferred]):
        if len(choice) == 1:
            return choice[0].name
    if not givers:
        fix = f"install a packager that gives {facts.takes}, or leave {facts.name} out"
        return Problem(f"{facts.id} takes {facts.takes}, which no installed packager gives", fixes=(fix,))
    names = listed(each.name for each in givers)
    fix = f"name one of them in formats: {names}"
    return Problem(f"{facts.id} takes {facts.takes}, which several give: {names}", fixes=(fix,))


def _circle(path: Sequence[str], name: str) -> Problem:
    circle = " takes from ".join(f"{PACKAGER}/{each}" for each in [*path[path.index(name) :], name])
    return Problem(f"a format is made of itself: {circle}", fixes=(f"leave {name} out",))
