"""Reads a manifest, all that it extends, variables and flags, into an assembly, or into every problem there is."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from attrs import evolve, frozen

from moby.errors import Invalid, Origin, Problem
from moby.manifest import flags
from moby.manifest.assembly import Assembly, Choice, Policy, Removal, Setting
from moby.manifest.draft import Draft, Layer, thawed
from moby.manifest.parameters import Parameters
from moby.manifest.parts import NAME
from moby.manifest.paths import join
from moby.manifest.report import Report
from moby.manifest.sections import distribution_choice, lay
from moby.manifest.sources import Fetch, Gathering, find
from moby.manifest.tree import Map

__all__ = ["Reading", "load", "read"]


@frozen
class Reading:
    """What came of reading a manifest.

    With problems, the assembly, if there is one, lacks what they are about, and is good only to find more of them.
    """

    assembly: Assembly | None
    problems: tuple[Problem, ...] = ()


def load(
    file_or_name: str | Path,
    *,
    sets: Iterable[str] = (),
    environ: Mapping[str, str] | None = None,
    fetch: Fetch | None = None,
) -> Assembly:
    """Return the assembly that a manifest asks for; Invalid carries every problem.

    A bare name is a shipped assembly. `sets` are `PATH=VALUE`; `environ` is the process's where not given; `fetch`
    gets what lies in image registries.
    """
    reading = read(file_or_name, sets=sets, environ=environ, fetch=fetch)
    if reading.assembly is None or reading.problems:
        count = len(reading.problems)
        raise Invalid(f"{file_or_name}: {count} problem{'s' if count != 1 else ''}", problems=reading.problems)
    return reading.assembly


def read(
    file_or_name: str | Path,
    *,
    sets: Iterable[str] = (),
    environ: Mapping[str, str] | None = None,
    fetch: Fetch | None = None,
) -> Reading:
    """Return what `load` does, but the problems as values: none exactly where `load` succeeds."""
    report = Report()
    gathering = Gathering(report, fetch)
    source = find(file_or_name, report)
    if source:
        gathering.gather(source)
    if not gathering.layers:
        return Reading(None, report.listed())
    parsed = [flag for given in sets if (flag := flags.parse(given, report))]
    parameters = Parameters(report)
    parameters.declare(gathering.layers)
    parameters.take_environment(os.environ if environ is None else environ)
    for flag in parsed:
        if flag.names[0] == "parameters":
            parameters.set(flag.names[1], flag.text, flag.origin)
    draft = Draft(report)
    for layer in gathering.layers:
        lay(draft, _expanded(layer, parameters))
    for flag in parsed:
        if flag.names[0] != "parameters" and (over := _over(flag, draft)):
            lay(draft, _expanded(over, parameters), flag=True)
    _name_by_file(draft, str(file_or_name))
    if report.broken:
        return Reading(None, report.listed())
    return Reading(_assembly(draft, parameters, gathering), report.listed())


def _over(flag: flags.Flag, draft: Draft) -> Layer | None:
    return flags.layer(flag, draft.report) if flags.reaches(flag, draft) else None


def _expanded(layer: Layer, parameters: Parameters) -> Layer:
    kept = {
        key: entry if key in {"moby", "extends", "parameters"} else evolve(entry, node=parameters.expand(entry.node))
        for key, entry in layer.root.entries.items()
    }
    return evolve(layer, root=Map(kept, layer.root.origin))


def _name_by_file(draft: Draft, file: str) -> None:
    """Name a nameless assembly after its file."""
    if draft.name or draft.was_said(("name",)):
        return
    stem = Path(file).stem
    if NAME.fullmatch(stem):
        draft.name = stem
        draft.settings["name",] = [Setting(stem, Origin("name of the file"))]
    else:
        draft.report.add("`name` is missing, and the file's name can't be one", Origin(file), fix="name: my-engine")


def _assembly(draft: Draft, parameters: Parameters, gathering: Gathering) -> Assembly:
    choices = []
    for kind, parts in sorted(draft.kinds.items()):
        for name, part in sorted(parts.items()):
            given, opened = thawed(part.config)
            policy = Policy(part.fields.get("policy", Policy.REQUIRED))
            fields = part.fields | {"policy": policy}
            choices.append(Choice(kind, part.use, name, config=given, open=opened, **fields))
    origins = {join(*path): tuple(settings) for path, settings in draft.settings.items()}
    return Assembly(
        name=draft.name,
        choices=tuple(choices),
        removals=tuple(Removal(kind) for kind in sorted(draft.removed)),
        distribution=distribution_choice(draft),
        parameters=parameters.values,
        origins=origins | parameters.origins(),
        files=tuple(gathering.digests),
        digests=gathering.digests,
    )
