"""What this runtime takes from a config.json, as values."""

from __future__ import annotations

from moby.values import field, frozen
from moby_runtime.programs.values import ProcessSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from moby.oci.seccomp.filter import Filter

__all__ = [
    "CREATED",
    "CREATING",
    "OCI_VERSION",
    "PAUSED",
    "RUNNING",
    "STOPPED",
    "Device",
    "Hook",
    "IdMapping",
    "MountPoint",
    "ProcessSpec",
    "Spec",
    "lines_of",
]

CREATING, CREATED, RUNNING, PAUSED, STOPPED = "creating", "created", "running", "paused", "stopped"
"""The states, as TaskStatus spells them, whose enumeration takes long to import."""
OCI_VERSION = "1.3.0"
"""The version of the specification that this runtime follows."""


@frozen
class IdMapping:
    """A range of user or group ids: inside, outside, how many."""

    inside: int
    outside: int
    size: int


def lines_of(mappings: tuple[IdMapping, ...]) -> str:
    """Return mappings as the kernel takes them (user_namespaces(7), uid_map)."""
    return "".join(f"{each.inside} {each.outside} {each.size}\n" for each in mappings)


@frozen
class MountPoint:
    """One of `mounts`."""

    destination: str
    type: str = ""
    source: str = ""
    options: tuple[str, ...] = ()
    where: str = "mounts"
    """Path of the field, for errors."""
    uid_mappings: tuple[IdMapping, ...] = ()
    gid_mappings: tuple[IdMapping, ...] = ()

    @property
    def mapped(self) -> bool:
        """Whether its files' owners are shown as other ids."""
        return bool(self.uid_mappings) or "idmap" in self.options or "ridmap" in self.options


@frozen
class Device:
    """A device node of the container."""

    path: str
    type: str
    major: int = 0
    minor: int = 0
    mode: int = 0o666
    uid: int = 0
    gid: int = 0


@frozen
class Hook:
    """A program that is told of a step."""

    path: str
    args: tuple[str, ...]
    env: tuple[str, ...]
    timeout_s: float | None
    where: str
    """Path of the field, for errors."""


@frozen
class Spec:
    """What this runtime takes from a bundle."""

    bundle: str
    rootfs: str
    readonly: bool
    process: ProcessSpec
    namespaces: Mapping[str, str]
    """Name to the path that is joined; empty is a new one."""
    namespace_names: tuple[str, ...] = ()
    """As written, which may be twice."""
    mounts: tuple[MountPoint, ...] = ()
    hostname: str = ""
    domainname: str = ""
    uid_mappings: tuple[IdMapping, ...] = ()
    gid_mappings: tuple[IdMapping, ...] = ()
    devices: tuple[Device, ...] = ()
    cgroups_path: str = ""
    resources: Mapping[str, Any] = field(factory=dict)
    propagation: str = ""
    sysctl: Mapping[str, str] = field(factory=dict)
    masked: tuple[str, ...] = ()
    readonly_paths: tuple[str, ...] = ()
    mount_label: str = ""
    """The SELinux context of its mounts."""
    annotations: Mapping[str, str] = field(factory=dict)
    hooks: Mapping[str, Any] = field(factory=dict)
    """As config.json has them."""
    seccomp: Filter | None = None
    net_devices: Mapping[str, Any] = field(factory=dict)
    """As config.json has them."""
    time_offsets: Mapping[str, Any] = field(factory=dict)
    """As config.json has them."""
    rdt: Mapping[str, Any] | None = None
    """As config.json has it; None where it has none."""
    keyring: bool = True
    """Whether it gets a session keyring of its own; not of config.json."""
    pivot: bool = True
    """Whether its root is changed by pivot_root(2), which a root on a ramdisk doesn't allow; not of config.json."""
    looks: bool = False
    """Whether its program is looked for when it is made, as engines expect it of a command; not of config.json."""

    @property
    def shares_mounts(self) -> bool:
        """Whether it is in somebody else's mount namespace, which a path names, or in the caller's."""
        return not self.new("mount")

    def new(self, name: str) -> bool:
        """Whether the container gets a namespace of this name made for it."""
        return self.namespaces.get(name) == ""

    @property
    def user_namespace(self) -> bool:
        """Whether the container lives in a user namespace other than the caller's."""
        return "user" in self.namespaces
