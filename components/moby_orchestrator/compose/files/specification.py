"""What a compose file may have where, as the Compose Specification says it, in the words of JSON schema.

A text stands for numbers and truth values too, since those may come from variables. Keys that begin with `x-` are
everywhere but where names are free.
"""

from functools import cache
from typing import Any

__all__ = ["file_schema"]

Schema = dict[str, Any]

_NAME = "^[a-zA-Z0-9._-]+$"
_OWN: Schema = {"^x-": {}}


def _is(*types: str) -> Schema:
    return {"type": types[0] if len(types) == 1 else list(types)}


def _one(*choices: Schema) -> Schema:
    return {"oneOf": list(choices)}


def _list(items: Schema, *, unique: bool = False) -> Schema:
    return {"type": "array", "items": items, **({"uniqueItems": True} if unique else {})}


def _map(values: Schema, *, pattern: str = ".+", closed: bool = True) -> Schema:
    """Return a mapping whose keys are free."""
    return {
        "type": "object",
        "patternProperties": {pattern: values},
        **({"additionalProperties": False} if closed else {}),
    }


def _keys(required: str = "", /, *, empty: bool = False, own: bool = True, **known: Schema) -> Schema:
    """Return a mapping of these keys; `required` are those that must be there, `empty` may be null."""
    return {
        "type": ["object", "null"] if empty else "object",
        "properties": known,
        "additionalProperties": False,
        **({"patternProperties": _OWN} if own else {}),
        **({"required": required.split()} if required else {}),
    }


def _word(*words: str) -> Schema:
    return {"type": "string", "enum": list(words)}


def _between(least: int, most: int | None = None) -> Schema:
    bounds = {"minimum": least} if most is None else {"minimum": least, "maximum": most}
    return _one(_TEXT, {"type": "integer", **bounds})


_TEXT = _is("string")
_FLAG = _is("boolean", "string")
_WHOLE = _is("integer", "string")
_NUMBER = _is("number", "string")
_TEXTS = _list(_TEXT)
_DIFFERENT = _list(_TEXT, unique=True)
_ONE_OR_MORE = _one(_TEXT, _DIFFERENT)
_PAIRS = _one(_map(_is("string", "number", "boolean", "null")), _DIFFERENT)
_HOSTS = _one(_map(_one(_TEXT, _TEXTS)), _DIFFERENT)
_DRIVER_OPTIONS = _map(_NUMBER, closed=False)
_COMMAND = _one(_is("null"), _TEXT, _TEXTS)
_ULIMITS = _map(_one(_WHOLE, _keys("soft hard", soft=_WHOLE, hard=_WHOLE)), pattern="^[a-z]+$", closed=False)
_FILES = _list(_one(_TEXT, _keys(source=_TEXT, target=_TEXT, uid=_TEXT, gid=_TEXT, mode=_NUMBER)))
_HOOK = _keys(command=_COMMAND, user=_TEXT, privileged=_FLAG, working_dir=_TEXT, environment=_PAIRS)
_DEVICE_KEYS: dict[str, Any] = {
    "capabilities": _DIFFERENT, "count": _WHOLE, "device_ids": _DIFFERENT, "driver": _TEXT, "options": _PAIRS,
}  # fmt: skip


def _external() -> Schema:
    """Return what says that something is there already: a truth value, or as in older files its name."""
    return {**_keys(name=_TEXT), "type": ["boolean", "string", "object"]}


def _build() -> Schema:
    return _one(
        _TEXT,
        _keys(
            context=_TEXT, dockerfile=_TEXT, dockerfile_inline=_TEXT, entitlements=_TEXTS, args=_PAIRS, ssh=_PAIRS,
            labels=_PAIRS, cache_from=_TEXTS, cache_to=_TEXTS, no_cache=_FLAG, additional_contexts=_PAIRS,
            network=_TEXT, pull=_FLAG, target=_TEXT, shm_size=_WHOLE, extra_hosts=_HOSTS, isolation=_TEXT,
            privileged=_FLAG, secrets=_FILES, tags=_TEXTS, ulimits=_ULIMITS, platforms=_TEXTS,
        ),
    )  # fmt: skip


def _develop() -> Schema:
    actions = _word("rebuild", "sync", "restart", "sync+restart", "sync+exec")
    watch = _keys("path action", path=_TEXT, action=actions, ignore=_TEXTS, target=_TEXT, exec=_HOOK)
    return _keys(empty=True, watch=_list(watch))


