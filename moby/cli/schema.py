"""`moby schema`: what an editor needs to check manifests."""

import click

from moby.cli import parameters


@click.command("schema")
@parameters.output
@parameters.as_json("Print JSON, as without this flag too.")
def command(out: str, as_json: bool) -> None:
    """Print the JSON Schema of manifests, closed over the components that are installed, for editors."""
    import json

    from moby.cli import output, session
    from moby.schema import manifest_schema

    output.write(out, json.dumps(manifest_schema(session.catalog()), indent=2, sort_keys=True) + "\n")
