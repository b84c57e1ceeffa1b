"""The API's body of a container, as the options of `run` and `create` describe it."""

import argparse
from collections.abc import Mapping
from typing import Any

from moby.errors import Invalid
from moby_containers.command import values

__all__ = ["body"]

_WITHOUT_NAMES = ("", "default", "bridge", "none", "host")
"""Networks on which nobody is found by name."""


def body(asked: argparse.Namespace, *, attach: bool) -> dict[str, Any]:
    """Return the body of a call to create."""
    config: dict[str, Any] = {
        "Image": asked.image,
        "Cmd": asked.command or None,
        "Entrypoint": None if asked.entrypoint is None else [asked.entrypoint],
        "Env": values.environment(asked.env, asked.env_file),
        "User": asked.user,
        "WorkingDir": asked.workdir,
        "Hostname": asked.hostname,
        "Domainname": asked.domainname,
        "Labels": values.pairs(asked.label),
        "Tty": asked.tty,
        "OpenStdin": asked.interactive,
        "StdinOnce": asked.interactive and attach,
        "AttachStdin": asked.interactive and attach,
        "AttachStdout": attach,
        "AttachStderr": attach,
        "StopSignal": asked.stop_signal,
        "StopTimeout": asked.stop_timeout,
        "Healthcheck": _health(asked),
        "HostConfig": _host(asked),
        "NetworkingConfig": _networking(asked),
    }
    exposed, bindings = _ports(asked)
    config["ExposedPorts"] = exposed
    config["HostConfig"]["PortBindings"] = bindings
    anonymous = [each for each in asked.volume if ":" not in each]
    config["Volumes"] = {each: {} for each in anonymous} or None
    return config


def _host(asked: argparse.Namespace) -> dict[str, Any]:
    policy = values.restart(asked.restart)
    if asked.rm and policy["Name"] != "no":
        raise Invalid("conflicting options: cannot specify both --restart and --rm")
    return {
        "RestartPolicy": policy,
        "AutoRemove": asked.rm,
        "Init": asked.init,
        "Runtime": asked.runtime,
        "LogConfig": {"Type": asked.log_driver, "Config": values.pairs(asked.log_opt)},
        "Annotations": values.pairs(asked.annotation) or None,
        **_files(asked),
        **_on_networks(asked),
        **_limits(asked),
        **_rights(asked),
        **_namespaces(asked),
    }


def _files(asked: argparse.Namespace) -> dict[str, Any]:
    return {
        "Binds": [values.bind(each) for each in asked.volume if ":" in each] or None,
        "Mounts": [values.mount(each) for each in asked.mount] or None,
        "Tmpfs": {each.partition(":")[0]: each.partition(":")[2] for each in asked.tmpfs} or None,
        "VolumesFrom": asked.volumes_from or None,
        "VolumeDriver": asked.volume_driver,
        "ReadonlyRootfs": asked.read_only,
        "ShmSize": asked.shm_size,
        "StorageOpt": values.pairs(asked.storage_opt) or None,
    }


def _on_networks(asked: argparse.Namespace) -> dict[str, Any]:
    return {
        "NetworkMode": _first(asked),
        "Links": (asked.link or None) if _first(asked) in _WITHOUT_NAMES else None,
        "PublishAllPorts": asked.publish_all,
        "ExtraHosts": [each.replace("=", ":", 1) for each in asked.add_host] or None,
        "Dns": asked.dns or None,
        "DnsSearch": asked.dns_search or None,
        "DnsOptions": asked.dns_option or None,
    }


def _limits(asked: argparse.Namespace) -> dict[str, Any]:
    return {
        "Memory": asked.memory,
        "MemoryReservation": asked.memory_reservation,
        "MemorySwap": asked.memory_swap,
        "NanoCpus": round(asked.cpus * 1e9),
        "CpuShares": asked.cpu_shares,
        "CpuPeriod": asked.cpu_period,
        "CpuQuota": asked.cpu_quota,
        "CpusetCpus": asked.cpuset_cpus,
        "CpusetMems": asked.cpuset_mems,
        "PidsLimit": asked.pids_limit or None,
        "BlkioWeight": asked.blkio_weight,
        "OomKillDisable": asked.oom_kill_disable or None,
        "OomScoreAdj": asked.oom_score_adj,
        "Ulimits": [values.ulimit(each) for each in asked.ulimit] or None,
        "CgroupParent": asked.cgroup_parent,
    }


