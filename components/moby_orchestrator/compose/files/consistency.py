"""What must hold between the parts of a project, which no schema of single values can say."""

from collections.abc import Iterator

from moby.errors import Invalid, Problem
from moby_orchestrator.compose.files.fields import Record
from moby_orchestrator.compose.files.places import Map, at
from moby_orchestrator.compose.files.project import Project

__all__ = ["check"]

_Found = Iterator[tuple[tuple[str, ...], str, str]]
"""The path, what is wrong, and what would fix it."""


def check(project: Project, tree: Map) -> None:
    """Raise Invalid with all that doesn't fit, with places out of the tree."""
    found = [*_resources(tree)]
    for name, service in project.services.items():
        for each in (_image, _network, _references, _dependencies, _scale, _twice):
            found += [(("services", name, *path), text, fix) for path, text, fix in each(project, service)]
    found += _circles(project)
    if found:
        problems = tuple(
            Problem(f"{'.'.join(path)} {text}", at(tree, path), fixes=(fix,) if fix else ())
            for path, text, fix in found
        )
        raise Invalid(f"{len(problems)} problems", problems=problems)


def _resources(tree: Map) -> _Found:
    for kind, keys in (("configs", ("file", "environment", "content")), ("secrets", ("file", "environment"))):
        for name, each in (tree.get(kind) or {}).items():
            given = [key for key in keys if key in each]
            if kind == "configs" and "environment" in given:
                given = [key for key in given if key != "content"]
            if len(given) > 1:
                yield (kind, name), f"has {' and '.join(given)}", "keep one"
            if not given and "driver" not in each and not each.get("external"):
                yield (kind, name), f"has none of {', '.join(keys)}", "add one"
    for name, each in (tree.get("volumes") or {}).items():
        if isinstance(each, Map) and each.get("external") is True:
            for key in each:
                if key not in ("name", "external") and not key.startswith("x-"):
                    yield ("volumes", name, key), "can't be said of a volume that is external", f"remove {key}"


def _image(project: Project, service: Record) -> _Found:
    build = service.get("build")
    if build is None and not service.get("image"):
        yield (), "has neither an image nor a build", "add `image:` or `build:`"
    if build and build.get("dockerfile") and build.get("dockerfile_inline"):
        yield ("build",), "has both dockerfile and dockerfile_inline", "keep one"
    if build and build.get("platforms") and service.get("platform") and service["platform"] not in build["platforms"]:
        yield ("build", "platforms"), f"lack the service's own, {service['platform']}", "add it"


def _network(project: Project, service: Record) -> _Found:
    mode = service.get("network_mode", "")
    if mode and service.get("networks"):
        yield ("network_mode",), "can't be beside networks", "keep one of both"
    for name in service.get("networks") or ():
        if name not in project.networks:
            yield ("networks", name), "isn't among the networks", f"add it below `networks:`: `{name}:`"
    if mode.startswith("service:") and mode[8:] not in project.services:
        yield ("network_mode",), f"names the service {mode[8:]}, which isn't there", ""


def _references(project: Project, service: Record) -> _Found:
    for mount in service.get("volumes") or ():
        source = mount.get("source", "")
        if mount.get("type") == "volume" and source and source not in project.volumes:
            yield ("volumes",), f"has {source}, which isn't among the volumes", f"add it below `volumes:`: `{source}:`"
    for kind in ("configs", "secrets"):
        for each in service.get(kind) or ():
            if each.get("source") not in getattr(project, kind):
                yield (kind,), f"has {each.get('source')}, which isn't among the {kind}", f"add it below `{kind}:`"
    for each in (service.get("build") or {}).get("secrets") or ():
        if each.get("source") not in project.secrets:
            yield ("build", "secrets"), f"has {each.get('source')}, which isn't among the secrets", ""
    health = (service.get("healthcheck") or {}).get("test")
    if health and health[0] not in ("CMD", "CMD-SHELL", "HTTP", "TCP", "NONE"):
        yield ("healthcheck", "test"), "must begin with CMD, CMD-SHELL, HTTP, TCP or NONE", "or be a text"
    for each in (service.get("develop") or {}).get("watch") or ():
        if not each.get("target") and each.get("action") not in ("rebuild", "restart"):
            yield ("develop", "watch"), f"has a {each.get('action')} without a target", "add `target:`"


def _dependencies(project: Project, service: Record) -> _Found:
    for name, how in (service.get("depends_on") or {}).items():
        if name in project.services or (name in project.disabled and not how.get("required")):
            continue
        if name in project.disabled:
            fix = f"ask for its profile, or write `required: false` for {name}"
            yield ("depends_on", name), "is of a profile that isn't asked for", fix
        else:
            yield ("depends_on", name), "isn't there", f"add the service {name} below `services:`, or take this out"


def _scale(project: Project, service: Record) -> _Found:
    replicas = (service.get("deploy") or {}).get("replicas")
    scale = service.get("scale")
    if scale is not None and replicas is not None and scale != replicas:
        yield ("scale",), "differs from deploy.replicas", "keep one of both"
    count = scale if scale is not None else replicas
    if service.get("container_name") and count is not None and count > 1:
        yield ("container_name",), f"can't be the name of {count} containers", "remove it"


_TWICE = (
    ("cpus", "limits", "cpus"),
    ("mem_limit", "limits", "memory"),
    ("mem_reservation", "reservations", "memory"),
    ("pids_limit", "limits", "pids"),
)


def _twice(project: Project, service: Record) -> _Found:
    resources = (service.get("deploy") or {}).get("resources") or {}
    for key, sort, name in _TWICE:
        if service.get(key) and resources.get(sort) is not None and resources[sort].get(name) != service[key]:
            yield (key,), f"differs from deploy.resources.{sort}.{name}", "keep one of both"


def _circles(project: Project) -> _Found:
    done: set[str] = set()

    def visit(name: str, above: tuple[str, ...]) -> _Found:
        if name in above:
            chain = " → ".join((*above[above.index(name) :], name))
            yield ("services", name, "depends_on"), f"is a circle: {chain}", "leave one of them out"
        elif name not in done and name in project.services:
            for each in sorted(project.services[name].get("depends_on") or ()):
                yield from visit(each, (*above, name))
            done.add(name)

    for name in sorted(project.services):
        yield from visit(name, ())
