"""`moby push`: push an assembly or a distribution to an image registry."""

import click

from moby.cli import parameters


@click.command("push")
@parameters.manifest()
@click.argument("reference")
@parameters.as_json("Print the result as JSON.")
def command(*, file: str, reference: str, as_json: bool) -> None:
    """Push FILE to an image registry: a manifest with all that it extends, or a folder that `moby assemble` made.

    REFERENCE is HOST/NAME:TAG. Credentials are those that `docker login` saved. Prints the pinned reference, for
    `extends` in other manifests.
    """
    from moby.cli import output
    from moby.distribution.publishing import push

    sent = push(file, reference)
    if as_json:
        output.emit_json({"schema": 1, "reference": str(sent.reference), "pinned": sent.pinned})
    else:
        click.echo(sent.pinned)
