"""A project of compose files as an application of the contract, for whichever orchestrator an engine has."""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any, TypeVar

from moby.contracts.containers import (
    ContainerConfig,
    DeviceMapping,
    LogChoice,
    MountRequest,
    Resources,
    Ulimit,
)
from moby.contracts.networks import EndpointConfig, Network
from moby.contracts.orchestrator import (
    Application,
    Condition,
    ConfigSpec,
    Dependency,
    EndpointMode,
    FailureAction,
    FileReference,
    Mode,
    NetworkSpec,
    Order,
    Placement,
    PublishedPort,
    PublishMode,
    Reservations,
    Restart,
    RestartCondition,
    SecretSpec,
    ServiceSpec,
    UpdatePolicy,
    VolumeSpec,
)
from moby.contracts.supervisor import HealthCheck
from moby.errors import Invalid, Unsupported
from moby.values import evolve
from moby_orchestrator.compose import names
from moby_orchestrator.compose.converging import scale_of
from moby_orchestrator.compose.files.fields import Record
from moby_orchestrator.compose.files.project import Project, config_hash, image_of
from moby_orchestrator.compose.specs import by_priority, container, injected, nano, refuse_unknown, restart_of

__all__ = ["application"]

_Word = TypeVar("_Word", bound=StrEnum)

# What the API calls it, and the contract.
_PLAIN = {
    "Hostname": "hostname", "Domainname": "domainname", "User": "user", "Tty": "terminal", "OpenStdin": "open_stdin",
    "WorkingDir": "working_directory", "StopSignal": "stop_signal", "StopTimeout": "stop_timeout_s", "Cmd": "command",
    "Entrypoint": "entrypoint", "Env": "environment", "Annotations": "annotations", "CapAdd": "cap_add",
    "CapDrop": "cap_drop", "Init": "init", "IpcMode": "ipc_mode", "CgroupnsMode": "cgroupns_mode",
    "ReadonlyRootfs": "read_only_root", "ShmSize": "shm_size_bytes", "Sysctls": "sysctls", "Dns": "dns",
    "DnsSearch": "dns_search", "DnsOptions": "dns_options", "ExtraHosts": "extra_hosts", "GroupAdd": "group_add",
    "SecurityOpt": "security_options", "StorageOpt": "storage_options", "UsernsMode": "userns_mode",
    "UTSMode": "uts_mode", "Privileged": "privileged", "PidMode": "pid_mode", "Runtime": "runtime",
    "OomScoreAdj": "oom_score_adjust", "MaskedPaths": "masked_paths", "ReadonlyPaths": "read_only_paths",
    "VolumeDriver": "volume_driver",
}  # fmt: skip
_LIMITS = {
    "CpuShares": "cpu_shares", "NanoCpus": "nano_cpus", "CpuPeriod": "cpu_period_us", "CpuQuota": "cpu_quota_us",
    "CpuRealtimePeriod": "cpu_realtime_period_us", "CpuRealtimeRuntime": "cpu_realtime_runtime_us",
    "CpusetCpus": "cpuset_cpus", "Memory": "memory_bytes", "MemoryReservation": "memory_reservation_bytes",
    "MemorySwap": "memory_swap_bytes", "MemorySwappiness": "memory_swappiness", "OomKillDisable": "oom_kill_disable",
    "PidsLimit": "pids_limit", "CgroupParent": "cgroup_parent", "DeviceCgroupRules": "device_cgroup_rules",
}  # fmt: skip
# A task's own, or read elsewhere.
_ELSEWHERE = frozenset({
    "AttachStdout", "AttachStderr", "Image", "Labels", "ExposedPorts", "Healthcheck", "HostConfig", "NetworkingConfig",
    "NetworkMode", "PortBindings", "RestartPolicy", "Binds", "Mounts", "Tmpfs", "LogConfig", "Devices", "Ulimits",
})  # fmt: skip


