"""A `linux.seccomp` of config.json as values (config-linux.md, seccomp)."""

from __future__ import annotations

from moby.errors import Invalid, Problem
from moby.oci.seccomp.architectures import ARCHITECTURES, Architecture
from moby.values import frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

__all__ = ["ACTIONS", "FLAGS", "OPERATORS", "Condition", "Profile", "Rule", "read"]

KILL_THREAD, KILL_PROCESS, ALLOW, LOG = 0x00000000, 0x80000000, 0x7FFF0000, 0x7FFC0000
TRAP, ERRNO, NOTIFY, TRACE = 0x00030000, 0x00050000, 0x7FC00000, 0x7FF00000
ACTIONS = {
    "SCMP_ACT_KILL": KILL_THREAD,
    "SCMP_ACT_KILL_THREAD": KILL_THREAD,
    "SCMP_ACT_KILL_PROCESS": KILL_PROCESS,
    "SCMP_ACT_TRAP": TRAP,
    "SCMP_ACT_ERRNO": ERRNO,
    "SCMP_ACT_NOTIFY": NOTIFY,
    "SCMP_ACT_TRACE": TRACE,
    "SCMP_ACT_LOG": LOG,
    "SCMP_ACT_ALLOW": ALLOW,
}
"""What the kernel takes for them (seccomp.h, SECCOMP_RET_*), without their data."""
_WITH_DATA = {ERRNO: 4095, TRACE: 0xFFFF}
"""Actions that carry a number, and the greatest one."""
_EPERM = 1
OPERATORS = ("NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ")
_OPERATORS = {f"SCMP_CMP_{name}": name for name in OPERATORS}
FLAGS = ("TSYNC", "LOG", "SPEC_ALLOW", "WAIT_KILLABLE_RECV")
_FLAGS = {f"SECCOMP_FILTER_FLAG_{name}": name for name in FLAGS}
_ARCHITECTURES = {f"SCMP_ARCH_{name}": each for name, each in ARCHITECTURES.items()}
_MOST_ARGUMENTS = 6


@frozen
class Condition:
    """What an argument of a call must be; `MASKED_EQ` compares those bits that are set in `value` with `second`."""

    index: int
    operator: str
    value: int
    second: int = 0


@frozen
class Rule:
    """What happens to some calls, where all conditions hold."""

    names: tuple[str, ...]
    action: int
    conditions: tuple[Condition, ...] = ()


@frozen
class Profile:
    """What happens to every call."""

    default: int
    rules: tuple[Rule, ...] = ()
    architectures: tuple[Architecture, ...] = ()
    flags: tuple[str, ...] | None = None
    """Without SECCOMP_FILTER_FLAG_; None where the profile says nothing of flags."""
    listener_path: str = ""
    listener_metadata: str = ""

    @property
    def notifies(self) -> bool:
        """Whether some calls are another process's to decide."""
        return NOTIFY in (self.default, *(rule.action for rule in self.rules))


def read(data: Any) -> Profile:
    """Read a profile; Invalid with every problem, by the path of its field."""
    problems: list[Problem] = []
    found = _profile(data, problems)
    if problems or found is None:
        raise Invalid("; ".join(each.message for each in problems), problems=tuple(problems))
    return found


def _profile(data: Any, problems: list[Problem]) -> Profile | None:
    path = "linux.seccomp"
    if not _object(data, path, problems):
        return None
    if data.get("defaultAction") is None:
        problems.append(_wrong(f"{path}.defaultAction", "is missing"))
    default = _action(data, "defaultAction", "defaultErrnoRet", path, problems)
    rules = tuple(
        rule
        for index, each in enumerate(_list(data, "syscalls", path, problems))
        for rule in _rules(each, f"{path}.syscalls[{index}]", problems)
    )
    found = Profile(
        default,
        rules,
        _known(data, "architectures", _ARCHITECTURES, path, problems),
        _known(data, "flags", _FLAGS, path, problems) if data.get("flags") is not None else None,
        _text(data, "listenerPath", path, problems),
        _text(data, "listenerMetadata", path, problems),
    )
    if found.notifies and not found.listener_path:
        problems.append(_wrong(f"{path}.listenerPath", "is missing, which SCMP_ACT_NOTIFY needs"))
    if found.listener_metadata and not found.listener_path:
        problems.append(_wrong(f"{path}.listenerMetadata", "is set, but listenerPath isn't"))
    return found


