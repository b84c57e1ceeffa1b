"""Reads compose files with all that they extend and include into one tree in long forms."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from attrs import evolve, field, frozen

from moby.errors import Invalid, Origin
from moby_orchestrator.compose.files import schema
from moby_orchestrator.compose.files.canonical import absolute, canonical, with_defaults
from moby_orchestrator.compose.files.document import Document, documents
from moby_orchestrator.compose.files.env_file import read_all
from moby_orchestrator.compose.files.interpolation import interpolate
from moby_orchestrator.compose.files.merging import forget, lay_service, merge, unique
from moby_orchestrator.compose.files.places import Items, Map, copied, refuse, sprint
from moby_orchestrator.compose.files.places import Path as Keys

__all__ = ["Source", "load"]

Warn = Callable[[str], None]
_KINDS = ("services", "volumes", "networks", "secrets", "configs")


@frozen
class Source:
    """Where a file's words get their meaning."""

    folder: Path
    """What relative paths are relative to."""
    environment: Mapping[str, str]
    warn: Warn = field(default=lambda text: None)
    extending: tuple[tuple[str, str], ...] = ()
    """Files and services that are being extended, to find circles."""
    including: tuple[str, ...] = ()


def load(files: tuple[tuple[str, bytes], ...], source: Source) -> Map:
    """Return one tree of several files, each laid over those before it."""
    tree = Map()
    for name, data in files:
        for document in documents(data, name):
            tree = _laid(tree, document, name, source)
    if not tree:
        raise refuse("empty compose file", Origin(files[0][0] if files else ""), "begin with `services:`")
    tree = absolute(with_defaults(tree), source.folder)
    assert isinstance(tree, Map)
    return _with_environment(tree, source.environment)


def _laid(tree: Map, document: Document, name: str, source: Source) -> Map:
    over = _extended(_interpolated(document.tree, source), document, name, source)
    forget(tree, document.resets)
    over = _included(over, name, evolve(source, including=(*source.including, name)))
    return _canonical(merge(tree, over), name, source)


def _interpolated(tree: Map, source: Source) -> Map:
    def unset(name: str) -> None:
        source.warn(f'The "{name}" variable is not set. Defaulting to a blank string.')

    return interpolate(tree, source.environment, unset)


def _canonical(tree: Map, name: str, source: Source, *, checked: bool = True) -> Map:
    found = unique(tree)
    if checked:
        if problems := schema.problems(found):
            raise Invalid(f"{name}: {len(problems)} problems", problems=problems)
        if "version" in found:
            source.warn(f"{name}: `version` is obsolete: it says nothing, and may be removed")
            found.drop("version")
    found = unique(_without_empty_dns(canonical(found)))
    assert isinstance(found, Map)
    return found


def _without_empty_dns(tree: Map) -> Map:
    for service in (tree.get("services") or {}).values():
        if isinstance(service, Map) and isinstance(service.get("dns"), Items):
            service["dns"] = Items([each for each in service["dns"] if each])
    return tree


# extends


def _extended(tree: Map, document: Document, name: str, source: Source) -> Map:
    services = tree.get("services")
    if isinstance(services, Map):
        for each in list(services):
            services[each] = _base_of(each, services, document, name, source)
    return tree


def _base_of(name: str, services: Map, document: Document, file: str, source: Source) -> Any:
    """Return a service with what it extends below it."""
    service = services.get(name)
    if not isinstance(service, Map) or "extends" not in service:
        return service
    where = service.places.get("extends")
    extends = service["extends"]
    other, target = (extends.get("file"), extends.get("service")) if isinstance(extends, Map) else (None, extends)
    if not isinstance(target, str):
        raise refuse(f"services.{name}.extends names no service", where, "add `service:`")
    if (file, name) in source.extending:
        chain = " extends ".join(each for _, each in (*source.extending, (file, name)))
        raise refuse(f"services extend each other in a circle: {chain}", where, "leave one `extends` out")
    source = evolve(source, extending=(*source.extending, (file, name)))
    resets = document.resets
    if other is not None:
        base, more = _from_file(name, target, str(other), where, source)
        resets += more
    else:
        if target not in services:
            raise refuse(f"services.{name} extends {target}, which isn't in {file}", where, _near(target, services))
        base = _base_of(target, services, document, file, source)
    if base is None:
        return service
    base = copied(base)
    forget(Map({"services": Map({name: base})}), resets)
    merged = lay_service(base, service)
    merged.drop("extends")
    return merged


