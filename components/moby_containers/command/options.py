"""The options of `run` and `create` (docker-run(1)), and the API's body that they come to."""

import argparse
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from moby.errors import Invalid, NotFound

__all__ = ["add", "body", "duration", "environment", "pairs", "restart", "size"]

_SIZE = re.compile(r"(-1|\d+(?:\.\d+)?) ?([bkmgt]?)(?:i?b)?", re.IGNORECASE)
_UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)")
_NANOSECONDS = {"ns": 1, "us": 10**3, "µs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_BIND_WORDS = re.compile(r"(ro|rw|z|Z|nocopy|r?(shared|slave|private)|delegated|cached|consistent)(,|$)")


def add(parser: argparse.ArgumentParser) -> None:
    """Add what describes a container."""
    every: Sequence[Sequence[str]] = _TEXTS
    for names in every:
        parser.add_argument(*names, default="")
    for names in _LISTS:
        parser.add_argument(*names, action="append", default=[])
    for names in _FLAGS:
        parser.add_argument(*names, action="store_true")
    for kind, kinds_names in _NUMBERS.items():
        for names in kinds_names:
            parser.add_argument(*names, type=kind, default=0)
    parser.add_argument("--init", action="store_true", default=None)
    parser.add_argument("--entrypoint", default=None)
    parser.add_argument("--restart", default="no")
    parser.add_argument("--stop-timeout", type=int, default=None)
    parser.add_argument("image", metavar="IMAGE")
    command = parser.add_argument("command", metavar="COMMAND", nargs=argparse.REMAINDER)
    command.required = False  # Python 3.11 else says that it is, where there is no image


def size(text: str) -> int:
    """Return bytes, given a size such as 64m, in units of 1024; -1 is none."""
    match = _SIZE.fullmatch(text)
    if match is None:
        raise argparse.ArgumentTypeError(f"invalid size: {text!r}")
    return int(float(match[1]) * _UNITS[match[2].lower()])


def duration(text: str) -> int:
    """Return nanoseconds, given a duration such as 1m30s."""
    parts = _DURATION.findall(text)
    if "".join(number + unit for number, unit in parts) != text or not parts:
        raise argparse.ArgumentTypeError(f"invalid duration: {text!r}")
    return round(sum(float(number) * _NANOSECONDS[unit] for number, unit in parts))


_WITHOUT_NAMES = ("", "default", "bridge", "none", "host")
"""Networks on which nobody is found by name."""
_PUBLISH = re.compile(
    r"(?:(?:(?P<address>[\d.]+|\[[\da-f:]+\]):)?(?P<outside>(?:\d+(?:-\d+)?)?):)?"
    r"(?P<inside>\d+(?:-\d+)?)(?:/(?P<protocol>tcp|udp|sctp))?"
)
_TEXTS = (
    ("--name",), ("-w", "--workdir"), ("-u", "--user"), ("-h", "--hostname"), ("--domainname",),
    ("--cpuset-cpus",), ("--cpuset-mems",), ("--stop-signal",), ("--runtime",), ("--log-driver",), ("--pid",),
    ("--ipc",), ("--uts",), ("--userns",), ("--cgroupns",), ("--cgroup-parent",), ("--platform",), ("--health-cmd",),
    ("--health-http",), ("--health-tcp",), ("--volume-driver",), ("--ip",), ("--ip6",), ("--mac-address",),
    ("--cidfile",),
)  # fmt: skip
_LISTS = (
    ("-e", "--env"), ("--env-file",), ("-v", "--volume"), ("--mount",), ("--tmpfs",), ("--volumes-from",),
    ("-l", "--label"), ("-p", "--publish"), ("--expose",), ("--cap-add",), ("--cap-drop",), ("--security-opt",),
    ("--group-add",), ("--device",), ("--ulimit",), ("--sysctl",), ("--add-host",), ("--dns",), ("--dns-search",),
    ("--dns-option",), ("--log-opt",), ("--annotation",), ("--storage-opt",), ("--network-alias",),
    ("--network", "--net"), ("--link",), ("--link-local-ip",),
)  # fmt: skip
_FLAGS = (
    ("-i", "--interactive"), ("-t", "--tty"), ("--rm",), ("-P", "--publish-all"), ("--oom-kill-disable",),
    ("--read-only",), ("--privileged",), ("--no-healthcheck",),
)  # fmt: skip
_NUMBERS: Mapping[Callable[[str], Any], Sequence[tuple[str, ...]]] = {
    size: (("-m", "--memory"), ("--memory-reservation",), ("--memory-swap",), ("--shm-size",)),
    duration: (("--health-interval",), ("--health-timeout",), ("--health-start-period",), ("--health-start-interval",)),
    float: (("--cpus",),),
    int: (
        ("-c", "--cpu-shares"), ("--cpu-period",), ("--cpu-quota",), ("--pids-limit",), ("--blkio-weight",),
        ("--oom-score-adj",), ("--health-retries",),
    ),
}  # fmt: skip


def environment(given: Sequence[str], files: Sequence[str]) -> list[str]:
    """Return variables; a bare name is filled in from the caller's own, or left out where that isn't set."""
    said: list[str] = []
    for file in files:
        try:
            lines = Path(file).read_text(encoding="utf-8").splitlines()
        except OSError as error:
            raise NotFound(f"open {file}: {(error.strerror or '').lower()}") from error
        said += [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    every = [*said, *given]
    for each in every:
        if each.startswith("=") or not each:
            raise Invalid(f"invalid environment variable: {each}")
    return [
        each if "=" in each else f"{each}={os.environ[each]}" for each in every if "=" in each or each in os.environ
    ]


def body(asked: argparse.Namespace, *, attach: bool) -> dict[str, Any]:
    """Return the body of a call to create."""
    config: dict[str, Any] = {
        "Image": asked.image,
        "Cmd": asked.command or None,
        "Entrypoint": None if asked.entrypoint is None else [asked.entrypoint],
        "Env": environment(asked.env, asked.env_file),
        "User": asked.user,
        "WorkingDir": asked.workdir,
        "Hostname": asked.hostname,
        "Domainname": asked.domainname,
        "Labels": pairs(asked.label),
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


def pairs(given: Sequence[str]) -> dict[str, str]:
    """Return `NAME=VALUE`s as a map."""
    return {name: value for name, _, value in (each.partition("=") for each in given)}


def _host(asked: argparse.Namespace) -> dict[str, Any]:
    policy = restart(asked.restart)
    if asked.rm and policy["Name"] != "no":
        raise Invalid("conflicting options: cannot specify both --restart and --rm")
    return {
        "Binds": [_bind(each) for each in asked.volume if ":" in each] or None,
        "Mounts": [_mount(each) for each in asked.mount] or None,
        "Tmpfs": {each.partition(":")[0]: each.partition(":")[2] for each in asked.tmpfs} or None,
        "VolumesFrom": asked.volumes_from or None,
        "VolumeDriver": asked.volume_driver,
        "NetworkMode": _first(asked),
        "Links": (asked.link or None) if _first(asked) in _WITHOUT_NAMES else None,
        "RestartPolicy": policy,
        "AutoRemove": asked.rm,
        "PublishAllPorts": asked.publish_all,
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
        "ReadonlyRootfs": asked.read_only,
        "Privileged": asked.privileged,
        "CapAdd": asked.cap_add or None,
        "CapDrop": asked.cap_drop or None,
        "SecurityOpt": [_security(each) for each in asked.security_opt] or None,
        "GroupAdd": asked.group_add or None,
        "Devices": [_device(each) for each in asked.device] or None,
        "Ulimits": [_ulimit(each) for each in asked.ulimit] or None,
        "Sysctls": pairs(asked.sysctl) or None,
        "ShmSize": asked.shm_size,
        "Init": asked.init,
        "Runtime": asked.runtime,
        "ExtraHosts": [each.replace("=", ":", 1) for each in asked.add_host] or None,
        "Dns": asked.dns or None,
        "DnsSearch": asked.dns_search or None,
        "DnsOptions": asked.dns_option or None,
        "LogConfig": {"Type": asked.log_driver, "Config": pairs(asked.log_opt)},
        "PidMode": asked.pid,
        "IpcMode": asked.ipc,
        "UTSMode": asked.uts,
        "UsernsMode": asked.userns,
        "CgroupnsMode": asked.cgroupns,
        "CgroupParent": asked.cgroup_parent,
        "Annotations": pairs(asked.annotation) or None,
        "StorageOpt": pairs(asked.storage_opt) or None,
    }


def restart(text: str) -> dict[str, Any]:
    """Return a restart policy, given `NAME[:RETRIES]`."""
    name, _, retries = text.partition(":")
    if retries and not retries.isdigit():
        raise Invalid("invalid restart policy format: maximum retry count must be an integer")
    return {"Name": name or "no", "MaximumRetryCount": int(retries or 0)}


def _first(asked: argparse.Namespace) -> str:
    """Return the network that a container begins on."""
    return str(_network(asked.network[0])["name"]) if asked.network else "default"


def _network(text: str) -> dict[str, Any]:
    """Return a network's name and what is wanted of it, given `NAME` or `name=NAME,alias=A,ip=10.0.0.9,...`."""
    if "=" not in text:
        return {"name": text}
    found: dict[str, Any] = {}
    for each in text.split(","):
        key, _, value = each.partition("=")
        match key.lower():
            case "name" | "ip" | "ip6" | "mac-address" | "gw-priority":
                found[key.lower()] = value
            case "alias" | "link-local-ip" | "driver-opt":
                found.setdefault(key.lower(), []).append(each.partition("=")[2])
            case _:
                raise Invalid(f"invalid field key {key}")
    if not found.get("name"):
        raise Invalid("network name/id is not specified")
    return found


def _networking(asked: argparse.Namespace) -> dict[str, Any]:
    """Return how it wants to be on each network; what is asked for beside them is the first one's."""
    networks = [_network(each) for each in asked.network] or [{"name": "default"}]
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
        "DriverOpts": pairs(wanted.get("driver-opt", ())),
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


def _bind(text: str) -> str:
    """Make a source that is a path of the caller's absolute."""
    source, _, rest = text.partition(":")
    options = rest.partition(":")[2]
    if options and not all(_BIND_WORDS.fullmatch(each) for each in options.split(",")):
        raise Invalid(f"invalid volume specification: '{text}': invalid mode: {options}")
    return (
        f"{Path(source).absolute()}:{rest}" if source.startswith(("./", "../", "~")) or source in (".", "..") else text
    )


def _mount(text: str) -> dict[str, Any]:  # noqa: PLR0912  # a case for each key
    """Return the API's form of `type=...,source=...,target=...`."""
    found: dict[str, Any] = {"Type": "volume"}
    below: dict[str, dict[str, Any]] = {"bind": {}, "volume": {}, "tmpfs": {}}
    for each in text.split(","):
        key, equals, value = each.partition("=")
        truth = not equals or value.lower() in ("1", "true")
        match key.lower():
            case "type":
                found["Type"] = value.lower()
            case "source" | "src":
                found["Source"] = str(Path(value).absolute()) if value.startswith(".") else value
            case "target" | "dst" | "destination":
                found["Target"] = value
            case "readonly" | "ro":
                found["ReadOnly"] = truth
            case "bind-propagation":
                below["bind"]["Propagation"] = value
            case "bind-recursive":
                below["bind"]["NonRecursive"] = value == "disabled"
            case "volume-nocopy":
                below["volume"]["NoCopy"] = truth
            case "volume-subpath":
                below["volume"]["Subpath"] = value
            case "volume-driver":
                below["volume"].setdefault("DriverConfig", {})["Name"] = value
            case "volume-opt":
                options = below["volume"].setdefault("DriverConfig", {}).setdefault("Options", {})
                options.update(pairs([value]))
            case "volume-label":
                below["volume"].setdefault("Labels", {}).update(pairs([value]))
            case "tmpfs-size":
                below["tmpfs"]["SizeBytes"] = size(value)
            case "tmpfs-mode":
                below["tmpfs"]["Mode"] = int(value, 8)
            case _:
                raise Invalid(f"unexpected key '{key}' in '{each}'")
    if "Target" not in found:
        raise Invalid(f"invalid argument {text!r} for --mount: target is required")
    names = {"bind": "BindOptions", "volume": "VolumeOptions", "tmpfs": "TmpfsOptions"}
    for kind, options in below.items():
        if options and kind != found["Type"]:
            raise Invalid(f"cannot mix '{kind}-*' options with mount type '{found['Type']}'")
        found.update({names[kind]: options} if options else {})
    return found


def _security(text: str) -> str:
    """Put a seccomp profile itself for the file that holds it, which the engine may not see."""
    name, equals, value = text.partition("=")
    if name == "seccomp" and equals and value not in ("unconfined", "builtin"):
        try:
            return f"seccomp={Path(value).read_text(encoding='utf-8')}"
        except OSError as error:
            why = (error.strerror or "").lower()
            raise NotFound(f"opening seccomp profile ({value}) failed: open {value}: {why}") from error
    return text


def _device(text: str) -> dict[str, str]:
    parts = text.split(":")
    permissions = parts.pop() if len(parts) > 1 and re.fullmatch("[rwm]{1,3}", parts[-1]) else "rwm"
    if len(parts) > 2:
        raise Invalid(f"invalid device specification: {text}")
    return {"PathOnHost": parts[0], "PathInContainer": parts[-1], "CgroupPermissions": permissions}


def _ulimit(text: str) -> dict[str, Any]:
    match = re.fullmatch(r"([a-z]+)=(-1|\d+)(?::(-1|\d+))?", text)
    if match is None:
        raise Invalid(f"invalid ulimit argument: {text}")
    return {"Name": match[1], "Soft": int(match[2]), "Hard": int(match[3] or match[2])}


def _ports(asked: argparse.Namespace) -> tuple[Mapping[str, Any] | None, Mapping[str, Any] | None]:
    exposed: dict[str, Any] = {(each if "/" in each else f"{each}/tcp"): {} for each in asked.expose}
    bindings: dict[str, list[dict[str, str]]] = {}
    for each in asked.publish:
        for address, outside, inside in _published(each):
            exposed[inside] = {}
            bindings.setdefault(inside, []).append({"HostIp": address, "HostPort": outside})
    return exposed or None, bindings or None


def _published(text: str) -> list[tuple[str, str, str]]:
    """Return addresses and ports of the host, and ports of the container, given `[[ADDRESS:]PORT:]PORT[/PROTOCOL]`.

    Each PORT may be a range; where the container's is one port, the host's range is what to choose from.
    """
    match = _PUBLISH.fullmatch(text)
    if match is None:
        raise Invalid(f"invalid publish opts format (should be name=value but got '{text}')")
    address, protocol = (match["address"] or "").strip("[]"), match["protocol"] or "tcp"
    inside, outside = _range(match["inside"], "containerPort"), _range(match["outside"] or "", "hostPort")
    if not outside:
        return [(address, "", f"{each}/{protocol}") for each in inside]
    if len(inside) == 1 and len(outside) > 1:
        return [(address, match["outside"], f"{inside[0]}/{protocol}")]
    if len(inside) != len(outside):
        raise Invalid(
            f"Invalid ranges specified for container and host Ports: {match['inside']} and {match['outside']}"
        )
    return [(address, str(ours), f"{each}/{protocol}") for ours, each in zip(outside, inside, strict=True)]


def _range(text: str, what: str) -> list[int]:
    if not text:
        return []
    first, _, last = text.partition("-")
    numbers = range(int(first), int(last or first) + 1)
    if not numbers or numbers[-1] > 65535:
        raise Invalid(f"Invalid {what}: {text}")
    return list(numbers)
