"""What is asked of the engine for a container of a service."""

import json
import posixpath
from collections.abc import Iterator, Mapping
from typing import Any

from moby.errors import Invalid, Unsupported
from moby_orchestrator.compose.files.fields import Record
from moby_orchestrator.compose.files.golang import single
from moby_orchestrator.compose.files.project import Project, image_of
from moby_orchestrator.compose.names import container_name

__all__ = ["by_priority", "container", "injected", "nano", "refuse_unknown", "restart_of"]

_SECOND = 10**9
_UNKNOWN = ("credential_spec", "isolation", "cpu_count", "cpu_percent", "log_driver", "log_opt", "net", "post_start",
            "pre_stop")  # fmt: skip


def refuse_unknown(project: Project) -> None:
    """Raise Unsupported for what this can't do, by the key's name, before anything is begun."""
    for name, service in project.services.items():
        for key in _UNKNOWN:
            if key in service:
                raise Unsupported(f"services.{name}.{key} isn't supported", hint=f"remove {key}")
        for kind in ("secrets", "configs"):
            for each in service.get(kind) or ():
                given = getattr(project, kind)[each["source"]]
                for key in ("external", "driver", "template_driver"):
                    if given.get(key):
                        where = f"{kind}.{each['source']}.{key}"
                        raise Unsupported(
                            f"{where} needs a swarm", hint=f"say `file:` or `environment:` instead of {key}"
                        )


def by_priority(service: Record) -> list[str]:
    """Return the service's networks, the one of its default route first."""
    networks: Mapping[str, Any] = service.get("networks") or {}
    return sorted(networks, key=lambda each: (-(networks[each] or {}).get("priority", 0), each))


def container(
    project: Project,
    name: str,
    service: Record,
    number: int,
    labels: Mapping[str, str],
    inherited: Mapping[str, Mapping[str, Any]] | None = None,
    links: tuple[str, ...] = (),
    *,
    aliases: bool = True,
) -> dict[str, Any]:
    """Return the body of a container's creation; `inherited` are the mounts of the one that it follows, by target."""
    ports = list(_ports(service))
    body: dict[str, Any] = {
        "Hostname": service.get("hostname"),
        "Domainname": service.get("domainname"),
        "User": service.get("user"),
        "ExposedPorts": {each: {} for each in (*_exposed(service), *(each for each, _ in ports))},
        "Tty": service.get("tty"),
        "OpenStdin": service.get("stdin_open"),
        "AttachStdout": True,
        "AttachStderr": True,
        "Cmd": service.get("command"),
        "Image": image_of(project.name, name, service),
        "WorkingDir": service.get("working_dir"),
        "Entrypoint": service.get("entrypoint"),
        "Labels": dict(labels),
        "StopSignal": service.get("stop_signal"),
        "StopTimeout": _seconds(service.get("stop_grace_period")),
        "Env": [key if each is None else f"{key}={each}" for key, each in (service.get("environment") or {}).items()],
        "Healthcheck": _health(service.get("healthcheck")),
    }
    host = _host(project, name, service)
    binds, mounts = _mounts(project, service, inherited or {})
    host |= {"Binds": binds, "Mounts": mounts}
    bindings: dict[str, list[dict[str, str]]] = {}
    for port, binding in ports:
        bindings.setdefault(port, []).append(binding)
    host["PortBindings"] = bindings
    body |= _network(project, name, service, number, host, links, aliases=aliases)
    body["HostConfig"] = {key: each for key, each in host.items() if each is not None}
    return {key: each for key, each in body.items() if each is not None}


def _exposed(service: Record) -> Iterator[str]:
    for each in service.get("expose") or ():
        yield each if "/" in each else f"{each}/tcp"


def _ports(service: Record) -> Iterator[tuple[str, dict[str, str]]]:
    for each in service.get("ports") or ():
        port = f"{each['target']}/{each.get('protocol', 'tcp')}"
        yield port, {"HostIp": each.get("host_ip", ""), "HostPort": each.get("published", "")}


