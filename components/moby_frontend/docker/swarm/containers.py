"""What each task's container is: ContainerSpec, with the resources and the log that Docker keeps beside it."""

from collections.abc import Iterable, Mapping
from typing import Any

from moby.contracts.containers import ContainerConfig, LogChoice, Resources, Ulimit
from moby.contracts.orchestrator import Reservations
from moby.errors import Invalid
from moby_frontend.docker.swarm.faults import rejected
from moby_frontend.docker.swarm.privileges import read_privileges, show_privileges
from moby_frontend.docker.swarm.strict import lowered, read_all, refuse
from moby_frontend.docker.translate.config import read_health, show_health_check
from moby_frontend.docker.translate.forms import (
    FLAG,
    MAYBE_FLAG,
    NUMBER,
    TEXT,
    TEXT_MAP,
    TEXTS,
    Field,
    Form,
    items,
    object_of,
    show,
)
from moby_frontend.docker.translate.mounts import read_mounts, show_mounts

__all__ = ["read_container", "read_resources", "show_container", "show_log", "show_resources"]

SECOND_NS = 10**9
WHERE = "TaskTemplate.ContainerSpec"


def _grace(value: Any, where: str) -> int:
    number: int = NUMBER.read(value, where)
    if number < 0:
        raise Invalid(f"{where}: a time can't be negative")
    if number % SECOND_NS:
        raise Invalid(f"{where}: this engine counts whole seconds, not {number} ns")
    return number // SECOND_NS


def _hosts(value: Any, where: str) -> tuple[str, ...]:
    """Read lines of hosts(5) as names with their addresses."""
    found: list[str] = []
    for line in TEXTS.read(value, where):
        address, *names = line.split()
        if not names:
            raise Invalid(f"{where}: {line!r} has no name; a line is an address and names")
        found += (f"{name}:{address}" for name in names)
    return tuple(found)


def _show_hosts(hosts: Iterable[str]) -> list[str]:
    return [f"{address} {name}" for name, _, address in (each.partition(":") for each in hosts)]


_ULIMIT = (Field("Name", "name", TEXT), Field("Hard", "hard", NUMBER), Field("Soft", "soft", NUMBER))


def _ulimits(value: Any, where: str) -> tuple[Ulimit, ...]:
    found = (read_all(_ULIMIT, each, where) for each in items(value, where))
    return tuple(Ulimit(each.get("name", ""), each.get("soft", 0), each.get("hard", 0)) for each in found)


def _isolation(value: Any, where: str) -> str:
    if TEXT.read(value, where) not in {"", "default"}:
        raise Invalid(f"{where}: containers of Linux have no other isolation than `default`, not {value!r}")
    return ""


_LIST = Form(TEXTS.read, list)
_FIELDS = (
    Field("Image", "image", TEXT),
    Field("Labels", "labels", TEXT_MAP, omit=True),
    Field("Command", "entrypoint", Form(TEXTS.read, lambda value: list(value or ())), omit=True),
    Field("Args", "command", Form(TEXTS.read, lambda value: list(value or ())), omit=True),
    Field("Hostname", "hostname", TEXT, omit=True),
    Field("Env", "environment", _LIST, omit=True),
    Field("Dir", "working_directory", TEXT, omit=True),
    Field("User", "user", TEXT, omit=True),
    Field("Groups", "group_add", _LIST, omit=True),
    Field("StopSignal", "stop_signal", TEXT, omit=True),
    Field("TTY", "terminal", FLAG, omit=True),
    Field("OpenStdin", "open_stdin", FLAG, omit=True),
    Field("ReadOnly", "read_only_root", FLAG, omit=True),
    Field("StopGracePeriod", "stop_timeout_s", Form(_grace, lambda value: (value or 0) * SECOND_NS)),
    Field("Healthcheck", "health", Form(read_health, lambda check: None if check is None else show_health_check(check)),
          omit=True),
    Field("Hosts", "extra_hosts", Form(_hosts, _show_hosts), omit=True),
    Field("Sysctls", "sysctls", TEXT_MAP, omit=True),
    Field("CapabilityAdd", "cap_add", _LIST, omit=True),
    Field("CapabilityDrop", "cap_drop", _LIST, omit=True),
    Field("OomScoreAdj", "oom_score_adjust", NUMBER, omit=True),
)  # fmt: skip
_DNS = (
    Field("Nameservers", "dns", _LIST, omit=True),
    Field("Search", "dns_search", _LIST, omit=True),
    Field("Options", "dns_options", _LIST, omit=True),
)
_OTHERS = ("Init", "Privileges", "Mounts", "DNSConfig", "Ulimits", "Isolation", "Secrets", "Configs")
_MOUNTS = frozenset({"bind", "volume", "tmpfs"})


