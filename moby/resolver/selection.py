"""Which parts an assembly comes to, chosen or filled in, what each gets, and all that is wrong with that."""

from collections import deque
from collections.abc import Mapping

from attrs import define, field

from moby.component import Arity, Need
from moby.manifest.assembly import Assembly, Choice, Policy
from moby.plan import Binding
from moby.resolver import apart, chosen, match
from moby.resolver.findings import Finding, Step, listed
from moby.resolver.index import Index
from moby.resolver.order import cycles
from moby.resolver.part import Part

__all__ = ["Selection", "select"]


@define
class Selection:
    """The parts by key, what their parameters get, and what is wrong; complete only where nothing is."""

    parts: dict[str, Part]
    bindings: dict[str, dict[str, Binding]]
    findings: list[Finding]
    skipped: dict[str, str]

    def needs(self) -> dict[str, tuple[str, ...]]:
        """Return by key the keys of all that a part gets."""
        return {
            key: tuple(target for binding in bound.values() for target in binding.targets)
            for key, bound in self.bindings.items()
        }


def select(assembly: Assembly, index: Index) -> Selection:
    """Choose, fill and bind, leaving out by policy what doesn't fit the target."""
    skipped: dict[str, str] = {}
    while True:
        selection = _Round(assembly, index, skipped).run()
        unfit = next((each for each in selection.findings if each.host and _skippable(each, assembly, skipped)), None)
        if unfit is None:
            return selection
        choice = _skippable(unfit, assembly, skipped)
        assert choice is not None
        skipped[f"{choice.kind}/{choice.name}"] = _left_out(unfit)


def _left_out(finding: Finding) -> str:
    """Say why a part is left out, and through which others where it isn't its own need that isn't met."""
    if finding.code == "host" and len(finding.kinds) == 1:
        return finding.message
    return "; ".join([finding.message, *(f"because {step.text}" for step in finding.steps if not step.item)])


def _skippable(finding: Finding, assembly: Assembly, skipped: Mapping[str, str]) -> Choice | None:
    """Return the nearest of the choices that led to a finding that may be left out."""
    for step in reversed(finding.steps):
        for choice in assembly.choices:
            if choice.path == step.item and choice.policy is Policy.SKIP_IF_UNFIT:
                return choice if f"{choice.kind}/{choice.name}" not in skipped else None
    return None


