"""The runtime specification (config.json) of a container, from its image's wishes and its user's (runtime-spec)."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from moby.contracts.images import ImageConfig
from moby.contracts.runtime_values import RuntimeFeature
from moby.contracts.types import Limits, Mount
from moby.errors import Invalid, Unsupported
from moby.host.capabilities import NAMES
from moby.oci.seccomp.architectures import current
from moby.oci.seccomp.default import default_profile, running_kernel
from moby.oci.user import User
from moby.values import field, frozen

__all__ = [
    "BUILTIN", "DEFAULT_CAPABILITIES", "DEFAULT_MOUNTS", "DEFAULT_PATH", "MASKED_PATHS", "OCI_VERSION",
    "READONLY_PATHS", "UMASK", "UNCONFINED", "Request", "arguments", "capabilities", "capability", "container_spec",
    "device_rules", "environment", "mount_entry", "process_spec", "reduced", "rootless", "seccomp",
]  # fmt: skip

OCI_VERSION = "1.2.0"
"""Of the runtime-spec that bundles are by."""
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

DEFAULT_CAPABILITIES = (
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID",
    "CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL",
    "CAP_AUDIT_WRITE",
)  # fmt: skip
"""What Docker leaves a container's root."""

MASKED_PATHS = (
    "/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
    "/proc/sched_debug", "/proc/scsi", "/proc/timer_list", "/proc/timer_stats", "/sys/devices/virtual/powercap",
    "/sys/firmware",
)  # fmt: skip
READONLY_PATHS = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")

BUILTIN, UNCONFINED = "builtin", "unconfined"

_SYS = ("nosuid", "noexec", "nodev", "ro")
DEFAULT_MOUNTS = (
    Mount("/proc", "proc", "proc", ("nosuid", "noexec", "nodev")),
    Mount("/dev", "tmpfs", "tmpfs", ("nosuid", "strictatime", "mode=755", "size=65536k")),
    Mount("/dev/pts", "devpts", "devpts", ("nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5")),
    Mount("/dev/shm", "shm", "tmpfs", ("nosuid", "noexec", "nodev", "mode=1777", "size=67108864")),  # noqa: S108
    Mount("/dev/mqueue", "mqueue", "mqueue", ("nosuid", "noexec", "nodev")),
    Mount("/sys", "sysfs", "sysfs", _SYS),
    Mount("/sys/fs/cgroup", "cgroup", "cgroup", _SYS),
)
_SYS_OF_THE_HOST = Mount("/sys", "/sys", "none", ("rbind", *(f"{each}{name}" for name in _SYS for each in ("", "r"))))
"""The recursive options too, for what is mounted below it, such as the cgroups."""
_NAMESPACES = ("pid", "ipc", "uts", "mount", "cgroup")
UMASK = 0o022
"""Docker's; without it a container would have its engine's."""
_CPU_PERIOD_US = 100_000

_DEVICES = (
    (False, "a", None, None, "rwm"),
    (True, "c", None, None, "m"),
    (True, "b", None, None, "m"),
    (True, "c", 1, 3, "rwm"),  # null
    (True, "c", 1, 5, "rwm"),  # zero
    (True, "c", 1, 7, "rwm"),  # full
    (True, "c", 1, 8, "rwm"),  # random
    (True, "c", 1, 9, "rwm"),  # urandom
    (True, "c", 5, 0, "rwm"),  # tty
    (True, "c", 5, 1, "rwm"),  # console
    (True, "c", 5, 2, "rwm"),  # ptmx
    (True, "c", 136, None, "rwm"),  # pts/*
)


@frozen
class Request:
    """What a container's user asked for; what isn't asked comes from the image, then from Docker's defaults."""

    hostname: str
    command: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] | None = None
    """None is the image's; empty takes the image's away."""
    environment: tuple[str, ...] = ()
    """`NAME=value`, or `NAME` to take it away."""
    working_directory: str = ""
    terminal: bool = False
    readonly_root: bool = False
    mounts: tuple[Mount, ...] = ()
    limits: Limits = field(factory=Limits)
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    no_new_privileges: bool = False
    """Whether set-user-ID programs and file capabilities gain nothing inside (PR_SET_NO_NEW_PRIVS(2const))."""
    seccomp: str | Mapping[str, Any] = BUILTIN
    """`builtin` is Docker's default profile, `unconfined` is none; else a profile in Docker's format."""
    network: str = "none"
    """`none` is a network namespace of its own with loopback alone; `host` is the host's."""
    cgroup: str = ""
    """Path below the cgroup root; empty leaves it to the runtime."""
    annotations: Mapping[str, str] = field(factory=dict)


