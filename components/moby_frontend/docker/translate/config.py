"""A container's Config and HostConfig, and the body of create."""

from collections.abc import Mapping
from typing import Any

from moby.contracts.containers import ContainerConfig, LogChoice
from moby.contracts.images import ImageConfig
from moby.contracts.supervisor import HealthCheck
from moby.contracts.types import Window
from moby.errors import Invalid
from moby.values import evolve
from moby_frontend.docker.call import Version
from moby_frontend.docker.parts import HIGHEST
from moby_frontend.docker.translate.forms import (
    FLAG,
    MAYBE_FLAG,
    MAYBE_NUMBER,
    NUMBER,
    SET,
    SOME_TEXTS,
    TEXT,
    TEXT_MAP,
    TEXTS,
    WORDS,
    Field,
    Form,
    items,
    object_of,
    read,
    show,
)
from moby_frontend.docker.translate.limits import RESTART, read_resources, read_restart, show_resources
from moby_frontend.docker.translate.mounts import read_mounts, show_mounts
from moby_frontend.docker.translate.network import (
    read_bindings,
    read_endpoints,
    show_bindings,
    show_endpoint_config,
)

__all__ = [
    "read_commit", "read_create", "read_health", "show_config", "show_create", "show_health_check", "show_host_config",
]  # fmt: skip

_HEALTH = (
    Field("Test", "test", SOME_TEXTS, omit=True),
    Field("Interval", "interval_ns", NUMBER, omit=True),
    Field("Timeout", "timeout_ns", NUMBER, omit=True),
    Field("StartPeriod", "start_period_ns", NUMBER, omit=True),
    Field("StartInterval", "start_interval_ns", NUMBER, omit=True),
    Field("Retries", "retries", NUMBER, omit=True),
)


def read_health(value: Any, where: str) -> HealthCheck:
    """Return how to find out whether a container is well; what isn't said is 0."""
    nothing: dict[str, Any] = {"test": (), "interval_ns": 0, "timeout_ns": 0, "retries": 0, "start_interval_ns": 0}
    return HealthCheck(**(nothing | read(_HEALTH, object_of(value, where), where)))


def show_health_check(check: HealthCheck) -> dict[str, Any]:
    """Return a Healthcheck."""
    return show(_HEALTH, check)


_CONFIG = (
    Field("Hostname", "hostname", TEXT),
    Field("Domainname", "domainname", TEXT),
    Field("User", "user", TEXT),
    Field("AttachStdin", "attach_stdin", FLAG),
    Field("AttachStdout", "attach_stdout", FLAG),
    Field("AttachStderr", "attach_stderr", FLAG),
    Field("ExposedPorts", "exposed_ports", SET, omit=True),
    Field("Tty", "terminal", FLAG),
    Field("OpenStdin", "open_stdin", FLAG),
    Field("StdinOnce", "stdin_once", FLAG),
    Field("Env", "environment", TEXTS),
    Field("Cmd", "command", WORDS),
    Field(
        "Healthcheck", "health", Form(read_health, lambda check: None if check is None else show_health_check(check)),
        omit=True,
    ),
    Field("Image", "image", TEXT),
    Field("Volumes", "volumes", SET),
    Field("WorkingDir", "working_directory", TEXT),
    Field("Entrypoint", "entrypoint", WORDS),
    Field("NetworkDisabled", "network_disabled", FLAG, omit=True),
    Field("MacAddress", "mac_address", TEXT, omit=True),
    Field("Labels", "labels", TEXT_MAP),
    Field("StopSignal", "stop_signal", TEXT, omit=True),
    Field("StopTimeout", "stop_timeout_s", MAYBE_NUMBER),
    Field("Shell", "shell", TEXTS, omit=True),
)  # fmt: skip

_ON_BUILD = Field("OnBuild", "on_build", TEXTS)
_OF_IMAGES = vars(ImageConfig()).keys()


def _log(value: Any, where: str) -> LogChoice:
    fields = (Field("Type", "driver", TEXT), Field("Config", "options", TEXT_MAP))
    return LogChoice(**read(fields, object_of(value, where), where))


def _network(value: Any, where: str) -> str:
    text: str = TEXT.read(value, where)
    return "" if text == "default" else text


def _window(value: Any, where: str) -> Window | None:
    numbers = [NUMBER.read(each, where) for each in items(value, where)]
    if len(numbers) != 2 or not all(0 <= each < 65536 for each in numbers):
        raise Invalid(f"{where}: two numbers are wanted, height and width")
    return Window(*numbers) if any(numbers) else None


