"""`moby diff`: what differs between two assemblies."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from attrs import field, frozen

from moby.cli import parameters

if TYPE_CHECKING:
    from moby.difference import Difference
    from moby.distribution.sbom import Sizes
    from moby.errors import Origin
    from moby.lock import Lock
    from moby.plan import Plan

LOCK = "moby-lock.json"


@frozen
class Side:
    """One of the two: its plans, and where what was written."""

    engine: "Plan"
    build: "Plan"
    where: "Callable[[str], Origin | None]"
    sizes: "Sizes" = field(factory=dict)
    """Bytes by format, then by owner, of what was built."""


@click.command("diff")
@parameters.manifest("before", suffixes=parameters.DISTRIBUTIONS)
@parameters.manifest("after", suffixes=parameters.DISTRIBUTIONS)
@parameters.target("The host to resolve manifests for; else as they say.")
@parameters.as_json("Print the differences as JSON.")
def command(before: str, after: str, target: str, as_json: bool) -> None:
    """Say what differs between BEFORE and AFTER: manifests, locks or distributions, also mixed.

    Prints a line for each part, version, option and wire that differs, and for two distributions, whose bytes differ.
    Exits with 1 if anything differs, else with 0.
    """
    from moby.cli import output
    from moby.difference import compare, compare_sizes

    old, new = _side(before, target), _side(after, target)
    found = compare(old.engine, new.engine, where=new.where)
    built = [each for each in compare(old.build, new.build, where=new.where) if each.what != "name"]
    built += compare_sizes(old.sizes, new.sizes)
    if as_json:
        listed = [_json(each, "engine") for each in found] + [_json(each, "build") for each in built]
        output.emit_json({"schema": 1, "same": not listed, "before": before, "after": after, "differences": listed})
    else:
        for each in (*found, *built):
            click.echo(str(each))
    if found or built:
        raise click.exceptions.Exit(1)


def _json(difference: "Difference", plan: str) -> Mapping[str, Any]:
    where = difference.where
    return {
        "plan": plan,
        "what": difference.what,
        "subject": difference.subject,
        "before": difference.before,
        "after": difference.after,
        "where": {"source": where.source, "line": where.line, "column": where.column} if where else None,
        "text": str(difference),
    }


def _side(file: str, target: str) -> Side:
    """Read a lock, a distribution's lock, or else a manifest, which is resolved."""
    lock = _lock(Path(file))
    if lock is not None:
        return Side(lock.engine, lock.build, lambda path: None, _sizes(file, lock))
    from moby import resolver
    from moby.cli import session

    assembly, catalog, plan = session.plan(file, (), target)
    build = resolver.resolve_build(assembly, catalog)
    return Side(plan, build, assembly.where)


def _lock(path: Path) -> "Lock | None":
    """Return the lock of a lock's file or of an artifact; None for a manifest, which is to be resolved."""
    from moby import lock
    from moby.distribution.reproduction import embedded_lock
    from moby.errors import Invalid

    if path.suffix == ".json" and path.is_file():
        return lock.loads(path.read_bytes(), source=str(path))
    if not path.is_file() or path.suffix in parameters.MANIFESTS:
        return None
    try:
        return embedded_lock(path, path.read_bytes())
    except Invalid as error:
        message = f"{path} is no distribution: it holds no {LOCK}, and no lock of it lies beside it"
        hint = "give a manifest, a lock, or what assembling made, with the lock that was made with it beside it"
        raise Invalid(message, hint=hint) from error


def _sizes(file: str, lock: "Lock | None") -> "Sizes":
    """Return the bytes by format and owner that the bill of materials beside an artifact or a lock tells."""
    from moby.distribution.sbom import sizes_in

    if lock is None:
        return {}
    try:
        sizes = sizes_in(Path(file).with_name(f"{lock.name}.cdx.json").read_bytes())
    except OSError:
        return {}
    ending = Path(file).name.removeprefix(f"{lock.name}.")
    own = {name: each for name, each in sizes.items() if ending.split(".")[0] == name}
    return own or sizes  # of a lock, and of a file that isn't called as its format