def arguments(config: ImageConfig, request: Request) -> tuple[str, ...]:
    """Return the argument list: the user's entrypoint takes away the image's command too; Invalid if it is empty."""
    if request.entrypoint is not None:
        found = (*request.entrypoint, *request.command)
    else:
        found = (*config.entrypoint, *(request.command or config.command))
    if not found or not found[0]:
        raise Invalid("there is no command: the image names none and none was given", hint="add one after the image")
    return found


def environment(*layers: Iterable[str]) -> tuple[str, ...]:
    """Merge `NAME=value` lists, a later one over an earlier; a bare `NAME` takes the variable away."""
    found: dict[str, str] = {}
    for each in (item for layer in layers for item in layer):
        name, equals, _ = each.partition("=")
        if not name or "\0" in each:
            raise Invalid(f"{each!r} is no environment variable", hint="write NAME=value")
        if equals:
            found[name] = each
        else:
            found.pop(name, None)
    return tuple(found.values())


def capabilities(add: Sequence[str] = (), drop: Sequence[str] = ()) -> tuple[str, ...]:
    """Return Docker's default set with some added and dropped, by number, as Docker weighs them.

    To add `ALL` leaves out those alone that are dropped by name; else what is added wins over what is dropped.
    """
    adds, drops = ({capability(each) for each in names} for names in (add, drop))
    if "ALL" in adds:
        found = set(NAMES) - drops
    else:
        found = adds | (set() if "ALL" in drops else set(DEFAULT_CAPABILITIES) - drops)
    return tuple(each for each in NAMES if each in found)


def capability(name: str) -> str:
    """Return the full name of a capability, of `ALL` too, however it is spelled; Invalid where there is none."""
    upper = name.upper()
    full = upper if upper == "ALL" or upper.startswith("CAP_") else f"CAP_{upper}"
    if full != "ALL" and full not in NAMES:
        raise Invalid(f"{name!r} is no capability", hint="capabilities(7) lists them; write NET_ADMIN or CAP_NET_ADMIN")
    return full


def process_spec(config: ImageConfig, request: Request, user: User) -> dict[str, Any]:
    """Return the `process` object (config.md, process)."""
    cwd = request.working_directory or config.working_directory or "/"
    if not cwd.startswith("/"):
        raise Invalid(f"the working directory {cwd!r} is not absolute", hint="start it with /")
    base = [f"PATH={DEFAULT_PATH}", f"HOSTNAME={request.hostname}", f"HOME={user.home}"]
    if request.terminal:
        base.append("TERM=xterm")
    kept = list(capabilities(request.cap_add, request.cap_drop))
    return {
        "terminal": request.terminal,
        "user": {"uid": user.uid, "gid": user.gid, "umask": UMASK, "additionalGids": _groups(user)},
        "args": list(arguments(config, request)),
        "env": list(environment(base, config.environment, request.environment)),
        "cwd": cwd,
        "capabilities": {"bounding": kept, "effective": kept, "permitted": kept},
        "noNewPrivileges": request.no_new_privileges,
    }


def _groups(user: User) -> list[int]:
    """Return all groups, the primary one too: else a program could leave that one by a set-group-ID file."""
    return sorted({user.gid, *user.groups})


def container_spec(config: ImageConfig, request: Request, *, user: User, rootfs: Path) -> dict[str, Any]:
    """Return a container's whole config.json; Invalid says what was asked for that can't be."""
    if request.network not in ("none", "host"):
        raise Invalid(f"there is no network {request.network!r}", hint="the networks are none and host")
    namespaces = [*_NAMESPACES, *(["network"] if request.network == "none" else [])]
    linux: dict[str, Any] = {
        "namespaces": [{"type": each} for each in namespaces],
        "resources": {"devices": device_rules(), **_resources(request.limits)},
        "maskedPaths": list(MASKED_PATHS),
        "readonlyPaths": list(READONLY_PATHS),
    }
    if request.cgroup:
        linux["cgroupsPath"] = request.cgroup
    process = process_spec(config, request, user)
    if request.seccomp != UNCONFINED:
        linux["seccomp"] = seccomp(request.seccomp, process["capabilities"]["bounding"])
    return {
        "ociVersion": OCI_VERSION,
        "process": process,
        "root": {"path": str(rootfs), "readonly": request.readonly_root},
        "hostname": request.hostname,
        "mounts": [mount_entry(each) for each in _mounts(request.mounts)],
        "annotations": dict(request.annotations),
        "linux": linux,
    }


def seccomp(asked: str | Mapping[str, Any], capabilities: Sequence[str]) -> dict[str, Any]:
    """Return a seccomp profile for the machine and the kernel that run."""
    if asked == BUILTIN:
        return default_profile(current(), capabilities, running_kernel())
    if isinstance(asked, str):
        raise Invalid(f"there is no seccomp profile {asked!r}", hint="there are builtin and unconfined")
    from moby.oci.seccomp.docker_format import evaluated

    return evaluated(asked, current(), capabilities, running_kernel())


