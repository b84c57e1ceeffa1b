"""What happens in the engine, as it happens and, of the last events, as it happened."""

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

from moby.contracts.events import Event
from moby.errors import Invalid
from moby_frontend.docker.call import Call, Reply, Version, encode, stream
from moby_frontend.docker.filters import Filters
from moby_frontend.docker.parts import Parts
from moby_frontend.docker.swarm.events import Joined, past, worded
from moby_frontend.docker.times import unix_ns

__all__ = ["events"]

_OBJECTS = ("container", "image", "volume", "network", "daemon", "plugin", "node", "service", "secret", "config")
_SEQUENCES = {
    "application/json-seq": (b"\x1e", "application/json-seq"),
    "application/x-ndjson": (b"", "application/x-ndjson"),
    "application/jsonl": (b"", "application/jsonl"),
}
_ALL_NS = 1
"""Since when events are told where only their end is said: of all that are kept."""
_LONGEST_WAIT_S = 3600.0
"""poll(2) takes no more than some weeks."""


def events(parts: Parts, call: Call) -> Reply:
    """Follow events; with an end in the past only show those that there were."""
    query = call.query
    since, until = unix_ns(query.text("since")), unix_ns(query.text("until"))
    if until and since > until:
        raise Invalid(
            f"`since` time ({query.text('since')}) cannot be after `until` time ({query.text('until')})"
        )  # fmt: skip
    if until or query.text("since"):
        since = since or _ALL_NS
    wanted = _wanted(Filters(query.text("filters")), call.version)
    mark, kind = _form(call)

    def line(event: Event) -> bytes:
        return mark + encode(_shown(worded(event))) + b"\n"

    if until and until <= parts.clock.now_ns():
        found = [line(each) for each in past(parts, since, until) if wanted(each)]
        return stream(iter(found), kind)
    return stream(_followed(parts, call, since, until, wanted, line), kind)


def _form(call: Call) -> tuple[bytes, str]:
    """Return what stands before each event, and the type of the answer."""
    for each in call.headers.get("accept", "").split(","):
        if found := _SEQUENCES.get(each.partition(";")[0].strip()):
            return found
    return b"", "application/json"


def _followed(
    parts: Parts,
    call: Call,
    since: int,
    until: int,
    wanted: Callable[[Event], bool],
    line: Callable[[Event], bytes],
) -> Iterator[bytes]:
    with closing(parts.events.subscribe(since, wanted)) as own, closing(Joined(own, parts, since, wanted)) as all_:
        yield b""
        while not own.ended:
            left = (until - parts.clock.now_ns()) / 10**9 if until else None
            if left is not None and left <= 0:
                return
            call.link.watch(all_.fileno(), None if left is None else min(left, _LONGEST_WAIT_S), follows=True)
            taken = [each for each in all_.take() if not until or each.time_ns <= until]
            yield b"".join(map(line, taken))


def _shown(event: Event) -> dict[str, Any]:
    """Return an event with the fields that it had before API 1.52 too."""
    old: dict[str, Any] = {}
    if event.type in ("container", "image"):
        old = {"status": event.action} | ({"id": event.id} if event.id else {})  # a prune is of none
        image = event.attributes.get("image") if event.type == "container" else ""
        old |= {"from": image} if image else {}
    return old | {
        "Type": event.type,
        "Action": event.action,
        "Actor": {"ID": event.id, "Attributes": dict(event.attributes)},
        "scope": event.scope,
        "time": event.time_ns // 10**9,
        "timeNano": event.time_ns,
    }


def _wanted(filters: Filters, version: Version) -> Callable[[Event], bool]:
    """Return whether an event is to be shown."""
    images_created = version >= (1, 46)

    def fits(given: Event) -> bool:
        event = worded(given)
        if event.type == "image" and event.action == "create" and not images_created:
            return False
        return (
            _fits_action(filters, event)
            and filters.exact("type", event.type)
            and filters.exact("scope", event.scope)
            and all(_fits_object(filters, kind, event) for kind in _OBJECTS if filters.get(kind))
            and filters.labels(event.attributes)
        )

    return fits


def _fits_action(filters: Filters, event: Event) -> bool:
    """Whether the action is asked for, as a whole or by what is before its colon (`exec_create: sh`)."""
    return filters.exact("event", event.action) or filters.exact("event", event.action.partition(":")[0])


def _fits_object(filters: Filters, kind: str, event: Event) -> bool:
    values = filters.get(kind)
    if kind == "image":
        names = {event.id} if event.type == "image" else set()
        names |= {event.attributes.get("name" if event.type == "image" else "image", "")}
        return any(each in names or each in {_without_tag(name) for name in names if name} for each in values)
    if event.type != kind:
        return False
    named = (event.id, event.attributes.get("name", ""))
    return any(each.startswith(values) for each in named)  # a beginning is enough, as with dockerd


def _without_tag(name: str) -> str:
    head, colon, tag = name.rpartition(":")
    return head if colon and "/" not in tag else name
