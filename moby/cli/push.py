"""`moby push`: share an assembly or a distribution by an image registry."""

import click

from moby.cli import parameters


@click.command("push")
@parameters.manifest()
@click.argument("reference")
@parameters.as_json("Print the result as JSON.")
def command(*, file: str, reference: str, as_json: bool) -> None:
    """Send FILE, a manifest with what it extends or a folder that assembling made, to an image registry.

    REFERENCE is HOST/NAME:TAG; who you are there is what `docker login` saved. Prints what `extends` takes.
    """
    from moby.cli import output
    from moby.distribution.publishing import push

    sent = push(file, reference)
    if as_json:
        output.emit_json({"schema": 1, "reference": str(sent.reference), "pinned": sent.pinned})
    else:
        click.echo(sent.pinned)
