"""Verbs that look: ps, inspect, logs, top, port, diff, events, info."""

import json
import re
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from moby.errors import Invalid, MobyError, NotFound
from moby_containers.command import streams, template, values, words
from moby_containers.command.client import Client, query
from moby_containers.command.verb import Parser, complain, say

__all__ = ["diff", "events", "filters", "info", "inspect", "logs", "port", "ps", "row", "show", "top"]

_COLUMNS = {
    "ID": "CONTAINER ID", "Image": "IMAGE", "Command": "COMMAND", "RunningFor": "CREATED", "Status": "STATUS",
    "Ports": "PORTS", "Names": "NAMES",
}  # fmt: skip
_MORE = {"CreatedAt": "CREATED AT", "Size": "SIZE", "State": "STATE", "Labels": "LABELS",
         "Mounts": "MOUNTS", "Networks": "NETWORKS", "LocalVolumes": "LOCAL VOLUMES"}  # fmt: skip
_WIDEST = 20


def filters(given: Sequence[str]) -> dict[str, list[str]]:
    """Return `KEY=VALUE`s as the API's filters."""
    found: dict[str, list[str]] = {}
    for each in given:
        key, equals, value = each.partition("=")
        if not equals:
            raise Invalid("bad format of filter (expected name=value)")
        found.setdefault(key.strip().lower(), []).append(value.strip())
    return found


def ps(client: Client, parser: Parser, arguments: Sequence[str]) -> int:
    """List containers."""
    parser.add_argument("-a", "--all", action="store_true")
    parser.add_argument("-f", "--filter", action="append", default=[])
    parser.add_argument("-n", "--last", type=int, default=-1)
    parser.add_argument("-l", "--latest", action="store_true")
    parser.add_argument("-q", "--quiet", action="store_true")
    parser.add_argument("-s", "--size", action="store_true")
    parser.add_argument("--no-trunc", action="store_true")
    parser.add_argument("--format", default="")
    asked = parser.parse_args(arguments)
    last = 1 if asked.latest else asked.last
    more = query(
        all=asked.all, size=asked.size or ".Size" in asked.format, filters=filters(asked.filter),
        limit=str(last) if last > 0 else "",
    )  # fmt: skip
    rows = [row(each, whole=asked.no_trunc) for each in client.get(f"/containers/json{more}")]
    if asked.quiet and not asked.format:
        for each in rows:
            say(each["ID"])
        return 0
    columns = {**_COLUMNS, **({"Size": "SIZE"} if asked.size else {})}
    if asked.format and asked.format != "table":
        columns = {**_COLUMNS, **_MORE}
    for line in template.shown(rows, asked.format, columns):
        say(line)
    return 0


def row(found: Mapping[str, Any], *, whole: bool) -> dict[str, Any]:
    """Return what is listed of a container, as docker words it."""
    command = found["Command"] if whole or len(found["Command"]) <= _WIDEST else f"{found['Command'][: _WIDEST - 1]}…"
    names = [each[1:] for each in found["Names"]]
    shown = names if whole else [each for each in names if "/" not in each]
    image = found["Image"] or "<no image>"
    own, root = found.get("SizeRw") or 0, found.get("SizeRootFs") or 0
    mounts = [each.get("Name") or each.get("Source", "") for each in found.get("Mounts", ())]
    return {
        "Command": json.dumps(command, ensure_ascii=False),
        "CreatedAt": words.moment(found["Created"]),
        "ID": found["Id"] if whole else found["Id"][:12],
        "Image": image if whole else re.sub(r"^sha256:([0-9a-f]{12})[0-9a-f]*$", r"\1", image),
        "Labels": ",".join(f"{key}={value}" for key, value in sorted((found.get("Labels") or {}).items())),
        "LocalVolumes": str(sum(each.get("Driver") == "local" for each in found.get("Mounts", ()))),
        "Mounts": ",".join(each if whole or len(each) <= 15 else f"{each[:14]}…" for each in mounts),
        "Names": ",".join(shown),
        "Networks": ",".join((found.get("NetworkSettings") or {}).get("Networks") or {}),
        "Ports": words.ports(found.get("Ports") or ()),
        "RunningFor": f"{words.age(int(time.time()) - found['Created'])} ago",
        "Size": f"{words.size(own)} (virtual {words.size(root)})" if root else words.size(own),
        "State": found["State"],
        "Status": found["Status"],
    }


