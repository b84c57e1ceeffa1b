"""Discovery: every installed distribution that names plugin modules, and the facts of what those bring."""

import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from moby.component import Facts, load_facts
from moby.errors import Corrupt, Invalid
from moby.registry import facts_file
from moby.registry.cache import Cache, default_folder, fingerprint
from moby.registry.catalog import Broken, Catalog, settle
from moby.registry.inspection import Finding, inspect
from moby.registry.installed import Distribution, scan

__all__ = ["discover"]


def discover(*, cache: Path | None = None, time_limit_s: float = 10.0) -> Catalog:
    """Return the installed components, and what is broken, without importing a plugin into this process.

    A distribution whose wheel carries no facts is inspected in a child process, which blocks for at most the time
    limit for each of its modules, and remembered in `cache` (default: the user's) until its files change.
    """
    path = list(sys.path)
    installed = scan(path)
    broken: list[Broken] = list(_trespassers(installed))
    outlaws = {each.distribution for each in broken}
    plugins = [each for each in installed if each.entries]
    broken.extend(_contested_entries([each for each in plugins if each.label not in outlaws]))
    contested = {(each.distribution, each.module) for each in broken if each.module}
    facts: list[Facts] = []
    unknown = []
    for each in plugins:
        if each.label in outlaws:
            continue
        try:
            carried = facts_file.read(each)
        except Corrupt as error:
            broken.append(Broken(each.label, "", _flat(error)))
            continue
        if carried is None:
            unknown.append(each)
        else:
            facts.extend(carried)
    for distribution, findings in _inspected(unknown, path, Cache(cache or default_folder()), time_limit_s):
        for found in findings:
            try:
                facts.extend(_read(distribution, found))
            except Invalid as error:
                broken.append(Broken(distribution.label, found.module, error.message))
    fit = [each for each in facts if (each.distribution, each.module) not in contested]
    return settle(fit, broken, plugins)


def _read(distribution: Distribution, finding: Finding) -> list[Facts]:
    """Return the facts of a finding; Invalid says why there are none, or that a plugin answered in our place."""
    if finding.error:
        raise Invalid(finding.error)
    facts = [load_facts(each) for each in finding.facts]
    for each in facts:
        if (each.distribution, each.module) != (distribution.label, finding.module):
            raise Invalid(f"it answered for {each.module} of {each.distribution} when it was inspected")
    return facts


def _inspected(
    distributions: Sequence[Distribution], path: Sequence[str], cache: Cache, time_limit_s: float
) -> Iterator[tuple[Distribution, tuple[Finding, ...]]]:
    """Yield what each distribution's modules hold, from the cache or else from a child process."""
    fresh: list[tuple[Distribution, str]] = []
    for each in distributions:
        key = fingerprint(each, path)
        known = cache.get(each, key)
        if known is None:
            fresh.append((each, key))
        else:
            yield each, known
    if not fresh:
        return

    from concurrent.futures import ThreadPoolExecutor  # all cached, the usual case, doesn't pay for it

    def look(distribution: Distribution) -> tuple[Finding, ...]:
        entries = {each.module: each for each in distribution.entries}
        return inspect(distribution.label, tuple(entries.values()), path, time_limit_s)

    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        results = pool.map(look, [each for each, _ in fresh])
        for (each, key), findings in zip(fresh, results, strict=True):
            cache.put(each, key, findings, path)
            yield each, findings


def _trespassers(installed: Iterable[Distribution]) -> Iterator[Broken]:
    """Yield distributions that ship files, or name modules, under one of the framework's top-level names."""
    ours = next((each for each in installed if each.ours), None)
    owner = ours.label if ours else "the framework"
    names = {"moby", *(each.module.partition(".")[0] for each in (ours.entries if ours else ()))}
    pattern = re.compile(rb'^"?(' + b"|".join(sorted(name.encode() for name in names)) + rb")(?:/|\.py,)", re.MULTILINE)
    for each in installed:
        if each.ours:
            continue
        shipped = {found.decode() for found in pattern.findall(each.record())}
        taken = shipped | (names & {entry.module.partition(".")[0] for entry in each.entries})
        if taken:
            listed = ", ".join(sorted(taken))
            reason = (
                f"it ships files under {listed}, which belongs to {owner}; a plugin needs a package name of its own"
            )
            yield Broken(each.label, "", reason)


def _contested_entries(plugins: Iterable[Distribution]) -> Iterator[Broken]:
    """Yield modules whose entry point, or which themselves, are declared more than once."""
    by_name: dict[str, list[tuple[str, str]]] = {}
    by_module: dict[str, list[tuple[str, str]]] = {}
    for distribution in plugins:
        for entry in distribution.entries:
            by_name.setdefault(entry.name, []).append((distribution.label, entry.module))
            by_module.setdefault(entry.module, []).append((distribution.label, entry.module))
    yield from _shared("the entry point", by_name)
    yield from _shared("the module", by_module)


def _shared(what: str, claims: Mapping[str, list[tuple[str, str]]]) -> Iterator[Broken]:
    for name, claimants in claims.items():
        for index, (label, module) in enumerate(claimants if len(claimants) > 1 else ()):
            others = [each for at, each in enumerate(claimants) if at != index]
            if {each for each, _ in others} == {label}:
                yield Broken(label, module, f"{what} {name!r} is declared again by {label}; declare it once")
            else:
                listed = ", ".join(f"{each} ({of})" for each, of in others)
                yield Broken(label, module, f"{what} {name!r} is also declared by {listed}; uninstall all but one")


def _flat(error: Corrupt) -> str:
    return f"{error.message}; {error.hint}" if error.hint else error.message
