"""`moby components`: what is installed."""

from typing import TYPE_CHECKING

import click

from moby.cli import parameters

if TYPE_CHECKING:
    from moby.registry import Catalog

JSON_FACTS = ("id", "kind", "name", "version", "contract", "distribution", "provides", "needs", "host", "options")


@click.command("components")
@parameters.kind("Just the components of one kind.")
@parameters.as_json("Print all facts as JSON.")
def command(kind: str, as_json: bool) -> None:
    """List the installed components."""
    from moby.cli import output, session
    from moby.component import dump_facts

    catalog = session.catalog()
    if kind:
        _require(kind, catalog)
    found = catalog.of_kind(kind) if kind else tuple(catalog.components.values())
    if as_json:
        listed = [{name: dump_facts(each)[name] for name in JSON_FACTS} for each in found]
        output.emit_json({"schema": 1, "components": listed})
    else:
        rows = [(each.id, each.version, each.distribution, each.summary) for each in found]
        output.table(("component", "version", "distribution", "summary"), rows)
    if catalog.broken:
        count = len(catalog.broken)
        click.echo(f"{count} broken part{'' if count == 1 else 's'} left out; see moby plugins", err=True)


def _require(kind: str, catalog: "Catalog") -> None:
    """Raise NotFound for a kind that neither a component nor the framework knows."""
    from difflib import get_close_matches

    from moby.errors import NotFound
    from moby.registry.catalog import contract_versions

    known = sorted({*catalog.kinds(), *contract_versions()})
    if kind not in known:
        near = get_close_matches(kind, known, n=1)
        raise NotFound(f"no kind {kind!r}; kinds: {', '.join(known)}", hint=f"did you mean {near[0]}?" if near else "")
