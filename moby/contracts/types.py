"""Values that several contracts share."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated

from moby.contracts.streams import Stdio
from moby.values import field, frozen

__all__ = [
    "FD", "Digest", "Exit", "Fd", "ImageReference", "Limits", "Mount", "Platform", "Stdio", "TaskStatus", "Window",
]  # fmt: skip

FD = "file descriptor"
Fd = Annotated[int, FD]
"""A file descriptor, or -1 for none. Where a contract is called in another process, these are passed over the socket:
what comes in is borrowed, what is returned is the caller's own to close."""


@frozen(order=True)
class Digest:
    """A content address, `algorithm:hex` (image-spec, descriptor.md, digests)."""

    algorithm: str
    hex: str

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.hex}"


@frozen(order=True)
class ImageReference:
    """The name of an image; `moby.oci.reference` parses and prints Docker's short forms."""

    domain: str
    path: str
    tag: str = ""
    digest: Digest | None = None

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.domain}/{self.path}{tag}{digest}"


_ARCHITECTURES: Mapping[str, tuple[str, str]] = {
    "x86_64": ("amd64", ""),
    "aarch64": ("arm64", "v8"),
    "armv7l": ("arm", "v7"),
    "armv6l": ("arm", "v6"),
    "i686": ("386", ""),
    "ppc64le": ("ppc64le", ""),
    "riscv64": ("riscv64", ""),
    "s390x": ("s390x", ""),
}


@frozen(order=True)
class Platform:
    """An operating system and processor, in Go's spelling (image-spec, image-index.md, platform)."""

    os: str = "linux"
    architecture: str = "amd64"
    variant: str = ""

    @classmethod
    def host(cls) -> "Platform":
        """Return the platform of this machine."""
        import platform

        machine = platform.machine()
        architecture, variant = _ARCHITECTURES.get(machine, (machine, ""))
        return cls("linux", architecture, variant)

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)


@frozen
class Mount:
    """A file system inside a container (runtime-spec, config.md, mounts); options as in mount(8)."""

    destination: str
    source: str = ""
    type: str = "bind"
    options: tuple[str, ...] = ()


@frozen
class Limits:
    """The most that a container may use; 0 is no limit."""

    memory_bytes: int = 0
    cpus: float = 0.0
    pids: int = 0
    memory_swap_bytes: int = 0
    """Memory and swap together; -1 for unlimited swap."""
    cpu_shares: int = 0
    """CPU weight, relative to a default of 1024 (runtime-spec, config-linux.md, cpu)."""
    cpuset_cpus: str = ""
    """The processors that it may run on, `0-2,7`; empty is all."""
    cpuset_mems: str = ""
    """The same for memory nodes (NUMA)."""


@frozen
class Window:
    """The size of a terminal in characters."""

    rows: int = 24
    columns: int = 80


class TaskStatus(StrEnum):
    """The states of a container (runtime-spec, runtime.md, state), and `paused`."""

    CREATING = "creating"
    CREATED = "created"
    RUNNING = "running"
    PAUSED = "paused"
    STOPPED = "stopped"


@frozen
class Exit:
    """How a process ended. `code` is as a shell sees it (128+n for signal n); None is unknown, never guessed."""

    code: int | None
    time_ns: int
    oom_killed: bool = field(default=False)