def inspect(client: Client, parser: Parser, arguments: Sequence[str]) -> int:
    """Show all about containers, images, volumes or networks, as JSON or as a template says."""
    parser.add_argument("-f", "--format", default="")
    parser.add_argument("-s", "--size", action="store_true")
    parser.add_argument("--type", default="", choices=("", "container", "image", "network", "volume"))
    parser.add_argument("names", nargs="+", metavar="NAME")
    asked = parser.parse_args(arguments)
    return show(asked.names, lambda name: _any(client, name, asked.type, size=asked.size), asked.format)


def show(names: Sequence[str], get: Any, form: str) -> int:
    """Print what is known of each name; go on past errors, which end with 1."""
    found, failed = [], []
    for name in names:
        try:
            found.append(get(name))
        except MobyError as error:
            failed.append(error.message)
    if form and form != "json":
        for each in found:
            say(template.filled(form, each))
    elif form == "json":
        for each in found:
            say(json.dumps(each, ensure_ascii=False, separators=(",", ":")))
    else:
        say(json.dumps(found, indent=4, ensure_ascii=False))
    for message in failed:
        complain(message)
    return 1 if failed else 0


def _any(client: Client, name: str, kind: str, *, size: bool) -> Any:
    paths = {
        "container": f"/containers/{name}/json{query(size=size)}", "image": f"/images/{name}/json",
        "network": f"/networks/{name}", "volume": f"/volumes/{name}",
    }  # fmt: skip
    if kind:
        return client.get(paths[kind])
    for path in paths.values():
        try:
            return client.get(path)
        except NotFound:
            continue
    raise NotFound(f"Error: No such object: {name}")


def logs(client: Client, parser: Parser, arguments: Sequence[str]) -> int:
    """Print what a container wrote."""
    parser.add_argument("-f", "--follow", action="store_true")
    parser.add_argument("-t", "--timestamps", action="store_true")
    parser.add_argument("-n", "--tail", default="all")
    parser.add_argument("--since", default="")
    parser.add_argument("--until", default="")
    parser.add_argument("--details", action="store_true")
    parser.add_argument("name", metavar="CONTAINER")
    asked = parser.parse_args(arguments)
    terminal = client.get(f"/containers/{asked.name}/json")["Config"]["Tty"]
    more = query(
        stdout=True, stderr=True, follow=asked.follow, timestamps=asked.timestamps, details=asked.details,
        tail=asked.tail, since=_moment(asked.since), until=_moment(asked.until),
    )  # fmt: skip
    frames = streams.Frames()
    streams.flush()
    with client.open("GET", f"/containers/{asked.name}/logs{more}") as answer:
        while chunk := answer.read1(65536):
            for stream, part in [(1, chunk)] if terminal else frames.feed(chunk):
                streams.write_all(stream, part)
    return 0


def _moment(text: str) -> str:
    """Return a time as the API takes it: seconds since the epoch; a duration is that long ago."""
    if not text or re.fullmatch(r"\d+(\.\d+)?", text):
        return text
    if re.fullmatch(r"(\d+(\.\d+)?(ns|us|µs|ms|s|m|h))+", text):
        at = time.time_ns() - values.duration(text)
    else:
        try:
            at = round(datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text)).astimezone().timestamp() * 1e9)
        except ValueError:
            raise Invalid(f'invalid value for "since" or "until": failed to parse value as time: {text}') from None
    return f"{at // 10**9}.{at % 10**9:09}"


def top(client: Client, parser: Parser, arguments: Sequence[str]) -> int:
    """List the processes of a container."""
    parser.add_argument("name", metavar="CONTAINER")
    asked, rest = parser.parse_some(arguments)
    found = client.get(f"/containers/{asked.name}/top{query(ps_args=' '.join(rest))}")
    columns = {title: title for title in found["Titles"]}
    rows = [dict(zip(found["Titles"], each, strict=True)) for each in found["Processes"]]
    for line in template.shown(rows, "", columns, least=20):
        say(line)
    return 0


