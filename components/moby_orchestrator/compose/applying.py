"""The verbs that change what runs."""

import time
from collections.abc import Iterable
from functools import partial
from typing import Any

from attrs import evolve

from moby.errors import Invalid, NotFound
from moby_orchestrator.compose import imaging, shared
from moby_orchestrator.compose.converging import Convergence, Wishes, stop_and_remove, wait_for
from moby_orchestrator.compose.converging import start as start_all
from moby_orchestrator.compose.files.project import Project
from moby_orchestrator.compose.following import Following
from moby_orchestrator.compose.observed import Container, containers, of_service
from moby_orchestrator.compose.ordering import in_order, together
from moby_orchestrator.compose.verb import Call

__all__ = ["create", "down", "kill", "pause", "restart", "rm", "scale", "start", "stop", "unpause", "up", "wait"]


def _wishes(call: Call) -> Wishes:
    asked = call.asked
    if asked.force_recreate and asked.no_recreate:
        raise Invalid("--force-recreate and --no-recreate are incompatible")
    recreate = "force" if asked.force_recreate else "never" if asked.no_recreate else "diverged"
    always = getattr(asked, "always_recreate_deps", False)
    return Wishes(
        recreate=recreate,
        recreate_dependencies="force" if always else "never" if asked.no_recreate else "diverged",
        renew=getattr(asked, "renew_anon_volumes", False),
        timeout=getattr(asked, "timeout", None),
        scale=_scale(asked.scale),
        named=tuple(asked.services),
        remove_orphans=asked.remove_orphans,
    )


def _scale(given: Iterable[str]) -> dict[str, int]:
    found = {}
    for each in given:
        name, _, number = each.partition("=")
        if not number.isdecimal():
            raise Invalid(f"{each!r} is no SERVICE=NUMBER", hint="write it as web=3")
        found[name] = int(number)
    return found


def _chosen(call: Call, *, dependencies: bool = True) -> Project:
    names = list(call.asked.services)
    whole = call.project(services=names)
    return whole.selected(names, dependencies=dependencies).used()


def _make(call: Call, project: Project, wishes: Wishes) -> None:
    for name in wishes.scale:
        project.service(name)
    asked = call.asked
    imaging.ensure(call, project, pull=asked.pull, build=asked.build, may_build=not asked.no_build)
    Convergence(call.engine, project, call.progress, wishes).create()


def create(call: Call) -> int:
    """Make containers, and start none."""
    _make(call, _chosen(call), _wishes(call))
    return 0


def up(call: Call) -> int:
    """Make containers and start them; unless they are to be left, show what they say until they end."""
    asked = call.asked
    project = _chosen(call, dependencies=not asked.no_deps)
    wishes = _wishes(call)
    _make(call, project, wishes)
    if asked.no_start:
        return 0
    attached = not asked.detach and not asked.wait
    if not attached:
        start_all(call.engine, project, call.progress)
        return _wait_healthy(call, project) if asked.wait else 0
    following = Following(call.engine, project, prefix=not asked.no_log_prefix)
    code = following.until_end(
        lambda: start_all(call.engine, project, call.progress),
        lambda: _stop(call, project, containers(call.engine, project.name)),
        abort=asked.abort_on_container_exit or bool(asked.exit_code_from),
    )
    if asked.exit_code_from:
        for each in containers(call.engine, project.name):
            if each.service == asked.exit_code_from:
                return int(call.engine.get("containers", each.id, "json")["State"]["ExitCode"])
        raise NotFound(f"no such service: {asked.exit_code_from}")
    return code


def _wait_healthy(call: Call, project: Project) -> int:
    there = containers(call.engine, project.name)
    for name in project.services:
        waited = [each for each in there if each.service == name]
        if waited:
            wait_for(call.engine, name, {"condition": "running_or_healthy"}, waited, call.progress)
    return 0


def scale(call: Call) -> int:
    """Change how many containers services have."""
    wanted = _scale(call.asked.scale)
    project = call.project(services=list(wanted)).selected(wanted, dependencies=not call.asked.no_deps).used()
    wishes = Wishes(scale=wanted, named=tuple(wanted), recreate="never", recreate_dependencies="never")
    imaging.ensure(call, project, pull="policy", build=False, may_build=True)
    Convergence(call.engine, project, call.progress, wishes).create()
    start_all(call.engine, project, call.progress)
    return 0


def _there(call: Call, project: Project) -> list[Container]:
    """Return the containers that were named, by services."""
    found = containers(call.engine, project.name)
    for name in call.asked.services:
        if name not in project.services and all(each.service != name for each in found):
            raise NotFound(f"no such service: {name}")
    return of_service(found, call.asked.services)


def start(call: Call) -> int:
    """Start containers that are there."""
    project = call.found()
    there = _there(call, project)
    if project.services:
        start_all(call.engine, project.selected(call.asked.services), call.progress)
        return 0
    together(there, partial(_one, call, "start", "Starting", "Started"))
    return 0