def application(project: Project) -> Application:
    """Return what a project describes; Unsupported names what the contract has no words for."""
    refuse_unknown(project)
    files: dict[str, dict[str, bytes]] = {"secrets": {}, "configs": {}}
    services = tuple(_service(project, name, service, files) for name, service in project.services.items())
    return Application(
        project.name,
        services,
        tuple(_network(each) for each in project.networks.values()),
        tuple(_volume(each) for each in project.volumes.values()),
        tuple(SecretSpec(name, data) for name, data in files["secrets"].items()),
        tuple(ConfigSpec(name, data) for name, data in files["configs"].items()),
    )


def _whole(project: Project, name: str) -> str:
    return f"{project.name}_{name}"


def _service(project: Project, name: str, service: Record, files: dict[str, dict[str, bytes]]) -> ServiceSpec:
    for key in ("container_name", "links", "external_links", "volumes_from", "gpus"):
        if key in service:
            raise Unsupported(f"services.{name}.{key} isn't supported by an orchestrator", hint=f"remove {key}")
    deploy = service.get("deploy") or {}
    where = f"services.{name}.deploy"
    return ServiceSpec(
        _whole(project, name),
        _container(project, name, service),
        project.name,
        labels=dict(deploy.get("labels") or {}),
        mode=_word(Mode, deploy, "mode", where, Mode.REPLICATED),
        replicas=scale_of(name, service, {}),
        placement=_placement(deploy.get("placement") or {}),
        reservations=_reservations((deploy.get("resources") or {}).get("reservations") or {}, where),
        restart=_restart(name, service),
        update=_policy(deploy.get("update_config") or {}, f"{where}.update_config"),
        rollback=_policy(deploy.get("rollback_config") or {}, f"{where}.rollback_config"),
        endpoint_mode=_word(EndpointMode, deploy, "endpoint_mode", where, EndpointMode.VIP),
        networks=_networks(project, name, service),
        ports=tuple(_ports(service)),
        dependencies=tuple(_dependencies(project, service)),
        secrets=tuple(_files(project, "secrets", service, files["secrets"])),
        configs=tuple(_files(project, "configs", service, files["configs"])),
    )


def _word(kind: type[_Word], given: Mapping[str, Any], key: str, where: str, default: _Word) -> _Word:
    """Return the contract's own value for a word of a file; Invalid where there is none."""
    text = given.get(key) or default
    if text not in list(kind):
        raise Invalid(f"{where}.{key}: there is no {text}", hint=f"one of {', '.join(kind)}")
    return kind(text)


def _placement(given: Mapping[str, Any]) -> Placement:
    return Placement(
        tuple(given.get("constraints") or ()),
        tuple(each.get("spread", "") for each in given.get("preferences") or ()),
        given.get("max_replicas_per_node") or 0,
    )


def _reservations(given: Mapping[str, Any], where: str) -> Reservations:
    sorts = [each.get("discrete_resource_spec") or {} for each in given.get("generic_resources") or ()]
    for each in sorts:
        if each and not ("kind" in each and "value" in each):
            what = f"{where}.resources.reservations.generic_resources: a discrete_resource_spec"
            raise Invalid(f"{what} needs a kind and a value", hint="as in {kind: gpu, value: 2}")
    return Reservations(
        nano(given.get("cpus") or 0),
        int(given.get("memory") or 0),
        {each["kind"]: int(each["value"]) for each in sorts if each},
    )


def _policy(given: Mapping[str, Any], where: str) -> UpdatePolicy:
    usual = UpdatePolicy()
    parallelism = given.get("parallelism")
    return UpdatePolicy(
        usual.parallelism if parallelism is None else int(parallelism),
        int(given.get("delay") or 0),
        _word(Order, given, "order", where, usual.order),
        int(given.get("monitor") or usual.monitor_ns),
        float(f"{given.get('max_failure_ratio') or 0:.7g}"),  # of 32 bits, as which it was read
        _word(FailureAction, given, "failure_action", where, usual.failure_action),
    )


