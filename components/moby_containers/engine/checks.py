"""What a container may be asked to be: refused in docker's words, or taken with a warning."""

import ipaddress
import os
import re
import signal

from moby.contracts.containers import ContainerConfig, Resources, RestartPolicy
from moby.errors import Invalid
from moby.oci.spec import capability

__all__ = [
    "HOST_GATEWAY", "TRUE", "address_of", "check", "check_asked", "check_resources", "check_restart", "signal_number",
]  # fmt: skip

HOST_GATEWAY = "host-gateway"
"""For the address of the host, as its containers reach it."""

_LEAST_MEMORY_BYTES = 6 << 20
_MS_NS = 1_000_000
_LEAST_NANO_CPUS = 10_000_000
"""A share of each period of 100 ms; kernels take no quota of less than 1 ms."""
# What the kernel and a line of /etc/hosts take, also where it is no name for the DNS, such as my_service.
_HOSTNAME = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]+")
_LONGEST_HOSTNAME = 64
_NO_NEW = "no-new-privileges"
_SECURITY = ("seccomp", "apparmor", "label", "systempaths", _NO_NEW)
TRUE = ("1", "t", "T", "TRUE", "true", "True")
"""Words for yes, as Go reads them."""
_FALSE = ("0", "f", "F", "FALSE", "false", "False")


def signal_number(name: str) -> int:
    """Return the number of a signal by name, with SIG or without, or number; Invalid as docker says."""
    text = name.upper().strip()
    if text.isascii() and text.isdigit() and len(text) < 10:
        number = int(text)
        if 0 < number < signal.NSIG:
            return number
        if number:
            raise Invalid(f"the linux daemon does not support signal {number}")
        raise Invalid(f"invalid signal: {name}")
    bare = text.removeprefix("SIG")
    try:
        return int(signal.Signals[f"SIG{bare}"])
    except KeyError:
        pass
    match = re.fullmatch(r"RT(MIN|MAX)([+-])(\d{1,2})", bare)
    if match:
        base = int(signal.SIGRTMIN if match[1] == "MIN" else signal.SIGRTMAX)
        number = base + int(match[2] + match[3])
        if signal.SIGRTMIN <= number <= signal.SIGRTMAX:
            return number
    raise Invalid(f"invalid signal: {name}")


def check(config: ContainerConfig) -> None:
    """Refuse what can't be: Invalid."""
    _check_identity(config)
    if config.stop_signal:
        signal_number(config.stop_signal)
    _check_network(config)
    _check_health(config)
    check_restart(config.restart, auto_remove=config.auto_remove)
    check_resources(config.resources)
    _check_security(config)
    if config.storage_options:
        raise Invalid("--storage-opt is supported only for overlay over xfs with 'pquota' mount option")
    if config.shm_size_bytes < 0:
        raise Invalid("SHM size can not be less than 0")
    if not -1000 <= config.oom_score_adjust <= 1000:
        raise Invalid(f"Invalid value {config.oom_score_adjust}, range for oom score adj is [-1000, 1000]")
    for each in config.extra_hosts:
        _check_host(each)


def _check_host(asked: str) -> None:
    """Refuse a line of a hosts file; what `host-gateway` comes to is known at the start alone."""
    name, colon, address = asked.partition(":")
    if not name or not colon:
        raise Invalid(f'bad format for add-host: "{asked}"', hint="write NAME:ADDRESS")
    if address != HOST_GATEWAY:
        address_of(address)


def address_of(text: str) -> str:
    """Return the address that a hosts file has, which may be in brackets; Invalid in docker's words."""
    bare = text.removeprefix("[").removesuffix("]")
    try:
        ipaddress.ip_address(bare)
    except ValueError as error:
        raise Invalid(f'invalid IP address in add-host: "{text}"') from error
    return bare


def _check_identity(config: ContainerConfig) -> None:
    if config.hostname and not (
        _HOSTNAME.fullmatch(config.hostname) and len(config.hostname.encode()) <= _LONGEST_HOSTNAME
    ):
        raise Invalid(f"invalid hostname format: {config.hostname}")
    where = config.working_directory
    if where and not where.startswith("/"):
        raise Invalid(f"the working directory '{where}' is invalid, it needs to be an absolute path")
    for each in config.environment:
        if each.startswith("=") or not each or "\0" in each:
            raise Invalid(f"invalid environment variable: {each}")
    for kind, name, allowed in (
        ("UTS", config.uts_mode, ("", "host")),
        ("user namespace", config.userns_mode, ("", "host")),
        ("cgroup namespace", config.cgroupns_mode, ("", "host", "private")),
        ("IPC", config.ipc_mode, ("", "none", "private", "shareable", "host")),
        ("PID", config.pid_mode, ("", "host")),
    ):
        joins = allowed != ("", "host") or name is config.pid_mode
        if name not in allowed and not (joins and name.startswith("container:") and len(name) > 10):
            raise Invalid(f"invalid {kind} mode: {name}", hint=f"there are {', '.join(filter(None, allowed))}")
    if config.uts_mode == "host" and config.hostname:
        raise Invalid("conflicting options: hostname and the UTS mode")
    if config.terminal and config.init is False and "\0" in config.hostname:
        raise Invalid("invalid hostname")