_HOST = (
    Field("LogConfig", "log", Form(_log, lambda log: {"Type": log.driver, "Config": dict(log.options)})),
    Field("NetworkMode", "network", Form(_network, lambda network: network or "default")),
    Field("PortBindings", "ports", Form(lambda value, _: read_bindings(value), show_bindings)),
    Field("RestartPolicy", "restart", Form(lambda value, _: read_restart(value), lambda each: show(RESTART, each))),
    Field("AutoRemove", "auto_remove", FLAG),
    Field("VolumeDriver", "volume_driver", TEXT),
    Field("VolumesFrom", "volumes_from", TEXTS),
    Field("ConsoleSize", "window", Form(_window, lambda size: [size.rows, size.columns] if size else [0, 0])),
    Field("Annotations", "annotations", TEXT_MAP, omit=True),
    Field("CapAdd", "cap_add", WORDS),
    Field("CapDrop", "cap_drop", WORDS),
    Field("CgroupnsMode", "cgroupns_mode", TEXT),
    Field("Dns", "dns", TEXTS),
    Field("DnsOptions", "dns_options", TEXTS),
    Field("DnsSearch", "dns_search", TEXTS),
    Field("ExtraHosts", "extra_hosts", TEXTS),
    Field("GroupAdd", "group_add", TEXTS),
    Field("IpcMode", "ipc_mode", TEXT),
    Field("Links", "links", TEXTS),
    Field("OomScoreAdj", "oom_score_adjust", NUMBER),
    Field("PidMode", "pid_mode", TEXT),
    Field("Privileged", "privileged", FLAG),
    Field("PublishAllPorts", "publish_all_ports", FLAG),
    Field("ReadonlyRootfs", "read_only_root", FLAG),
    Field("SecurityOpt", "security_options", TEXTS),
    Field("StorageOpt", "storage_options", TEXT_MAP, omit=True),
    Field("UTSMode", "uts_mode", TEXT),
    Field("UsernsMode", "userns_mode", TEXT),
    Field("ShmSize", "shm_size_bytes", NUMBER),
    Field("Sysctls", "sysctls", TEXT_MAP, omit=True),
    Field("Runtime", "runtime", TEXT),
    Field("MaskedPaths", "masked_paths", SOME_TEXTS),
    Field("ReadonlyPaths", "read_only_paths", SOME_TEXTS),
    Field("Init", "init", MAYBE_FLAG, omit=True),
)
_NEVER_NULL = frozenset({"CapAdd", "CapDrop"})


def _check_isolation(value: Any) -> None:
    """Refuse what another system's containers have."""
    if value and (not isinstance(value, str) or value.lower() != "default"):
        raise Invalid(f"Invalid isolation: \"{str(value)[:80]}\" - linux only supports 'default'")


def read_create(body: Mapping[str, Any], version: Version = HIGHEST, platform: str = "") -> ContainerConfig:
    """Return what the body of create asks for, by that version of the API; Invalid in docker's words."""
    if not body:
        raise Invalid("config cannot be empty in order to create a container")
    lower = {key.lower(): each for key, each in body.items()}
    host = object_of(lower.get("hostconfig"), "HostConfig")
    found = read(_CONFIG, body, "ContainerConfigWrapper.Config") | read(_HOST, host, "HostConfig")
    named = {key.lower(): each for key, each in host.items()}
    _check_isolation(named.get("isolation"))
    if not found.get("image"):
        raise Invalid("no image is named, of which the container is to be made", hint="set Image")
    _age(found, version)
    resources = read_resources(host)
    return ContainerConfig(
        **found,
        mounts=read_mounts(named, version),
        resources=resources if version >= (1, 40) else evolve(resources, kernel_memory_tcp_bytes=0),
        endpoints=read_endpoints(lower.get("networkingconfig")),
        platform=platform,
    )


def _age(found: dict[str, Any], version: Version) -> None:
    """Take away what an older version of the API doesn't have, and add what it meant by nothing, as dockerd does."""
    if version < (1, 44) and "health" in found:
        found["health"] = evolve(found["health"], start_interval_ns=0)
    if version < (1, 43):
        found.pop("annotations", None)
    if version < (1, 42):
        found.pop("window", None)
    if version < (1, 40):
        found["ipc_mode"] = found.get("ipc_mode") or "shareable"


def read_commit(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the body of a commit says of an image's config, by attributes of ImageConfig; Invalid as create."""
    found = read((*_CONFIG, _ON_BUILD), body, "ContainerConfigWrapper.Config")
    if "health" in found:
        found["healthcheck"] = show_health_check(found["health"])
    for each in ("exposed_ports", "volumes"):
        if each in found:
            found[each] = tuple(sorted(found[each]))
    return {name: value for name, value in found.items() if name in _OF_IMAGES}


def show_config(config: ContainerConfig) -> dict[str, Any]:
    """Return a container's Config."""
    shown = show(_CONFIG, config) | {"OnBuild": None}
    if config.stop_timeout_s is None:
        del shown["StopTimeout"]
    if config.health is not None:
        shown["Healthcheck"] = show_health_check(config.health)
    return shown


def show_host_config(config: ContainerConfig, version: Version) -> dict[str, Any]:
    """Return a container's HostConfig."""
    shown = show(_HOST, config)
    if config.init is not None:
        shown["Init"] = config.init
    for each in _NEVER_NULL:
        shown[each] = shown[each] or None
    if version < (1, 43):
        shown.pop("Annotations", None)
    whole = {"ContainerIDFile": "", "Cgroup": "", "Isolation": ""}
    return show_mounts(config.mounts) | whole | shown | show_resources(config.resources)


def show_create(config: ContainerConfig, version: Version) -> dict[str, Any]:
    """Return the body of create that asks for this; what `read_create` read is here again."""
    endpoints = {name: show_endpoint_config(each) for name, each in config.endpoints.items()}
    return show_config(config) | {
        "HostConfig": show_host_config(config, version),
        "NetworkingConfig": {"EndpointsConfig": endpoints},
    }
