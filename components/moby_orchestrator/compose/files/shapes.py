"""The structs of a project, with their fields in the order in which docker compose writes them."""

from typing import Any

from moby_orchestrator.compose.files.fields import (
    Field,
    Shape,
    command,
    count,
    each,
    environment,
    hosts,
    integer,
    keys,
    labels,
    many,
    number,
    one_or_many,
    optional,
    record,
    records,
    size,
    span,
    spoken,
    test,
    text,
    truth,
)

__all__ = ["CONFIG", "NETWORK", "SECRET", "SERVICE", "VOLUME"]


def _shape(*fields: Field) -> Shape:
    return Shape(fields)


def _plain(read: Any, *keys: str) -> tuple[Field, ...]:
    return tuple(Field(key, read) for key in keys)


def _nested(key: str, shape: Shape) -> Field:
    return Field(key, record(shape), nested=shape)


_LIMITS = _shape(Field("soft", integer), Field("hard", integer))


def _ulimit(value: Any) -> Any:
    return _LIMITS.read(value) if isinstance(value, dict) else integer(value)


_HOOK = _shape(
    Field("command", command, empty=True, null=True),
    *_plain(text, "user"),
    *_plain(truth, "privileged"),
    *_plain(text, "working_dir"),
    *_plain(environment, "environment"),
)
_FILE = _shape(*_plain(text, "source", "target", "uid", "gid"), Field("mode", integer, empty=True))
_BUILD = _shape(
    *_plain(text, "context", "dockerfile", "dockerfile_inline"),
    *_plain(many, "entitlements"),
    *_plain(environment, "args"),
    Field("ssh", keys),
    *_plain(labels, "labels"),
    *_plain(one_or_many, "cache_from", "cache_to"),
    *_plain(truth, "no_cache"),
    *_plain(labels, "additional_contexts"),
    *_plain(truth, "pull"),
    *_plain(hosts, "extra_hosts"),
    *_plain(text, "isolation", "network", "target"),
    Field("secrets", records(_FILE)),
    *_plain(size, "shm_size"),
    *_plain(one_or_many, "tags"),
    Field("ulimits", each(_ulimit)),
    *_plain(one_or_many, "platforms"),
    *_plain(truth, "privileged"),
)
_TRIGGER = _shape(
    Field("path", text, always=True),
    Field("action", text, always=True),
    *_plain(text, "target"),
    _nested("exec", _HOOK),
    *_plain(many, "ignore"),
)
_WEIGHT = _shape(Field("path", text, json="Path"), Field("weight", integer, json="Weight"))
_RATE = _shape(Field("path", text, json="Path"), Field("rate", size, json="Rate"))
_BLKIO = _shape(
    *_plain(integer, "weight"),
    Field("weight_device", records(_WEIGHT)),
    *_plain(records(_RATE), "device_read_bps", "device_read_iops", "device_write_bps", "device_write_iops"),
)
_DEVICE = _shape(*_plain(text, "source", "target", "permissions"))
_REQUEST = _shape(
    *_plain(many, "capabilities"),
    *_plain(text, "driver"),
    *_plain(count, "count"),
    *_plain(many, "device_ids"),
    *_plain(labels, "options"),
)
_CREDENTIAL = _shape(*_plain(text, "config", "file", "registry"))
_DEPENDENCY = _shape(*_plain(text, "condition"), *_plain(truth, "restart"), Field("required", truth, always=True))
_UPDATE = _shape(
    Field("parallelism", integer, empty=True),
    *_plain(span, "delay"),
    *_plain(text, "failure_action"),
    *_plain(span, "monitor"),
    *_plain(number, "max_failure_ratio"),
    *_plain(text, "order"),
)
_DISCRETE = _shape(Field("kind", text, always=True), Field("value", integer, always=True))
_GENERIC = _shape(Field("discrete_resource_spec", optional(_DISCRETE), empty=True))
_RESOURCE = _shape(
    *_plain(number, "cpus"),
    *_plain(size, "memory"),
    *_plain(integer, "pids"),
    Field("devices", records(_REQUEST)),
    Field("generic_resources", records(_GENERIC)),
)
_RESOURCES = _shape(
    Field("limits", optional(_RESOURCE), empty=True), Field("reservations", optional(_RESOURCE), empty=True)
)
_RESTART = _shape(
    *_plain(text, "condition"),
    Field("delay", span, empty=True),
    Field("max_attempts", integer, empty=True),
    Field("window", span, empty=True),
)
_PREFERENCE = _shape(*_plain(text, "spread"))
_PLACEMENT = _shape(
    *_plain(many, "constraints"), Field("preferences", records(_PREFERENCE)), *_plain(integer, "max_replicas_per_node")
)
_DEPLOY = _shape(
    *_plain(text, "mode"),
    Field("replicas", integer, empty=True),
    *_plain(labels, "labels"),
    Field("update_config", optional(_UPDATE), empty=True),
    Field("rollback_config", optional(_UPDATE), empty=True),
    _nested("resources", _RESOURCES),
    Field("restart_policy", optional(_RESTART), empty=True),
    _nested("placement", _PLACEMENT),
    *_plain(text, "endpoint_mode"),
)
_ENV_FILE = _shape(*_plain(text, "path"), Field("required", truth, always=True), *_plain(text, "format"))


