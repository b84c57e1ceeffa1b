"""Bytes by owner against the size that an assembly allows."""

from collections.abc import Callable, Mapping, Sequence

from moby.distribution.sbom import Sizes
from moby.errors import Invalid, Origin, Problem

__all__ = ["check"]

SHOWN = 5


def check(
    sizes: Sizes,
    budget_bytes: int | None,
    *,
    before: Sizes,
    where: Origin | None = None,
    spare: Callable[[Mapping[str, int]], Sequence[str]] = lambda owners: (),
) -> None:
    """Raise Invalid for each artifact above its budget, with what grew since `before`, else with what is biggest.

    `spare` says which owners an assembly can do without, the biggest first.
    """
    problems = []
    for name, owners in sorted(sizes.items()):
        total = sum(owners.values())
        if budget_bytes is not None and total > budget_bytes:
            over = total - budget_bytes
            message = f"{name} comes to {total:,} bytes, {over:,} over the budget of {budget_bytes:,}"
            because = tuple(_because(owners, before.get(name, {})))
            spared = [f"leave out {owner}, which brings {owners[owner]:,} bytes" for owner in spare(owners)]
            problems.append(Problem(message, where, because, (f"budget: {total}", *spared)))
    if problems:
        raise Invalid(problems[0].message, problems=tuple(problems))


def _because(owners: Mapping[str, int], before: Mapping[str, int]) -> list[str]:
    grown = {owner: count - before.get(owner, 0) for owner, count in owners.items() if count > before.get(owner, 0)}
    ranked = sorted(grown, key=lambda owner: (-grown[owner], owner))[:SHOWN]
    if not before:
        return [f"{owner} brings {owners[owner]:,} bytes" for owner in ranked]
    return [
        f"{owner} grew by {grown[owner]:,} bytes to {owners[owner]:,}"
        if owner in before
        else f"{owner} is new, with {owners[owner]:,} bytes"
        for owner in ranked
    ]