@define
class _Round:
    """One pass over an assembly with what is skipped already known."""

    assembly: Assembly
    index: Index
    skipped: dict[str, str]
    findings: list[Finding] = field(factory=list)
    fills: dict[str, Part] = field(factory=dict)
    chosen: dict[str, list[Part]] = field(factory=dict)
    spoiled: set[str] = field(factory=set)
    """Kinds of which a choice is wrong already, so that needing them says nothing new."""
    removed: frozenset[str] = frozenset()

    def run(self) -> Selection:
        self.removed = frozenset(removal.kind for removal in self.assembly.removals)
        self.chosen, self.spoiled, self.findings = chosen.parts(self.assembly, self.index, self.skipped)
        self._fill()
        parts = self._reachable()
        present = _present(parts)
        bindings = {key: self._bind(part, present) for key, part in sorted(parts.items())}
        selection = Selection(parts, bindings, self.findings, self.skipped)
        self.findings += match.findings(parts, present, self.index)
        needs = selection.needs()
        circles = cycles(needs)
        self.findings += [_cycle(cycle, selection) for cycle in circles]
        if not circles:
            self.findings += apart.findings(parts, needs)
        return selection

    def _roots(self) -> list[Part]:
        return sorted((part for parts in self.chosen.values() for part in parts), key=lambda part: part.key)

    def _fillable(self, part: Part, need: Need) -> bool:
        kind = need.kind
        silent = kind not in self.chosen and kind not in self.removed and kind not in self.spoiled
        return silent and part.wants(need)

    def _fill(self) -> None:
        """Fill each kind that is needed and not chosen with one preferred part that suits all who need it."""
        demands: dict[str, set[str]] = {}
        queue = deque(self._roots())
        while queue:
            part = queue.popleft()
            for need in part.facts.needs:
                if not self._fillable(part, need):
                    continue
                demand = demands.get(need.kind)
                if demand is not None and demand.issuperset(need.features):
                    continue
                demand = demands.setdefault(need.kind, set())
                demand.update(need.features)
                found = match.suited(self.index, need.kind, demand)
                fill = self.fills.get(need.kind)
                if len(found) == 1 and (fill is None or fill.facts is not found[0]):
                    self.fills[need.kind] = Part(need.kind, found[0].name, found[0], None, part, default=True)
                    queue.append(self.fills[need.kind])

    def _reachable(self) -> dict[str, Part]:
        """Return the chosen parts and what they need, directly or not; a fill that nobody needs any more drops out."""
        roots = self._roots()
        parts = {part.key: part for part in roots}
        queue = deque(roots)
        while queue:
            part = queue.popleft()
            for need in part.facts.needs:
                fill = self.fills.get(need.kind)
                if fill is None or fill.key in parts or not self._fillable(part, need):
                    continue
                fill.consumer = part
                parts[fill.key] = fill
                queue.append(fill)
        return parts

    def _bind(self, part: Part, present: Mapping[str, list[Part]]) -> dict[str, Binding]:
        bound = {}
        for need in part.facts.needs:
            found = present.get(need.kind, [])
            if not found:
                if need.arity is not Arity.OPTIONAL and need.kind not in self.spoiled:
                    self.findings.append(self._missing(part, need))
            elif need.arity is not Arity.EACH:
                if len(found) > 1 and not found[0].default:
                    if need.kind not in self.spoiled:
                        self.findings.append(_several(part, need, found))
                    found = []
                found = found[:1]
            self.findings += match.lacking(part, need, found, self.index)
            bound[need.parameter] = Binding(need.arity, tuple(each.key for each in found))
        return bound

    def _missing(self, part: Part, need: Need) -> Finding:
        """Say why nothing fills a kind that a part needs."""
        kind, installed = need.kind, self.index.named(need.kind)
        steps = [*part.because(), Step(f"{part.key} needs {match.wanted(need)}")]
        kinds = (kind, *part.kinds())
        subject = (part.key, need.parameter)
        gone = [key for key in self.skipped if key.partition("/")[0] == kind]
        steps += [Step(f"{key} is left out: {self.skipped[key]}") for key in gone]
        if kind in self.removed:
            path = f"components.{kind}"
            message = f"{part.key} needs {match.wanted(need)}, and the assembly removes {kind}"
            return Finding("removed", subject, message, path, (*steps, Step(f"{kind} is removed", path)), kinds)
        found = match.suited(self.index, kind, set(need.features))
        if found:
            why = f"several fill it as preferred: {listed(facts.id for facts in found)}"
            return Finding("ambiguous", subject, f"{part.key} needs {match.wanted(need)}: {why}", part.path(),
                           tuple(steps), kinds, host=bool(gone))  # fmt: skip
        known = listed(facts.id for facts in installed.values())
        why = f"none is chosen and none is preferred; installed: {known}" if installed else "none is installed"
        message = f"{part.key} needs {match.wanted(need)}: {why}"
        return Finding("missing", subject, message, part.path(), tuple(steps), kinds, host=bool(gone))


def _present(parts: Mapping[str, Part]) -> dict[str, list[Part]]:
    """Group by kind, the default first, then by name."""
    present: dict[str, list[Part]] = {}
    for part in parts.values():
        present.setdefault(part.kind, []).append(part)
    for found in present.values():
        found[0].default = found[0].default or len(found) == 1
        found.sort(key=lambda part: (not part.default, part.name))
    return present


def _several(part: Part, need: Need, found: list[Part]) -> Finding:
    """Say that a part takes one of several, and none is the default."""
    names = listed(each.key for each in found)
    steps = (
        *part.because(),
        Step(f"{part.key} takes one {need.kind}"),
        *(step for each in found for step in each.because()),
    )
    message = f"{part.key} takes one {need.kind}, and none of those chosen is the default: {names}"
    return Finding(
        "no-default", (part.key, need.parameter), message, found[0].path(), steps, (need.kind, *part.kinds())
    )


def _cycle(cycle: tuple[str, ...], selection: Selection) -> Finding:
    """Say how parts need each other in a circle."""
    links, steps = [], []
    kinds: list[str] = []
    for key, target in zip(cycle, (*cycle[1:], cycle[0]), strict=True):
        bound = selection.bindings[key]
        parameter = next(name for name, binding in bound.items() if target in binding.targets)
        links.append(f"{key} -({parameter})-> ")
        steps += [*selection.parts[key].because(), Step(f"{key} needs {target} as {parameter}")]
        kinds += selection.parts[key].kinds()
    message = f"parts need each other in a circle: {''.join(links)}{cycle[0]}"
    unique = tuple(dict.fromkeys(steps))
    return Finding("cycle", cycle, message, selection.parts[cycle[0]].path(), unique, tuple(dict.fromkeys(kinds)))