def rootless(spec: Mapping[str, Any], *, uid: int, gid: int) -> dict[str, Any]:
    """Return the spec for a caller without privilege: a user namespace in which the process's user is the caller.

    One user and one group are mapped, root's: Unsupported where the process is somebody else, and supplementary
    groups and mount options that name others go. Limits stay where they were asked for. Device rules go, which only
    a privileged caller could set; a node made in a user namespace can't be opened anyway. /sys is the host's, since a
    new one may be refused (`runc spec --rootless`), read-only with all that is mounted below it.
    """
    process, linux = dict(spec["process"]), dict(spec["linux"])
    user = process["user"]
    if user["uid"] or user["gid"]:
        raise Unsupported(
            f"an ordinary user's container runs as root inside, and not as {user['uid']}:{user['gid']}: one is mapped",
            hint="ask for root, as with -u 0:0, or run this as root",
        )
    process["user"] = {"uid": 0, "gid": 0, "umask": user["umask"]}
    linux["namespaces"] = [*linux["namespaces"], {"type": "user"}]
    linux["uidMappings"] = [{"containerID": 0, "hostID": uid, "size": 1}]
    linux["gidMappings"] = [{"containerID": 0, "hostID": gid, "size": 1}]
    limits = {name: value for name, value in linux.pop("resources", {}).items() if name != "devices"}
    if limits:
        linux["resources"] = limits
    else:
        linux.pop("cgroupsPath", None)
    mounts = []
    for each in spec["mounts"]:
        if each["type"] == "sysfs":
            mounts.append(mount_entry(_SYS_OF_THE_HOST))
        elif each["type"] != "cgroup":
            options = [option for option in each["options"] if not option.startswith(("uid=", "gid="))]
            mounts.append({**each, "options": options})
    return {**spec, "process": process, "mounts": mounts, "linux": linux}


def reduced(spec: Mapping[str, Any], features: Collection[str]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the spec without those defaults that a runtime lacks, and what comes of that, in words.

    What its user asked for stays, for the runtime to refuse.
    """
    found, linux = dict(spec), dict(spec["linux"])
    lost = []
    if RuntimeFeature.NAMESPACES not in features:
        found.pop("hostname", None)
        linux.pop("namespaces", None)
        lost.append("the container shares the host's processes, network, IPC and host name")
    if RuntimeFeature.MOUNTS not in features:
        defaults = [mount_entry(each) for each in DEFAULT_MOUNTS]
        found["mounts"] = [each for each in spec["mounts"] if each not in defaults]
        for name in ("maskedPaths", "readonlyPaths"):
            linux.pop(name, None)
        lost.append("/proc, /dev and /sys are what its image has")
        # Who mounts a /dev of the container's own may keep these rules by that.
        if RuntimeFeature.CGROUPS not in features and linux.get("resources") == {"devices": device_rules()}:
            del linux["resources"]
            lost.append("it may use every device that it has a node of, and of everything as much as there is")
    return {**found, "linux": linux}, tuple(lost)


def _mounts(asked: Sequence[Mount]) -> tuple[Mount, ...]:
    """Put the user's mounts after the default ones, in the place of a default at the same destination."""
    for each in asked:
        if not each.destination.startswith("/") or each.destination == "/":
            raise Invalid(f"{each.destination!r} is no place for a mount", hint="name an absolute path below /")
    taken = {each.destination for each in asked}
    return (*(each for each in DEFAULT_MOUNTS if each.destination not in taken), *asked)


def mount_entry(each: Mount) -> dict[str, Any]:
    """Return a mount as config.json has it."""
    return {
        "destination": each.destination,
        "type": each.type,
        "source": each.source or each.type,
        "options": list(each.options),
    }


def _resources(limits: Limits) -> dict[str, Any]:
    quota = {"quota": round(limits.cpus * _CPU_PERIOD_US), "period": _CPU_PERIOD_US} if limits.cpus else {}
    found: dict[str, dict[str, Any]] = {
        "memory": {"limit": limits.memory_bytes, "swap": limits.memory_swap_bytes},
        "cpu": {
            **quota, "shares": limits.cpu_shares, "cpus": limits.cpuset_cpus, "mems": limits.cpuset_mems,
        },
        "pids": {"limit": limits.pids},
    }  # fmt: skip
    set_ = {name: {key: value for key, value in each.items() if value} for name, each in found.items()}
    return {name: each for name, each in set_.items() if each}


def device_rules() -> list[dict[str, Any]]:
    """Return Docker's device rules: nodes of all kinds may be made, and only the harmless ones opened."""
    rules = []
    for allow, type_, major, minor, access in _DEVICES:
        numbers = {name: value for name, value in (("major", major), ("minor", minor)) if value is not None}
        rules.append({"allow": allow, "type": type_, **numbers, "access": access})
    return rules