def read_container(value: Any) -> dict[str, Any]:
    """Return fields of a ContainerConfig; secrets and configs are the service's."""
    found, lower = read_all(_FIELDS, value, WHERE, _OTHERS), lowered(value, WHERE)
    for name in ("entrypoint", "command"):
        if not found.get(name):
            found.pop(name, None)  # what is empty is as the image has it
    found |= read_all(_DNS, lower.get("dnsconfig"), f"{WHERE}.DNSConfig")
    _isolation(lower.get("isolation") or "", f"{WHERE}.Isolation")
    for each in items(lower.get("mounts"), f"{WHERE}.Mounts"):
        kind = lowered(each, f"{WHERE}.Mounts").get("type")
        if kind not in _MOUNTS:
            raise Invalid(f'invalid MountType: "{kind or ""}"')
    if lower.get("init") is not None:
        found["init"] = MAYBE_FLAG.read(lower["init"], f"{WHERE}.Init")
    return found | {
        "mounts": read_mounts({"mounts": lower.get("mounts")}),
        "security_options": read_privileges(lower.get("privileges"), f"{WHERE}.Privileges"),
        "ulimits": _ulimits(lower.get("ulimits"), f"{WHERE}.Ulimits"),
    }


def show_container(config: ContainerConfig, *, defaults: bool) -> dict[str, Any]:
    """Return a ContainerSpec without secrets and configs; with `defaults` what wasn't said is as it holds."""
    from moby.values import evolve

    shown = show(_FIELDS, config)
    if config.stop_timeout_s is None:
        del shown["StopGracePeriod"]
    if config.stop_timeout_s is None and defaults:
        shown["StopGracePeriod"] = 10 * SECOND_NS
    if config.init is not None:
        shown["Init"] = config.init
    mounts = show_mounts(evolve(each, spelled="") for each in config.mounts).get("Mounts")
    more = {
        "Privileges": show_privileges(config.security_options),
        "Mounts": mounts,
        "Ulimits": [show(_ULIMIT, each) for each in config.resources.ulimits],
    }
    return shown | {key: each for key, each in more.items() if each} | {
        "DNSConfig": show(_DNS, config), "Isolation": "default",
    }  # fmt: skip


# Resources and the log ----------------------------------------------------------------------------------------------

_LIMITS = (
    Field("NanoCPUs", "nano_cpus", NUMBER, omit=True),
    Field("MemoryBytes", "memory_bytes", NUMBER, omit=True),
    Field("Pids", "pids_limit", NUMBER, omit=True),
)
_RESERVATIONS = _LIMITS[:2]
_LEAST_MEMORY = 4 << 20
_LEAST_NANO_CPUS = 10**6


def read_resources(value: Any) -> tuple[dict[str, Any], Reservations]:
    """Return fields of a container's Resources, and what a node must have left."""
    where = "TaskTemplate.Resources"
    read_all((), value, where, ("Limits", "Reservations"))
    lower = lowered(value, where)
    limits = read_all(_LIMITS, lower.get("limits"), f"{where}.Limits")
    if not limits.get("pids_limit"):
        limits.pop("pids_limit", None)
    asked = read_all(_RESERVATIONS, lower.get("reservations"), f"{where}.Reservations", ("GenericResources",))
    for each in (limits, asked):
        _check(each)
    generic = lowered(lower.get("reservations"), where).get("genericresources")
    return limits, Reservations(**asked, generic=_generic(generic, f"{where}.Reservations.GenericResources"))


def _check(amounts: Mapping[str, int]) -> None:
    if amounts.get("memory_bytes") and amounts["memory_bytes"] < _LEAST_MEMORY:
        raise rejected(f"invalid memory value {amounts['memory_bytes']}: Must be at least 4MiB")
    if amounts.get("nano_cpus") and amounts["nano_cpus"] < _LEAST_NANO_CPUS:
        raise rejected(f"invalid cpu value {amounts['nano_cpus'] / 1e9:g}: Must be at least 0.001")


_DISCRETE = (Field("Kind", "kind", TEXT), Field("Value", "value", NUMBER))


def _generic(value: Any, where: str) -> dict[str, int]:
    found = {}
    for each in items(value, where):
        given = lowered(each, where)
        refuse({"NamedResourceSpec": given.get("namedresourcespec")}, where)
        kind = read_all(_DISCRETE, given.get("discreteresourcespec"), f"{where}.DiscreteResourceSpec")
        if not kind.get("kind") or kind.get("value", 0) < 1:
            raise Invalid(f"{where}: a kind, and how many, are wanted")
        found[kind["kind"]] = kind["value"]
    return found


def show_resources(limits: Resources, reservations: Reservations) -> dict[str, Any]:
    """Return Resources."""
    shown = show(_RESERVATIONS, reservations)
    if reservations.generic:
        shown["GenericResources"] = [
            {"DiscreteResourceSpec": {"Kind": kind, "Value": value}} for kind, value in reservations.generic.items()
        ]
    return {"Limits": show(_LIMITS, limits), "Reservations": shown}


def show_log(log: LogChoice) -> dict[str, Any] | None:
    """Return a LogDriver, None where none is chosen."""
    options = {"Options": dict(log.options)} if log.options else {}
    return {"Name": log.driver, **options} if log.driver or log.options else None


def read_log(value: Any) -> LogChoice:
    """Return which log is chosen."""
    fields = (Field("Name", "driver", TEXT), Field("Options", "options", TEXT_MAP))
    return LogChoice(**read_all(fields, object_of(value, "TaskTemplate.LogDriver"), "TaskTemplate.LogDriver"))
