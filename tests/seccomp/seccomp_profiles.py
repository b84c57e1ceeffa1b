"""Profiles and calls at random, and what a profile says of a call in plain words: the model of the compiler."""

import errno
import random
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from seccomp_machine import Call

from moby.oci.seccomp.architectures import ARCHITECTURES, IPC, SOCKETCALL, Architecture, call_numbers
from moby.oci.seccomp.profile import ALLOW, ERRNO, KILL_THREAD, LOG, NOTIFY, TRACE, Condition, Profile, read

FAMILIES = (
    ("X86_64", "X86", "X32"), ("AARCH64", "ARM"), ("S390X", "S390"), ("MIPS64", "MIPS", "MIPS64N32"),
    ("MIPSEL64", "MIPSEL", "MIPSEL64N32"), ("PPC64LE",), ("PPC64", "PPC"), ("RISCV64",), ("LOONGARCH64",), ("M68K",),
    ("SH",), ("PARISC64", "PARISC"),
)  # fmt: skip
"""Architectures that one machine runs; the first is its own."""
ACTIONS = ("ALLOW", "ERRNO", "KILL", "KILL_THREAD", "KILL_PROCESS", "TRAP", "TRACE", "LOG", "NOTIFY")
OPERATORS = ("NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ")
EDGES = (
    0, 1, 2, 0xFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF, 1 << 32, (1 << 32) + 1, 0xFFFFFFFF << 32, 1 << 63,
    (1 << 64) - 1, 0x7E020000,
)  # fmt: skip
COMMON = ("socket", "bind", "semop", "msgget", "clone", "personality", "read", "write", "no_such_call")


def value(chance: random.Random) -> int:
    return chance.choice(EDGES) if chance.random() < 0.8 else chance.getrandbits(64)


def condition(chance: random.Random, operators: Sequence[str] = OPERATORS) -> dict[str, Any]:
    found = {"index": chance.randrange(6), "value": value(chance), "op": f"SCMP_CMP_{chance.choice(operators)}"}
    return {**found, "valueTwo": value(chance)} if chance.random() < 0.7 else found


def profile(
    chance: random.Random,
    family: Sequence[str],
    *,
    names: Iterable[str] = (),
    actions: Sequence[str] = ACTIONS,
    defaults: Sequence[str] = ACTIONS,
    most_rules: int = 8,
) -> dict[str, Any]:
    """Return a profile for a machine of the family's first architecture."""
    pool = sorted(names) or [
        *COMMON,
        *(chance.choice(list(call_numbers(ARCHITECTURES[each]))) for each in family for _ in range(3)),
    ]
    rules = []
    for _ in range(chance.randint(0, most_rules)):
        rule: dict[str, Any] = {
            "names": chance.sample(pool, chance.randint(1, min(3, len(pool)))),
            "action": f"SCMP_ACT_{chance.choice(actions)}",
        }
        if chance.random() < 0.6:
            rule["args"] = [condition(chance) for _ in range(chance.randint(1, 3))]
        if rule["action"] in ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE") and chance.random() < 0.6:
            rule["errnoRet"] = chance.choice((0, 1, 38, 99, 4095))
        rules.append(rule)
    return {
        "defaultAction": f"SCMP_ACT_{chance.choice(defaults)}",
        "architectures": [f"SCMP_ARCH_{each}" for each in family if chance.random() < 0.7],
        "listenerPath": "/run/agent.sock",
        "syscalls": rules,
    }


def call(chance: random.Random, family: Sequence[str], data: Mapping[str, Any], numbers: Sequence[int] = ()) -> Call:
    """Return a call that a profile may have something to say about."""
    architecture = ARCHITECTURES[chance.choice(family)]
    table = call_numbers(architecture)
    named = [table[name] for rule in data["syscalls"] for name in rule["names"] if name in table]
    others = (0, architecture.base, architecture.base + 470, 0x40000000, 0x40000001, 0x7FFFFFFF, 0xFFFFFFFF)
    number = chance.choice(numbers or named or others) if chance.random() < 0.85 else chance.choice(others)
    if not numbers and chance.random() < 0.1:
        number = max(0, number + chance.choice((-1, 1)))
    return Call(number & 0xFFFFFFFF, architecture.token, arguments(chance, architecture, data))


