"""What of a config.json a runtime lacks, refused by its fields' names."""

from __future__ import annotations

from moby.errors import Unsupported
from moby_runtime.records.shape import CONFIG

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

__all__ = ["asks", "beyond", "refuse"]


def beyond(data: Mapping[str, Any], where: str, known: frozenset[str]) -> Iterator[str]:
    """Yield the fields of the specification that ask for something and aren't known; others it doesn't know either."""
    shape = CONFIG[where] if where else CONFIG
    for name in sorted(shape.keys() & data.keys() - known):
        if asks(data[name]):
            yield f"{where}.{name}" if where else name


def asks(value: Any) -> bool:
    """Whether a value asks for anything: nothing that is empty all the way down does."""
    if isinstance(value, dict):
        return any(map(asks, value.values()))
    return any(map(asks, value)) if isinstance(value, list) else value not in ("", False)


def refuse(name: str, fields: list[str], why: Mapping[str, str]) -> None:
    """Raise Unsupported for the runtime of a name, where there are fields; `why` says it of some, and of `` else."""
    if fields:
        reason = next((why[each] for each in fields if each in why), why.get("", ""))
        raise Unsupported(
            f"the runtime {name} has no {', '.join(fields)} (config.json){reason and ': '}{reason}",
            hint="leave it out, or choose a runtime that has it",
        )
