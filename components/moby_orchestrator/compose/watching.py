"""The verb `watch`: what changes in a service's sources is copied into its containers, or they are made anew."""

import io
import os
import posixpath
import sys
import tarfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from attrs import frozen

from moby.errors import Conflict, Invalid, MobyError, NotFound
from moby_orchestrator.compose import imaging
from moby_orchestrator.compose.converging import Convergence, Wishes
from moby_orchestrator.compose.converging import start as start_all
from moby_orchestrator.compose.files.fields import Record
from moby_orchestrator.compose.files.project import Project
from moby_orchestrator.compose.ignoring import EPHEMERAL, Ignored, ignored
from moby_orchestrator.compose.observed import Container, containers
from moby_orchestrator.compose.ordering import together
from moby_orchestrator.compose.verb import Call

__all__ = ["Rule", "changes", "rules", "scan", "watch"]

_EVERY_S = 0.5
Stamp = tuple[int, int, int, int]


@frozen
class Rule:
    """What is done with what changes at a path."""

    service: str
    action: str
    path: Path
    target: str
    ignored: Ignored
    command: Record | None = None
    """Of `sync+exec`."""


def watch(call: Call) -> int:
    """Make and start services, and follow their sources until this is interrupted."""
    project = call.project(services=list(call.asked.services))
    project = project.selected(call.asked.services, dependencies=not call.asked.no_up).used()
    watched = rules(project, call.asked.services)
    if not call.asked.no_up:
        imaging.ensure(call, project, pull="policy", build=False, may_build=True)
        Convergence(call.engine, project, call.progress, Wishes()).create()
        start_all(call.engine, project, call.progress)
    before = [scan(rule) for rule in watched]  # what changes once somebody was told is a change
    _say("Watch enabled")
    try:
        return _follow(call, project, watched, before)
    except KeyboardInterrupt:
        return 130


def rules(project: Project, names: list[str]) -> tuple[Rule, ...]:
    """Return what is to be watched; NotFound where that is nothing, or isn't there, Invalid for what can't be done."""
    found = []
    for name, service in project.services.items():
        if names and name not in names:
            continue
        for given in (service.get("develop") or {}).get("watch") or ():
            found.append(_rule(name, service, given))
    if not found:
        what = "none of the selected services is configured for watch"
        raise NotFound(what, hint="add a `develop` section with `watch:`")
    return tuple(found)


def _rule(name: str, service: Record, given: Record) -> Rule:
    path = Path(given["path"])
    if not path.exists():
        raise NotFound(f"services.{name}.develop.watch: {path} isn't there", hint="create it, or change the path")
    if given["action"] == "rebuild" and "build" not in service:
        raise Invalid(f"services.{name}.develop.watch can't rebuild what isn't built", hint="add `build:`")
    lines = [*EPHEMERAL, *(given.get("ignore") or ())]
    context = Path(str((service.get("build") or {}).get("context", "")))
    file = context / ".dockerignore"
    if path.is_relative_to(context) and file.is_file():
        above = path.relative_to(context).as_posix()
        lines += _below(file.read_text(errors="replace").splitlines(), "" if above == "." else f"{above}/")
    return Rule(name, given["action"], path, given.get("target", ""), ignored(lines), given.get("exec"))


def _below(lines: list[str], above: str) -> Iterator[str]:
    """Yield patterns of a context as they are seen from a folder in it."""
    for line in lines:
        text = line.strip()
        sign, pattern = ("!", text[1:]) if text.startswith("!") else ("", text)
        if pattern.startswith("**"):
            yield text
        elif (pattern.removeprefix("./").lstrip("/") + "/").startswith(above) or not above:
            yield sign + pattern.removeprefix("./").lstrip("/").removeprefix(above)


def scan(rule: Rule) -> dict[str, Stamp]:
    """Return what each file looks like, by its path relative to the rule's; links aren't followed."""
    found: dict[str, Stamp] = {}
    if not rule.path.is_dir():
        _note(found, rule.path, "")
        return found
    for folder, folders, files in os.walk(rule.path):
        above = Path(folder).relative_to(rule.path).as_posix()
        prefix = "" if above == "." else f"{above}/"
        if not rule.ignored.takes_back:
            folders[:] = [each for each in folders if not rule.ignored(prefix + each)]
        for each in files:
            if not rule.ignored(prefix + each):
                _note(found, Path(folder, each), prefix + each)
    return found


