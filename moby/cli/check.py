"""`moby check`: whether a manifest assembles."""

import click

from moby.cli import parameters


@click.command("check")
@parameters.manifest()
@parameters.sets
@parameters.target("The host to check for; else as the manifest says.")
@parameters.as_json("Print the result as JSON.")
def command(file: str, sets: tuple[str, ...], target: str, as_json: bool) -> None:
    """Say whether FILE (or the shipped assembly of that name) assembles, and if not, every reason."""
    from moby.cli import output, session
    from moby.errors import Invalid

    try:
        assembly, _, plan = session.plan(file, sets, target)
    except Invalid as error:
        if as_json:
            output.emit_json({"schema": 1, "ok": False, "problems": [output.problem(each) for each in error.problems]})
            raise click.exceptions.Exit(error.exit_code) from None
        raise
    if as_json:
        keys = [each.key for each in plan.instances]
        data = {"schema": 1, "ok": True, "name": assembly.name, "instances": keys, "notes": list(plan.notes())}
        output.emit_json(data)
    else:
        parts = len(plan.instances)
        click.echo(f"{assembly.name}: {parts} component{'' if parts == 1 else 's'}, no problem")
        for note in plan.notes():
            click.echo(f"note: {note}", err=True)
