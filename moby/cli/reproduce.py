"""`moby reproduce`: whether an artifact is what its lock says."""

from pathlib import Path

import click

from moby.cli import parameters


@click.command("reproduce")
@click.argument("artifact", type=click.Path(path_type=Path))
@click.option("--wheels", type=click.Path(path_type=Path), default=None, metavar="DIR",
              help="Prefer wheels from this folder to installed distributions.")  # fmt: skip
@parameters.as_json("Print the result as JSON.")
def command(*, artifact: Path, wheels: Path | None, as_json: bool) -> None:
    """Build ARTIFACT again from its lock and what is installed, and compare; exits 1 where it differs."""
    from moby.cli import output
    from moby.distribution.reproduction import reproduce, reproduce_from

    if wheels is not None:
        raise click.exceptions.Exit(reproduce_from(artifact, wheels, ("--json",) if as_json else ()))
    result = reproduce(artifact)
    if as_json:
        data = {"schema": 1, "same": result.same, "difference": result.difference, "notes": list(result.notes)}
        output.emit_json({**data, "artifact": str(artifact)})
    else:
        click.echo(f"{artifact}: {'the same, byte for byte' if result.same else result.difference}")
        for note in result.notes:
            click.echo(f"note: {note}", err=True)
    if not result.same:
        raise click.exceptions.Exit(1)
