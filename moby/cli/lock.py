"""`moby lock`: what a manifest resolves to, written down."""

from contextlib import suppress
from pathlib import Path

import click

from moby.cli import parameters


@click.command("lock")
@parameters.manifest()
@parameters.sets
@parameters.formats("Lock this format instead of the manifest's.")
@parameters.place("FILE", "Write it here.")
@parameters.as_json("Print the lock, and write nothing.")
def command(*, file: str, sets: tuple[str, ...], formats: tuple[str, ...], out: Path | None, as_json: bool) -> None:
    """Write what FILE resolves to into a lock file beside it: manifests, components, distributions, options.

    `moby assemble --locked` then refuses whatever differs. The lock of a shipped assembly goes to the current folder.
    """
    from moby import distribution
    from moby.cli import output
    from moby.errors import HostUnfit
    from moby.lock import dump, dumps

    _, found = distribution.lock(file, sets=sets, formats=formats)
    if as_json:
        output.emit_json(dump(found))
        return
    path = out or distribution.lock_file(file)
    fresh = path.parent / f".{path.name}.new"
    try:
        fresh.write_bytes(dumps(found))
        fresh.replace(path)
    except OSError as error:
        with suppress(OSError):
            fresh.unlink(missing_ok=True)
        raise HostUnfit(f"can't write {path}: {error.strerror}", hint="name another file with -o") from error
    click.echo(str(path))
