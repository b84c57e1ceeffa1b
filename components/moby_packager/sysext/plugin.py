"""Declares the packager `sysext`."""

from collections.abc import Iterable

from attrs import field, frozen
from attrs.validators import and_, ge, le, matches_re

from moby.component import Component, HostNeed
from moby.contracts.packager import Packager
from moby.hookspecs import hookimpl


@frozen
class Config:
    """Options of the packager."""

    group: str = field(
        default="docker",
        validator=matches_re(r"[a-z_][a-z0-9_-]{0,31}"),
        metadata={"help": "The group that may use the engine's socket, which is made where it isn't there."},
    )
    system: str = field(
        default="_any",
        validator=matches_re(r"_any|[a-z0-9][a-z0-9._-]*"),
        metadata={"help": "Which systems it extends, as `ID` in their os-release, of level 1.0; _any is all."},
    )
    level: int = field(
        default=12, validator=and_(ge(1), le(22)), metadata={"help": "How hard zstd compresses, from 1 to 22."}
    )


def make(config: Config) -> Packager:
    """An image that systemd-sysext merges into /usr of a running system, with an interpreter of its own."""
    from moby_packager.sysext.image import Sysext

    return Sysext(config.group, config.system, config.level)


@hookimpl
def moby_components() -> Iterable[Component]:
    """Return the packager."""
    need = HostNeed("binary", "mksquashfs", package="squashfs-tools", why="makes the file system")
    return [Component(name="sysext", factory=make, takes="tree", host=(need,))]
