"""What a container is: inspect, top, changes."""

from typing import Any

from moby.contracts.containers import Container, State, Status
from moby.contracts.supervisor import Health
from moby.errors import MobyError
from moby_frontend.docker.call import Call, Reply, Version, reply_json
from moby_frontend.docker.handlers.waiting import UNKNOWN_EXIT
from moby_frontend.docker.parts import Parts
from moby_frontend.docker.times import ZERO, rfc3339
from moby_frontend.docker.translate.config import show_config, show_host_config
from moby_frontend.docker.translate.mounts import show_mounted
from moby_frontend.docker.translate.network import show_links, show_settings

__all__ = ["changes", "inspect", "show_container", "top"]

_FOLDERS = {"LowerDir": "lowerdir", "UpperDir": "upperdir", "WorkDir": "workdir"}


def inspect(parts: Parts, call: Call) -> Reply:
    """Show a container."""
    name = call.names["name"]
    container = parts.containers.get(name)
    shown = show_container(container, call.version, parts.storage_driver)
    shown["GraphDriver"]["Data"] = _folders(parts, container)
    if not container.config.runtime:
        shown["HostConfig"]["Runtime"] = _default_runtime(parts)
    if call.query.flag("size"):
        sizes = parts.containers.sizes(container.id)
        shown |= {"SizeRw": sizes.own_bytes, "SizeRootFs": sizes.root_bytes}
    return reply_json(shown)


def _folders(parts: Parts, container: Container) -> dict[str, str]:
    """Return the folders that an overlay shows as its root, by dockerd's names; nothing where there is none."""
    from moby.host.overlay import FUSE, paths_of

    try:
        mounts = parts.images.mounts(container.id)
    except MobyError:
        return {}
    paths = next((paths_of(each.options) for each in mounts if each.type in ("overlay", FUSE)), {})
    found = {name: ":".join(paths[key]) for name, key in _FOLDERS.items() if key in paths}
    return found | ({"MergedDir": str(container.rootfs)} if found and container.rootfs else {})


def _default_runtime(parts: Parts) -> str:
    try:
        return parts.supervisor.runtimes()[0]
    except MobyError:
        return ""


def show_container(container: Container, version: Version, driver: str) -> dict[str, Any]:
    """Return all that inspect shows."""
    return {
        "Id": container.id,
        "Created": container.created or ZERO,
        "Path": container.path,
        "Args": list(container.arguments),
        "State": _state(container.state),
        "Image": container.image_id,
        "ResolvConfPath": container.resolv_conf_path,
        "HostnamePath": container.hostname_path,
        "HostsPath": container.hosts_path,
        "LogPath": container.log_path,
        "Name": f"/{container.name}",
        "RestartCount": container.restart_count,
        "Driver": driver,
        "Platform": container.platform,
        "MountLabel": container.mount_label,
        "ProcessLabel": container.process_label,
        "AppArmorProfile": container.apparmor_profile,
        "ExecIDs": list(container.exec_ids) or None,
        "HostConfig": show_host_config(container.config, version) | {"Links": show_links(container)},
        "GraphDriver": {"Data": {}, "Name": driver},
        "Mounts": show_mounted(container.mounts),
        "Config": show_config(container.config),
        "NetworkSettings": show_settings(container, version),
    }


def _state(state: State) -> dict[str, Any]:
    running = state.status in {Status.RUNNING, Status.PAUSED, Status.RESTARTING}
    unknown = state.exit_code is None
    shown = {
        "Status": state.status.value,
        "Running": running,
        "Paused": state.status is Status.PAUSED,
        "Restarting": state.status is Status.RESTARTING,
        "OOMKilled": state.oom_killed,
        "Dead": state.dead,
        "Pid": state.pid,
        "ExitCode": UNKNOWN_EXIT if unknown else state.exit_code,
        "Error": state.error or ("the exit code is unknown: nobody saw it end" if unknown else ""),
        "StartedAt": state.started or ZERO,
        "FinishedAt": state.finished or ZERO,
    }
    return shown | ({"Health": _health(state.health)} if state.health else {})


def _health(health: Health) -> dict[str, Any]:
    results = [
        {"Start": rfc3339(each.start_ns), "End": rfc3339(each.end_ns), "ExitCode": each.code, "Output": each.output}
        for each in health.results
    ]
    return {"Status": health.status.value, "FailingStreak": health.failing_streak, "Log": results}


def top(parts: Parts, call: Call) -> Reply:
    """Show its processes."""
    titles, rows = parts.containers.top(call.names["name"], call.query.text("ps_args"))
    return reply_json({"Processes": [list(each) for each in rows] or None, "Titles": list(titles)})


def changes(parts: Parts, call: Call) -> Reply:
    """Show what is other than in its image."""
    found = [{"Path": path, "Kind": int(kind)} for kind, path in parts.containers.changes(call.names["name"])]
    return reply_json(found or None)