def arguments(chance: random.Random, architecture: Architecture, data: Mapping[str, Any]) -> list[int]:
    """Return arguments on the edges of a profile's conditions; only x32 may have what its programs don't see."""
    found = [each for rule in data["syscalls"] for arg in rule.get("args", ()) for each in _edges(arg)]
    drawn = [(chance.choice((*found, *EDGES)) + chance.choice((0, 0, 0, 1, -1))) % 2**64 for _ in range(6)]
    wide = not architecture.narrow or architecture.name == "X32"
    return drawn if wide else [each & 0xFFFFFFFF for each in drawn]


def _edges(arg: Mapping[str, Any]) -> tuple[int, ...]:
    return (arg["value"], arg.get("valueTwo", 0), arg["value"] & arg.get("valueTwo", 0))


def holds(condition: Condition, arguments: Sequence[int], *, narrow: bool) -> bool:
    mask = 0xFFFFFFFF if narrow else 0xFFFFFFFFFFFFFFFF
    found, wanted = arguments[condition.index] & mask, condition.value & mask
    return {
        "NE": found != wanted,
        "LT": found < wanted,
        "LE": found <= wanted,
        "EQ": found == wanted,
        "GE": found >= wanted,
        "GT": found > wanted,
        "MASKED_EQ": found & wanted == condition.second & wanted,
    }[condition.operator]


def meant(data: Mapping[str, Any], native: str, call: Call) -> int:
    """Return what a profile says of a call."""
    found = read(data)
    architecture = _architecture(found, native, call)
    if architecture is None:
        return found.default if call.number == 0xFFFFFFFF and call.token == 0xC000003E else KILL_THREAD
    numbers = call_numbers(architecture)
    known = {numbers[name] for rule in found.rules for name in rule.names if name in numbers}
    known = {number for number in known if number - architecture.base < 0xF0000}
    refuses = found.default & 0xFFFF0000 not in (ALLOW, LOG, TRACE, NOTIFY)
    if refuses and known and architecture.name in ("S390", "S390X") and call.number == 0:
        return ERRNO | errno.ENOSYS
    verdicts = list(_verdicts(found, architecture, call))
    unconditional = [action for action, sure in verdicts if sure]
    if unconditional or verdicts:
        return (unconditional or [verdicts[0][0]])[0]
    # An architecture's own calls are no sign of how new a profile is, but one with a rule is known all the same.
    ruled = {numbers.get(name) for rule in found.rules if rule.action != found.default for name in rule.names}
    if refuses and known and call.number > max(known) and call.number not in ruled:
        return ERRNO | errno.ENOSYS
    return found.default


def _architecture(found: Profile, native: str, call: Call) -> Architecture | None:
    present = {native, *(each.name for each in found.architectures)}
    for each in sorted(present):
        wide = ARCHITECTURES[each]
        if wide.token != call.token:
            continue
        if each in ("X86_64", "X32") and (call.number >= 0x40000000) != (each == "X32"):
            continue
        return wide
    return None


def _verdicts(found: Profile, architecture: Architecture, call: Call) -> Iterable[tuple[int, bool]]:
    """Yield the actions of the rules that hold, and whether they have no conditions."""
    numbers = call_numbers(architecture)
    for rule in found.rules:
        if rule.action == found.default:
            continue
        for name in rule.names:
            if numbers.get(name) == call.number and all(
                holds(each, call.arguments, narrow=architecture.narrow) for each in rule.conditions
            ):
                yield rule.action, not rule.conditions
        if not architecture.multiplexed:
            continue
        for names, multiplexer in ((SOCKETCALL, "socketcall"), (IPC, "ipc")):
            if numbers.get(multiplexer) != call.number:
                continue
            for name in rule.names:
                which = Condition(0, "EQ", names.get(name, -1) % 2**64)
                conditions = (which, *(each for each in rule.conditions if each.index))
                if name in names and all(
                    holds(each, call.arguments, narrow=architecture.narrow) for each in conditions
                ):
                    yield rule.action, False
