"""A swarm as a whole: its Spec in and out, what inspect and `info` show."""

import ipaddress
import re
from typing import Any

from moby.contracts.orchestrator import ClusterSpec, ClusterState
from moby.errors import Invalid
from moby_frontend.docker.swarm.faults import rejected
from moby_frontend.docker.swarm.strict import lowered, read_all, refuse
from moby_frontend.docker.times import rfc3339
from moby_frontend.docker.translate.forms import FLAG, NUMBER, TEXT, TEXT_MAP, TEXTS, Field, Form, object_of

__all__ = ["checked_listen", "read_cluster", "read_init", "show_cluster", "show_swarm"]

NAME = "default"
"""What docker calls a swarm; there is one."""
_RAFT = {
    "SnapshotInterval": 10000, "KeepOldSnapshots": 0, "LogEntriesForSlowFollowers": 500, "ElectionTick": 10,
    "HeartbeatTick": 1,
}  # fmt: skip
"""As docker has it by default; what keeps our state has no such settings."""
_DATA_PATH_PORT = 4789
_FIELDS = (Field("Name", "name", TEXT), Field("Labels", "labels", TEXT_MAP))
_LEAST_CERTIFICATE_NS = 3600 * 10**9


def _positive(value: Any, where: str) -> int:
    number: int = NUMBER.read(value, where)
    if number < 0:
        raise Invalid(f"{where}: it can't be negative")
    return number


_POSITIVE = Form(_positive)


def read_cluster(body: Any, pools: tuple[str, ...] = (), prefix: int = 0) -> ClusterSpec:
    """Return what a swarm's Spec settles; Invalid by the name of a field that can't be kept."""
    parts = ("Orchestration", "Raft", "Dispatcher", "CAConfig", "TaskDefaults", "EncryptionConfig")
    found, lower = read_all(_FIELDS, body, "Spec", parts), lowered(body, "Spec")
    if found.pop("name", "") not in {"", NAME}:
        raise Invalid(f'Spec.Name: a swarm is called "{NAME}"')
    usual = {name.lower(): value for name, value in _RAFT.items()}
    raft = object_of(lower.get("raft"), "Spec.Raft")
    refuse({name: each for name, each in raft.items() if each != usual.get(name.lower())}, "Spec.Raft")
    refuse(object_of(lower.get("taskdefaults"), "Spec.TaskDefaults"), "Spec.TaskDefaults")
    for name, field in (
        ("Orchestration", Field("TaskHistoryRetentionLimit", "task_history", _POSITIVE)),
        ("Dispatcher", Field("HeartbeatPeriod", "heartbeat_ns", _POSITIVE)),
        ("CAConfig", Field("NodeCertExpiry", "certificate_ns", _POSITIVE)),
        ("EncryptionConfig", Field("AutoLockManagers", "autolock", FLAG)),
    ):
        found |= read_all((field,), lower.get(name.lower()), f"Spec.{name}")
    for name in ("heartbeat_ns", "certificate_ns"):
        if not found.get(name):
            found.pop(name, None)
    if found.get("certificate_ns", _LEAST_CERTIFICATE_NS) < _LEAST_CERTIFICATE_NS:
        raise rejected("minimum certificate expiry time is: 1h0m0s")
    more: dict[str, Any] = {"address_pools": pools} if pools else {}
    if prefix:
        more["subnet_prefix"] = prefix
    return ClusterSpec(**found, **more)


_INIT = (
    Field("ListenAddr", "listen", TEXT),
    Field("AdvertiseAddr", "advertise", TEXT),
    Field("ForceNewCluster", "force", FLAG),
    Field("DefaultAddrPool", "pools", TEXTS),
    Field("SubnetSize", "prefix", _POSITIVE),
    Field("DataPathPort", "port", _POSITIVE),
)


def read_init(body: Any) -> tuple[ClusterSpec, dict[str, Any]]:
    """Return what a new swarm is to be, and where it listens and what it tells others (`create`'s arguments)."""
    found = read_all(_INIT, body, "InitRequest", ("Spec", "AutoLockManagers", "Availability"))
    lower = lowered(body, "InitRequest")
    if found.pop("port", 0) not in {0, _DATA_PATH_PORT}:
        raise Invalid(f"InitRequest.DataPathPort: networks of this engine meet at port {_DATA_PATH_PORT}")
    pools = tuple(_network(each) for each in found.pop("pools", ()))
    prefix = found.pop("prefix", 0)
    if prefix > 29:
        raise Invalid(f"invalid SubnetSize: {prefix}: a prefix of 29 bits at most leaves a network room for tasks")
    spec = read_cluster(lower.get("spec"), pools, prefix)
    if FLAG.read(lower.get("autolockmanagers") or False, "InitRequest.AutoLockManagers") and not spec.autolock:
        from moby.values import evolve

        spec = evolve(spec, autolock=True)
    return spec, found | {"listen": checked_listen(found.get("listen", ""))}


def _network(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text))
    except ValueError:
        raise Invalid(f"invalid CIDR address: {text}") from None


def checked_listen(text: str) -> str:
    """Return an address to listen at; Invalid in docker's words."""
    if not text:
        raise Invalid('invalid ListenAddr "": invalid empty address')
    host, colon, port = text.rpartition(":") if not text.endswith("]") else (text, "", "")
    if not colon:
        host, port = text, ""
    if port and not (port.isascii() and port.isdigit() and int(port) < 65536):
        raise Invalid(f'invalid ListenAddr "{text}": {port!r} is no port')
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        if not re.fullmatch(r"[A-Za-z0-9_.-]{1,15}", host) or not _is_interface(host):
            raise Invalid(
                "listen address must be an IP address or network interface (with optional port number)"
            ) from None
    return text


def _is_interface(name: str) -> bool:
    import socket

    return any(each == name for _, each in socket.if_nameindex())


def show_cluster(state: ClusterState) -> dict[str, Any]:
    """Return a swarm as `info` shows it."""
    spec = state.spec
    pools = list(spec.address_pools)
    return {
        "ID": state.id,
        "Version": {"Index": state.version},
        "CreatedAt": rfc3339(state.created_ns),
        "UpdatedAt": rfc3339(state.updated_ns),
        "Spec": {
            "Name": NAME,
            "Labels": dict(spec.labels),
            "Orchestration": {"TaskHistoryRetentionLimit": spec.task_history},
            "Raft": dict(_RAFT),
            "Dispatcher": {"HeartbeatPeriod": spec.heartbeat_ns},
            "CAConfig": {"NodeCertExpiry": spec.certificate_ns},
            "TaskDefaults": {},
            "EncryptionConfig": {"AutoLockManagers": spec.autolock},
        },
        "TLSInfo": {},
        "RootRotationInProgress": False,
        "DefaultAddrPool": None if pools == list(ClusterSpec().address_pools) else pools,
        "SubnetSize": spec.subnet_prefix,
        "DataPathPort": _DATA_PATH_PORT,
    }


def show_swarm(state: ClusterState) -> dict[str, Any]:
    """Return a swarm as `swarm inspect` shows it to a manager."""
    tokens = state.tokens
    return show_cluster(state) | {
        "JoinTokens": {"Worker": tokens.worker if tokens else "", "Manager": tokens.manager if tokens else ""}
    }