def _deploy() -> Schema:
    change = _keys(
        parallelism=_WHOLE, delay=_TEXT, failure_action=_TEXT, monitor=_TEXT, max_failure_ratio=_NUMBER,
        order=_word("start-first", "stop-first"),
    )  # fmt: skip
    sorts = _list(_keys(discrete_resource_spec=_keys(kind=_TEXT, value=_NUMBER)))
    devices = _list(_keys("capabilities", **_DEVICE_KEYS))
    return _keys(
        empty=True, mode=_TEXT, endpoint_mode=_TEXT, replicas=_WHOLE, labels=_PAIRS, rollback_config=change,
        update_config=change,
        resources=_keys(
            limits=_keys(cpus=_NUMBER, memory=_TEXT, pids=_WHOLE),
            reservations=_keys(cpus=_NUMBER, memory=_TEXT, generic_resources=sorts, devices=devices),
        ),
        restart_policy=_keys(condition=_TEXT, delay=_TEXT, max_attempts=_WHOLE, window=_TEXT),
        placement=_keys(
            constraints=_TEXTS, preferences=_list(_keys(spread=_TEXT)), max_replicas_per_node=_WHOLE,
        ),
    )  # fmt: skip


def _mounts() -> Schema:
    bind = _keys(
        propagation=_TEXT, create_host_path=_FLAG, recursive=_word("enabled", "disabled", "writable", "readonly"),
        selinux=_word("z", "Z"),
    )  # fmt: skip
    long = _keys(
        "type", type=_TEXT, source=_TEXT, target=_TEXT, read_only=_FLAG, consistency=_TEXT, bind=bind,
        volume=_keys(nocopy=_FLAG, subpath=_TEXT),
        tmpfs=_keys(size=_one({"type": "integer", "minimum": 0}, _TEXT), mode=_NUMBER),
    )  # fmt: skip
    return _list(_one(_TEXT, long), unique=True)


def _ports() -> Schema:
    long = _keys(
        name=_TEXT, mode=_TEXT, host_ip=_TEXT, target=_WHOLE, published=_WHOLE, protocol=_TEXT, app_protocol=_TEXT,
    )  # fmt: skip
    return _list(_one(_is("number"), _TEXT, long), unique=True)


def _attachments() -> Schema:
    long = _keys(
        aliases=_DIFFERENT, ipv4_address=_TEXT, ipv6_address=_TEXT, link_local_ips=_DIFFERENT, mac_address=_TEXT,
        driver_opts=_DRIVER_OPTIONS, priority=_is("number"), gw_priority=_is("number"),
    )  # fmt: skip
    return _one(_DIFFERENT, _map(_one(long, _is("null")), pattern=_NAME))


def _dependencies() -> Schema:
    conditions = _word("service_started", "service_healthy", "service_completed_successfully")
    long = _keys("condition", condition=conditions, restart=_FLAG, required=_is("boolean"))
    return _one(_DIFFERENT, _map(long, pattern=_NAME))


def _block_io() -> Schema:
    rates = _list(_keys(own=False, path=_TEXT, rate=_WHOLE))
    return _keys(
        own=False, weight=_WHOLE, weight_device=_list(_keys(own=False, path=_TEXT, weight=_WHOLE)),
        device_read_bps=rates, device_read_iops=rates, device_write_bps=rates, device_write_iops=rates,
    )  # fmt: skip


def _gpus() -> Schema:
    free: Schema = {"type": "object", "properties": _DEVICE_KEYS}
    return _one(_word("all"), _list(free))