def _rules(data: Any, path: str, problems: list[Problem]) -> Iterator[Rule]:
    """Yield the rules of an entry: one, or, where conditions share an argument, one for each, as others have it."""
    if not _object(data, path, problems):
        return
    names = _list(data, "names", path, problems)
    if data.get("names") in (None, []):
        problems.append(_wrong(f"{path}.names", "is missing"))
    for index, name in enumerate(names):
        if not isinstance(name, str) or not name:
            problems.append(_wrong(f"{path}.names[{index}]", f"must be the name of a system call, not {name!r}"))
            return
    if data.get("action") is None:
        problems.append(_wrong(f"{path}.action", "is missing"))
    action = _action(data, "action", "errnoRet", path, problems)
    conditions = []
    for index, each in enumerate(_list(data, "args", path, problems)):
        condition = _condition(each, f"{path}.args[{index}]", problems)
        if condition is not None:
            conditions.append(condition)
    if len({each.index for each in conditions}) < len(conditions):
        for each in conditions:
            yield Rule(tuple(names), action, (each,))
    else:
        yield Rule(tuple(names), action, tuple(conditions))


def _condition(data: Any, path: str, problems: list[Problem]) -> Condition | None:
    before = len(problems)
    if not _object(data, path, problems):
        return None
    numbers = {}
    for name, most, needed in (
        ("index", _MOST_ARGUMENTS - 1, True),
        ("value", 2**64 - 1, True),
        ("valueTwo", 2**64 - 1, False),
    ):
        value = data.get(name)
        if value is None and not needed:
            value = 0
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
            problems.append(_wrong(f"{path}.{name}", f"must be a number from 0 to {most}, not {value!r}"))
            value = 0
        numbers[name] = value
    operator = data.get("op")
    if not isinstance(operator, str) or operator not in _OPERATORS:
        problems.append(_wrong(f"{path}.op", f"is {operator!r}; there are {', '.join(_OPERATORS)}"))
    if len(problems) > before:
        return None
    return Condition(numbers["index"], _OPERATORS[operator], numbers["value"], numbers["valueTwo"])


def _action(data: Mapping[str, Any], name: str, number: str, path: str, problems: list[Problem]) -> int:
    action = data.get(name)
    if action is None:
        return ALLOW
    if not isinstance(action, str) or action not in ACTIONS:
        problems.append(_wrong(f"{path}.{name}", f"is {action!r}; there are {', '.join(ACTIONS)}"))
        return ALLOW
    value = data.get(number)
    most = _WITH_DATA.get(ACTIONS[action])
    if value is None:
        return ACTIONS[action] | (0 if most is None else _EPERM)
    if most is None:
        problems.append(_wrong(f"{path}.{number}", f"is set, but {action} returns no number"))
        return ALLOW
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
        problems.append(_wrong(f"{path}.{number}", f"must be a number from 0 to {most}, not {value!r}"))
        return ALLOW
    return ACTIONS[action] | value


def _known(
    data: Mapping[str, Any], name: str, known: Mapping[str, Any], path: str, problems: list[Problem]
) -> tuple[Any, ...]:
    found = []
    for index, each in enumerate(_list(data, name, path, problems)):
        if not isinstance(each, str) or each not in known:
            problems.append(_wrong(f"{path}.{name}[{index}]", f"is {each!r}; there are {', '.join(known)}"))
        else:
            found.append(known[each])
    return tuple(found)


def _list(data: Mapping[str, Any], name: str, path: str, problems: list[Problem]) -> list[Any]:
    found = data.get(name)
    if found is None:
        return []
    if not isinstance(found, list):
        problems.append(_wrong(f"{path}.{name}", f"must be an array, not {found!r}"))
        return []
    return found


def _text(data: Mapping[str, Any], name: str, path: str, problems: list[Problem]) -> str:
    found = data.get(name)
    if found is None:
        return ""
    if not isinstance(found, str) or "\0" in found:
        problems.append(_wrong(f"{path}.{name}", f"must be a string without a zero byte, not {found!r}"))
        return ""
    return found


def _object(data: Any, path: str, problems: list[Problem]) -> bool:
    if isinstance(data, dict):
        return True
    problems.append(_wrong(path, f"must be an object, not {data!r}"))
    return False


def _wrong(path: str, message: str) -> Problem:
    return Problem(f"config.json: {path} {message}")
