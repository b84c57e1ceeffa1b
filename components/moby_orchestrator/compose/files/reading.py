"""From what a command line says to a project."""

import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from attrs import evolve, field, frozen

from moby.errors import NotFound, Origin
from moby_orchestrator.compose.files import shapes
from moby_orchestrator.compose.files.consistency import check
from moby_orchestrator.compose.files.document import documents
from moby_orchestrator.compose.files.env_file import parse, read_all
from moby_orchestrator.compose.files.fields import Record, Shape, Spoken
from moby_orchestrator.compose.files.loading import Source, load
from moby_orchestrator.compose.files.normal import normal
from moby_orchestrator.compose.files.places import Map, at, refuse
from moby_orchestrator.compose.files.project import Project
from moby_orchestrator.compose.files.variables import Malformed, Missing, substitute

__all__ = ["Asked", "as_project", "normal_name", "read"]

NAMES = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
OVERRIDES = tuple(name.replace(".y", ".override.y") for name in ("compose.yml", "compose.yaml", *NAMES[2:]))


@frozen
class Asked:
    """What a command line says of the files."""

    files: tuple[str, ...] = ()
    name: str = ""
    folder: str = ""
    env_files: tuple[str, ...] = ()
    profiles: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    """Services that are named: their profiles are on."""
    resolved: bool = True
    """Whether the files of `env_file` are read."""
    discarded: bool = True
    """Whether nothing says afterwards that they were."""
    warn: Callable[[str], None] = field(default=lambda text: None)


def read(asked: Asked, environment: Mapping[str, str]) -> Project:
    """Return the project; NotFound where there is no file, Invalid with all that is wrong with what there is."""
    folder, names = _places(asked, environment)
    env_files = _env_files(asked, folder, environment)
    environment = {**read_all(env_files, environment), **environment}
    files = tuple((name, sys.stdin.buffer.read() if name == "-" else _bytes(name)) for name in names)
    name = _name(asked, files, folder, environment)
    environment = {**environment, "COMPOSE_PROJECT_NAME": name}
    tree = normal(load(files, Source(folder, environment, asked.warn)), name, environment)
    project = as_project(tree, name, folder, names, environment)
    profiles = asked.profiles or tuple(each.strip() for each in environment.get("COMPOSE_PROFILES", "").split(","))
    project = _profiled(project, profiles, asked.services)
    check(project, tree)
    if asked.resolved:
        services = {key: _environment(each, environment, asked) for key, each in project.services.items()}
        project = evolve(project, services=services)
    services = {key: _labels(each, asked) for key, each in project.services.items()}
    return evolve(project, services=services, env_files=asked.env_files)


def _places(asked: Asked, environment: Mapping[str, str]) -> tuple[Path, tuple[str, ...]]:
    """Return the project's folder and its files."""
    names = asked.files
    if not names and environment.get("COMPOSE_FILE"):
        names = tuple(environment["COMPOSE_FILE"].split(environment.get("COMPOSE_PATH_SEPARATOR") or ":"))
    names = tuple(each if each == "-" else str(Path(each).absolute()) for each in names)
    start = Path(asked.folder).absolute() if asked.folder else Path.cwd()
    if not names:
        names = _looked_for(start, asked)
    if asked.folder:
        return start, names
    first = next((each for each in names if each != "-"), None)
    return (Path(first).parent if first else Path.cwd()), names


def _looked_for(start: Path, asked: Asked) -> tuple[str, ...]:
    for folder in (start, *start.parents):
        there = [folder / each for each in NAMES if (folder / each).exists()]
        if there:
            if len(there) > 1:
                asked.warn(f"Found multiple config files with supported names: {', '.join(map(str, there))}")
                asked.warn(f"Using {there[0]}")
            over = [folder / each for each in OVERRIDES if (folder / each).exists()]
            return tuple(map(str, [there[0], *over[:1]]))
    raise NotFound("no configuration file provided: not found", hint=f"write a {NAMES[0]}, or name a file with -f")


def _bytes(name: str) -> bytes:
    try:
        return Path(name).read_bytes()
    except OSError as error:
        raise NotFound(f"{name}: {error.strerror}", hint="name a file that is there") from None


def _env_files(asked: Asked, folder: Path, environment: Mapping[str, str]) -> list[Path]:
    if asked.env_files:
        return [Path(each).absolute() for each in asked.env_files]
    off = environment.get("COMPOSE_DISABLE_ENV_FILE", "").lower() in ("1", "t", "true")
    return [folder / ".env"] if not off and (folder / ".env").is_file() else []


