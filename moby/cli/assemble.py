"""`moby assemble`: from a manifest to a distribution."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from moby.cli import parameters

if TYPE_CHECKING:
    from moby.distribution import Distribution


@click.command("assemble")
@parameters.manifest()
@parameters.place("DIR", "Put NAME/ into this folder.", default=Path("dist"))
@parameters.formats("Generate this format instead of the manifest's.")
@parameters.sets
@click.option("--locked", is_flag=True, help="Fail if anything differs from what `moby lock` recorded, and name it.")
@click.option("--sign", type=click.Path(path_type=Path), default=None, metavar="KEY",
              help="Sign the files with this Ed25519 key (PEM or minisign).")  # fmt: skip
@parameters.as_json("Print the result as JSON.")
def command(
    *,
    file: str,
    out: Path,
    formats: tuple[str, ...],
    sets: tuple[str, ...],
    locked: bool,
    sign: Path | None,
    as_json: bool,
) -> None:
    """Generate a distribution from FILE (or the shipped assembly of that name) into DIR/NAME."""
    from moby import distribution
    from moby.cli import output

    with output.progress() as progress:
        made = distribution.assemble(file, out, sets=sets, formats=formats, locked=locked, sign=sign, progress=progress)
    if as_json:
        output.emit_json(_data(made))
    else:
        _print(made)


def _data(made: "Distribution") -> dict[str, object]:
    return {
        "schema": 1,
        "name": made.name,
        "folder": str(made.folder),
        "files": list(made.files),
        "changed": made.changed,
        "sizes": {name: dict(owners) for name, owners in made.sizes.items()},
        "notes": list(made.notes),
    }


def _print(made: "Distribution") -> None:
    from moby.cli import output

    rows = [
        (name, owner, count)
        for name, owners in made.sizes.items()
        for owner, count in sorted(owners.items(), key=lambda item: (-item[1], item[0]))
    ]
    output.table(["format", "owner", "bytes"], rows)
    for note in made.notes:
        click.echo(f"note: {note}", err=True)
    state = "made" if made.changed else "nothing changed"
    click.echo(f"{made.folder}: {state}", err=True)
    for name in made.files:
        click.echo(f"  {made.folder / name}", err=True)
