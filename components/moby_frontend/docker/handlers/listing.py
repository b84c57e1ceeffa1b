"""A list of containers, and what it is cut down to."""

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any

from moby.contracts.containers import Container, State, Status
from moby.contracts.supervisor import HealthStatus
from moby.errors import Corrupt, Invalid, NotFound
from moby_frontend.docker.call import Call, Reply, Version, reply_json
from moby_frontend.docker.failures import Status as Failure
from moby_frontend.docker.filters import Filters
from moby_frontend.docker.handlers.waiting import UNKNOWN_EXIT
from moby_frontend.docker.parts import Parts
from moby_frontend.docker.times import elapsed, parsed_ns
from moby_frontend.docker.translate.mounts import show_mounted
from moby_frontend.docker.translate.network import show_networks, show_ports

__all__ = ["containers", "image_names", "show_summary"]

_KNOWN = frozenset({
    "ancestor", "before", "exited", "expose", "health", "id", "is-task", "isolation", "label", "name", "network",
    "publish", "since", "status", "volume",
})  # fmt: skip
_STATES = frozenset(each.value for each in Status)
_HEALTHS = frozenset(each.value for each in HealthStatus)
_MOST_DIGITS = 20
"""Of a number of 64 bits, and one more."""
_UP = frozenset({Status.RUNNING, Status.PAUSED, Status.RESTARTING})
_PORTS = 65536
Test = Callable[[Container], bool]
_Ranges = set[tuple[range, str]]


def containers(parts: Parts, call: Call) -> Reply:
    """List containers."""
    query = call.query
    filters = Filters(query.text("filters"), _KNOWN)
    limit = query.number("limit")
    every = list(parts.containers.list())
    tests = _tests(parts, filters, every)
    if not (query.flag("all") or limit > 0 or filters.get("status")):
        tests.insert(0, lambda each: each.state.status in _UP)
    found = [each for each in every if all(test(each) for test in tests)]
    sizes = query.flag("size")
    now, name = parts.clock.now_ns(), image_names(parts)
    shown = []
    for each in found[:limit] if limit > 0 else found:
        shown.append(show_summary(each, name(each), call.version, now) | (_sizes(parts, each) if sizes else {}))
    return reply_json(shown)


def _sizes(parts: Parts, container: Container) -> dict[str, Any]:
    found = parts.containers.sizes(container.id)
    shown = {"SizeRw": found.own_bytes, "SizeRootFs": found.root_bytes}
    return {key: size for key, size in shown.items() if size}


def image_names(parts: Parts) -> Callable[[Container], str]:
    """Return what tells by which name a container's image goes: by its id, once the name means another or none.

    Each name is looked up once, however many containers have it.
    """

    @cache
    def meant(name: str) -> str:
        try:
            return str(parts.images.get(name).id)
        except (NotFound, Invalid, Corrupt):
            return ""

    def shown(container: Container) -> str:
        name, own = container.config.image, container.image_id
        return name if not own or name == own or meant(name) == own else own

    return shown


def show_summary(container: Container, image: str, version: Version, now_ns: int) -> dict[str, Any]:
    """Return a container as a list shows it, with the name that its image goes by."""
    host: dict[str, Any] = {"NetworkMode": container.config.network or "default"}
    if version >= (1, 46) and container.config.annotations:
        host["Annotations"] = dict(container.config.annotations)
    return {
        "Id": container.id,
        "Names": [f"/{container.name}"],
        "Image": image,
        "ImageID": container.image_id,
        "Command": _command(container),
        "Created": parsed_ns(container.created) // 10**9,
        "Ports": show_ports(container),
        "Labels": dict(container.config.labels),
        "State": container.state.status.value,
        "Status": _status(container.state, now_ns),
        "HostConfig": host,
        "NetworkSettings": {"Networks": show_networks(container, version)},
        "Mounts": show_mounted(container.mounts),
    }


def _command(container: Container) -> str:
    words = [container.path, *(f"'{each}'" if " " in each else each for each in container.arguments)]
    return " ".join(words) if container.arguments else container.path


def _status(state: State, now_ns: int) -> str:
    """Return docker's words for how a container is."""
    since = elapsed((now_ns - parsed_ns(state.started)) / 10**9)
    ago = elapsed((now_ns - parsed_ns(state.finished)) / 10**9)
    code = _code(state)
    match state.status:
        case Status.RESTARTING:
            return f"Restarting ({code}) {ago} ago"
        case Status.PAUSED:
            return f"Up {since} (Paused)"
        case Status.RUNNING:
            return f"Up {since}{_health(state)}"
        case Status.REMOVING:
            return "Removal In Progress"
        case Status.DEAD:
            return "Dead"
    return "Created" if not state.finished else f"Exited ({code}) {ago} ago"


def _code(state: State) -> int:
    return UNKNOWN_EXIT if state.exit_code is None else state.exit_code


def _health(state: State) -> str:
    if state.health is None or state.health.status is HealthStatus.NONE:
        return ""
    starting = state.health.status is HealthStatus.STARTING
    return " (health: starting)" if starting else f" ({state.health.status.value})"


# Filters ------------------------------------------------------------------------------------------------------------


