"""Declares the packager `rpm`."""

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
        validator=matches_re(r"([A-Za-z0-9][A-Za-z0-9._+~^]*)?"),
        metadata={"help": "The package's version (rpm-version(7)); empty is the framework's."},
    )
    release: str = field(
        default="1",
        validator=matches_re(r"[A-Za-z0-9][A-Za-z0-9._+~^]*"),
        metadata={"help": "The package's release, of the same version."},
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
    """A package for Fedora, Red Hat, SUSE and their relatives, with units of systemd, on the system's Python."""
    from moby_packager.rpm.archive import Rpm

    return Rpm(config.version, config.release, config.maintainer, config.command, config.group, config.level)


@hookimpl
def moby_components() -> Iterable[Component]:
    """Return the packager."""
    return [Component(name="rpm", factory=make, takes="pyz")]