def _from_file(
    name: str, target: str, other: str, where: Origin | None, source: Source
) -> tuple[Any, tuple[Keys, ...]]:
    path = _found(source.folder, other, where)
    inner = evolve(source, folder=path.parent)
    tree = Map()
    resets: tuple[Keys, ...] = ()
    for document in documents(path.read_bytes(), str(path)):
        resets = document.resets
        read = _interpolated(document.tree, inner)
        services = read.get("services")
        if isinstance(services, Map) and target in services:
            services[target] = _base_of(target, services, document, str(path), inner)
        tree = _canonical(merge(tree, read), str(path), inner, checked=False)
    services = tree.get("services")
    if not isinstance(services, Map) or target not in services:
        raise refuse(f"services.{name} extends {target}, which isn't in {path}", where, _near(target, services or {}))
    return absolute(tree, path.parent)["services"][target], resets


def _near(name: str, there: Mapping[str, Any]) -> str:
    import difflib

    near = difflib.get_close_matches(name, there, 1)
    return f"write {near[0]}" if near else f"there are {', '.join(there) or 'none'}"


def _found(folder: Path, name: str, where: Origin | None) -> Path:
    if "://" in name or name.startswith("git@"):
        raise refuse(f"{name}: files from elsewhere aren't fetched", where, "have it as a file")
    path = folder / name
    if not path.is_file():
        raise refuse(f"{path} isn't there", where, "write it, or name another one")
    return path


# include


def _included(tree: Map, name: str, source: Source) -> Map:
    given, place = tree.get("include"), tree.places.get("include")
    if given is None:
        return tree
    if not isinstance(given, Items):
        raise refuse("include is a list", place, "put `- ` before each file")
    tree.drop("include")
    for each, where in given.pairs():
        _import(_read_include(each, where or place, source), tree)
    return tree


def _read_include(given: Any, where: Origin | None, source: Source) -> Map:
    """Return the tree of what one entry of `include` names."""
    if isinstance(given, Map):
        paths, folder, env_files = given.get("path"), given.get("project_directory"), given.get("env_file")
    else:
        paths, folder, env_files = given, None, None
    names = [paths] if isinstance(paths, str) else list(paths or ())
    if not names:
        raise refuse("an include without a path", where, "add `path:`")
    found = [_found(source.folder, sprint(each), where) for each in names]
    if str(found[0]) in source.including:
        chain = " includes ".join((*source.including, str(found[0])))
        raise refuse(f"files include each other in a circle: {chain}", where, "leave one out")
    base = source.folder / folder if folder else found[0].parent
    files = [env_files] if isinstance(env_files, str) else list(env_files or ())
    defaults = [base / ".env"] if (base / ".env").is_file() else []
    more = read_all([source.folder / each for each in files] or defaults, source.environment)
    inner = evolve(source, folder=base, environment={**more, **source.environment}, extending=())
    return load(tuple((str(each), each.read_bytes()) for each in found), inner)


def _import(other: Map, tree: Map) -> None:
    for kind in _KINDS:
        there = tree.get(kind)
        there = there if isinstance(there, Map) else Map()
        for name, each in (other.get(kind) or Map()).items():
            where = other[kind].places.get(name)
            if name in there and there[name] != each:
                raise refuse(f"{kind}.{name} is in an included file, too", there.places.get(name), f"see {where}")
            there.put(name, each, where)
        if there or kind in tree:
            tree.put(kind, there, tree.places.get(kind))


def _with_environment(tree: Map, environment: Mapping[str, str]) -> Map:
    """Give variables of services that are only named their values, where the file is: an included one has its own."""
    for service in (tree.get("services") or {}).values():
        given = service.get("environment") if isinstance(service, Map) else None
        if isinstance(given, Items):
            for index, each in enumerate(given):
                if isinstance(each, str) and "=" not in each and each in environment:
                    given[index] = f"{each}={environment[each]}"
    for config in (tree.get("configs") or {}).values():
        if isinstance(config, Map) and config.get("environment") in environment:
            config["content"] = environment[config["environment"]]
    return tree
