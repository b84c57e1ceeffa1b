"""Declares the packager `deb`."""

from collections.abc import Iterable

from attrs import field, frozen
from attrs.validators import and_, ge, le, matches_re

from moby.component import Component
from moby.contracts.packager import Packager
from moby.hookspecs import hookimpl


@frozen
class Config:
    """Options of the packager."""

    version: str = field(
        default="",
        validator=matches_re(r"([0-9][A-Za-z0-9.+~-]*)?"),
        metadata={"help": "The package's version (deb-version(7)); empty is the framework's."},
    )
    maintainer: str = field(
        default="",
        validator=matches_re(r"([^<>\n]+ <[^<>\s]+>)?"),
        metadata={"help": "Who answers for it, as NAME <ADDRESS>; empty is root at that host."},
    )
    command: str = field(
        default="",
        validator=matches_re(r"([A-Za-z0-9][A-Za-z0-9._-]*)?"),
        metadata={"help": "The program's name in /usr/bin; empty is moby-NAME."},
    )
    group: str = field(
        default="docker",
        validator=matches_re(r"[a-z_][a-z0-9_-]{0,31}"),
        metadata={"help": "The group that may use the engine's socket, which is made where it isn't there."},
    )
    level: int = field(
        default=6, validator=and_(ge(0), le(9)), metadata={"help": "How hard xz compresses, from 0 to 9."}
    )


def make(config: Config) -> Packager:
    """A package for Debian and its relatives, with units of systemd, which runs on the system's Python."""
    from moby_packager.deb.archive import Deb

    return Deb(config.version, config.maintainer, config.command, config.group, config.level)


@hookimpl
def moby_components() -> Iterable[Component]:
    """Return the packager."""
    return [Component(name="deb", factory=make, takes="pyz")]
