"""The verbs that only tell."""

import json
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from moby.errors import Invalid, NotFound
from moby_orchestrator.compose import names
from moby_orchestrator.compose.calling import filters
from moby_orchestrator.compose.files import rendering
from moby_orchestrator.compose.files.project import Project, config_hash, image_of
from moby_orchestrator.compose.following import Lines, frames
from moby_orchestrator.compose.observed import Container, containers, of_service, the_one
from moby_orchestrator.compose.verb import Call

__all__ = ["config", "events", "images", "logs", "ls", "port", "ps", "top", "version"]


def _say(text: str) -> None:
    print(text)  # noqa: T201  # a command's output


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    lines = [tuple(head), *map(tuple, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    for line in lines:
        _say("   ".join(f"{each:{width}}" for each, width in zip(line, widths, strict=True)).rstrip())


def config(call: Call) -> int:
    """Print the project as one file, or what else is asked of it."""
    asked = call.asked
    if asked.hash:
        return _hashes(call, call.project(resolved=False, discarded=False))
    project = call.project(services=asked.services).used().selected(asked.services)
    if asked.listed:
        for each in _listed(project, asked.listed):
            _say(each)
        return 0
    text = rendering.to_json(project) if asked.format == "json" else rendering.to_yaml(project)
    if asked.output:
        Path(asked.output).write_text(text)
    elif not asked.quiet:
        sys.stdout.write(text)
    return 0


def _hashes(call: Call, project: Project) -> int:
    wanted = sorted(project.services) if call.asked.hash == "*" else sorted(call.asked.hash.split(","))
    for name in wanted:
        _say(f"{name} {config_hash(project.service(name))}")
    return 0


def _listed(project: Project, what: str) -> list[str]:
    if what == "images":
        return [image_of(project.name, name, each) for name, each in project.services.items()]
    if what == "profiles":
        everything = [*project.services.values(), *project.disabled.values()]
        return sorted({profile for each in everything for profile in each.get("profiles") or ()})
    return sorted(getattr(project, what))


def _chosen(call: Call, *, all_of_them: bool = True, oneoff: bool = False) -> list[Container]:
    project = call.found()
    found = containers(call.engine, project.name, oneoff=oneoff)
    for name in call.asked.services:
        if name not in project.services and all(each.service != name for each in found):
            raise NotFound(f"no such service: {name}")
    found = [each for each in found if all_of_them or each.state in ("running", "paused", "restarting")]
    return of_service(found, call.asked.services)


def ps(call: Call) -> int:
    """List containers."""
    asked = call.asked
    found = _chosen(call, all_of_them=asked.all, oneoff=asked.all)
    if asked.quiet:
        for each in found:
            _say(each.id)
    elif asked.names:
        for name in dict.fromkeys(each.service for each in found):
            _say(name)
    elif asked.format == "json":
        for each in found:
            _say(json.dumps(_described(call, each)))
    else:
        head = ("NAME", "IMAGE", "COMMAND", "SERVICE", "CREATED", "STATUS", "PORTS")
        _table(head, (_row(each) for each in found))
    return 0


def _described(call: Call, each: Container) -> dict[str, Any]:
    state = call.engine.get("containers", each.id, "json")["State"]
    return {
        "ID": each.id[:12],
        "Name": each.name,
        "Image": each.listed["Image"],
        "Command": each.listed["Command"],
        "Project": each.labels[names.PROJECT],
        "Service": each.service,
        "Created": each.listed["Created"],
        "State": each.state,
        "Status": each.listed["Status"],
        "Health": (state.get("Health") or {}).get("Status", "").replace("none", ""),
        "ExitCode": state["ExitCode"],
        "Publishers": [
            {
                "URL": one.get("IP", ""),
                "TargetPort": one["PrivatePort"],
                "PublishedPort": one.get("PublicPort", 0),
                "Protocol": one["Type"],
            }
            for one in each.listed.get("Ports") or ()
        ],
    }


def _row(each: Container) -> tuple[str, ...]:
    command = each.listed["Command"]
    shown = f'"{command if len(command) <= 20 else command[:19] + "…"}"'
    ports = ", ".join(_port(one) for one in each.listed.get("Ports") or ())
    created = _ago(each.listed["Created"])
    return each.name, each.listed["Image"], shown, each.service, created, each.listed["Status"], ports


def _port(given: dict[str, Any]) -> str:
    inside = f"{given['PrivatePort']}/{given['Type']}"
    if not given.get("PublicPort"):
        return inside
    address = given.get("IP", "")
    return f"{f'[{address}]' if ':' in address else address}:{given['PublicPort']}->{inside}"


def _ago(seconds: int) -> str:
    passed = max(0, int(time.time()) - seconds)
    for size, name in ((86400, "day"), (3600, "hour"), (60, "minute"), (1, "second")):
        if passed >= size:
            count = passed // size
            return f"{count} {name}{'s' if count != 1 else ''} ago"
    return "Less than a second ago"


def ls(call: Call) -> int:
    """List projects."""
    listed = call.engine.get("containers", "json", all=call.asked.all, filters=filters(label=[names.PROJECT]))
    projects: dict[str, list[dict[str, Any]]] = {}
    for each in listed:
        projects.setdefault(each["Labels"][names.PROJECT], []).append(each)
    rows = []
    for name, found in sorted(projects.items()):
        states = [each["State"] for each in found]
        status = ", ".join(f"{state}({states.count(state)})" for state in sorted(set(states)))
        files = dict.fromkeys(each["Labels"].get(names.FILES, "") for each in found)
        rows.append({"Name": name, "Status": status, "ConfigFiles": ",".join(files)})
    if call.asked.quiet:
        for row in rows:
            _say(row["Name"])
    elif call.asked.format == "json":
        _say(json.dumps(rows))
    else:
        _table(("NAME", "STATUS", "CONFIG FILES"), (tuple(row.values()) for row in rows))
    return 0


def images(call: Call) -> int:
    """List the images that containers are made of."""
    rows = []
    for each in _chosen(call):
        image = call.engine.get("images", each.listed["ImageID"], "json")
        repository, _, tag = each.listed["Image"].partition("@")[0].rpartition(":")
        row = {
            "ID": image["Id"],
            "ContainerName": each.name,
            "Repository": repository or each.listed["Image"],
            "Tag": tag if repository else "",
            "Size": image["Size"],
        }
        rows.append(row)
    if call.asked.quiet:
        for one in dict.fromkeys(row["ID"] for row in rows):
            _say(one.removeprefix("sha256:"))
    elif call.asked.format == "json":
        _say(json.dumps(rows))
    else:
        head = ("CONTAINER", "REPOSITORY", "TAG", "IMAGE ID", "SIZE")
        _table(
            head,
            (
                (r["ContainerName"], r["Repository"], r["Tag"] or "latest", r["ID"][7:19], _size(r["Size"]))
                for r in rows
            ),
        )
    return 0


def _size(value: float) -> str:
    units = iter(("B", "kB", "MB", "GB"))
    unit = next(units)
    while value >= 1000 and (more := next(units, "")):
        value, unit = value / 1000, more
    return f"{value:.3g}{unit}"


def port(call: Call) -> int:
    """Print where a port is published."""
    asked = call.asked
    there = the_one(containers(call.engine, call.found().name), asked.service, asked.index)
    for each in there.listed.get("Ports") or ():
        if each["PrivatePort"] == asked.port and each["Type"] == asked.protocol and each.get("PublicPort"):
            address = each.get("IP", "")
            _say(f"{f'[{address}]' if ':' in address else address}:{each['PublicPort']}")
            return 0
    raise NotFound(f"no port {asked.port}/{asked.protocol} for container {there.name}")


def top(call: Call) -> int:
    """List processes."""
    for each in _chosen(call, all_of_them=False):
        found = call.engine.get("containers", each.id, "top")
        _say(each.name)
        _table(found["Titles"], found["Processes"])
        _say("")
    return 0


def logs(call: Call) -> int:
    """Print what containers said."""
    asked = call.asked
    project = call.found()
    lines = Lines(prefix=not asked.no_log_prefix)
    query = {"stdout": True, "stderr": True, "follow": asked.follow, "tail": asked.tail, "timestamps": asked.timestamps}
    query |= {key: _time(getattr(asked, key)) for key in ("since", "until")}

    def one(each: Container) -> None:
        terminal = call.engine.get("containers", each.id, "json")["Config"]["Tty"]
        with call.engine.open("GET", ("containers", each.id, "logs"), query, None) as answer:
            lines.copy(each.name.removeprefix(f"{project.name}-"), frames(answer, terminal=terminal))

    found = _chosen(call)
    for each in found:
        lines.add(each.name.removeprefix(f"{project.name}-"))
    threads = [threading.Thread(target=one, args=(each,), daemon=True) for each in found]
    for thread in threads:
        thread.start()
        if not asked.follow:
            thread.join()
    for thread in threads:
        thread.join()
    return 0


def _time(text: str) -> str:
    """Return a time of the API: seconds since 1970, of a time or of how long ago it was."""
    if not text:
        return ""
    from moby_orchestrator.compose.files.golang import duration_ns

    try:
        return f"{time.time() - duration_ns(text) / 10**9:.9f}"
    except ValueError:
        pass
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise Invalid(f"{text!r} is no time", hint="write 10m, or 2025-01-31T12:00:00") from None
    return f"{(found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp():.9f}"


def events(call: Call) -> int:
    """Print what happens to containers, until interrupted."""
    project = call.found()
    wanted = set(call.asked.services)
    chosen = filters(label=[f"{names.PROJECT}={project.name}", f"{names.ONEOFF}=False"], type=["container"])
    for each in call.engine.lines("GET", "events", filters=chosen):
        attributes = each["Actor"]["Attributes"]
        service = attributes.get(names.SERVICE, "")
        if wanted and service not in wanted:
            continue
        own = {key: text for key, text in attributes.items() if not key.startswith(names.PREFIX)}
        when = datetime.fromtimestamp(each["timeNano"] / 10**9, UTC)
        if call.asked.json:
            told = {"time": when.isoformat(), "type": "container", "service": service, "id": each["Actor"]["ID"]}
            _say(json.dumps({**told, "action": each["Action"], "attributes": own}))
        else:
            text = ", ".join(f"{key}={own[key]}" for key in sorted(own))
            _say(f"{when:%Y-%m-%d %H:%M:%S.%f} container {each['Action']} {each['Actor']['ID']} ({text})")
        sys.stdout.flush()
    return 0


def version(call: Call) -> int:
    """Print which docker compose this is like."""
    _say(names.VERSION if call.asked.short else f"Compose specification, as docker compose {names.VERSION}")
    return 0