def _one(call: Call, verb: str, doing: str, done: str, each: Container, **query: Any) -> None:
    call.progress.tell(each.thing, doing)
    call.engine.post("containers", each.id, verb, **query)
    call.progress.tell(each.thing, done)


def _stop(call: Call, project: Project, there: list[Container]) -> None:
    """Stop containers, those first on which none depends."""
    timeout = getattr(call.asked, "timeout", None)
    query = {} if timeout is None else {"t": str(timeout)}

    def service(name: str) -> None:
        running = [each for each in there if each.service == name and each.state in ("running", "paused", "restarting")]
        together(running, lambda each: _one(call, "stop", "Stopping", "Stopped", each, **query))

    in_order(project, service, reverse=True)
    others = [each for each in there if each.service not in project.services and each.state == "running"]
    together(others, lambda each: _one(call, "stop", "Stopping", "Stopped", each, **query))


def stop(call: Call) -> int:
    """Stop containers."""
    project = call.found()
    _stop(call, project, _there(call, project))
    return 0


def restart(call: Call) -> int:
    """Stop containers and start them again, in order."""
    project = call.found()
    there = _there(call, project)
    query = {} if call.asked.timeout is None else {"t": str(call.asked.timeout)}

    def service(name: str) -> None:
        mine = [each for each in there if each.service == name]
        together(mine, lambda each: _one(call, "restart", "Restarting", "Started", each, **query))

    in_order(project, service)
    others = [each for each in there if each.service not in project.services]
    together(others, lambda each: _one(call, "restart", "Restarting", "Started", each, **query))
    return 0


def kill(call: Call) -> int:
    """Send running containers a signal."""
    project = call.found()
    running = [each for each in _there(call, project) if each.state == "running"]
    together(running, lambda each: _one(call, "kill", "Killing", "Killed", each, signal=call.asked.signal))
    if call.asked.remove_orphans:
        found = containers(call.engine, project.name, oneoff=True)
        _remove(call, [each for each in found if each.service not in {*project.services, *project.disabled}])
    return 0


def pause(call: Call) -> int:
    """Pause running containers."""
    running = [each for each in _there(call, call.found()) if each.state == "running"]
    together(running, partial(_one, call, "pause", "Pausing", "Paused"))
    return 0


def unpause(call: Call) -> int:
    """Let paused containers go on."""
    paused = [each for each in _there(call, call.found()) if each.state == "paused"]
    together(paused, partial(_one, call, "unpause", "Unpausing", "Unpaused"))
    return 0


def rm(call: Call) -> int:
    """Remove containers that have ended."""
    project = call.found()
    if call.asked.stop:
        _stop(call, project, _there(call, project))
    ended = [each for each in _there(call, project) if each.state != "running"]
    if not ended:
        call.progress.warn("No stopped containers")
        return 0
    if not call.asked.force:
        answer = input(f"? Going to remove {', '.join(each.name for each in ended)} [yN] ")
        if answer.strip().lower() not in ("y", "yes"):
            return 0
    _remove(call, ended, volumes=call.asked.volumes)
    return 0


def _remove(call: Call, there: list[Container], *, volumes: bool = False) -> None:
    timeout = getattr(call.asked, "timeout", None)
    together(there, lambda each: stop_and_remove(call.engine, each, call.progress, timeout, volumes=volumes))


def down(call: Call) -> int:
    """Remove containers, those first on which none depends, and then what they shared."""
    asked = call.asked
    project = call.found()
    there = containers(call.engine, project.name, oneoff=True)
    known = {*project.services, *project.disabled}
    mine = [each for each in there if (each.service in known or not project.files) and not each.oneoff]
    orphans = [each for each in there if asked.remove_orphans and each not in mine]
    mine = of_service(mine, asked.services)
    everything = evolve(project, services={**project.disabled, **project.services})

    def service(name: str) -> None:
        _remove(call, [each for each in mine if each.service == name], volumes=asked.volumes)

    in_order(everything, service, reverse=True)
    _remove(call, [each for each in mine if each.service not in everything.services], volumes=asked.volumes)
    _remove(call, orphans)
    if asked.services:
        return 0
    count = len(mine) + len(orphans) + shared.remove_networks(call.engine, project, call.progress)
    count += shared.remove_volumes(call.engine, project, call.progress) if asked.volumes else 0
    if asked.rmi:
        imaging.remove(call, project, all_of_them=asked.rmi == "all")
    if not count:
        call.progress.warn(f"No resource found to remove for project {project.name!r}.")
    return 0


def wait(call: Call) -> int:
    """Wait until one of the services' containers ends, and return its code."""
    project = call.found()
    there = _there(call, project)
    if not there:
        raise NotFound(f"no containers for project {project.name!r}")
    while True:
        for each in there:
            state = call.engine.get("containers", each.id, "json")["State"]
            if state["Status"] in ("exited", "dead"):
                print(f"container {each.name!r} exited with code {state['ExitCode']}")  # noqa: T201  # its output
                if call.asked.down_project:
                    _remove(call, containers(call.engine, project.name))
                return int(state["ExitCode"])
        time.sleep(0.1)