def _note(found: dict[str, Stamp], path: Path, name: str) -> None:
    try:
        status = path.lstat()
    except OSError:  # it went meanwhile
        return
    found[name] = (status.st_mtime_ns, status.st_size, status.st_ino, status.st_mode)


def changes(before: Mapping[str, Stamp], after: Mapping[str, Stamp]) -> tuple[list[str], list[str]]:
    """Return which files are new or other, and which are gone."""
    changed = sorted(name for name, stamp in after.items() if before.get(name) != stamp)
    return changed, sorted(before.keys() - after.keys())


def _follow(call: Call, project: Project, watched: tuple[Rule, ...], done: list[dict[str, Stamp]]) -> int:
    last = list(done)
    waiting = threading.Event()
    while not waiting.wait(_EVERY_S):
        rebuilt: set[str] = set()
        for index, rule in enumerate(watched):
            now = scan(rule)
            # What still changes is left until it is quiet: a checkout is one change.
            if now != last[index]:
                last[index] = now
                continue
            changed, gone = changes(done[index], now)
            if changed or gone:
                done[index] = now
                _act(call, project, rule, (changed, gone), rebuilt)
    return 0


def _act(call: Call, project: Project, rule: Rule, what: tuple[list[str], list[str]], rebuilt: set[str]) -> None:
    number = len(what[0]) + len(what[1])
    try:
        if rule.action == "rebuild":
            if rule.service not in rebuilt:
                rebuilt.add(rule.service)
                _say(f'Rebuilding service "{rule.service}" after {number} changes were detected')
                _rebuild(call, project, rule.service)
            return
        there = [each for each in containers(call.engine, project.name) if each.service == rule.service]
        running = [each for each in there if each.state == "running"]
        if rule.action.startswith("sync"):
            _say(f'Syncing service "{rule.service}" after {number} changes were detected')
            together(running, lambda each: _sync(call, rule, each, what))
        if rule.action.endswith("restart"):
            together(running, lambda each: call.engine.post("containers", each.id, "restart"))
            _say(f'service "{rule.service}" restarted')
    except MobyError as error:
        _say(str(error))  # the next change may be better


def _rebuild(call: Call, project: Project, name: str) -> None:
    imaging.build_one(call, project, name)
    one = project.selected([name], dependencies=False)
    Convergence(call.engine, one, call.progress, Wishes(named=(name,))).create()
    start_all(call.engine, one, call.progress, dependencies=False)


def _sync(call: Call, rule: Rule, container: Container, what: tuple[list[str], list[str]]) -> None:
    changed, gone = what
    if changed:
        call.engine.put_archive(container.id, _archive(rule, changed))
    if gone:
        _run(call, container, {"Cmd": ["rm", "-rf", "--", *(_target(rule, each) for each in gone)], "User": "0"})
    if rule.action.endswith("exec") and rule.command is not None:
        _run(call, container, _hook(rule.command))


def _target(rule: Rule, name: str) -> str:
    return posixpath.join(rule.target, name) if name else rule.target


def _archive(rule: Rule, names: list[str]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", dereference=False) as archive:
        for each in names:
            path = rule.path / each if each else rule.path
            try:
                info = archive.gettarinfo(path, arcname=_target(rule, each).lstrip("/"))
                info.uid = info.gid = 0
                info.uname = info.gname = ""
                if info.isreg():
                    data = path.read_bytes()
                    info.size = len(data)
                    archive.addfile(info, io.BytesIO(data))
                else:
                    archive.addfile(info)
            except OSError:  # it went meanwhile, which the next look tells
                continue
    return buffer.getvalue()


def _hook(command: Record) -> dict[str, Any]:
    return {
        "Cmd": list(command.get("command") or ()),
        "User": command.get("user", ""),
        "Privileged": bool(command.get("privileged")),
        "WorkingDir": command.get("working_dir", ""),
        "Env": [key if each is None else f"{key}={each}" for key, each in (command.get("environment") or {}).items()],
    }


def _run(call: Call, container: Container, body: dict[str, Any]) -> None:
    """Run a program in a container to its end; Conflict where it fails."""
    made = call.engine.post("containers", container.id, "exec", body=body)["Id"]
    call.engine.post("exec", made, "start", body={"Detach": False, "Tty": False})
    code = call.engine.get("exec", made, "json")["ExitCode"]
    if code:
        raise Conflict(f"{body['Cmd'][0]} in {container.name} ended with {code}", hint="see what it needs")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201  # its output
