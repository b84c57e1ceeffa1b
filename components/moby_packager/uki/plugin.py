"""Declares the packager `uki`."""

from collections.abc import Iterable

from attrs import field, frozen

from moby.component import Component, HostNeed
from moby.contracts.packager import Packager
from moby.hookspecs import hookimpl


@frozen
class Config:
    """Options of the packager."""

    stub: str = field(
        default="/usr/lib/systemd/boot/efi/linuxx64.efi.stub",
        metadata={"help": "The program that firmware starts, systemd's; it starts the kernel."},
    )


def make(config: Config) -> Packager:
    """A machine as one program that UEFI starts: a unified kernel image."""
    from moby_packager.uki.image import Uki

    return Uki(config.stub)


@hookimpl
def moby_components() -> Iterable[Component]:
    """Return the packager."""
    need = HostNeed("binary", "ukify", package="systemd-ukify", why="puts the image together")
    return [Component(name="uki", factory=make, takes="vm", host=(need,))]