def _seconds(span: int | None) -> int | None:
    return None if span is None else span // _SECOND


def _health(given: Record | None) -> dict[str, Any] | None:
    if given is None:
        return None
    if given.get("disable"):
        return {"Test": ["NONE"]}
    return {
        "Test": given.get("test", []),
        "Interval": given.get("interval", 0),
        "Timeout": given.get("timeout", 0),
        "Retries": given.get("retries", 0),
        "StartPeriod": given.get("start_period", 0),
        "StartInterval": given.get("start_interval", 0),
    }


def _host(project: Project, name: str, service: Record) -> dict[str, Any]:
    log = service.get("logging")
    options, unconfined = _security(project, service)
    found = {
        "Annotations": service.get("annotations"),
        "CapAdd": service.get("cap_add"),
        "CapDrop": service.get("cap_drop"),
        "Init": service.get("init"),
        "IpcMode": service.get("ipc"),
        "CgroupnsMode": service.get("cgroup"),
        "ReadonlyRootfs": service.get("read_only"),
        "RestartPolicy": _restart(name, service),
        "ShmSize": service.get("shm_size"),
        "Sysctls": service.get("sysctls"),
        "VolumeDriver": service.get("volume_driver"),
        "VolumesFrom": service.get("volumes_from"),
        "Dns": service.get("dns"),
        "DnsSearch": service.get("dns_search"),
        "DnsOptions": service.get("dns_opt"),
        "ExtraHosts": service["extra_hosts"].lines(":") if "extra_hosts" in service else None,
        "SecurityOpt": options,
        "StorageOpt": service.get("storage_opt"),
        "UsernsMode": service.get("userns_mode"),
        "UTSMode": service.get("uts"),
        "Privileged": service.get("privileged"),
        "PidMode": service.get("pid"),
        "Tmpfs": dict((*each.split(":", 1), "")[:2] for each in service.get("tmpfs") or ()) or None,
        "Runtime": service.get("runtime"),
        "LogConfig": {"Type": log.get("driver", ""), "Config": dict(log.get("options") or {})} if log else None,
        "GroupAdd": service.get("group_add"),
        "OomScoreAdj": service.get("oom_score_adj"),
        **_resources(service),
    }
    return found | ({"MaskedPaths": [], "ReadonlyPaths": []} if unconfined else {})


def _security(project: Project, service: Record) -> tuple[list[str] | None, bool]:
    options = list(service.get("security_opt") or ())
    unconfined = "systempaths=unconfined" in options
    found = []
    for each in options:
        key, equals, value = each.partition("=" if "=" in each else ":")
        if each == "systempaths=unconfined":
            continue
        if key == "seccomp" and equals and value != "unconfined":
            each = f"seccomp={json.dumps(json.loads((project.folder / value).read_text()))}"  # noqa: PLW2901
        found.append(each)
    return found or None, unconfined


_RESTARTS = {"none": "no", "any": "always"}


def restart_of(service_name: str, given: str) -> tuple[str, int]:
    """Return a restart policy's name, and how often one that fails is started again: of `on-failure:3`."""
    name, _, count = given.partition(":")
    try:
        return name, int(count or 0)
    except ValueError:
        message = f"services.{service_name}.restart: {count!r} is not a number of attempts"
        raise Invalid(message, hint="write it as in on-failure:3") from None


def nano(cpus: float) -> int:
    """Return billionths of processors as docker compose has them, whose numbers have 32 bits: 0.1 is 100000000."""
    return int(single(cpus * _SECOND))


def _restart(service_name: str, service: Record) -> dict[str, Any] | None:
    policy = (service.get("deploy") or {}).get("restart_policy")
    if policy is not None:
        name, attempts = policy.get("condition", ""), policy.get("max_attempts", 0)
    elif "restart" in service:
        name, attempts = restart_of(service_name, service["restart"])
    else:
        return None
    return {"Name": _RESTARTS.get(name, name), "MaximumRetryCount": attempts}


