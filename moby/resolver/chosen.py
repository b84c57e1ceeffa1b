"""What the user chose, looked up: each choice is a known part in the asked range with valid options, or a finding."""

from collections.abc import Mapping

from moby import options
from moby.component import Facts
from moby.manifest.assembly import Assembly, Choice
from moby.placement import UNSERVED
from moby.resolver.findings import Finding, Step, listed, nearest
from moby.resolver.index import Index
from moby.resolver.part import Part

__all__ = ["in_range", "parts"]


def parts(
    assembly: Assembly, index: Index, skipped: Mapping[str, str]
) -> tuple[dict[str, list[Part]], set[str], list[Finding]]:
    """Return the chosen parts by kind, the kinds with a choice that is no part, and what is wrong with choices."""
    chosen: dict[str, list[Part]] = {}
    spoiled: set[str] = set()
    findings: list[Finding] = []
    for choice in sorted(assembly.choices, key=lambda choice: (choice.kind, choice.name)):
        if f"{choice.kind}/{choice.name}" in skipped:
            continue
        facts = index.named(choice.kind).get(choice.use)
        if facts is None:
            spoiled |= {choice.kind, nearest(choice.kind, index.kinds)}
            findings.append(_unknown(choice, index))
            continue
        part = Part(choice.kind, choice.name, facts, choice, default=choice.default)
        chosen.setdefault(choice.kind, []).append(part)
        findings += _wrong(choice, facts)
    removed = (each.kind for each in assembly.removals)
    findings += [_unknown_removal(kind, index) for kind in sorted(removed) if kind not in index.kinds]
    for kind, found in chosen.items():
        findings += _too_many(kind, found, index)
        if len(found) > 1 and not index.many(kind):
            spoiled.add(kind)
    return chosen, spoiled, list({finding.identity: finding for finding in findings}.values())


def in_range(version: str, wanted: str) -> bool | None:
    """Say whether a version is in a range; None where the range or the version can't be read (PEP 440)."""
    # The import costs more than most resolutions, and few manifests name a version.
    from packaging.specifiers import InvalidSpecifier, SpecifierSet
    from packaging.version import InvalidVersion, Version

    try:
        return SpecifierSet(wanted).contains(Version(version), prereleases=True)
    except (InvalidSpecifier, InvalidVersion):
        return None


def _unknown(choice: Choice, index: Index) -> Finding:
    named = index.named(choice.kind)
    step = Step(f"{choice.kind}/{choice.use} is chosen", choice.path)
    if not named and choice.kind not in index.kinds:
        near = nearest(choice.kind, index.kinds)
        hint = f"; did you mean {near}?" if near else ""
        message = f"no kind {choice.kind!r}; kinds: {listed(index.kinds)}{hint}"
        return Finding(
            "unknown-kind", (choice.kind,), message, f"components.{choice.kind}", (step,), (choice.kind, near)
        )
    near = nearest(choice.use, named)
    hint = f"; did you mean {near}?" if near else ""
    message = f"no {choice.kind} {choice.use!r} is installed; installed: {listed(named)}{hint}"
    # Which parts a plugin would have brought can't be known where it fails; its names tell most often.
    named_so = [each for each in index.broken if choice.use in str(each)]
    broken = [Step(f"{each.distribution} is left out: {each.reason}") for each in named_so or index.broken]
    return Finding("unknown", (choice.kind, choice.name), message, choice.path, (step, *broken), (choice.kind,))


def _unknown_removal(kind: str, index: Index) -> Finding:
    near = nearest(kind, index.kinds)
    message = f"no kind {kind!r} to remove; kinds: {listed(index.kinds)}" + (f"; did you mean {near}?" if near else "")
    path = f"components.{kind}"
    return Finding("unknown-removal", (kind,), message, path, (Step(f"{kind} is removed", path),), (kind,))


def _wrong(choice: Choice, facts: Facts) -> list[Finding]:
    """Say what is wrong with a choice of a part that is there."""
    key = f"{choice.kind}/{choice.name}"
    subject, kinds = (choice.kind, choice.name), (choice.kind,)
    step = Step(f"{key} is chosen", choice.path)
    found = []
    if choice.served and choice.kind in UNSERVED:
        path = f"{choice.path}.served"
        message = f"{key} can't be served: {UNSERVED[choice.kind]}"
        found.append(Finding("served", subject, message, path, (step, Step(f"{key} is to be served", path)), kinds))
    fits = in_range(facts.version, choice.version) if choice.version else True
    if not fits:
        path = f"{choice.path}.version"
        wanted = Step(f"{key} is asked for in version {choice.version}", path)
        message = f"{facts.id} {facts.version} is installed, and {choice.version} is asked for"
        if fits is None:
            message = f"{choice.version!r} is no version range that {facts.id} {facts.version} can be compared with"
        found.append(Finding("version", subject, message, path, (step, wanted), kinds))
    for option, wrong in options.problems(facts.options, {**choice.config, **choice.open}):
        path = f"{choice.path}.config.{option}"
        name = option.partition(".")[0]
        given = name in choice.config or name in choice.open
        steps = (step, Step(f"option {name} is given", f"{choice.path}.config.{name}")) if given else (step,)
        found.append(
            Finding("option", (*subject, option), f"option {option} of {facts.id}: {wrong}", path, steps, kinds)
        )
    return found


def _too_many(kind: str, found: list[Part], index: Index) -> list[Finding]:
    """Say that several of a kind were chosen, or several defaults."""
    findings = []
    steps = tuple(step for part in found for step in part.because())
    names = listed(part.key for part in found)
    if len(found) > 1 and not index.many(kind):
        message = f"an engine has one {kind}, and {len(found)} are chosen: {names}"
        findings.append(Finding("too-many", (kind,), message, found[1].path(), steps, (kind,)))
    marked = [part for part in found if part.default]
    if len(marked) > 1:
        paths = [f"{part.path()}.default" for part in marked]
        marks = [Step(f"{part.key} is marked default", path) for part, path in zip(marked, paths, strict=True)]
        chosen = tuple(step for part in marked for step in part.because())
        message = f"one {kind} can be the default, and {len(marked)} are: {listed(part.key for part in marked)}"
        findings.append(Finding("defaults", (kind,), message, paths[1], (*chosen, *marks), (kind,)))
    return findings
