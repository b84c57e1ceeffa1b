"""Declares the packager `raw`."""

from collections.abc import Iterable

from attrs import Attribute, field, frozen
from attrs.validators import and_, ge, le, matches_re

from moby.component import Component, HostNeed
from moby.contracts.packager import Packager
from moby.hookspecs import hookimpl

LEAST_MIB = 8
"""Of a file system with a journal, without which a power cut may spoil it."""


def _with_a_journal(_config: "Config", _option: "Attribute[int]", value: int) -> None:
    if 0 < value < LEAST_MIB:
        raise ValueError(f"data_mib is {value}; a file system with a journal needs at least {LEAST_MIB}")


@frozen
class Config:
    """Options of the packager."""

    data_mib: int = field(
        default=0,
        validator=and_(ge(0), le(65536), _with_a_journal),
        metadata={"help": "MiB of a partition for what lasts, at least 8; 0 is none, so that it is in memory."},
    )
    label: str = field(
        default="moby-data",
        validator=matches_re(r"[A-Za-z0-9._-]{1,16}"),
        metadata={"help": "Its file system's label, as the option data of the format vm has it."},
    )


def make(config: Config) -> Packager:
    """A disk that UEFI starts a machine from, block by block, made without root and without a loop device."""
    from moby_packager.raw.disk import Raw

    return Raw(config.data_mib, config.label)


@hookimpl
def moby_components() -> Iterable[Component]:
    """Return the packager."""
    needs = (
        HostNeed("binary", "mkfs.vfat", package="dosfstools", why="makes the file system that firmware reads"),
        HostNeed("binary", "mcopy", package="mtools", why="writes into it"),
        HostNeed("binary", "sfdisk", package="fdisk", why="divides the disk"),
    )
    return [Component(name="raw", factory=make, takes="uki", host=needs)]