def check_asked(config: ContainerConfig) -> None:
    """Refuse what who makes a container can't ask for; its image may expose ports that are another's then."""
    shared = config.network.startswith("container:")
    if config.network == "container:":
        raise Invalid("Invalid network mode: invalid container format container:<name|id>")
    if shared and config.exposed_ports and not (config.ports or config.publish_all_ports):
        raise Invalid("conflicting options: port exposing and the container type network mode")


def _check_network(config: ContainerConfig) -> None:
    """Refuse what doesn't go with another's network, or the host's."""
    shared = config.network.startswith("container:")
    kind = "container type network" if shared else "host type networking" if config.network == "host" else ""
    if config.links and kind:
        text = f"conflicting options: {kind} can't be used with links. This would result in undefined behavior"
        raise Invalid(text)
    for asked, what in (
        (config.hostname, "hostname"),
        (config.dns, "dns"),
        (config.extra_hosts, "custom host-to-IP mapping"),
        (config.mac_address, "mac-address"),
    ):
        if shared and asked:
            raise Invalid(f"conflicting options: {what} and the network mode")
    if shared and (config.ports or config.publish_all_ports):
        raise Invalid("conflicting options: port publishing and the container type network mode")


def _check_health(config: ContainerConfig) -> None:
    health = config.health
    if health is None:
        return
    named = (
        ("Interval", health.interval_ns),
        ("Timeout", health.timeout_ns),
        ("StartPeriod", health.start_period_ns),
        ("StartInterval", health.start_interval_ns),
    )
    for name, value in named:
        if value != 0 and value < _MS_NS:
            raise Invalid(f"{name} in Healthcheck cannot be less than 1ms")
    if health.retries < 0:
        raise Invalid("Retries in Healthcheck cannot be negative")
    if health.test and health.test[0] not in ("NONE", "CMD", "CMD-SHELL", "HTTP", "TCP"):
        raise Invalid(f'Unknown type "{health.test[0]}" in Healthcheck (try CMD)')
    _check_test(*health.test)


def _check_test(kind: str = "", *words: str) -> None:
    if kind == "CMD" and not words:
        raise Invalid("the health check CMD has no command", hint="name the program that is to be run")
    if kind in ("HTTP", "TCP") and len(words) != 1:
        raise Invalid(f"the health check {kind} takes one word, not {len(words)}", hint="say a URL or a port")


def check_restart(policy: RestartPolicy, *, auto_remove: bool) -> None:
    """Refuse a restart policy."""
    name, most = policy.name or "no", policy.maximum_retries
    if name not in ("no", "always", "on-failure", "unless-stopped"):
        raise Invalid(
            f"invalid restart policy: unknown policy '{name}'; use one of 'no', 'always', 'on-failure', or "
            "'unless-stopped'"
        )
    if name != "on-failure" and most:
        raise Invalid(
            f"invalid restart policy: maximum retry count can only be used with 'on-failure' (got '{name}')"
            if most > 0
            else "invalid restart policy: maximum retry count cannot be negative"
        )
    if most < 0:
        raise Invalid("invalid restart policy: maximum retry count cannot be negative")
    for what in ("delay_ns", "attempts", "window_ns"):
        if getattr(policy, what) < 0:
            raise Invalid(f"invalid restart policy: {what} cannot be negative")
    if auto_remove and name != "no":
        raise Invalid("can't create 'AutoRemove' container with restart policy")


def check_resources(asked: Resources, *, alone: bool = True) -> None:
    """Refuse limits that can't be; those that are not `alone` come to others that there are."""
    _check_memory(asked, alone=alone)
    _check_cpu(asked)
    if asked.blkio_weight and not 10 <= asked.blkio_weight <= 1000:
        raise Invalid("Range of blkio weight is from 10 to 1000")
    for weight in asked.blkio_weight_devices:
        if not 10 <= weight.weight <= 1000:
            raise Invalid("Range of blkio weight is from 10 to 1000")
    for each in asked.device_requests:
        if each.driver != "cdi":
            groups = " ".join(f"[{' '.join(group)}]" for group in each.capabilities)
            raise Invalid(f'could not select device driver "{each.driver}" with capabilities: [{groups}]')
    for limit in asked.ulimits:
        if limit.hard != -1 and (limit.soft > limit.hard or limit.soft == -1):
            raise Invalid(f"ulimit soft limit must be less than or equal to hard limit: {limit.soft} > {limit.hard}")


