"""`moby boot`: assemble a machine and start it in this terminal."""

import fcntl
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from moby.cli import parameters

if TYPE_CHECKING:
    from moby.machines.machine import Machine

_OPTIONS = "distribution.config.vm"
_LEAST_MB = 64
_NO_BUDGET = "1000GB"
"""What is started here is handed to nobody."""


@click.command("boot", context_settings={"allow_interspersed_args": False})
@parameters.manifest()
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.option("--uml", "as_uml", is_flag=True, help="Boot as user-mode Linux instead of in QEMU.")
@click.option("--kernel", type=click.Path(path_type=Path, exists=True), default=None, metavar="DIR",
              help="Folder into which a kernel package was unpacked.")  # fmt: skip
@click.option("--memory", type=click.IntRange(min=_LEAST_MB), default=512, show_default=True, metavar="MB",
              help="Memory of the machine.")  # fmt: skip
@click.option("--data", type=click.Path(path_type=Path, dir_okay=False), default=None, metavar="FILE",
              help="Disk image for lasting data; created if there is none.")  # fmt: skip
@click.option("--network/--no-network", default=True, help="Let the machine use this host's network (QEMU only).")
@parameters.sets
def command(
    *,
    file: str,
    arguments: tuple[str, ...],
    as_uml: bool,
    kernel: Path | None,
    memory: int,
    data: Path | None,
    network: bool,
    sets: tuple[str, ...],
) -> int:
    """Assemble FILE as a machine and start it in this terminal.

    ARGUMENTS are a command of the engine's, whose end is the machine's: moby boot minimal images. Ctrl-A X ends QEMU.
    """
    from moby.machines import running
    from moby.machines.data import disk

    arguments = parameters.engines_own(command, arguments)
    wanted = [f"{_OPTIONS}.machine={'uml' if as_uml else 'pc'}", f"distribution.budget={_NO_BUDGET}"]
    wanted += [f"{_OPTIONS}.kernel={kernel.absolute()}"] if kernel else []
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "moby" / "machines"
    cache.mkdir(parents=True, exist_ok=True)
    place = cache / ("uml" if as_uml else "pc")
    with tempfile.TemporaryDirectory(dir=cache, prefix="boot-") as folder:
        with place.with_suffix(".lock").open("w") as lock:  # so that nobody replaces some of the files meanwhile
            fcntl.flock(lock, fcntl.LOCK_EX)
            machine = _assembled(file, place, (*sets, *wanted)).kept(Path(folder))
        drive = disk(data) if data else None
        if as_uml:
            return running.by_uml(machine, arguments, cache, memory_mb=memory, data=drive)
        return running.by_qemu(machine, arguments, cache, memory_mb=memory, data=drive, network=network)


def _assembled(file: str, folder: Path, sets: tuple[str, ...]) -> "Machine":
    from moby import distribution
    from moby.cli import output
    from moby.machines.machine import Machine

    with output.progress() as show:
        show(f"assembling {file}")
        made = distribution.assemble(file, folder, sets=sets, formats=("vm",), progress=show)
    return Machine(made.name, made.folder)
