"""`moby run`: assemble and start, without keeping a distribution around."""

import os
import sys
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import click

from moby.cli import parameters


@click.command("run", context_settings={"allow_interspersed_args": False})
@parameters.manifest()
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@parameters.sets
@click.option("--root", default=None, metavar="DIR", help="The engine's folder.")
def command(file: str, arguments: tuple[str, ...], sets: tuple[str, ...], root: str | None) -> None:
    """Assemble FILE and start its engine here, in the foreground.

    ARGUMENTS are a command of the distribution, `serve` unless given: moby run quickstart run IMAGE sh
    """
    from moby import distribution
    from moby.cli import output

    arguments = parameters.engines_own(command, arguments, also=("--root",))
    cache = _cache()
    with output.progress() as show:
        show(f"assembling {file}")
        made = distribution.assemble(file, cache, sets=sets, formats=("pyz",))
    engine = _kept(made.folder / f"{made.name}.pyz", cache)
    flags = ["--root", root] if root else []
    os.execv(sys.executable, [sys.executable, str(engine), *flags, *(arguments or ("serve",))])  # noqa: S606


def _cache() -> Path:
    """Return the folder for engines that are run right away, by the XDG base directory specification."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "moby" / "run"


def _kept(engine: Path, cache: Path) -> Path:
    """Return a name of an engine that stays, since another `moby run` may replace it while this one still imports."""
    from moby.errors import HostUnfit

    kept = cache / ".started" / f"{sha256(engine.read_bytes()).hexdigest()}.pyz"
    try:
        kept.parent.mkdir(exist_ok=True)
        with suppress(FileExistsError):
            kept.hardlink_to(engine)
    except OSError as error:
        raise HostUnfit(f"can't write {kept}: {error.strerror}", hint="set XDG_CACHE_HOME to another folder") from error
    return kept
