"""What a tree means that it doesn't say: the default network, names, and dependencies by links and namespaces."""

import posixpath
from collections.abc import Mapping
from typing import Any

from moby_orchestrator.compose.files.interpolation import boolean
from moby_orchestrator.compose.files.places import Items, Map

__all__ = ["normal"]

_SHARED = ("network_mode", "ipc", "pid", "uts", "cgroup")


def normal(tree: Map, project: str, environment: Mapping[str, str]) -> Map:
    """Return the tree with all of that said; it is changed."""
    services = [each for each in (tree.get("services") or {}).values() if isinstance(each, Map)]
    _networks(tree, services)
    for service in services:
        if service.get("pull_policy") == "if_not_present":
            service["pull_policy"] = "missing"
        if isinstance(build := service.get("build"), Map):
            _build(build, environment)
        if "environment" in service:
            service["environment"] = _resolved(service["environment"], environment, keep=True)
        _depends(service)
        for mount in service.get("volumes") or ():
            mount["target"] = posixpath.normpath(str(mount["target"])).replace("//", "/")
    for kind in ("networks", "volumes", "configs", "secrets"):
        _named(tree, kind, project)
    return tree


def _networks(tree: Map, services: list[Map]) -> None:
    networks = tree.get("networks") or Map()
    used = False
    for service in services:
        if "network_mode" in service:
            continue
        if not service.get("networks"):
            service["networks"] = Map({"default": None})
        used = used or "default" in service["networks"]
    if used:
        networks.setdefault("default", None)
    if networks:
        tree["networks"] = networks


def _build(build: Map, environment: Mapping[str, str]) -> None:
    if build.get("context") is None:
        build["context"] = "."
    if build.get("dockerfile") is None and build.get("dockerfile_inline") is None:
        build["dockerfile"] = "Dockerfile"
    if "args" in build:
        build["args"] = _resolved(build["args"], environment, keep=False)


def _resolved(given: Any, environment: Mapping[str, str], *, keep: bool) -> Any:
    """Give what is only named its value; what has none stays, or goes."""
    if isinstance(given, Map):
        found = {key: environment.get(key) if each is None else each for key, each in given.items()}
        return Map({key: each for key, each in found.items() if keep or each is not None}, given.places)
    lines = []
    for each in given or ():
        if not isinstance(each, str) or "=" in each:
            lines.append(each)
        elif each in environment:
            lines.append(f"{each}={environment[each]}")
        elif keep:
            lines.append(each)
    return Items(lines)


def _depends(service: Map) -> None:
    on = service.get("depends_on") or Map()

    def need(name: str, *, restart: bool) -> None:
        if name not in on:
            on[name] = Map({"condition": "service_started", "restart": restart, "required": True})

    for link in service.get("links") or ():
        need(link.split(":")[0] if link.count(":") == 1 else link, restart=True)
    for key in _SHARED:
        if str(service.get(key) or "").startswith("service:"):
            need(service[key].removeprefix("service:"), restart=True)
    for each in service.get("volumes_from") or ():
        if not each.startswith("container:"):
            need(each.split(":")[0], restart=False)
    if on:
        service["depends_on"] = on


def _named(tree: Map, kind: str, project: str) -> None:
    for key, given in (tree.get(kind) or {}).items():
        resource = given if isinstance(given, Map) else Map()
        if resource.get("name") is None:
            external = resource.get("external")
            whole = boolean(external) if isinstance(external, str) else bool(external)
            resource["name"] = key if whole else f"{project}_{key}"
        tree[kind][key] = resource