def _env_files(value: Any) -> list[Any]:
    """Files that must be there are written by their path alone."""
    found = []
    for one in value or ():
        file = _ENV_FILE.read(one)
        found.append(file["path"] if file.get("required") and file.get("path") else file)
    return found


_HEALTH = _shape(
    *_plain(test, "test"),
    Field("timeout", span, empty=True),
    Field("interval", span, empty=True),
    Field("retries", integer, empty=True),
    Field("start_period", span, empty=True),
    Field("start_interval", span, empty=True),
    *_plain(truth, "disable"),
)
_LOGGING = _shape(*_plain(text, "driver"), Field("options", spoken))
_ATTACHED = _shape(
    *_plain(integer, "priority", "gw_priority"),
    *_plain(many, "aliases"),
    *_plain(text, "ipv4_address", "ipv6_address"),
    *_plain(many, "link_local_ips"),
    *_plain(text, "mac_address"),
    *_plain(spoken, "driver_opts"),
)
_PORT = _shape(
    *_plain(text, "name", "mode", "host_ip"),
    *_plain(integer, "target"),
    *_plain(text, "published", "protocol", "app_protocol"),
)
_BIND = _shape(*_plain(text, "selinux", "propagation"), *_plain(truth, "create_host_path"), *_plain(text, "recursive"))
_MOUNTED = _shape(*_plain(truth, "nocopy"), *_plain(text, "subpath"))
_TMPFS = _shape(*_plain(size, "size"), *_plain(integer, "mode"))
_MOUNT = _shape(
    *_plain(text, "type", "source", "target"),
    *_plain(truth, "read_only"),
    *_plain(text, "consistency"),
    Field("bind", optional(_BIND), empty=True),
    Field("volume", optional(_MOUNTED), empty=True),
    Field("tmpfs", optional(_TMPFS), empty=True),
)
_EXTENDS = _shape(*_plain(text, "file", "service"))
_DEVELOP = _shape(Field("watch", records(_TRIGGER)))

