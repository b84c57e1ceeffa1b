"""The values of the kind `runtime`: what it gives its callers, and what they tell it.

Apart from the contract itself, which `moby.contracts.runtime` has with all of these, so that a command that lives for
milliseconds gets them without `typing` and `pathlib`, whose imports take longer than a container's start.
"""

from __future__ import annotations

from moby.values import field, frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from moby.contracts.types import TaskStatus

__all__ = [
    "DIE_WITH_PARENT", "CheckpointOptions", "ContainerState", "DeviceIo", "HugePages", "Process", "RuntimeFeature",
    "Stall", "Stats",
]  # fmt: skip

DIE_WITH_PARENT = "org.mobyproject.die-with-parent"
"""Annotation of a bundle: at `true` a runtime that can has the kernel kill the container's first process when the
thread that called `create` ends (PR_SET_PDEATHSIG, prctl(2)). For who must not leave containers behind, even killed.
"""


class RuntimeFeature:
    """Names of what a runtime may lack; it lists what it has, and refuses the rest with Unsupported."""

    EXEC = "exec"
    PAUSE = "pause"
    UPDATE = "update"
    TERMINAL = "terminal"
    CGROUPS = "cgroups"
    HOOKS = "hooks"
    """All hooks of a bundle (runtime-spec, config.md, POSIX-platform hooks)."""
    SECCOMP = "seccomp"
    USERNS = "userns"
    """User namespaces that map more than the caller's own user and group."""
    ROOTLESS = "rootless"
    """Containers made by an ordinary user, whose id is the one that is mapped."""
    CHECKPOINT = "checkpoint"
    STATS = "stats"
    OOM = "oom"
    """Being told of processes that the kernel killed for want of memory."""
    EXTRA_FDS = "extra-fds"
    """Descriptors beyond the standard streams (`Stdio.extra`)."""
    JOINING = "joining"
    """Namespaces that are there already, by their paths (`linux.namespaces[].path`)."""
    TIMENS = "timens"
    """Time namespaces, with offsets."""
    USERS = "users"
    """Programs as other users and groups than the caller's, with more groups (`process.user`)."""
    NAMESPACES = "namespaces"
    """Namespaces of the container's own (`linux.namespaces`), with what belongs to them, as `hostname` does."""
    MOUNTS = "mounts"
    """Files as the bundle says: `mounts`, a read-only root, masked and read-only paths, devices."""
    NOEXEC = "noexec"
    """Mounts from which no program can be run (mount(8), noexec)."""


@frozen
class Process:
    """A process that a runtime started for its caller, who closes its descriptors."""

    pid: int
    """As the caller's PID namespace sees it; for namespaces and /proc."""
    exit_fd: int
    """A pidfd of the caller's own child (or of a child of its subreaper) whose exit status is the container's."""
    terminal_fd: int = -1
    """The master of the process's terminal, which is one of the container's own devpts; -1 where it has none.

    Its size is `process.consoleSize` until the caller sets another. Once all copies are closed it hangs up.
    """


@frozen
class ContainerState:
    """What a runtime says of a container (runtime-spec, runtime.md, state)."""

    id: str
    status: TaskStatus
    pid: int
    """0 when stopped."""
    bundle: Path
    annotations: Mapping[str, str] = field(factory=dict)


@frozen
class DeviceIo:
    """What a container has read from, and written to, one block device."""

    major: int
    minor: int
    read_bytes: int = 0
    written_bytes: int = 0
    reads: int = 0
    writes: int = 0


@frozen
class HugePages:
    """What a container uses of the huge pages of one size, spelled as 2MB."""

    size: str
    used_bytes: int = 0
    peak_bytes: int | None = None
    refused: int = 0
    """How often the limit was met."""


@frozen
class Stall:
    """How much of the time there was waiting, in percent of the last 10, 60 and 300 seconds, and for how long in all.

    Source: kernel, accounting/psi.rst.
    """

    avg10: float = 0.0
    avg60: float = 0.0
    avg300: float = 0.0
    total_us: int = 0


@frozen
class Stats:
    """What a container uses and has used, by its cgroup; None is unknown: the kernel doesn't count it here.

    Sources: cgroup v2 (kernel, admin-guide/cgroup-v2.rst), else v1's files of the same meaning.
    """

    time_ns: int
    """When it was so, since the epoch."""
    cpu_ns: int | None = None
    cpu_user_ns: int | None = None
    cpu_system_ns: int | None = None
    cpu_periods: int | None = None
    """Of the bandwidth limit: how many have passed, in how many it was throttled, and for how long in all."""
    cpu_throttled_periods: int | None = None
    cpu_throttled_ns: int | None = None
    memory_bytes: int | None = None
    """With the page cache; without swap."""
    memory_limit_bytes: int | None = None
    """0 is no limit; so for all limits."""
    memory_peak_bytes: int | None = None
    memory_detail: Mapping[str, int] = field(factory=dict)
    """The kernel's memory.stat, in its own words, which differ between v1 and v2."""
    swap_bytes: int | None = None
    swap_limit_bytes: int | None = None
    """Of swap alone, as v2 counts; None also where no swap is allowed."""
    oom_kills: int | None = None
    """How many of its processes the kernel has killed for want of memory."""
    pids: int | None = None
    pids_limit: int | None = None
    io: tuple[DeviceIo, ...] | None = None
    """Sorted by device; those with no traffic may be left out."""
    huge_pages: tuple[HugePages, ...] | None = None
    """By size; reserved ones where the kernel counts these."""
    rdma: Mapping[str, Mapping[str, int]] = field(factory=dict)
    """By device, in the kernel's own words (hca_handle, hca_object)."""
    pressure: Mapping[str, tuple[Stall, Stall]] = field(factory=dict)
    """By `cpu`, `memory` and `io`: when some of its tasks waited for it, and when all did."""


@frozen
class CheckpointOptions:
    """What a checkpoint may hold besides processes and memory (criu(8)); each must be asked for at restore too."""

    tcp_established: bool = False
    external_unix_sockets: bool = False
    file_locks: bool = False
