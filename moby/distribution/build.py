"""From a manifest to a folder of results."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import field, frozen

from moby.contracts.packager import Artifact, Packager, Source
from moby.distribution import budget, output, provenance, signing
from moby.distribution.contents import Contents, contents, source
from moby.distribution.locking import make
from moby.distribution.sbom import Sizes, document, sizes_in
from moby.distribution.steps import Steps, default_folder, fingerprints
from moby.errors import HostUnfit, Invalid, NotFound, Unsupported
from moby.host import digests
from moby.lock import Lock, drift, dumps, loads
from moby.manifest.assembly import Assembly
from moby.plan import Plan
from moby.values import evolve

if TYPE_CHECKING:
    from moby.registry import Catalog

Progress = Callable[[str], None]
MOST_SPARED = 3
"""Parts that an assembly over its budget is told it could do without."""
__all__ = ["Distribution", "assemble", "build_all", "lock", "lock_file", "packagers"]


@frozen
class Distribution:
    """What was assembled."""

    name: str
    folder: Path
    files: tuple[str, ...]
    """Relative to the folder, sorted."""
    sizes: Sizes
    """Bytes by format, then by owner; they add up to the files' sizes."""
    lock: Lock = field(repr=False)
    changed: bool = True
    """Whether anything had to be made; else what was there already is just this."""
    notes: tuple[str, ...] = ()
    """What a user should know about it, as that a distribution inside has no licence text."""


def assemble(
    file: str,
    out: Path = Path("dist"),
    *,
    sets: Sequence[str] = (),
    formats: Sequence[str] = (),
    locked: bool = False,
    sign: Path | None = None,
    catalog: "Catalog | None" = None,
    progress: Progress = lambda step: None,
) -> Distribution:
    """Generate a distribution from a manifest, or the shipped one of that name, into `out`/NAME.

    With `locked` Invalid names everything that isn't as `moby lock` wrote it down. Invalid also carries what doesn't
    resolve, and what is over the budget; Unsupported a part that a format can't carry; HostUnfit a missing tool, or
    no room; Conflict files in `out`/NAME that aren't ours. Whatever is raised, what was there before stays.
    `sign` is the file of a key that signs what was made; the errors of `signing.read`.
    `progress` is told what is being done.
    """
    key = signing.read(sign) if sign else None
    progress(f"resolving {file}")
    assembly, found = lock(file, sets=sets, formats=formats, catalog=catalog)
    if locked:
        _refuse_drift(found, file)
    kept = default_folder()
    wired = packagers(found.build, kept.parent if kept else out)
    steps = Steps(found, wired, fingerprints(found.build, wired), kept)
    made = _made(assembly, steps, out / found.name, key, progress)
    digests.keep()
    return made


def _made(assembly: Assembly, steps: Steps, folder: Path, key: signing.Key | None, progress: Progress) -> Distribution:
    """Return what a folder holds, made anew where that isn't what the lock comes to."""
    found = steps.lock
    before = _sizes_before(folder / f"{found.name}.cdx.json")
    if _is_current(folder, found, steps.hosts, key):
        _check_budget(assembly, before, before)
        return Distribution(found.name, folder, _names(folder), before, found, changed=False, notes=_notes(found))
    progress("collecting files")
    inside = contents(found.engine)
    with output.replacing(folder) as fresh:
        made = build_all(steps, source(inside, found), inside, fresh, progress)
        sizes = {name: each.sizes_bytes for name, each in made.items()}
        _check_budget(assembly, sizes, before)
        _describe(steps, inside, made, fresh, key)
        _draw(found.engine, sizes, fresh)
        output.write_sums(fresh)
    return Distribution(found.name, folder, _names(folder), sizes, found, notes=_notes(found, inside))


def lock(
    file: str, *, sets: Sequence[str] = (), formats: Sequence[str] = (), catalog: "Catalog | None" = None
) -> tuple[Assembly, Lock]:
    """Return the assembly of a manifest, and the lock that it comes to with what is installed now."""
    from moby.resolution import resolve_file

    found = resolve_file(file, sets=sets, formats=formats, catalog=catalog)
    return found.assembly, make(found.assembly, found.engine, found.build)


def lock_file(file: str) -> Path:
    """Return where a manifest's lock lies: beside it; for a shipped assembly in the current folder."""
    path = Path(file)
    return path.with_name(f"{path.name.removesuffix('.yaml').removesuffix('.yml')}.lock.json")


def _refuse_drift(now: Lock, file: str) -> None:
    path = lock_file(file)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise NotFound(f"no lock at {path}: {error.strerror}", hint=f"moby lock {file}") from error
    problems = drift(loads(data, source=str(path)), now, source=str(path))
    if problems:
        last = evolve(problems[-1], fixes=(f"moby lock {file} accepts all of it",))
        raise Invalid(f"{file} is not as locked", problems=(*problems[:-1], last))


def _sizes_before(table: Path) -> Sizes:
    try:
        return sizes_in(table.read_bytes())
    except OSError:  # none was made yet, or here none can be, which making it will say
        return {}


def _is_current(folder: Path, now: Lock, hosts: Mapping[str, str], key: signing.Key | None) -> bool:
    """Return whether a folder holds what this lock comes to on such a host, signed so, whole."""
    try:
        same = (folder / f"{now.name}.lock.json").read_bytes() == dumps(now)
        envelope = (folder / f"{now.name}.intoto.json").read_bytes()
    except OSError:
        return False
    keys = (key.key_id,) if key else ()
    told = provenance.hosts_in(envelope) == (dict(hosts), keys)
    if not (same and told and output.is_whole(folder) and provenance.tells(envelope, now, output.listed(folder))):
        return False
    return key is None or _is_signed(folder, now.name, envelope, key)