def normal_name(text: str) -> str:
    """Return the name of a project that a text gives."""
    return "".join(re.findall("[a-z0-9_-]", text.lower())).lstrip("_-")


def _name(asked: Asked, files: Any, folder: Path, environment: Mapping[str, str]) -> str:
    given = asked.name or environment.get("COMPOSE_PROJECT_NAME", "")
    if given:
        if normal_name(given) != given:
            fix = "use small letters, digits, - and _, and begin with a letter or digit"
            raise refuse(f"{given!r} can't be a project's name", fix=fix)
        return given
    said, where = "", None
    for name, data in files:
        for document in documents(data, name):
            if document.tree.get("name"):
                said, where = str(document.tree["name"]), document.tree.places.get("name")
    try:
        found = normal_name(substitute(said, environment.get))
    except (Malformed, Missing) as error:
        raise refuse(f"name: {error}", where) from None
    found = found or normal_name(folder.name)
    if not found:
        raise refuse("the project has no name", where, "name it with -p, or by `name:` in the file")
    return found


def as_project(tree: Map, name: str, folder: Path, files: tuple[str, ...], environment: Mapping[str, str]) -> Project:
    """Return the project that a whole tree says, with all its services."""

    def records(kind: str, shape: Shape) -> dict[str, Record]:
        return {key: _record(tree, kind, key, shape) for key in sorted(tree.get(kind) or {})}

    return Project(
        name=name,
        folder=folder,
        files=files,
        services=records("services", shapes.SERVICE),
        networks=records("networks", shapes.NETWORK),
        volumes=records("volumes", shapes.VOLUME),
        secrets=records("secrets", shapes.SECRET),
        configs=records("configs", shapes.CONFIG),
        environment=environment,
        extensions={key: each for key, each in tree.items() if key.startswith("x-")},
    )


def _record(tree: Map, kind: str, key: str, shape: Shape) -> Record:
    given = tree[kind][key]
    try:
        return shape.read(given)
    except (ValueError, TypeError):
        pass
    # Which of the fields it is is looked for only now.
    for field_ in shape.fields:
        if field_.key in given:
            try:
                field_.read(given[field_.key])
            except (ValueError, TypeError) as error:
                path = (kind, key, field_.key)
                raise refuse(f"{'.'.join(path)}: {error}", at(tree, path)) from None
    raise refuse(f"{kind}.{key} can't be read", at(tree, (kind, key)))


def _profiled(project: Project, profiles: tuple[str, ...], named: tuple[str, ...]) -> Project:
    wanted = {each for each in profiles if each}
    for name in named:
        wanted |= set(project.services[name].get("profiles") or () if name in project.services else ())
    on = {
        name: each
        for name, each in project.services.items()
        if not each.get("profiles") or "*" in wanted or wanted & set(each["profiles"])
    }
    off = {name: each for name, each in project.services.items() if name not in on}
    return evolve(project, services=on, disabled=off)


def _environment(service: Record, environment: Mapping[str, str], asked: Asked) -> Record:
    """Return a service with what the files of its `env_file` say, which its own `environment` goes before."""
    own = service.get("environment") or {}
    found: dict[str, str | None] = {}

    def lookup(name: str) -> str | None:
        return found.get(name) or environment.get(name)

    for each in service.get("env_file") or ():
        file = {"path": each, "required": True} if isinstance(each, str) else each
        found |= _read(file, lookup)
    found |= {key: environment.get(key) if value is None else value for key, value in own.items()}
    service = service.having(environment=Spoken(found)) if found else service
    return service.without("env_file") if asked.discarded else service


def _read(file: Mapping[str, Any], lookup: Callable[[str], str | None]) -> dict[str, str]:
    path = Path(file["path"])
    if file.get("format"):
        raise refuse(f"{path}: the format {file['format']} isn't known", Origin(str(path)), "leave `format:` out")
    if not path.exists():
        if file.get("required"):
            raise refuse(f"env file {path} not found", Origin(str(path)), "write it, or `required: false`")
        return {}
    return parse(path.read_text(errors="replace"), str(path), lookup)


def _labels(service: Record, asked: Asked) -> Record:
    files = service.get("label_file") or ()
    if not files:
        return service
    found: dict[str, str] = {}
    for each in files:
        if not Path(each).exists():
            raise refuse(f"label file {each} not found", Origin(each), "write it")
        found |= parse(Path(each).read_text(errors="replace"), each, found.get)
    found |= service.get("labels") or {}
    service = service.having(labels=Spoken(found))
    return service.without("label_file") if asked.discarded else service
