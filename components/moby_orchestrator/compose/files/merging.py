"""Lays one file's tree over another's: mappings merge, lists are appended to, and of equals the last one stays."""

from collections.abc import Callable, Mapping
from typing import Any

from moby.errors import Origin
from moby_orchestrator.compose.files.places import Items, Map, Path, matches, refuse, shown, sprint
from moby_orchestrator.compose.files.shorts import mount

__all__ = ["forget", "lay_service", "merge", "unique"]


def merge(base: Map, over: Map) -> Map:
    """Return the base with what is over it."""
    found = _merge(base, over, (), None)
    assert isinstance(found, Map)
    return found


def lay_service(base: Map, over: Map) -> Map:
    """Return what a service extends with the service itself over it."""
    found = _merge(base, over, ("services", "x"), None)
    assert isinstance(found, Map)
    return found


def _merge(base: Any, over: Any, path: Path, place: Origin | None) -> Any:
    for pattern, special in _SPECIAL.items():
        if matches(path, pattern):
            return special(base, over, path, place)
    if over is None:
        return base
    if isinstance(base, Map) and isinstance(over, Map):
        return _maps(base, over, path)
    if isinstance(base, Items) and isinstance(over, Items):
        return _joined(base, over)
    if isinstance(base, Map | Items):
        kind = "mapping" if isinstance(base, Map) else "list"
        raise refuse(f"{shown(path)} is a {kind} in the file before", place, "write it as that, or with !override")
    return over


def _maps(base: Map, over: Map, path: Path) -> Map:
    found = Map(base, dict(base.places), base.origin)
    for key, value in over.items():
        place = over.places.get(key)
        if key in found and not key.startswith("x-"):
            found.put(key, _merge(found[key], value, (*path, key), place), place)
        else:
            found.put(key, value, place)
    return found


def _joined(base: Items, over: Items) -> Items:
    return Items([*base, *over], [*base.places, *over.places])


def _replaced(base: Any, over: Any, path: Path, place: Origin | None) -> Any:
    return over


def _sequence(base: Any, over: Any, path: Path, place: Origin | None) -> Any:
    return _joined(_as_list(base, place), _as_list(over, place))


def _hosts(base: Any, over: Any, path: Path, place: Origin | None) -> Any:
    old, new = _as_list(base, place), _as_list(over, place)
    added = [(each, where) for each, where in new.pairs() if each not in old]
    return _joined(old, Items([each for each, _ in added], [where for _, where in added]))


def _as_list(value: Any, place: Origin | None) -> Items:
    if isinstance(value, Map):
        found = Items()
        for key in sorted(value):
            each = value[key]
            for one in each if isinstance(each, Items) else [each]:
                found.add(key if one is None else f"{key}={sprint(one)}", value.places.get(key))
        return found
    if isinstance(value, Items):
        return value
    return Items([value], [place]) if isinstance(value, str) else Items()


def _as_map(value: Any, path: Path, default: Callable[[], Any]) -> Map:
    if isinstance(value, Items):
        found = Map()
        for each, place in value.pairs():
            if not isinstance(each, str):
                raise refuse(f"{shown(path)} is a list of names", place, "write each as text")
            found.put(each, default(), place)
        return found
    return value if isinstance(value, Map) else Map()


def _build(base: Any, over: Any, path: Path, place: Origin | None) -> Any:
    maps = [Map({"context": each}) if isinstance(each, str) else _as_map(each, path, Map) for each in (base, over)]
    return _maps(maps[0], maps[1], path)


def _depends_on(base: Any, over: Any, path: Path, place: Origin | None) -> Any:
    def default() -> Map:
        return Map({"condition": "service_started", "required": True})

    return _maps(_as_map(base, path, default), _as_map(over, path, default), path)


def _networks(base: Any, over: Any, path: Path, place: Origin | None) -> Any:
    return _maps(_as_map(base, path, lambda: None), _as_map(over, path, lambda: None), path)


def _logging(base: Any, over: Any, path: Path, place: Origin | None) -> Any:
    """Options belong to a driver: another driver's are forgotten."""
    if not isinstance(base, Map) or not isinstance(over, Map):
        return over
    if "driver" in base and "driver" in over and base["driver"] != over["driver"]:
        return over
    return _maps(base, over, path)


def _pools(base: Any, over: Any, path: Path, place: Origin | None) -> Any:
    """A pool of the same subnet is changed, others are added; without one in the new file none stays."""
    found = Items()

    def put(pool: Map, where: Origin | None) -> None:
        for index, each in enumerate(found):
            if each.get("subnet") == pool.get("subnet"):
                found[index] = pool
                return
        found.add(pool, where)

    for old, _ in _as_items(base):
        for new, where in _as_items(over):
            other = new.get("subnet") != old.get("subnet")
            if other and all(each.get("subnet") != new.get("subnet") for each in found):
                found.add(new, where)
                continue
            put(_maps(old, new, path), where)
    return found


def _as_items(value: Any) -> list[tuple[Map, Origin | None]]:
    return [(each, place) for each, place in value.pairs() if isinstance(each, Map)] if isinstance(value, Items) else []


_Special = Callable[[Any, Any, Path, Origin | None], Any]