SERVICE = _shape(
    *_plain(many, "profiles"),
    *_plain(labels, "annotations"),
    Field("attach", truth, empty=True),
    Field("build", optional(_BUILD), empty=True),
    Field("develop", optional(_DEVELOP), empty=True),
    Field("blkio_config", optional(_BLKIO), empty=True),
    *_plain(many, "cap_add", "cap_drop"),
    *_plain(text, "cgroup_parent", "cgroup"),
    *_plain(integer, "cpu_count"),
    *_plain(number, "cpu_percent"),
    *_plain(integer, "cpu_period", "cpu_quota", "cpu_rt_period", "cpu_rt_runtime"),
    *_plain(number, "cpus"),
    *_plain(text, "cpuset"),
    *_plain(integer, "cpu_shares"),
    Field("command", command, empty=True, null=True),
    Field("configs", records(_FILE)),
    *_plain(text, "container_name"),
    Field("credential_spec", optional(_CREDENTIAL), empty=True),
    Field("depends_on", each(record(_DEPENDENCY))),
    Field("deploy", optional(_DEPLOY), empty=True),
    *_plain(many, "device_cgroup_rules"),
    Field("devices", records(_DEVICE)),
    *_plain(one_or_many, "dns"),
    *_plain(many, "dns_opt"),
    *_plain(one_or_many, "dns_search"),
    *_plain(text, "dockerfile", "domainname"),
    Field("entrypoint", command, empty=True, null=True),
    *_plain(environment, "environment"),
    Field("env_file", _env_files),
    *_plain(many, "expose"),
    Field("extends", optional(_EXTENDS), empty=True),
    *_plain(many, "external_links"),
    *_plain(hosts, "extra_hosts"),
    *_plain(many, "group_add"),
    Field("gpus", records(_REQUEST)),
    *_plain(text, "hostname"),
    Field("healthcheck", optional(_HEALTH), empty=True),
    *_plain(text, "image"),
    Field("init", truth, empty=True),
    *_plain(text, "ipc", "isolation"),
    *_plain(labels, "labels"),
    *_plain(many, "label_file", "links"),
    Field("logging", optional(_LOGGING), empty=True),
    *_plain(text, "log_driver"),
    *_plain(spoken, "log_opt"),
    *_plain(size, "mem_limit", "mem_reservation", "memswap_limit", "mem_swappiness"),
    *_plain(text, "mac_address", "net", "network_mode"),
    Field("networks", each(optional(_ATTACHED))),
    *_plain(truth, "oom_kill_disable"),
    *_plain(integer, "oom_score_adj"),
    *_plain(text, "pid"),
    *_plain(integer, "pids_limit"),
    *_plain(text, "platform"),
    Field("ports", records(_PORT)),
    Field("post_start", records(_HOOK)),
    Field("pre_stop", records(_HOOK)),
    *_plain(truth, "privileged"),
    *_plain(text, "pull_policy"),
    *_plain(truth, "read_only"),
    *_plain(text, "restart", "runtime"),
    Field("scale", integer, empty=True),
    Field("secrets", records(_FILE)),
    *_plain(many, "security_opt"),
    *_plain(size, "shm_size"),
    *_plain(truth, "stdin_open"),
    Field("stop_grace_period", span, empty=True),
    *_plain(text, "stop_signal"),
    *_plain(spoken, "storage_opt"),
    *_plain(labels, "sysctls"),
    *_plain(one_or_many, "tmpfs"),
    *_plain(truth, "tty"),
    Field("ulimits", each(_ulimit)),
    *_plain(text, "user", "userns_mode", "uts", "volume_driver"),
    Field("volumes", records(_MOUNT)),
    *_plain(many, "volumes_from"),
    *_plain(text, "working_dir"),
)

_POOL = _shape(*_plain(text, "subnet", "gateway", "ip_range"), *_plain(labels, "aux_addresses"))
_IPAM = _shape(*_plain(text, "driver"), Field("config", records(_POOL)))
NETWORK = _shape(
    *_plain(text, "name", "driver"),
    *_plain(spoken, "driver_opts"),
    _nested("ipam", _IPAM),
    *_plain(truth, "external", "internal", "attachable"),
    *_plain(labels, "labels"),
    Field("enable_ipv4", truth, empty=True),
    Field("enable_ipv6", truth, empty=True),
)
VOLUME = _shape(
    *_plain(text, "name", "driver"),
    *_plain(spoken, "driver_opts"),
    *_plain(truth, "external"),
    *_plain(labels, "labels"),
)
SECRET = CONFIG = _shape(
    *_plain(text, "name", "file", "environment", "content"),
    *_plain(truth, "external"),
    *_plain(labels, "labels"),
    *_plain(text, "driver"),
    *_plain(spoken, "driver_opts"),
    *_plain(text, "template_driver"),
)
