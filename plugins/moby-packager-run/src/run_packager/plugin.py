"""Declares the packager `run`."""

from collections.abc import Iterable

from attrs import field, frozen
from attrs.validators import matches_re
from moby.component import Component
from moby.contracts.packager import Packager
from moby.hookspecs import hookimpl


@frozen
class Config:
    """Options of the packager."""

    prefix: str = field(
        default="/usr/local",
        validator=matches_re(r"/[A-Za-z0-9._/-]*"),
        metadata={"help": "Where it installs, unless it is told --prefix."},
    )


def make(config: Config) -> Packager:
    """One shell script that installs the engine, for hosts that have sh, tar and zstd, and no packages."""
    from run_packager.script import Run

    return Run(config.prefix)


@hookimpl
def moby_components() -> Iterable[Component]:
    """Return the packager, which is made of what `tar` makes."""
    return [Component(name="run", factory=make, takes="tar")]