def _tests(parts: Parts, filters: Filters, every: Iterable[Container]) -> list[Test]:
    """Return what a container must be; Invalid and NotFound in docker's words."""
    exited = {_exit_code(each) for each in filters.get("exited")}
    for each in filters.get("status"):
        if each not in _STATES:
            raise Invalid(f"invalid filter 'status={each}'")
    for each in filters.get("health"):
        if each not in _HEALTHS:
            raise Invalid(f"unrecognized filter value for health: {each}")
    tests: list[Test] = []
    if "is-task" in filters and filters.flag("is-task", default=False):
        tests.append(lambda _: False)
    if exited:
        tests.append(
            lambda each: each.state.status not in _UP and bool(each.state.started) and _code(each.state) in exited
        )
    if "isolation" in filters:
        tests.append(lambda _: filters.matches("isolation", "default"))
    tests += [
        lambda each: filters.matches("name", f"/{each.name}") or filters.matches("name", each.name),
        lambda each: filters.matches("id", each.id),
        lambda each: filters.matches("status", each.state.status.value),
        lambda each: filters.exact("health", _health_word(each)),
        lambda each: filters.labels(each.config.labels),
    ]
    return tests + _placed(parts, filters) + _aged(parts, filters, list(every))


def _health_word(container: Container) -> str:
    return container.state.health.status.value if container.state.health else HealthStatus.NONE.value


def _exit_code(text: str) -> int:
    """Return a number of 64 bits, as Go reads one."""
    digits = text[1:] if text[:1] in ("-", "+") else text
    said = f"invalid filter 'exited={text}': strconv.Atoi: parsing \"{text}\": "
    if not (digits.isascii() and digits.isdigit()):
        raise Invalid(f"{said}invalid syntax")
    code = _number(digits) * (-1 if text.startswith("-") else 1)
    if not -(2**63) <= code < 2**63:
        raise Invalid(f"{said}value out of range")
    return code


def _number(digits: str) -> int:
    """Return a number that may be written with more digits than Python reads; one of 64 bits is right."""
    return int(digits.lstrip("0")[:_MOST_DIGITS] or "0")


def _placed(parts: Parts, filters: Filters) -> list[Test]:
    """Return what is asked of images, volumes, networks and ports."""
    tests: list[Test] = []
    if "ancestor" in filters:
        ids = _ancestors(parts, filters.get("ancestor"))
        tests.append(lambda each: each.image_id in ids)
    if volumes := set(filters.get("volume")):
        tests.append(
            lambda each: any({mount.name or mount.source, mount.destination} & volumes for mount in each.mounts)
        )
    if networks := filters.get("network"):
        tests.append(lambda each: any(_is_on(each, name) for name in networks))
    if "publish" in filters or "expose" in filters:
        public, private = _ports("publish", filters), _ports("expose", filters)
        tests.append(lambda each: any(_is_asked_for(port, public, private) for port in show_ports(each)))
    return tests


def _is_on(container: Container, network: str) -> bool:
    return any(
        network == each.network or (each.network_id and each.network_id.startswith(network))
        for each in container.endpoints
    )


def _ancestors(parts: Parts, names: Iterable[str]) -> set[str]:
    """Return the ids of images, and of those that were made on them, as docker's `ancestor`."""
    found = set()
    for name in names:
        try:
            found.add(str(parts.images.get(name).id))
        except (NotFound, Invalid):
            continue
    children: dict[str, list[str]] = {}
    for image in parts.images.list(all=True) if found else ():
        if image.parent:
            children.setdefault(str(image.parent), []).append(str(image.id))
    waiting = list(found)
    while waiting:
        for child in children.get(waiting.pop(), ()):
            if child not in found:
                found.add(child)
                waiting.append(child)
    return found


def _ports(key: str, filters: Filters) -> _Ranges:
    """Return ports as ranges: written out, those of a client that may only look would take all memory."""
    found: _Ranges = set()
    for text in filters.get(key):
        if ":" in text:
            raise Failure(500, f"filter for '{key}' should not contain ':': {text}")
        numbers, _, protocol = text.partition("/")
        if why := _wrong_range(numbers):
            raise Failure(500, f"error while looking up for {key} {text}: {why}")
        first, last = map(_number, (numbers.split("-") * 2)[:2])
        found.add((range(first, last + 1), protocol.partition("/")[0] or "tcp"))
    return found


def _wrong_range(text: str) -> str:
    """Return what is wrong with a range of ports, as Go reads one; what follows a second dash is passed over."""
    bounds = text.split("-")[:2]
    for each in bounds if text else ():
        if not (each.isascii() and each.isdigit()):
            return f'strconv.ParseUint: parsing "{each}": invalid syntax'
        if _number(each) >= _PORTS:
            return f'strconv.ParseUint: parsing "{each}": value out of range'
    if not text:
        return "Empty string specified for ports."
    return f"Invalid range specified for the Port: {text}" if _number(bounds[-1]) < _number(bounds[0]) else ""


def _is_asked_for(port: Mapping[str, Any], public: _Ranges, private: _Ranges) -> bool:
    """Whether a port that is shown is among those asked for: one of either sort is enough, as with docker."""
    asked = ((public, port.get("PublicPort", 0)), (private, port["PrivatePort"]))
    return any(number in numbers and port["Type"] == protocol for ports, number in asked for numbers, protocol in ports)


def _aged(parts: Parts, filters: Filters, every: list[Container]) -> list[Test]:
    """Return what is asked of when containers were made: before or since another."""
    places = {each.id: index for index, each in enumerate(every)}  # newest first
    tests: list[Test] = []
    for key in ("before", "since"):
        for name in filters.get(key):
            place = places.get(parts.containers.get(name).id, len(every))
            if key == "before":
                tests.append(lambda each, place=place: places[each.id] > place)  # type: ignore[misc]
            else:
                tests.append(lambda each, place=place: places[each.id] < place)  # type: ignore[misc]
    return tests