def _resources(service: Record) -> dict[str, Any]:
    resources = (service.get("deploy") or {}).get("resources") or {}
    limits, reserved = resources.get("limits") or {}, resources.get("reservations") or {}
    cpus = limits.get("cpus") or service.get("cpus")
    requests = [*(service.get("gpus") or ()), *(reserved.get("devices") or ())]
    return {
        "CgroupParent": service.get("cgroup_parent"),
        "Memory": limits.get("memory") or service.get("mem_limit"),
        "MemorySwap": service.get("memswap_limit"),
        "MemorySwappiness": service.get("mem_swappiness"),
        "MemoryReservation": reserved.get("memory") or service.get("mem_reservation"),
        "OomKillDisable": service.get("oom_kill_disable", False),
        "CpuPeriod": service.get("cpu_period"),
        "CpuQuota": service.get("cpu_quota"),
        "CpuRealtimePeriod": service.get("cpu_rt_period"),
        "CpuRealtimeRuntime": service.get("cpu_rt_runtime"),
        "CpuShares": service.get("cpu_shares"),
        "CpusetCpus": service.get("cpuset"),
        "NanoCpus": nano(cpus) if cpus else None,
        "PidsLimit": limits.get("pids") or service.get("pids_limit"),
        "DeviceCgroupRules": service.get("device_cgroup_rules"),
        "Devices": [_device(each) for each in service.get("devices") or ()] or None,
        "DeviceRequests": [_request(each) for each in requests] or None,
        "Ulimits": [_ulimit(key, each) for key, each in (service.get("ulimits") or {}).items()] or None,
        **_blkio(service.get("blkio_config") or {}),
    }


def _device(given: Record) -> dict[str, str]:
    source = given.get("source", "")
    target, permissions = given.get("target", source), given.get("permissions", "rwm")
    return {"PathOnHost": source, "PathInContainer": target, "CgroupPermissions": permissions}


def _request(given: Record) -> dict[str, Any]:
    capabilities = given.get("capabilities") or ["gpu"]
    return {
        "Driver": given.get("driver", ""),
        "Count": given.get("count", 0),
        "DeviceIDs": given.get("device_ids"),
        "Capabilities": [capabilities],
        "Options": given.get("options"),
    }


def _ulimit(name: str, given: Any) -> dict[str, Any]:
    soft, hard = (given.get("soft", 0), given.get("hard", 0)) if isinstance(given, Record) else (given, given)
    return {"Name": name, "Soft": soft, "Hard": hard}


def _blkio(given: Mapping[str, Any]) -> dict[str, Any]:
    def rates(key: str) -> list[dict[str, Any]] | None:
        return [{"Path": each["path"], "Rate": each.get("rate", 0)} for each in given.get(key) or ()] or None

    weights = [{"Path": each["path"], "Weight": each.get("weight", 0)} for each in given.get("weight_device") or ()]
    return {
        "BlkioWeight": given.get("weight"),
        "BlkioWeightDevice": weights or None,
        "BlkioDeviceReadBps": rates("device_read_bps"),
        "BlkioDeviceReadIOps": rates("device_read_iops"),
        "BlkioDeviceWriteBps": rates("device_write_bps"),
        "BlkioDeviceWriteIOps": rates("device_write_iops"),
    }


def _mounts(
    project: Project, service: Record, inherited: Mapping[str, Mapping[str, Any]]
) -> tuple[list[str], list[dict[str, Any]]]:
    """Return binds, which make folders of the host where there are none, and all other mounts; one for each target."""
    found: dict[str, Any] = {target: _same(target, each) for target, each in inherited.items()}
    for each in service.get("volumes") or ():
        target = posixpath.normpath(each["target"])
        if each.get("source") or each.get("type") != "volume" or target not in inherited:
            found[target] = _mount(project, each, target)
    for kind, folder in (("secrets", "/run/secrets/"), ("configs", "/")):
        for each in service.get(kind) or ():
            given = getattr(project, kind)[each["source"]]
            target = posixpath.join(folder, each.get("target") or each["source"])
            if given.get("file") and target not in found:
                found[target] = {"Type": "bind", "Source": given["file"], "Target": target, "ReadOnly": True}
    binds = [each for each in found.values() if isinstance(each, str)]
    return binds, [each for each in found.values() if not isinstance(each, str)]