def _rights(asked: argparse.Namespace) -> dict[str, Any]:
    return {
        "Privileged": asked.privileged,
        "CapAdd": asked.cap_add or None,
        "CapDrop": asked.cap_drop or None,
        "SecurityOpt": [values.security(each) for each in asked.security_opt] or None,
        "GroupAdd": asked.group_add or None,
        "Devices": [values.device(each) for each in asked.device] or None,
        "Sysctls": values.pairs(asked.sysctl) or None,
    }


def _namespaces(asked: argparse.Namespace) -> dict[str, Any]:
    return {
        "PidMode": asked.pid,
        "IpcMode": asked.ipc,
        "UTSMode": asked.uts,
        "UsernsMode": asked.userns,
        "CgroupnsMode": asked.cgroupns,
    }


def _first(asked: argparse.Namespace) -> str:
    """Return the network that a container begins on."""
    return str(values.network(asked.network[0])["name"]) if asked.network else "default"


def _networking(asked: argparse.Namespace) -> dict[str, Any]:
    """Return how it wants to be on each network; what is asked for beside them is the first one's."""
    networks = [values.network(each) for each in asked.network] or [{"name": "default"}]
    first = networks[0]
    for key, value in (("ip", asked.ip), ("ip6", asked.ip6), ("mac-address", asked.mac_address)):
        if value:
            first.setdefault(key, value)
    first["alias"] = [*first.get("alias", ()), *asked.network_alias]
    first["link-local-ip"] = [*first.get("link-local-ip", ()), *asked.link_local_ip]
    user_defined = first["name"] not in _WITHOUT_NAMES and not first["name"].startswith("container:")
    if first["alias"] and not user_defined:
        raise Invalid("network-scoped aliases are only supported for user-defined networks")
    first["links"] = asked.link if user_defined else []
    found = {each["name"]: _endpoint(each) for each in networks}
    return {"EndpointsConfig": found} if len(found) > 1 or any(found.values()) else {}


def _endpoint(wanted: Mapping[str, Any]) -> dict[str, Any]:
    addresses = {"IPv4Address": wanted.get("ip"), "IPv6Address": wanted.get("ip6")}
    addresses["LinkLocalIPs"] = wanted.get("link-local-ip")
    config = {
        "IPAMConfig": {key: value for key, value in addresses.items() if value},
        "Aliases": wanted.get("alias"),
        "Links": wanted.get("links"),
        "MacAddress": wanted.get("mac-address"),
        "DriverOpts": values.pairs(wanted.get("driver-opt", ())),
        "GwPriority": int(wanted.get("gw-priority") or 0),
    }
    return {key: value for key, value in config.items() if value}


def _health(asked: argparse.Namespace) -> dict[str, Any] | None:
    if asked.no_healthcheck:
        return {"Test": ["NONE"]}
    found = {
        "Interval": asked.health_interval, "Timeout": asked.health_timeout, "Retries": asked.health_retries,
        "StartPeriod": asked.health_start_period, "StartInterval": asked.health_start_interval,
    }  # fmt: skip
    tests = (("CMD-SHELL", asked.health_cmd), ("HTTP", asked.health_http), ("TCP", asked.health_tcp))
    wanted = [[kind, words] for kind, words in tests if words]
    if len(wanted) > 1:
        raise Invalid("conflicting options: only one of --health-cmd, --health-http and --health-tcp can be looked at")
    if wanted:
        return {"Test": wanted[0], **found}
    return found if any(found.values()) else None


def _ports(asked: argparse.Namespace) -> tuple[Mapping[str, Any] | None, Mapping[str, Any] | None]:
    exposed: dict[str, Any] = {(each if "/" in each else f"{each}/tcp"): {} for each in asked.expose}
    bindings: dict[str, list[dict[str, str]]] = {}
    for each in asked.publish:
        for address, outside, inside in values.published(each):
            exposed[inside] = {}
            bindings.setdefault(inside, []).append({"HostIp": address, "HostPort": outside})
    return exposed or None, bindings or None