def _check_memory(asked: Resources, *, alone: bool) -> None:
    memory, swap, reserved = asked.memory_bytes, asked.memory_swap_bytes, asked.memory_reservation_bytes
    if memory and memory < _LEAST_MEMORY_BYTES:
        raise Invalid("Minimum memory limit allowed is 6MB")
    if memory > 0 and 0 < swap < memory:
        raise Invalid("Minimum memoryswap limit should be larger than memory limit, see usage")
    if alone and memory == 0 and swap > 0:
        raise Invalid("You should always set the Memory limit when using Memoryswap limit, see usage")
    if asked.memory_swappiness is not None and not -1 <= asked.memory_swappiness <= 100:
        raise Invalid(f"Invalid value: {asked.memory_swappiness}, valid memory swappiness range is 0-100")
    if reserved and reserved < _LEAST_MEMORY_BYTES:
        raise Invalid("Minimum memory reservation allowed is 6MB")
    if reserved and 0 < memory < reserved:
        raise Invalid("Minimum memory limit can not be less than memory reservation limit, see usage")


def _check_cpu(asked: Resources) -> None:
    if asked.nano_cpus and (asked.cpu_period_us or asked.cpu_quota_us):
        which = "Period" if asked.cpu_period_us else "Quota"
        raise Invalid(f"Conflicting options: Nano CPUs and CPU {which} cannot both be set")
    count = os.cpu_count() or 1
    if asked.nano_cpus and not _LEAST_NANO_CPUS <= asked.nano_cpus <= count * 10**9:
        raise Invalid(f"Range of CPUs is from 0.01 to {count}.00, as there are only {count} CPUs available")
    if asked.cpu_shares < 0:
        raise Invalid(f"invalid CPU shares ({asked.cpu_shares}): value must be a positive integer")
    if asked.cpu_period_us and not 1000 <= asked.cpu_period_us <= 1_000_000:
        raise Invalid("CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)")
    if 0 < asked.cpu_quota_us < 1000:
        raise Invalid("CPU cfs quota can not be less than 1ms (i.e. 1000)")
    for name, text, path in (
        ("cpus", asked.cpuset_cpus, "/sys/devices/system/cpu/possible"),
        ("mems", asked.cpuset_mems, "/sys/devices/system/node/possible"),
    ):
        _check_set(name, text, path)


def _check_set(name: str, text: str, path: str) -> None:
    if not text:
        return
    wanted = _numbers(text)
    if not wanted:
        raise Invalid(f"Invalid value {text} for cpuset {name}")
    try:
        with open(path, encoding="ascii") as file:  # noqa: PTH123
            there = file.read().strip()
    except OSError:
        there = "0"
    if not wanted <= _numbers(there):
        kind = "CPUs" if name == "cpus" else "memory nodes"
        raise Invalid(f"Requested {kind} are not available - requested {text}, available: {there}")


def _numbers(text: str) -> set[int]:
    """Return the numbers of a list as in cpuset(7); none where it is none."""
    found: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,5})(?:-(\d{1,5}))?\s*", part)
        if not match or int(match[2] or match[1]) < int(match[1]):
            return set()
        found |= set(range(int(match[1]), int(match[2] or match[1]) + 1))
    return found


def _check_security(config: ContainerConfig) -> None:
    for what, names in (("CapAdd", config.cap_add), ("CapDrop", config.cap_drop)):
        for name in names:
            try:
                capability(name)
            except Invalid as error:
                full = f"CAP_{name.upper().removeprefix('CAP_')}"
                raise Invalid(f'invalid {what}: unknown capability: "{full}"') from error
    for each in config.security_options:
        if each == _NO_NEW:
            continue
        name, *value = re.split("[=:]", each, maxsplit=1)
        if name not in _SECURITY or not value:
            raise Invalid(f'invalid --security-opt 1: "{each}"')
        if name == "systempaths" and each.partition("=")[2] != "unconfined":
            raise Invalid(f'invalid --security-opt 2: "{each}"')
        if name == _NO_NEW and value[0] not in (*TRUE, *_FALSE):
            raise Invalid(f'invalid --security-opt 2: "{each}"')