def _same(target: str, mount: Mapping[str, Any]) -> dict[str, Any]:
    source = mount.get("Name") if mount["Type"] == "volume" else mount["Source"]
    return {"Type": mount["Type"], "Source": source, "Target": target, "ReadOnly": not mount.get("RW", True)}


def _mount(project: Project, given: Record, target: str) -> Any:
    kind, source = given["type"], given.get("source", "")
    bind = given.get("bind")
    if kind == "volume" and source in project.volumes:
        named = project.volumes[source]
        source, options = named["name"], named.get("driver_opts") or {}
        if named.get("driver") == "local" and options.get("o") == "bind" and "device" in options:
            return f"{source}:{target}:{'ro' if given.get('read_only') else 'rw'}"  # as docker compose has it
    if kind == "bind" and bind is not None and bind.get("create_host_path"):
        options = ["ro" if given.get("read_only") else "rw", bind.get("selinux"), bind.get("propagation")]
        return f"{source}:{target}:{','.join(filter(None, options))}"
    found: dict[str, Any] = {"Type": kind, "Source": source, "Target": target, "ReadOnly": bool(given.get("read_only"))}
    if kind == "bind" and bind:
        found["BindOptions"] = {"Propagation": bind.get("propagation", "")}
    if volume := given.get("volume"):
        found["VolumeOptions"] = {"NoCopy": bool(volume.get("nocopy")), "Subpath": volume.get("subpath", "")}
    if tmpfs := given.get("tmpfs"):
        found["TmpfsOptions"] = {"SizeBytes": tmpfs.get("size", 0), "Mode": tmpfs.get("mode", 0)}
    return found


def _network(
    project: Project,
    name: str,
    service: Record,
    number: int,
    host: dict[str, Any],
    links: tuple[str, ...],
    *,
    aliases: bool,
) -> dict[str, Any]:
    if mode := service.get("network_mode"):
        host["NetworkMode"] = mode
        return {}
    keys = by_priority(service)
    if not keys:
        host["NetworkMode"] = "none"
        return {}
    endpoints = {}
    for key in keys:
        given = service["networks"][key] or {}
        names = [container_name(project.name, name, service, number)]
        if aliases:
            names += [name, *(given.get("aliases") or ())]
        address = given.get("mac_address") or (service.get("mac_address") if key == keys[0] else None)
        endpoints[project.networks[key]["name"]] = {
            "Aliases": names,
            "Links": list(links),
            "MacAddress": address or "",
            "DriverOpts": given.get("driver_opts"),
            "IPAMConfig": {
                "IPv4Address": given.get("ipv4_address", ""),
                "IPv6Address": given.get("ipv6_address", ""),
                "LinkLocalIPs": given.get("link_local_ips") or [],
            },
        }
    host["NetworkMode"] = project.networks[keys[0]]["name"]
    host["Links"] = list(links) or None
    return {"NetworkingConfig": {"EndpointsConfig": endpoints}}


def injected(project: Project, service: Record) -> Iterator[tuple[str, bytes, Record]]:
    """Yield the files that a container gets by copying: secrets and configs of variables and of texts."""
    for kind, folder in (("secrets", "/run/secrets/"), ("configs", "/")):
        for each in service.get(kind) or ():
            given = getattr(project, kind)[each["source"]]
            text = given.get("content")
            if variable := given.get("environment"):
                text = project.environment.get(variable)
                if text is None:
                    hint = f"set {variable}"
                    raise Unsupported(f"{kind}.{each['source']}: the variable {variable} isn't set", hint=hint)
            if text:
                yield posixpath.join(folder, each.get("target") or each["source"]), text.encode(), each