def _is_signed(folder: Path, name: str, envelope: bytes, key: signing.Key) -> bool:
    """Return whether all signatures are a key's, which are the same each time that they are made."""
    try:
        public = (folder / f"{name}.pub").read_bytes()
        found = {path: (folder / f"{path}.minisig").read_bytes() for path in provenance.formats_in(envelope)}
    except OSError:
        return False
    signed = public == signing.public(key) and envelope == provenance.signed(envelope, (key,))
    return signed and all(signing.minisig(key, folder / path) == data for path, data in found.items())


def _describe(
    steps: Steps, inside: Contents, made: Mapping[str, Artifact], folder: Path, key: signing.Key | None
) -> None:
    """Write the lock, the bill of materials, how it was made, and signatures."""
    found = steps.lock
    (folder / f"{found.name}.lock.json").write_bytes(dumps(found))
    sizes = {name: each.sizes_bytes for name, each in made.items()}
    brought = [each for artifact in made.values() for each in artifact.brought]
    (folder / f"{found.name}.cdx.json").write_bytes(document(found, inside, sizes, brought))
    said = provenance.statement(found, made, folder, steps.hosts)
    (folder / f"{found.name}.intoto.json").write_bytes(provenance.envelope(said, (key,) if key else ()))
    if key:
        (folder / f"{found.name}.pub").write_bytes(signing.public(key))
        for path in sorted(path for each in made.values() for path in each.files):
            (folder / f"{path}.minisig").write_bytes(signing.minisig(key, folder / path))


def build_all(steps: Steps, files: Source, inside: Contents, folder: Path, progress: Progress) -> dict[str, Artifact]:
    """Let every packager build, put what was asked for into a folder, and return it by format."""
    try:
        made = steps.run(files, folder, lambda name: progress(f"building {name}"))
    except Unsupported as error:
        brought = [
            f"{label} is there for {', '.join(owners)}"
            for label, owners in inside.distributions.items()
            if label in error.message
        ]
        raise Unsupported("; ".join([error.message, *brought]), hint=error.hint) from error
    asked = {each.name: not each.between for each in steps.lock.build.of_kind("packager")}
    whose: dict[str, str] = {}
    for name in sorted(made):
        own = made[name].folder
        for path in sorted(own.iterdir()) if asked[name] else ():
            if path.name in whose:
                raise Invalid(f"packager/{name} and packager/{whose[path.name]} both make {path.name}")
            whose[path.name] = name
            path.rename(folder / path.name)
        shutil.rmtree(own)
    return {name: made[name].artifact for name in sorted(made) if asked[name]}


def packagers(build: Plan, folder: Path) -> Mapping[str, Packager]:
    """Wire a build plan and return its packagers by name; HostUnfit names the first tool that isn't there.

    A packager that asks for folders of its own has them in `folder`, where they stay.
    """
    from moby.needs import judge, needs_of
    from moby.surroundings import Roots, Surroundings
    from moby.wiring import construct_all

    for instance in build.instances:
        for need in needs_of(instance):
            found = judge(need)
            if not (found.ok or need.optional):
                raise HostUnfit(f"{instance.key} needs {need.what} {need.name}: {found.detail}", hint=found.fix)
    made = construct_all(build, Surroundings(Roots.under(folder / ".places", build.name)))
    return {instance.name: made[instance.key] for instance in build.of_kind("packager")}


def _check_budget(assembly: Assembly, sizes: Sizes, before: Sizes) -> None:
    where = assembly.where("distribution.budget")
    limit = assembly.distribution.budget_bytes
    budget.check(sizes, limit, before=before, where=where, spare=lambda owners: _spare(assembly, owners))


def _spare(assembly: Assembly, owners: Mapping[str, int]) -> list[str]:
    """Return the biggest components that the assembly resolves without, by resolving it again."""
    from moby import registry, resolver

    catalog = registry.discover()
    found: list[str] = []
    for owner in sorted(owners, key=lambda each: (-owners[each], each)):
        kind, _, use = owner.partition("/")
        rest = tuple(each for each in assembly.choices if (each.kind, each.use) != (kind, use))
        if len(rest) < len(assembly.choices) and len(found) < MOST_SPARED:
            with suppress(Invalid):
                plan = resolver.resolve(evolve(assembly, choices=rest), catalog)
                if all(each.facts.id != owner for each in plan.instances):
                    found.append(owner)
    return found


def _draw(engine: Plan, sizes: Sizes, folder: Path) -> None:
    """Draw the graph, with the bytes that each component brings to the first format."""
    from moby import graph

    brought = next(iter(sizes.values()), {})
    (folder / "graph.svg").write_text(graph.svg(engine, brought), "utf-8")
    (folder / "graph.html").write_text(graph.html(engine, brought), "utf-8")


def _names(folder: Path) -> tuple[str, ...]:
    return tuple(sorted([output.SUMS, *output.listed(folder)]))


def _notes(found: Lock, inside: Contents | None = None) -> tuple[str, ...]:
    notes = [f"{name} is a working tree, so this can be reproduced just with this very tree" for name in found.editable]
    notes += [f"{label} has no licence text" for label in (inside.unlicensed if inside else ())]
    return (*notes, *found.engine.notes())