def _service() -> Schema:
    env_file = _keys("path", own=False, path=_TEXT, format=_TEXT, required=_FLAG)
    health = _keys(
        disable=_FLAG, interval=_TEXT, retries=_NUMBER, test=_one(_TEXT, _TEXTS), timeout=_TEXT, start_period=_TEXT,
        start_interval=_TEXT,
    )  # fmt: skip
    logging = _keys(driver=_TEXT, options=_map(_is("string", "number", "null"), closed=False))
    device = _keys("source", source=_TEXT, target=_TEXT, permissions=_TEXT)
    numbers = _list(_is("string", "number"), unique=True)
    pulls = _word("always", "never", "if_not_present", "build", "missing")
    return _keys(
        annotations=_PAIRS, attach=_FLAG, blkio_config=_block_io(), build=_build(), cap_add=_DIFFERENT,
        cap_drop=_DIFFERENT, cgroup=_word("host", "private"), cgroup_parent=_TEXT, command=_COMMAND, configs=_FILES,
        container_name=_TEXT, cpu_count=_between(0), cpu_percent=_between(0, 100), cpu_period=_NUMBER,
        cpu_quota=_NUMBER, cpu_rt_period=_NUMBER, cpu_rt_runtime=_NUMBER, cpu_shares=_NUMBER, cpus=_NUMBER,
        cpuset=_TEXT, credential_spec=_keys(config=_TEXT, file=_TEXT, registry=_TEXT), depends_on=_dependencies(),
        deploy=_deploy(), develop=_develop(), device_cgroup_rules=_DIFFERENT, devices=_list(_one(_TEXT, device)),
        dns=_ONE_OR_MORE, dns_opt=_DIFFERENT, dns_search=_ONE_OR_MORE, domainname=_TEXT, entrypoint=_COMMAND,
        env_file=_one(_TEXT, _list(_one(_TEXT, env_file))), environment=_PAIRS, expose=numbers,
        extends=_one(_TEXT, _keys("service", own=False, service=_TEXT, file=_TEXT)), external_links=_DIFFERENT,
        extra_hosts=_HOSTS, gpus=_gpus(), group_add=numbers, healthcheck=health, hostname=_TEXT, image=_TEXT,
        init=_FLAG, ipc=_TEXT, isolation=_TEXT, label_file=_one(_TEXT, _TEXTS), labels=_PAIRS, links=_DIFFERENT,
        logging=logging, mac_address=_TEXT, mem_limit=_NUMBER, mem_reservation=_WHOLE, mem_swappiness=_WHOLE,
        memswap_limit=_NUMBER, network_mode=_TEXT, networks=_attachments(), oom_kill_disable=_FLAG,
        oom_score_adj=_between(-1000, 1000), pid=_is("string", "null"), pids_limit=_NUMBER, platform=_TEXT,
        ports=_ports(), post_start=_list(_HOOK), pre_stop=_list(_HOOK), privileged=_FLAG, profiles=_DIFFERENT,
        pull_policy=pulls, read_only=_FLAG, restart=_TEXT, runtime=_TEXT, scale=_WHOLE, secrets=_FILES,
        security_opt=_DIFFERENT, shm_size=_NUMBER, stdin_open=_FLAG, stop_grace_period=_TEXT, stop_signal=_TEXT,
        storage_opt=_is("object"), sysctls=_PAIRS, tmpfs=_ONE_OR_MORE, tty=_FLAG, ulimits=_ULIMITS, user=_TEXT,
        userns_mode=_TEXT, uts=_TEXT, volumes=_mounts(), volumes_from=_DIFFERENT, working_dir=_TEXT,
    )  # fmt: skip


def _network() -> Schema:
    pool = _keys(subnet=_TEXT, ip_range=_TEXT, gateway=_TEXT, aux_addresses=_map(_TEXT))
    return _keys(
        empty=True, name=_TEXT, driver=_TEXT, driver_opts=_DRIVER_OPTIONS,
        ipam=_keys(driver=_TEXT, config=_list(pool), options=_map(_TEXT)), external=_external(), internal=_FLAG,
        enable_ipv4=_FLAG, enable_ipv6=_FLAG, attachable=_FLAG, labels=_PAIRS,
    )  # fmt: skip


def _include() -> Schema:
    return _one(_TEXT, _keys(own=False, path=_ONE_OR_MORE, env_file=_ONE_OR_MORE, project_directory=_TEXT))


@cache
def file_schema() -> Schema:
    """Return the schema of a whole file."""
    volume = _keys(
        empty=True, name=_TEXT, driver=_TEXT, driver_opts=_DRIVER_OPTIONS, external=_external(), labels=_PAIRS
    )
    shared: dict[str, Any] = {
        "name": _TEXT,
        "environment": _TEXT,
        "file": _TEXT,
        "external": _external(),
        "labels": _PAIRS,
    }
    secret = _keys(**shared, driver=_TEXT, driver_opts=_DRIVER_OPTIONS, template_driver=_TEXT)
    config = _keys(**shared, content=_TEXT, template_driver=_TEXT)
    return _keys(
        version=_TEXT, name=_TEXT, include=_list(_include()), services=_map(_service(), pattern=_NAME),
        networks=_map(_network(), pattern=_NAME, closed=False), volumes=_map(volume, pattern=_NAME),
        secrets=_map(secret, pattern=_NAME), configs=_map(config, pattern=_NAME),
    )  # fmt: skip
