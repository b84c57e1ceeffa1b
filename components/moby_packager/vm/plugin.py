"""Declares the packager `vm`."""

from collections.abc import Iterable

from attrs import field, frozen
from attrs.validators import and_, ge, in_, le, matches_re

from moby.component import Component, HostNeed
from moby.contracts.packager import Packager
from moby.hookspecs import hookimpl

_ADDRESS = r"\d{1,3}(\.\d{1,3}){3}"


@frozen
class Config:
    """Options of the packager."""

    kernel: str = field(
        default="/", metadata={"help": "Folder below which a package of a kernel is installed, or was unpacked."}
    )
    machine: str = field(
        default="pc", validator=in_(("pc", "uml")), metadata={"help": "pc, or uml for user-mode Linux."}
    )
    hostname: str = field(
        default="", validator=matches_re(r"[A-Za-z0-9.-]{0,64}"), metadata={"help": "Empty is the engine's name."}
    )
    network: str = field(
        default="dhcp",
        validator=matches_re(rf"dhcp|none|{_ADDRESS} \d{{1,2}} {_ADDRESS}( {_ADDRESS}){{0,3}}"),
        metadata={"help": "dhcp, none, or ADDRESS PREFIX GATEWAY and name servers, of the first interface."},
    )
    data: str = field(
        default="moby-data",
        validator=matches_re(r"[A-Za-z0-9._-]{0,16}"),
        metadata={"help": "Label of the file system, ext4, that /var is on; where there is none, /var is in memory."},
    )
    drivers: tuple[str, ...] = field(
        default=(
            "virtio_blk", "virtio_scsi", "virtio_net", "ahci", "hv_vmbus", "hv_storvsc", "hv_netvsc", "vmw_pvscsi",
            "vmxnet3", "ena", "gve",
        ),
        metadata={"help": "Modules of the kernel that are loaded where there is such a device, not for uml."},
    )  # fmt: skip
    modules: tuple[str, ...] = field(
        default=(), metadata={"help": "Modules that are always loaded, besides those that parts need."}
    )
    level: int = field(
        default=12, validator=and_(ge(1), le(19)), metadata={"help": "How hard zstd compresses, from 1 to 19."}
    )


def make(config: Config) -> Packager:
    """A machine that holds the engine and nothing else: a kernel, its first files, and its command line."""
    from moby_packager.vm.machine import Machine

    return Machine(
        config.kernel, config.machine, config.level, config.hostname, config.network, config.data, config.drivers,
        config.modules,
    )  # fmt: skip


@hookimpl
def moby_components() -> Iterable[Component]:
    """Return the packager."""
    compiler = HostNeed("binary", "gcc", package="gcc", why="compiles the machine's first process")
    zstd = HostNeed("binary", "zstd", package="zstd", why="compresses the machine's first files")
    return [Component(name="vm", factory=make, takes="tree", host=(compiler, zstd))]