def _container(project: Project, name: str, service: Record) -> ContainerConfig:
    body = _bare(container(project, name, service, 1, {}))
    host: Mapping[str, Any] = body["HostConfig"]
    given = {**body, **host}
    for key, value in given.items():
        if value not in (None, "", [], {}, 0, False) and key not in _PLAIN | _LIMITS and key not in _ELSEWHERE:
            raise Unsupported(f"services.{name}: {key} isn't supported by an orchestrator", hint="remove it")
    log = host.get("LogConfig")
    limits = {_LIMITS[key]: _fixed(value) for key, value in host.items() if key in _LIMITS}
    devices = (
        DeviceMapping(each["PathOnHost"], each["PathInContainer"], each["CgroupPermissions"])
        for each in host.get("Devices") or ()
    )
    ulimits = (Ulimit(each["Name"], each["Soft"], each["Hard"]) for each in host.get("Ulimits") or ())
    found = ContainerConfig(
        image_of(project.name, name, service),
        labels={**(service.get("labels") or {}), names.HASH: config_hash(service)},
        exposed_ports=tuple(body.get("ExposedPorts") or ()),
        health=_health(body.get("Healthcheck")),
        mounts=tuple(_mounts(host)),
        log=LogChoice(log["Type"], log["Config"]) if log else LogChoice(),
        resources=Resources(**limits, devices=tuple(devices), ulimits=tuple(ulimits)),
        platform=service.get("platform", ""),
    )
    return evolve(found, **{_PLAIN[key]: _fixed(value) for key, value in given.items() if key in _PLAIN})


def _bare(value: Any) -> Any:
    """Return a value whose sizes and spans are numbers as any others: how a file writes them is no orchestrator's."""
    if isinstance(value, int) and not isinstance(value, bool):
        return int(value)
    if isinstance(value, list):
        return [_bare(each) for each in value]
    return {key: _bare(each) for key, each in value.items()} if isinstance(value, Mapping) else value


