"""From findings to problems: positions, the smallest conflict, and edits that were tried."""

from collections.abc import Iterator

from moby.errors import Problem
from moby.resolver.conflict import Case, described, involved, minimal
from moby.resolver.edit import MISSPELT, REPLACE, Edit, edits
from moby.resolver.findings import Finding
from moby.resolver.selection import Selection

__all__ = ["problems", "working_edits"]

SHOWN = 4
"""Edits that a problem offers at most."""
WORK = 200_000
"""Parts that are resolved anew, for all problems and edits together, before the search for edits is cut short."""
NEAR = 40
"""Kinds that an edit may touch; beyond them, in a huge assembly, none is tried."""
STEPS = 30
"""Steps of a chain that are told; of a longer one both ends."""


def problems(case: Case, selection: Selection) -> tuple[Problem, ...]:
    """Explain each finding: where it is, why, and which single edits are known to end it."""
    findings = selection.findings
    budget = max(4 if len(findings) < NEAR else 0, WORK // (len(findings) * (len(selection.parts) + 1)))
    found = [_problem(case, finding, findings, budget) for finding in findings]
    return tuple(sorted(found, key=_position))


def working_edits(case: Case, finding: Finding, findings: list[Finding], budget: int = 1000) -> list[Edit]:
    """Return edits that end a finding and bring no other, the mildest first; at most `budget` are tried.

    Edits of the kinds that it speaks of are tried first, then all others.
    """
    found: list[Edit] = []
    tried: set[str] = set()
    for edit in _candidates(case, finding) if budget else ():
        if edit.text in tried:
            continue
        if len(tried) >= budget:
            break
        tried.add(edit.text)
        wider = any(edit.text.startswith(other.text) for other in found)
        # Who misspelt one thing doesn't mean another.
        other = edit.rank[0] == REPLACE and any(each.rank[0] == MISSPELT for each in found)
        if not wider and not other and _works(edit.apply(case), finding, findings):
            found.append(edit)
        if len(found) == SHOWN:
            break
    return found


def _candidates(case: Case, finding: Finding) -> Iterator[Edit]:
    yield from edits(case, [kind for kind in finding.kinds if kind][:NEAR])
    kinds = case.index.kinds | {choice.kind for choice in case.assembly.choices}
    if len(kinds) <= NEAR * 5:
        yield from edits(case, sorted(kinds))


def _works(edited: Case, finding: Finding, findings: list[Finding]) -> bool:
    after = edited.wrong()
    return finding.identity not in after and after <= {each.identity for each in findings}


def _problem(case: Case, finding: Finding, findings: list[Finding], budget: int) -> Problem:
    where = case.assembly.where
    told = involved(case, finding)
    conflict = minimal(case, told)
    steps = []
    for step in finding.steps:
        if not step.item:
            steps.append(step.text)
        elif step.item in told:
            steps.append(_placed(case, step.text, step.item))
    known = {step.item for step in finding.steps}
    steps += [_placed(case, described(item), item) for item in told if item not in known]
    fixes = tuple(edit.text for edit in working_edits(case, finding, findings, budget))
    if len(steps) > STEPS:
        half = STEPS // 2
        steps = [*steps[:half], f"... {len(steps) - 2 * half} more steps ...", *steps[-half:]]
    return Problem(finding.message, where(finding.path), tuple(steps), fixes, conflict)


def _placed(case: Case, text: str, item: str) -> str:
    origin = case.assembly.where(item)
    return f"{text} at {origin}" if origin else text


def _position(problem: Problem) -> tuple[str, int, int]:
    where = problem.where
    return (where.source, where.line, where.column) if where else ("", 0, 0)
