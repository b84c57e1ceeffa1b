"""Declares the packager `vm`."""

from collections.abc import Iterable, Mapping

from attrs import asdict, field, frozen
from attrs.validators import and_, ge, in_, le, matches_re

from moby.component import Component, HostNeed
from moby.contracts.packager import Packager
from moby.hookspecs import hookimpl

DRIVERS = (
    "virtio_blk", "virtio_scsi", "virtio_net", "ahci", "hv_vmbus", "hv_storvsc", "hv_netvsc", "vmw_pvscsi", "vmxnet3",
    "ena", "gve", "nvme", "button",
)  # fmt: skip
"""Disks and networks of QEMU, Hyper-V and Azure, VMware, Amazon and Google, disks of NVMe, and the power button."""
_BYTE = "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_ADDRESS = rf"{_BYTE}(\.{_BYTE}){{3}}"
_PORT = "([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
_PREFIX = "(3[0-2]|[12]?[0-9])"


@frozen
class Container:
    """A container that a machine runs."""

    name: str = field(validator=matches_re(r"[a-z0-9][a-z0-9_.-]{0,62}"))
    image: str = field(
        metadata={"help": "An archive or folder with an OCI layout, or an archive that docker save wrote."}
    )
    command: tuple[str, ...] = field(default=(), metadata={"help": "In place of the image's."})
    env: tuple[str, ...] = field(default=(), metadata={"help": "NAME=VALUE."})
    user: str = field(default="", metadata={"help": "By name or number; empty is the image's."})
    workdir: str = ""
    net: str = field(default="none", validator=in_(("none", "host")), metadata={"help": "none or host."})
    binds: tuple[str, ...] = field(
        default=(), metadata={"help": "SOURCE:TARGET[:ro]; a source that ends with / is a folder, made at the start."}
    )
    tmpfs: tuple[str, ...] = field(default=(), metadata={"help": "Folders in memory; the rest is read-only."})
    capabilities: tuple[str, ...] = field(default=(), metadata={"help": "Besides Docker's default ones; all is ALL."})
    memory_bytes: int = field(default=0, validator=ge(0), metadata={"help": "The most that it may use."})
    hostname: str = field(default="", metadata={"help": "Empty is its name."})


@frozen
class Given:
    """A file of a machine."""

    contents: str = ""
    source: str = field(default="", metadata={"help": "A file here, in place of contents."})
    mode: str = field(default="0644", validator=matches_re(r"0?[0-7]{3,4}"))


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
        validator=matches_re(rf"dhcp|none|{_ADDRESS} {_PREFIX} {_ADDRESS}( {_ADDRESS}){{0,3}}"),
        metadata={"help": "dhcp, none, or ADDRESS PREFIX GATEWAY and name servers, of the first interface."},
    )
    time: str = field(
        default="",
        validator=matches_re(rf"({_ADDRESS}(:{_PORT})?)?"),
        metadata={
            "help": "ADDRESS[:PORT] of a server of time (SNTP) by which the clock is set; empty is the hardware's."
        },
    )
    data: str = field(
        default="moby-data",
        validator=matches_re(r"[A-Za-z0-9._-]{0,16}"),
        metadata={"help": "Label of the file system, ext4, that /var is on; where there is none, /var is in memory."},
    )
    drivers: tuple[str, ...] = field(
        default=DRIVERS,
        metadata={"help": "Modules of the kernel that are loaded where there is such a device, not for uml."},
    )  # fmt: skip
    modules: tuple[str, ...] = field(
        default=(), metadata={"help": "Modules that are always loaded, besides those that parts need."}
    )
    onboot: tuple[Container, ...] = field(
        default=(), metadata={"help": "Containers that run to their end when the machine starts, one after another."}
    )
    services: tuple[Container, ...] = field(
        default=(), metadata={"help": "Containers that are kept running; one that ends with 0 is done."}
    )
    files: Mapping[str, Given] = field(factory=dict, metadata={"help": "Files of the machine, by path."})
    level: int = field(
        default=12,
        validator=and_(ge(0), le(19)),
        metadata={"help": "How hard zstd compresses, from 1 to 19; 0 is not at all, which starts soonest."},
    )


def make(config: Config) -> Packager:
    """A machine that holds the engine and nothing else: a kernel, its first files, and its command line."""
    from moby_packager.vm.bundles import Service
    from moby_packager.vm.files import File
    from moby_packager.vm.machine import Machine

    values = asdict(config, recurse=False)
    for name in ("onboot", "services"):
        values[name] = tuple(Service(**asdict(each, recurse=False)) for each in values[name])
    values["files"] = {path: File(**asdict(each)) for path, each in config.files.items()}
    return Machine(**values)


@hookimpl
def moby_components() -> Iterable[Component]:
    """Return the packager."""
    compiler = HostNeed("binary", "gcc", package="gcc", why="compiles the machine's first process")
    zstd = HostNeed("binary", "zstd", package="zstd", why="compresses the machine's first files")
    return [Component(name="vm", factory=make, takes="tree", host=(compiler, zstd))]