def _fixed(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else dict(value) if isinstance(value, Mapping) else value


def _health(given: Mapping[str, Any] | None) -> HealthCheck | None:
    if given is None:
        return None
    return HealthCheck(
        tuple(given["Test"]),
        given.get("Interval", 0),
        given.get("Timeout", 0),
        given.get("Retries", 0),
        given.get("StartPeriod", 0),
        given.get("StartInterval", 0),
    )


def _mounts(host: Mapping[str, Any]) -> Iterator[MountRequest]:
    for text in host["Binds"]:
        source, target, modes = text.split(":")
        options = modes.split(",")
        propagation = next((each for each in options if each.lstrip("r") in ("private", "shared", "slave")), "")
        relabel = next((each for each in options if each in ("z", "Z")), "")
        yield MountRequest(
            "bind", target, source, "ro" in options, propagation, create_source=True, relabel=relabel, spelled=text
        )
    for target, text in (host.get("Tmpfs") or {}).items():
        options = [each for each in text.split(",") if each]
        yield MountRequest("tmpfs", target, read_only="ro" in options, options=tuple(options), spelled=text or ",")
    for each in host["Mounts"]:
        volume, tmpfs = each.get("VolumeOptions") or {}, each.get("TmpfsOptions") or {}
        yield MountRequest(
            each["Type"],
            each["Target"],
            each["Source"],
            each["ReadOnly"],
            (each.get("BindOptions") or {}).get("Propagation", ""),
            no_copy=volume.get("NoCopy", False),
            subpath=volume.get("Subpath", ""),
            size_bytes=tmpfs.get("SizeBytes", 0),
            mode=tmpfs.get("Mode", 0),
        )


def _files(project: Project, kind: str, service: Record, found: dict[str, bytes]) -> Iterator[FileReference]:
    """Yield secrets or configs that are copied into containers; those in files are mounts, as docker compose's."""
    own = [id(each) for each in service.get(kind) or ()]
    for target, data, each in injected(project, service):
        if id(each) in own:
            name = _whole(project, each["source"])
            found[name] = data
            mode = each.get("mode", 0o444)
            yield FileReference(name, target, int(each.get("uid") or 0), int(each.get("gid") or 0), mode)


_CONDITIONS = {
    "no": RestartCondition.NONE,
    "none": RestartCondition.NONE,
    "on-failure": RestartCondition.ON_FAILURE,
    "always": RestartCondition.ANY,
    "unless-stopped": RestartCondition.ANY,
    "any": RestartCondition.ANY,
}


def _restart(service_name: str, service: Record) -> Restart:
    policy = (service.get("deploy") or {}).get("restart_policy")
    if policy is None:
        name, attempts = restart_of(service_name, service.get("restart") or "no")
        return Restart(_condition(name, f"services.{service_name}.restart"), delay_ns=0, max_attempts=attempts)
    where = f"services.{service_name}.deploy.restart_policy.condition"
    return Restart(
        _condition(policy.get("condition") or "any", where),
        delay_ns=int(policy.get("delay") or 0),
        max_attempts=policy.get("max_attempts") or 0,
        window_ns=int(policy.get("window") or 0),
    )


def _condition(name: str, where: str) -> RestartCondition:
    if name not in _CONDITIONS:
        raise Invalid(f"{where}: there is no {name}", hint=f"one of {', '.join(_CONDITIONS)}")
    return _CONDITIONS[name]


def _networks(project: Project, name: str, service: Record) -> dict[str, EndpointConfig]:
    mode = str(service.get("network_mode") or "")
    if mode.startswith(("service:", "container:")):
        raise Unsupported(
            f"services.{name}.network_mode {mode} isn't supported by an orchestrator", hint="use networks"
        )
    if mode:
        return {mode: EndpointConfig()}
    keys = by_priority(service)
    return {project.networks[key]["name"]: _endpoint(name, service, key, first=key == keys[0]) for key in keys} or {
        "none": EndpointConfig()
    }


def _endpoint(name: str, service: Record, key: str, *, first: bool) -> EndpointConfig:
    given = service["networks"][key] or {}
    return EndpointConfig(
        tuple(dict.fromkeys((name, *(given.get("aliases") or ())))),  # others call it as the file does
        given.get("ipv4_address", ""),
        given.get("ipv6_address", ""),
        link_local_ips=tuple(given.get("link_local_ips") or ()),
        mac_address=given.get("mac_address") or (service.get("mac_address") if first else None) or "",
        driver_options=dict(given.get("driver_opts") or {}),
    )


def _ports(service: Record) -> Iterator[PublishedPort]:
    for each in service.get("ports") or ():
        published = str(each.get("published") or "0")
        if not published.isdecimal():
            raise Unsupported(f"the ports {published} aren't chosen from here", hint="publish one port, or none")
        mode = PublishMode.HOST if each.get("mode") == "host" else PublishMode.INGRESS
        yield PublishedPort(
            int(each["target"]), int(published), each.get("protocol", "tcp"), mode, each.get("host_ip", "")
        )


def _dependencies(project: Project, service: Record) -> Iterator[Dependency]:
    for name, how in (service.get("depends_on") or {}).items():
        condition = Condition(how.get("condition", "service_started"))
        yield Dependency(_whole(project, name), condition, how.get("required", True), how.get("restart", False))


def _network(given: Record) -> NetworkSpec:
    ipam = given.get("ipam") or {}
    pools = tuple(
        {
            "Subnet": each.get("subnet", ""),
            "IPRange": each.get("ip_range", ""),
            "Gateway": each.get("gateway", ""),
            "AuxiliaryAddresses": dict(each.get("aux_addresses") or {}),
        }
        for each in ipam.get("config") or ()
    )
    network = Network(
        "",
        given["name"],
        given.get("driver", ""),
        "",
        internal=bool(given.get("internal")),
        attachable=bool(given.get("attachable")),
        enable_ipv6=bool(given.get("enable_ipv6")),
        options=dict(given.get("driver_opts") or {}),
        labels=dict(given.get("labels") or {}),
        ipam_driver=ipam.get("driver") or "default",
        ipam=pools,
    )
    return NetworkSpec(network, bool(given.get("external")))


def _volume(given: Record) -> VolumeSpec:
    return VolumeSpec(
        given["name"],
        given.get("driver", ""),
        dict(given.get("driver_opts") or {}),
        dict(given.get("labels") or {}),
        bool(given.get("external")),
    )
