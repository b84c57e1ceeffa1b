"""What else a bundle may say of its processes: scheduler, I/O priority, memory policy, personality, processors."""

from __future__ import annotations

from moby.errors import Problem
from moby.host import scheduling
from moby.values import frozen
from moby_runtime.records.failures import doing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

__all__ = ["Traits", "numbers_of", "problems", "traits_of"]

_MOST_NUMBERS = 65536
_INT32 = range(-(2**31), 2**31)
_UINT64 = range(2**64)


@frozen
class Traits:
    """What is set of a process by itself, before it becomes its user."""

    process: Mapping[str, Any]
    """`scheduler` and `ioPriority` of `process`."""
    linux: Mapping[str, Any]
    """`personality` and `memoryPolicy` of `linux`, which further programs have too."""

    def apply(self) -> None:
        """Set them; Failed names the field."""
        for name, data in {**self.process, **self.linux}.items():
            path, apply = _APPLIED[name]
            with doing(f"set the {path.rpartition('.')[2]}", path):
                apply(data)


def traits_of(process: Mapping[str, Any], linux: Mapping[str, Any]) -> Traits | None:
    """Return what there is of them in `process` and `linux` of config.json; None where there is nothing."""
    found = Traits(
        {name: process[name] for name in ("scheduler", "ioPriority") if process.get(name)},
        {name: linux[name] for name in ("personality", "memoryPolicy") if linux.get(name)},
    )
    return found if found.process or found.linux else None


def numbers_of(text: str) -> frozenset[int]:
    """Read a list such as `0-3,7`; ValueError where it is none."""
    found: set[int] = set()
    for part in text.replace(" ", "").split(","):
        if not part:
            continue
        first, _, last = part.partition("-")
        low, high = int(first), int(last or first)
        if not 0 <= low <= high < _MOST_NUMBERS:
            raise ValueError(text)
        found.update(range(low, high + 1))
    return frozenset(found)


def _set_scheduler(data: Mapping[str, Any]) -> None:
    scheduling.set_scheduler(
        scheduling.POLICIES[data["policy"]],
        flags=sum(scheduling.POLICY_FLAGS[name] for name in set(data.get("flags", ()))),
        nice=data.get("nice", 0),
        priority=data.get("priority", 0),
        runtime_ns=data.get("runtime", 0),
        deadline_ns=data.get("deadline", 0),
        period_ns=data.get("period", 0),
    )


def _set_io_priority(data: Mapping[str, Any]) -> None:
    scheduling.set_io_priority(scheduling.IO_CLASSES[data["class"]], data.get("priority", 0))


def _set_personality(data: Mapping[str, Any]) -> None:
    scheduling.set_personality(scheduling.PERSONALITIES[data["domain"]])


def _set_memory_policy(data: Mapping[str, Any]) -> None:
    mode = scheduling.MEMORY_MODES[data["mode"]]
    flags = sum(scheduling.MEMORY_FLAGS[name] for name in set(data.get("flags", ())))
    scheduling.set_memory_policy(mode | flags, numbers_of(data.get("nodes", "")))


_APPLIED = {
    "scheduler": ("process.scheduler", _set_scheduler),
    "ioPriority": ("process.ioPriority", _set_io_priority),
    "personality": ("linux.personality", _set_personality),
    "memoryPolicy": ("linux.memoryPolicy", _set_memory_policy),
}


def problems(process: Mapping[str, Any], linux: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield what is wrong with them."""
    if process.get("scheduler"):
        yield from _scheduler_problems(process["scheduler"])
    if process.get("ioPriority"):
        data = process["ioPriority"]
        yield from _named("process.ioPriority.class", data.get("class"), scheduling.IO_CLASSES)
        if not 0 <= data.get("priority", 0) <= 7:
            yield _wrong("process.ioPriority.priority", f"is {data['priority']}; it goes from 0 to 7")
    for name in ("initial", "final"):
        yield from _list_problems(f"process.execCPUAffinity.{name}", process.get("execCPUAffinity", {}).get(name, ""))
    if linux.get("personality"):
        data = linux["personality"]
        yield from _named("linux.personality.domain", data.get("domain"), scheduling.PERSONALITIES)
        if data.get("flags"):
            yield _wrong("linux.personality.flags", "must be empty: the specification has none yet")
    if linux.get("memoryPolicy"):
        data = linux["memoryPolicy"]
        yield from _named("linux.memoryPolicy.mode", data.get("mode"), scheduling.MEMORY_MODES)
        for index, flag in enumerate(data.get("flags", ())):
            yield from _named(f"linux.memoryPolicy.flags[{index}]", flag, scheduling.MEMORY_FLAGS)
        yield from _list_problems("linux.memoryPolicy.nodes", data.get("nodes", ""))


def _scheduler_problems(data: Mapping[str, Any]) -> Iterator[Problem]:
    yield from _named("process.scheduler.policy", data.get("policy"), scheduling.POLICIES)
    for index, flag in enumerate(data.get("flags", ())):
        yield from _named(f"process.scheduler.flags[{index}]", flag, scheduling.POLICY_FLAGS)
    for name in ("nice", "priority"):
        if data.get(name, 0) not in _INT32:
            yield _wrong(f"process.scheduler.{name}", "is out of range")
    for name in ("runtime", "deadline", "period"):
        if data.get(name, 0) not in _UINT64:
            yield _wrong(f"process.scheduler.{name}", "is out of range")


def _list_problems(path: str, text: str) -> Iterator[Problem]:
    try:
        numbers_of(text)
    except ValueError:
        yield _wrong(path, f"is {text!r}, and no list of numbers such as 0-3,7")


def _named(path: str, value: Any, known: Mapping[str, int]) -> Iterator[Problem]:
    if value not in known:
        yield _wrong(path, f"is {value!r}; there are {', '.join(known)}")


def _wrong(path: str, message: str) -> Problem:
    return Problem(f"config.json: {path} {message}")
