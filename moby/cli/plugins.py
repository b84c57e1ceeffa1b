"""`moby plugins`: the distributions that bring components, and what of them is broken."""

from typing import TYPE_CHECKING, Any

import click

from moby.cli import parameters

if TYPE_CHECKING:
    from moby.registry import Catalog


@click.command("plugins")
@parameters.as_json("Print the list as JSON.")
def command(as_json: bool) -> None:
    """List the installed distributions that bring components, the broken ones with the reason."""
    from moby.cli import output, session

    plugins = _plugins(session.catalog())
    if as_json:
        output.emit_json({"schema": 1, "plugins": plugins})
        return
    rows = [
        (each["distribution"], "broken" if each["broken"] else "ok", " ".join(each["components"]) or "-")
        for each in plugins
    ]
    output.table(("distribution", "state", "components"), rows)
    for each in plugins:
        for part in each["broken"]:
            where = f"{each['distribution']}, {part['module']}" if part["module"] else each["distribution"]
            click.echo(f"broken\t{where}\t{part['reason']}")


def _plugins(catalog: "Catalog") -> list[dict[str, Any]]:
    """Return each distribution with its components and its broken parts, sorted by name."""
    known = {each.label: each for each in catalog.distributions}
    labels = sorted({*known, *(each.distribution for each in catalog.broken)}, key=str.casefold)
    return [
        {
            "distribution": label,
            "editable": label in known and known[label].editable,
            "components": [each.id for each in catalog.components.values() if each.distribution == label],
            "broken": [
                {"module": each.module, "reason": each.reason} for each in catalog.broken if each.distribution == label
            ],
        }
        for label in labels
    ]