def port(client: Client, parser: Parser, arguments: Sequence[str]) -> int:
    """Print which ports of a container the host publishes."""
    parser.add_argument("name", metavar="CONTAINER")
    parser.add_argument("port", nargs="?", default="", metavar="PORT[/PROTOCOL]")
    asked = parser.parse_args(arguments)
    found = client.get(f"/containers/{asked.name}/json")["NetworkSettings"].get("Ports") or {}
    if not asked.port:
        for inside, outside in sorted(found.items(), key=lambda each: (int(each[0].partition("/")[0]), each[0])):
            for each in outside or ():
                say(f"{inside} -> {_address(each)}")
        return 0
    wanted = asked.port if "/" in asked.port else f"{asked.port}/tcp"
    if not found.get(wanted):
        raise NotFound(f"Error: No public port '{asked.port}' published for {asked.name}")
    for each in found[wanted]:
        say(_address(each))
    return 0


def _address(binding: Mapping[str, str]) -> str:
    address = binding["HostIp"]
    return f"{f'[{address}]' if ':' in address else address}:{binding['HostPort']}"


def diff(client: Client, parser: Parser, arguments: Sequence[str]) -> int:
    """Print what a container changed in its files."""
    parser.add_argument("name", metavar="CONTAINER")
    for each in client.get(f"/containers/{parser.parse_args(arguments).name}/changes") or ():
        say(f"{'CAD'[each['Kind']]} {each['Path']}")
    return 0


def events(client: Client, parser: Parser, arguments: Sequence[str]) -> int:
    """Print what happens, until the end of a time or for good."""
    parser.add_argument("-f", "--filter", action="append", default=[])
    parser.add_argument("--since", default="")
    parser.add_argument("--until", default="")
    parser.add_argument("--format", default="")
    asked = parser.parse_args(arguments)
    more = query(filters=filters(asked.filter), since=_moment(asked.since), until=_moment(asked.until))
    form = "{{json .}}" if asked.format == "json" else asked.format
    try:
        for each in client.lines(f"/events{more}"):
            say(template.filled(form, each) if form else _event(each))
            sys.stdout.flush()
    except KeyboardInterrupt:
        return 130
    return 0


def _event(found: Mapping[str, Any]) -> str:
    at, rest = divmod(found["timeNano"], 10**9)
    zone = re.sub(r"(\d\d)$", r":\1", f"{datetime.fromtimestamp(at).astimezone():%z}")
    when = f"{datetime.fromtimestamp(at):%Y-%m-%dT%H:%M:%S}.{rest:09}{'Z' if zone == '+00:00' else zone}"
    more = ", ".join(f"{key}={value}" for key, value in sorted((found["Actor"].get("Attributes") or {}).items()))
    return f"{when} {found['Type']} {found['Action']} {found['Actor']['ID']}{f' ({more})' if more else ''}"


def info(client: Client, parser: Parser, arguments: Sequence[str]) -> int:
    """Show the engine as a whole."""
    parser.add_argument("-f", "--format", default="")
    asked = parser.parse_args(arguments)
    found = client.get("/info")
    if asked.format:
        say(template.shown([found], asked.format, {})[0])
        return 0
    for title, key in _INFO:
        if found.get(key) not in (None, ""):
            say(f" {title}: {found[key]}")
    return 0


_INFO = (
    ("Containers", "Containers"), (" Running", "ContainersRunning"), (" Paused", "ContainersPaused"),
    (" Stopped", "ContainersStopped"), ("Images", "Images"), ("Server Version", "ServerVersion"),
    ("Storage Driver", "Driver"), ("Logging Driver", "LoggingDriver"), ("Cgroup Driver", "CgroupDriver"),
    ("Cgroup Version", "CgroupVersion"), ("Default Runtime", "DefaultRuntime"), ("Kernel Version", "KernelVersion"),
    ("Operating System", "OperatingSystem"), ("OSType", "OSType"), ("Architecture", "Architecture"), ("CPUs", "NCPU"),
    ("Total Memory", "MemTotal"), ("Name", "Name"), ("ID", "ID"), ("Docker Root Dir", "DockerRootDir"),
)  # fmt: skip
