"""`moby graph`: a picture of an assembly."""

import click

from moby.cli import parameters

FORMATS = ("svg", "html", "mermaid", "dot", "json")


@click.command("graph")
@parameters.manifest()
@click.option(
    "--format", "form", type=click.Choice(FORMATS), default="mermaid", show_default=True, help="Output format."
)
@parameters.output
@parameters.sets
@parameters.target("The host to resolve for; else as the manifest says.")
@parameters.as_json("The same as --format json.")
def command(*, file: str, form: str, out: str, sets: tuple[str, ...], target: str, as_json: bool) -> None:
    """Draw FILE (or the shipped assembly of that name): its parts, and who needs whom."""
    import json

    from moby import graph
    from moby.cli import output, session

    _, _, plan = session.plan(file, sets, target)
    text = {
        "svg": lambda: graph.svg(plan),
        "html": lambda: graph.html(plan),
        "mermaid": lambda: graph.mermaid(plan),
        "dot": lambda: graph.dot(plan),
        "json": lambda: json.dumps(graph.data(plan), indent=2, sort_keys=True) + "\n",
    }["json" if as_json else form]()
    output.write(out, text)