def _paths(special: _Special, *paths: str) -> Mapping[Path, _Special]:
    return {tuple(each.split(".")): special for each in paths}


_SPECIAL: Mapping[Path, _Special] = {
    **_paths(_pools, "networks.*.ipam.config"),
    **_paths(_build, "services.*.build"),
    **_paths(_depends_on, "services.*.depends_on"),
    **_paths(_logging, "services.*.logging"),
    **_paths(_networks, "services.*.networks"),
    **_paths(
        _replaced, "services.*.command", "services.*.entrypoint", "services.*.healthcheck.test", "services.*.ulimits.*"
    ),
    **_paths(
        _sequence, "networks.*.labels", "volumes.*.labels", "services.*.annotations", "services.*.build.args",
        "services.*.build.additional_contexts", "services.*.build.labels", "services.*.deploy.labels", "services.*.dns",
        "services.*.dns_opt", "services.*.dns_search", "services.*.env_file", "services.*.label_file",
        "services.*.environment", "services.*.labels", "services.*.sysctls", "services.*.tmpfs",
    ),
    **_paths(_hosts, "services.*.extra_hosts", "services.*.build.extra_hosts"),
}  # fmt: skip


def forget(tree: Any, resets: tuple[Path, ...], path: Path = ()) -> None:
    """Remove what `!reset` and `!override` name, from a tree that is changed by it."""
    if isinstance(tree, Map):
        for key in list(tree):
            if any(matches((*path, key), each) for each in resets):
                tree.drop(key)
            else:
                forget(tree[key], resets, (*path, key))


def unique(tree: Any, path: Path = ()) -> Any:
    """Return the tree in whose lists each thing is once, at its first place and as it was said last."""
    if isinstance(tree, Map):
        return Map({key: unique(each, (*path, key)) for key, each in tree.items()}, dict(tree.places), tree.origin)
    if not isinstance(tree, Items):
        return tree
    key_of = next((each for pattern, each in _KEYS.items() if matches(path, pattern)), None)
    if key_of is None:
        return tree
    found = Items()
    places: dict[str, int] = {}
    for value, place in tree.pairs():
        key = key_of(value, place)
        if key in places:
            found[places[key]], found.places[places[key]] = value, place
        else:
            places[key] = len(found)
            found.add(value, place)
    return found


def _by_name(value: Any, place: Origin | None) -> str:
    if not isinstance(value, str):
        raise refuse(f"{value!r} isn't text", place, "quote it")
    return value.partition("=")[0]


def _by_mount(value: Any, place: Origin | None) -> str:
    if isinstance(value, Map):
        if not isinstance(value.get("target"), str):
            raise refuse("a mount without a target", place, "add `target:`")
        return str(value["target"])
    try:
        return str(mount(value)["target"]) if isinstance(value, str) else ""
    except ValueError as error:
        raise refuse(str(error), place, "write SOURCE:TARGET[:OPTIONS]") from None


def _by_device(value: Any, place: Origin | None) -> str:
    if isinstance(value, Map):
        return str(value.get("target"))
    return (str(value).split(":") * 2)[1]


def _by_port(value: Any, place: Origin | None) -> str:
    if not isinstance(value, Map):
        return sprint(value)
    if "target" not in value:
        raise refuse("a port without a target", place, "add `target:`")
    host, protocol = value.get("host_ip", "0.0.0.0"), value.get("protocol", "tcp")  # noqa: S104  # what none means
    return f"{host}:{value.get('published')}:{value['target']}/{protocol}"


def _by_file(folder: str) -> Callable[[Any, Origin | None], str]:
    def key(value: Any, place: Origin | None) -> str:
        if isinstance(value, Map):
            return str(value.get("target") or f"{folder}/{value.get('source')}")
        return f"{folder}/{value}"

    return key


def _by_path(value: Any, place: Origin | None) -> str:
    return str(value.get("path")) if isinstance(value, Map) else str(value)


_Key = Callable[[Any, Origin | None], str]


def _keys(key: _Key, *paths: str) -> Mapping[Path, _Key]:
    return {tuple(each.split(".")): key for each in paths}


_KEYS: Mapping[Path, _Key] = {
    **_keys(
        _by_name, "networks.*.labels", "networks.*.ipam.options", "services.*.annotations", "services.*.build.args",
        "services.*.build.additional_contexts", "services.*.build.platform",
        "services.*.build.tags", "services.*.build.labels", "services.*.cap_add", "services.*.cap_drop",
        "services.*.deploy.labels", "services.*.dns", "services.*.dns_opt", "services.*.dns_search",
        "services.*.environment", "services.*.labels", "services.*.links",
        "services.*.networks.*.aliases", "services.*.networks.*.link_local_ips", "services.*.profiles",
        "services.*.sysctls", "services.*.tmpfs",
    ),
    **_keys(_by_file(""), "services.*.configs"),
    **_keys(_by_file("/run/secrets"), "services.*.secrets"),
    **_keys(_by_path, "services.*.env_file"),
    **_keys(lambda value, place: sprint(value), "services.*.expose"),
    **_keys(_by_port, "services.*.ports"),
    **_keys(_by_mount, "services.*.volumes"),
    **_keys(_by_device, "services.*.devices"),
}  # fmt: skip
