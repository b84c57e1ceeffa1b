"""Short forms written out, what is meant where nothing is said, and paths made whole."""

import os
import posixpath
from collections.abc import Callable, Mapping
from pathlib import Path as Folder
from typing import Any

from moby.errors import Origin
from moby_orchestrator.compose.files import shorts
from moby_orchestrator.compose.files.places import Items, Map, Path, matches, refuse, shown, sprint

__all__ = ["absolute", "canonical", "with_defaults"]


def canonical(tree: Any, path: Path = (), place: Origin | None = None) -> Any:
    """Return the tree in long forms."""
    if isinstance(tree, Map):
        found = Map(origin=tree.origin)
        for key, value in tree.items():
            found.put(key, canonical(value, (*path, key), tree.places.get(key)), tree.places.get(key))
        tree = found
    elif isinstance(tree, Items):
        tree = Items([canonical(value, (*path, "[]"), where) for value, where in tree.pairs()], tree.places)
    change = next((each for pattern, each in _LONG.items() if matches(path, pattern)), None)
    return change(tree, path, place) if change else tree


def _key(name: str) -> Callable[[Any, Path, Origin | None], Any]:
    """A text stands for a mapping with one key."""

    def change(value: Any, path: Path, place: Origin | None) -> Any:
        return Map({name: value}, {name: place} if place else {}, place) if isinstance(value, str) else value

    return change


def _depends_on(value: Any, path: Path, place: Origin | None) -> Any:
    found = Map(origin=place)
    if isinstance(value, Items):
        for name, where in value.pairs():
            found.put(name, Map({"condition": "service_started", "required": True}), where)
        return found
    for name, given in value.items():
        one = Map(given if isinstance(given, Map) else ())
        found.put(name, one, value.places.get(name))
        one.setdefault("condition", "service_started")
        one.setdefault("required", True)
    return found


def _env_file(value: Any, path: Path, place: Origin | None) -> Any:
    items = value if isinstance(value, Items) else Items([value], [place])
    found = Items()
    for each, where in items.pairs():
        one = Map(each) if isinstance(each, Map) else Map({"path": each}, {"path": where} if where else {})
        one.setdefault("required", True)
        found.add(one, where)
    return found


def _names(value: Any, path: Path, place: Origin | None) -> Any:
    if not isinstance(value, Items):
        return value
    return Map(dict.fromkeys(value), {name: where for name, where in value.pairs() if where}, place)


def _ports(value: Any, path: Path, place: Origin | None) -> Any:
    found = Items()
    for each, where in value.pairs():
        if isinstance(each, Map):
            found.add(each, where)
            continue
        try:
            for one in shorts.ports(sprint(each)):
                found.add(Map(one, dict.fromkeys(one, where) if where else {}, where), where)
        except ValueError as error:
            fix = "write [[ADDRESS:]PUBLISHED:]TARGET[/PROTOCOL], in quotes"
            raise refuse(f"{shown(path)}: {error}", where or place, fix) from None
    return found


def _mount(value: Any, path: Path, place: Origin | None) -> Any:
    if not isinstance(value, str):
        return value
    try:
        found = shorts.mount(value)
    except ValueError as error:
        raise refuse(f"{shown(path[:-1])}: {error}", place, "write SOURCE:TARGET[:OPTIONS]") from None
    found["target"] = posixpath.normpath(found["target"]).replace("//", "/")
    long = {key: Map(each) if isinstance(each, dict) else each for key, each in found.items()}
    return Map(long, dict.fromkeys(found, place) if place else {}, place)


def _external(value: Any, path: Path, place: Origin | None) -> Any:
    if not isinstance(value, Map) or not isinstance(value.get("external"), Map):
        return value
    name = value["external"].get("name")
    if name is not None:
        if value.get("name") not in (None, name):
            fix = "keep `name:`, with `external: true`"
            raise refuse(f"{shown(path)}: name and external.name differ", place, fix)
        value.setdefault("name", name)
    value["external"] = True
    return value


def _pairs(value: Any, path: Path, place: Origin | None) -> Any:
    if not isinstance(value, Items):
        return value
    found = Map(origin=place)
    for each, where in value.pairs():
        key, equals, rest = str(each).partition("=")
        if not equals:
            raise refuse(f"{shown(path)}: {each!r} is no NAME=VALUE", where)
        found.put(key, rest, where)
    return found


def _listed(value: Any, path: Path, place: Origin | None) -> Any:
    return Items([value], [place]) if isinstance(value, str) else value


def _gpus(value: Any, path: Path, place: Origin | None) -> Any:
    return Items([Map({"count": "all"}, origin=place)], [place]) if isinstance(value, str) else value


