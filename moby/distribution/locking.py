"""From plans to a lock: pins manifests by digest, and distributions by what is installed."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from attrs import evolve

from moby.component import Facts
from moby.distribution import modules
from moby.distribution.contents import RUNS_ON, distribution_name
from moby.distribution.installed import FRAMEWORK, Installed, closure, find, running_python, tree_digest
from moby.lock import Lock, ManifestPin, Pin
from moby.manifest.assembly import Assembly
from moby.manifest.sources import OCI
from moby.plan import Plan

__all__ = ["make", "manifest_names", "pins"]


def make(assembly: Assembly, engine: Plan, build: Plan) -> Lock:
    """Return the lock of two plans as things are installed now; reads files, and imports no component."""
    names = manifest_names(assembly.files)
    return Lock(
        name=assembly.name,
        framework=find(FRAMEWORK).version,
        python=running_python(),
        engine=_without_places(engine, names),
        build=_without_places(build, names),
        manifests=tuple(ManifestPin(names[file], f"sha256:{assembly.digests[file]}") for file in names),
        distributions=pins(engine, build),
    )


def manifest_names(files: Iterable[str]) -> dict[str, str]:
    """Return each file's name in a lock: relative to the folder of the last, the main one; or `shipped:NAME`."""
    found = list(files)
    if not found:
        return {}
    here = Path(found[-1]).absolute().parent
    shipped = _shipped()
    names = {}
    for file in found:
        if file.startswith(OCI):  # it is the same wherever the manifest lies
            names[file] = file
            continue
        path = Path(file).absolute()
        if path.parent != here and path.parent in shipped:
            names[file] = f"shipped:{path.name}"
        else:
            names[file] = Path(os.path.relpath(path, here)).as_posix()
    return names


def _shipped() -> tuple[Path, ...]:
    import moby

    package = Path(moby.__file__ or "").absolute().parent
    return (package / "assemblies", package.parent / "assemblies")


def _without_places(plan: Plan, names: Mapping[str, str]) -> Plan:
    """Name files in reasons as the lock does, so that it is the same wherever the manifest lies."""

    def renamed(text: str) -> str:
        for file in sorted(names, key=len, reverse=True):
            text = text.replace(f"{file}:", f"{names[file]}:")
        return text

    instances = tuple(evolve(each, reason=renamed(each.reason)) for each in plan.instances)
    return evolve(plan, instances=instances, skipped={key: renamed(reason) for key, reason in plan.skipped.items()})


def pins(engine: Plan, build: Plan) -> tuple[Pin, ...]:
    """Return the distributions that two plans use, as they are installed; NotFound and Invalid as `closure`."""
    inside = _used(engine)
    every = [instance.facts for plan in (engine, build) for instance in plan.instances]
    found = {**_used(build), **inside}
    return tuple(sorted(_pin(installed, every, build=name not in inside) for name, installed in found.items()))


def _used(plan: Plan) -> dict[str, Installed]:
    brought = {instance.facts.id: instance.facts.brings for instance in plan.instances}
    found = {name: installed for name, (installed, _) in closure({"moby": RUNS_ON, **brought}).items()}
    for name in {FRAMEWORK, *(distribution_name(instance.facts) for instance in plan.instances)}:
        found[name] = find(name)
    return found


def _pin(installed: Installed, every: Iterable[Facts], *, build: bool) -> Pin:
    digest = installed.digest
    if installed.editable:
        own = {facts.module.partition(".")[0] for facts in every if distribution_name(facts) == installed.name}
        digest = tree_digest(_folders(own | ({"moby"} if installed.name == FRAMEWORK else installed.tops())))
    return Pin(installed.name, installed.version, digest, installed.editable, build)


def _folders(tops: Iterable[str]) -> list[tuple[str, Path]]:
    """Return the folders of top-level packages; for a module on its own the file."""
    found = []
    for name in sorted(tops):
        module = modules.find(name)
        if module is not None:
            found.append((name, module.path if module.path.is_dir() or not module.package else module.path.parent))
    return found
