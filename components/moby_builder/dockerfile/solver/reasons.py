"""Why a step wasn't found in the cache, in words: how it differs from the nearest one before."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from moby_builder.dockerfile.operations import Node
from moby_builder.dockerfile.solver.records import Made

__all__ = ["places_of", "why"]

_LONGEST = 60
_WORDS = {
    "arguments": "its command", "folder": "its working directory", "user": "its user", "mounts": "a mount",
    "network": "its network", "insecure": "its privileges", "hosts": "an added host", "hostname": "its host name",
    "shm_bytes": "the size of /dev/shm", "ulimits": "a ulimit", "cgroup_parent": "its control group",
    "platform": "its platform", "sources": "a source", "target": "its destination", "owner": "an owner",
    "mode": "its mode", "parents": "whether parent folders come along", "files": "the content of a here-document",
    "path": "its folder", "epoch": "SOURCE_DATE_EPOCH", "time": "its time", "require": "what wildcards must fit",
}  # fmt: skip


def places_of(node: Node, inputs: Sequence[str]) -> tuple[str, ...]:
    """Return where a step is looked for when it has changed: by how it reads, and by where it stands on what."""
    label, _, text = node.name.rpartition("] ")
    below = inputs[0] if inputs else ""
    return f"text/{_short(node.name)}", f"on/{_short(f'{below} {label or text.split(chr(32))[0]}')}"


def why(made: Made, last: Callable[[str], Made | None], places: Sequence[str]) -> str:
    """Return why a step had to be done, where `last` gives what was done last at a place."""
    by_text, by_ground = (last(each) for each in places)
    if by_text is not None:
        return next(_changes(made, by_text), "what it made has gone")
    if by_ground is not None:
        return f"the instruction was another one: {_cut(by_ground.name.rpartition('] ')[2])}"
    return "nothing like it was built before"


def _changes(made: Made, before: Made) -> Iterator[str]:
    """Yield what is other than before, the most telling first."""
    yield from _variables(_pairs(made.facts), _pairs(before.facts))
    for each in sorted({*made.facts, *before.facts} - {"environment"}):
        if made.facts.get(each) != before.facts.get(each):
            yield f"{_WORDS.get(each, each)} changed"
    for number, (now, then) in enumerate(zip(made.inputs, before.inputs, strict=False)):
        if number and now != then and made.contents.get(str(number)) != before.contents.get(str(number)):
            yield f"files that it reads changed: {_files(made, before) or _named(made, number)}"
    for number, (now, then) in enumerate(zip(made.inputs, before.inputs, strict=False)):
        if now != then and (not number or str(number) not in made.contents):
            yield f"what it is based on changed: {_named(made, number)}"


def _variables(now: Mapping[str, str], then: Mapping[str, str]) -> Iterator[str]:
    for name in sorted({*now, *then}):
        if name not in then:
            yield f"the variable {name} is new"
        elif name not in now:
            yield f"the variable {name} has gone"
        elif now[name] != then[name]:
            yield f"the variable {name} changed from {_cut(repr(then[name]))} to {_cut(repr(now[name]))}"


def _files(now: Made, then: Made) -> str:
    """Return which files are other ones, the first by name."""
    if not now.files or not then.files:
        return ""
    names = [each for each in sorted({*now.files, *then.files}) if now.files.get(each) != then.files.get(each)]
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return f"{names[0]}{more}" if names else ""


def _pairs(facts: Mapping[str, Any]) -> dict[str, str]:
    return {name: value for name, _, value in (each.partition("=") for each in facts.get("environment", ()))}


def _named(made: Made, number: int) -> str:
    return made.sources[number] if number < len(made.sources) else f"input {number}"


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]