def _device(value: Any, path: Path, place: Origin | None) -> Any:
    if not isinstance(value, str):
        return value
    parts = value.split(":")
    if len(parts) > 3:
        raise refuse(
            f"{shown(path[:-1])}: {value!r} has too many colons", place, "write source:, target:, permissions:"
        )
    target = parts[1] if len(parts) > 1 and parts[1] else parts[0]
    return Map({"source": parts[0], "target": target, "permissions": parts[2] if len(parts) == 3 else "rwm"})


def _ssh(value: Any, path: Path, place: Origin | None) -> Any:
    if not isinstance(value, Items):
        return value
    found = Map(origin=place)
    for each, where in value.pairs():
        name, equals, rest = str(each).partition("=")
        if not equals and name != "default":
            raise refuse(f"{shown(path)}: {each!r} is no ID=PATH", where, "write ID=PATH, or `default`")
        found.put(name, rest if equals else None, where)
    return found


_LONG: Mapping[Path, Callable[[Any, Path, Origin | None], Any]] = {
    ("services", "*", "build"): _key("context"),
    ("services", "*", "build", "secrets", "*"): _key("source"),
    ("services", "*", "build", "additional_contexts"): _pairs,
    ("services", "*", "build", "ssh"): _ssh,
    ("services", "*", "depends_on"): _depends_on,
    ("services", "*", "devices", "*"): _device,
    ("services", "*", "dns"): _listed,
    ("services", "*", "env_file"): _env_file,
    ("services", "*", "extends"): _key("service"),
    ("services", "*", "gpus"): _gpus,
    ("services", "*", "label_file"): _listed,
    ("services", "*", "networks"): _names,
    ("services", "*", "volumes", "*"): _mount,
    ("services", "*", "secrets", "*"): _key("source"),
    ("services", "*", "configs", "*"): _key("source"),
    ("services", "*", "ports"): _ports,
    ("volumes", "*"): _external,
    ("networks", "*"): _external,
    ("secrets", "*"): _external,
    ("configs", "*"): _external,
    ("include", "*"): _key("path"),
}


def with_defaults(tree: Map) -> Map:
    """Return the tree with a context for each build, and a place for each secret; the tree is changed."""
    for service in _services(tree):
        if isinstance(build := service.get("build"), Map):
            build.setdefault("context", ".")
        for secret in service.get("secrets") or ():
            if isinstance(secret, Map):
                secret.setdefault("target", f"/run/secrets/{secret.get('source')}")
        for port in service.get("ports") or ():
            port.setdefault("protocol", "tcp")
            port.setdefault("mode", "ingress")
        for request in [*(service.get("gpus") or ()), *_reserved(service)]:
            if "count" not in request and "device_ids" not in request:
                request["count"] = "all"
    return tree


def _reserved(service: Map) -> list[Map]:
    found: Any = service
    for key in ("deploy", "resources", "reservations", "devices"):
        found = found.get(key) if isinstance(found, Map) else None
    return list(found or ())


def _services(tree: Map) -> list[Map]:
    return [each for each in (tree.get("services") or {}).values() if isinstance(each, Map)]


_REMOTE = ("https://", "http://", "git://", "ssh://", "github.com/", "git@")
_FILES: tuple[Path, ...] = (
    ("services", "*", "build", "context"),
    ("services", "*", "build", "additional_contexts", "*"),
    ("services", "*", "build", "ssh", "*"),
    ("services", "*", "env_file", "*", "path"),
    ("services", "*", "label_file", "*"),
    ("services", "*", "extends", "file"),
    ("services", "*", "develop", "watch", "*", "path"),
    ("configs", "*", "file"),
    ("secrets", "*", "file"),
)


def absolute(tree: Any, base: Folder, path: Path = ()) -> Any:
    """Return the tree with paths of files that don't depend on where one is."""
    if isinstance(tree, Map):
        found = {key: absolute(each, base, (*path, key)) for key, each in tree.items()}
        tree = Map(found, dict(tree.places), tree.origin)
        if matches(path, ("services", "*", "volumes", "*")) and tree.get("type") == "bind" and tree.get("source"):
            tree["source"] = _whole(str(tree["source"]), base)
        if matches(path, ("volumes", "*")) and tree.get("driver") == "local":
            options = tree.get("driver_opts")
            if isinstance(options, Map) and options.get("o") == "bind" and options.get("device"):
                options["device"] = _whole(str(options["device"]), base)
        return tree
    if isinstance(tree, Items):
        return Items([absolute(each, base, (*path, "[]")) for each in tree], tree.places)
    if isinstance(tree, str) and tree and any(matches(path, each) for each in _FILES):
        if "build" in path and ("://" in tree or tree.startswith(_REMOTE)):
            return tree
        return _whole(tree, base)
    return tree


def _whole(text: str, base: Folder) -> str:
    if text.startswith("~"):
        text = os.path.expanduser("~") + "/" + text[1:]  # noqa: PTH111  # of the user alone, as docker compose
        return os.path.normpath(text)
    return text if text.startswith("/") else os.path.normpath(base / text)
