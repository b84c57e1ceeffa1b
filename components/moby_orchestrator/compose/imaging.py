"""Images of services: built, pulled and pushed; a build is the distribution's own verb `build`."""

import subprocess
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from moby.errors import Conflict, MobyError, NotFound, Unsupported
from moby_orchestrator.compose import names, shared
from moby_orchestrator.compose.files.fields import Record
from moby_orchestrator.compose.files.project import Project, image_of
from moby_orchestrator.compose.ordering import together
from moby_orchestrator.compose.verb import Call

__all__ = ["build", "build_one", "ensure", "pull", "push", "remove"]


def ensure(call: Call, project: Project, *, pull: str, build: bool, may_build: bool) -> None:
    """Have the images of all services: pulled or built where they are missing or asked for anew."""
    there = shared.image_ids(call.engine, project)
    pulls: dict[str, tuple[str, str]] = {}
    builds: list[str] = []
    for name, service in project.services.items():
        image = image_of(project.name, name, service)
        policy = service.get("pull_policy") or "missing"
        policy = policy if pull == "policy" else pull
        missing = image not in there
        if "build" in service and may_build and (build or missing or policy == "build"):
            builds.append(name)
        elif policy == "always" or (missing and policy not in ("never", "build")):
            pulls.setdefault(image, (name, service.get("platform", "")))
        elif missing:
            raise NotFound(f"the image {image} of service {name} isn't there", hint="pull or build it")
    together([*pulls], lambda image: shared.pull(call.engine, pulls[image][0], image, pulls[image][1], call.progress))
    for name in builds:
        build_one(call, project, name)


def build(call: Call) -> int:
    """Build the images of services."""
    project = call.project(services=call.asked.services).selected(call.asked.services, dependencies=False)
    for name, service in project.services.items():
        if "build" in service:
            build_one(call, project, name)
    return 0


def build_one(call: Call, project: Project, name: str) -> None:
    """Build a service's image; Conflict where that fails."""
    service = project.services[name]
    call.progress.tell(name, "Building")
    words = [*call.own, "build", *_words(call, project, name, service)]
    context = str(service["build"].get("context", "."))
    inline = service["build"].get("dockerfile_inline")
    given = ["--file", "-"] if inline else _dockerfile(service, context)
    done = subprocess.run([*words, *given, context], input=inline.encode() if inline else None, check=False)
    if done.returncode:
        raise Conflict(f"the image of {name} can't be built: build ended with {done.returncode}")
    call.progress.tell(name, "Built")


def _dockerfile(service: Record, context: str) -> list[str]:
    name = service["build"].get("dockerfile", "Dockerfile")
    return ["--file", name if "://" in context else str(Path(context, name))]


_PLAIN = {"target": "--target", "network": "--network", "shm_size": "--shm-size"}
_EACH = {"tags": "--tag", "cache_from": "--cache-from", "cache_to": "--cache-to", "entitlements": "--allow"}


def _words(call: Call, project: Project, name: str, service: Record) -> list[str]:
    """Return the options of `build` for a service."""
    given: Record = service["build"]
    for key in ("isolation", "privileged"):
        if key in given:
            raise Unsupported(f"services.{name}.build.{key} isn't supported", hint=f"remove {key}")
    found = ["--tag", image_of(project.name, name, service)]
    for key, option in _PLAIN.items():
        found += [option, str(given[key])] if key in given else []
    for key, option in _EACH.items():
        found += _repeated(option, given.get(key) or ())
    arguments = {**(given.get("args") or {}), **dict(_split(each) for each in getattr(call.asked, "build_arg", ()))}
    found += _repeated("--build-arg", (key if each is None else f"{key}={each}" for key, each in arguments.items()))
    labels = {names.PROJECT: project.name, names.SERVICE: name, f"{names.PREFIX}version": names.VERSION}
    found += _repeated("--label", _pairs({**(given.get("labels") or {}), **labels}))
    found += _repeated("--build-context", _pairs(given.get("additional_contexts") or {}))
    found += _repeated("--add-host", given["extra_hosts"].lines(":") if "extra_hosts" in given else ())
    found += _repeated("--ssh", ("=".join(filter(None, each)) for each in (given.get("ssh") or {}).items()))
    found += _repeated("--secret", (_secret(project, each) for each in given.get("secrets") or ()))
    found += _repeated("--ulimit", (_limit(key, each) for key, each in (given.get("ulimits") or {}).items()))
    platforms = given.get("platforms") or ([service["platform"]] if "platform" in service else [])
    found += ["--platform", ",".join(platforms)] if platforms else []
    for key, option in (("no_cache", "--no-cache"), ("pull", "--pull")):
        found += [option] if given.get(key) or getattr(call.asked, key, None) is True else []
    return found


def _repeated(option: str, values: Iterable[str]) -> list[str]:
    return [word for each in values for word in (option, each)]


def _pairs(given: Mapping[str, str]) -> Iterable[str]:
    return (f"{key}={each}" for key, each in given.items())


def _limit(name: str, given: Any) -> str:
    return f"{name}={given['soft']}:{given['hard']}" if isinstance(given, Record) else f"{name}={given}"


def _split(text: str) -> tuple[str, str | None]:
    key, equals, value = text.partition("=")
    return key, value if equals else None


def _secret(project: Project, each: Record) -> str:
    given = project.secrets[each["source"]]
    id = Path(each.get("target") or each["source"]).name  # noqa: A001  # what `--secret` calls it
    return f"id={id},src={given['file']}" if "file" in given else f"id={id},env={given['environment']}"


def pull(call: Call) -> int:
    """Pull the images of services that aren't built."""
    project = call.project(services=call.asked.services).selected(call.asked.services, dependencies=False)
    failures: list[MobyError] = []
    wanted = {}
    for name, service in project.services.items():
        if "image" in service and not ("build" in service and call.asked.ignore_buildable):
            wanted[service["image"]] = (name, service.get("platform", ""), "build" in service)

    def one(image: str) -> None:
        name, platform, built = wanted[image]
        try:
            shared.pull(call.engine, name, image, platform, call.progress)
        except MobyError as error:
            call.progress.tell(name, "Error")
            if not (call.asked.ignore_pull_failures or built):
                failures.append(error)

    together([*wanted], one)
    if failures:
        raise failures[0]
    return 0


def push(call: Call) -> int:
    """Push the images of services that are built."""
    project = call.project(services=call.asked.services).selected(call.asked.services, dependencies=False)
    for name, service in project.services.items():
        if "build" in service and "image" in service:
            shared.push(call.engine, name, service["image"], call.progress)
    return 0


def remove(call: Call, project: Project, *, all_of_them: bool) -> None:
    """Remove services' images; `local` are those that have no name of their own."""
    for name, service in project.services.items():
        if all_of_them or "image" not in service:
            image = image_of(project.name, name, service)
            with suppress(NotFound):
                _remove(call, image)


def _remove(call: Call, image: str) -> Any:
    try:
        call.engine.delete("images", image)
    except Conflict:
        call.progress.tell(f"Image {image}", "Resource is still in use")
    else:
        call.progress.tell(f"Image {image}", "Removed")
