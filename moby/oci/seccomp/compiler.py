"""Compiles a profile to the program that the kernel runs at every system call (seccomp(2)).

Calls are looked up by binary search over ranges of numbers that share a fate. Several rules for one call: the first
one without conditions wins over all others, else the first one whose conditions hold. Rules that come to the default
action say nothing. Names that an architecture hasn't are passed over. Arguments are compared as 64 bits, and on
architectures of 32 by their lower half. All that is as runc and libseccomp have it, and so is what follows.

A call that is newer than every one that the profile knows gets ENOSYS instead of the default action, unless that may
let calls through: programs then fall back to older calls, where EPERM would make them fail. Calls by an architecture
that isn't in the profile kill.
"""

from __future__ import annotations

import errno
import marshal

from moby.errors import Invalid, Problem
from moby.oci.seccomp.architectures import IPC, SOCKETCALL, X32_BIT, Architecture, call_numbers
from moby.oci.seccomp.bpf import AT_LEAST, EQUAL, GREATER, MOST, Code, Target, returning
from moby.oci.seccomp.filter import STARTING, Filter
from moby.oci.seccomp.profile import ALLOW, ERRNO, KILL_THREAD, LOG, NOTIFY, TRACE, Condition, Profile, Rule, read
from moby.values import frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

    _Case = tuple[tuple[Condition, ...], int]
    """What happens to a call where all conditions hold."""
    _Cases = tuple[_Case, ...]

__all__ = ["compiled"]

_NUMBER, _TOKEN, _ARGUMENTS = 0, 4, 16
"""Offsets in `seccomp_data`."""
_ENOSYS = ERRNO | errno.ENOSYS
_KIND = 0xFFFF0000
"""The part of an action that isn't its data."""
_PERMISSIVE = (ALLOW, LOG, TRACE, NOTIFY)
"""Actions that may let a call through; tracers and listeners know themselves what they can't serve."""
_LOW = 0xFFFFFFFF
_TAKEN_BACK = _LOW
_PRIVATE_CALLS = 0xF0000
"""From here on ARM has its own; they are no sign of how new a kernel is meant."""
_NEVER = 1 << 32
"""Past all numbers."""


_compiled: dict[tuple[bytes, str], Filter] = {}
_KEPT = 64


def compiled(data: Any, native: Architecture) -> Filter:
    """Return the filter of a `linux.seccomp` on a machine, which is kept by content; Invalid names the fields."""
    try:
        key = (marshal.dumps(data, 2), native.name)
    except ValueError:  # nothing that JSON has
        return _compile(read(data), native)
    found = _compiled.get(key)
    if found is None:
        if len(_compiled) >= _KEPT:
            _compiled.clear()
        found = _compiled[key] = _compile(read(data), native)
    return found


def _compile(profile: Profile, native: Architecture) -> Filter:
    architectures = dict.fromkeys((native, *profile.architectures))
    for index, each in enumerate(profile.architectures):
        if each.little != native.little:
            raise _invalid(
                f"linux.seccomp.architectures[{index}]",
                f"is SCMP_ARCH_{each.name}, of another byte order than this machine",
            )
    code = Code()
    entry = returning(KILL_THREAD)
    by_token: dict[int, list[tuple[Architecture, _Fates]]] = {}
    for each in architectures:
        by_token.setdefault(each.token, []).append((each, _fates(each, profile)))
    for token, group in reversed(by_token.items()):
        entry = code.branch(EQUAL, token, _section(code, group, profile.default), entry)
    program = code.end(code.load(_TOKEN, entry), little=native.little)
    if len(program) > MOST * 8:
        raise _invalid(
            "linux.seccomp.syscalls", f"need {len(program) // 8} instructions of BPF, and the kernel takes {MOST}"
        )
    return Filter(
        program,
        profile.flags,
        profile.notifies,
        profile.listener_path,
        profile.listener_metadata,
        frozenset(_refused(native, by_token[native.token][0][1], profile.default)),
    )


def _refused(native: Architecture, fates: _Fates, default: int) -> Iterator[str]:
    """Yield which of STARTING a profile never lets through."""
    for name in STARTING:
        number = call_numbers(native)[name]
        actions = [fates.always.get(number, default)]
        if number not in fates.always:
            actions += [action for _, action in fates.sometimes.get(number, ())]
        if not any(action & _KIND in _PERMISSIVE for action in actions):
            yield name


def _invalid(path: str, message: str) -> Invalid:
    problem = Problem(f"config.json: {path} {message}")
    return Invalid(problem.message, problems=(problem,))


def _section(code: Code, group: Sequence[tuple[Architecture, _Fates]], default: int) -> Target:
    """Write what is done with the calls of architectures that share a token, which are x86_64 and x32 at most."""
    targets = {each.base == X32_BIT: _search(code, each, fates, default) for each, fates in group}
    entry = targets.get(False, returning(KILL_THREAD))
    if any(each.table in ("X86_64", "X32") for each, _ in group):
        # The number -1 is a call that a debugger takes back, which no architecture has.
        other = targets.get(True)
        if other is None:
            other = code.branch(EQUAL, _TAKEN_BACK, returning(default), returning(KILL_THREAD))
        entry = code.branch(AT_LEAST, X32_BIT, other, entry)
    return code.load(_NUMBER, entry)


def _search(code: Code, architecture: Architecture, fates: _Fates, default: int) -> Target:
    """Write a binary search over the numbers of an architecture."""
    starts, targets = _ranges(code, architecture, fates, default)

    def between(low: int, high: int) -> Target:
        if high - low == 1:
            return targets[low]
        if high - low == 3 and targets[low] == targets[low + 2] and starts[low + 2] - starts[low + 1] == 1:
            return code.branch(EQUAL, starts[low + 1], targets[low + 1], targets[low])
        middle = (low + high) // 2
        above = between(middle, high)
        return code.branch(AT_LEAST, starts[middle], above, between(low, middle))

    return between(0, len(targets))


def _ranges(code: Code, architecture: Architecture, fates: _Fates, default: int) -> tuple[list[int], list[Target]]:
    """Return where ranges of numbers start, from 0 up, and where to go on for the calls in them."""
    refuses = fates.newest >= 0 and default & _KIND not in _PERMISSIVE
    after = fates.newest + 1 if refuses else _NEVER
    points = _points(code, architecture, fates, default)
    if refuses and architecture.table in ("S390", "S390X"):
        # A number that the kernel of s390 doesn't know comes as the one of setup(2), which is long gone.
        points[0] = returning(_ENOSYS)
    otherwise, newer = returning(default), returning(_ENOSYS)
    starts, targets = list[int](), list[Target]()

    def add(start: int, target: Target) -> None:
        if not targets or target != targets[-1]:
            starts.append(start)
            targets.append(target)

    following = 0
    for number in sorted(points):
        if number > following:
            if following < after:
                add(following, otherwise)
            if after < number:
                add(max(after, following), newer)
        add(number, points[number])
        following = number + 1
    if following < after:
        add(following, otherwise)
    if after < _NEVER:
        add(max(after, following), newer)
    return starts, targets


def _points(code: Code, architecture: Architecture, fates: _Fates, default: int) -> dict[int, Target]:
    """Return where to go on for the calls that a profile has rules for."""
    written: dict[_Cases, Target] = {}
    points: dict[int, Target] = {}
    for number, found in fates.sometimes.items():
        if number not in fates.always:
            cases = tuple(found)
            if cases not in written:
                written[cases] = _decision(code, architecture, cases, default)
            points[number] = written[cases]
    for number, action in fates.always.items():
        points[number] = returning(action)
    return points


@frozen
class _Fates:
    """What happens to the calls that a profile has rules for, by number."""

    always: Mapping[int, int]
    """Actions without conditions, which win over all others."""
    sometimes: Mapping[int, Sequence[_Case]]
    newest: int
    """The greatest number that the profile names, or -1."""


def _fates(architecture: Architecture, profile: Profile) -> _Fates:
    numbers = call_numbers(architecture)
    newest = -1
    always: dict[int, int] = {}
    sometimes: dict[int, list[_Case]] = {}
    for rule in profile.rules:
        found = [number for number in map(numbers.get, rule.names) if number is not None]
        newest = max(newest, _newest(found, architecture.base + _PRIVATE_CALLS))
        if rule.action == profile.default:
            continue
        if rule.conditions:
            for number in found:
                sometimes.setdefault(number, []).append((rule.conditions, rule.action))
        else:
            for number in found:
                always.setdefault(number, rule.action)
        if architecture.multiplexed:
            for name, calls in (("socketcall", SOCKETCALL), ("ipc", IPC)):
                if name in numbers and calls.keys() & set(rule.names):
                    sometimes.setdefault(numbers[name], []).extend(_multiplexed(rule, calls))
    return _Fates(always, sometimes, newest)


def _newest(numbers: Sequence[int], private: int) -> int:
    """Return the greatest number that isn't an architecture's own, or -1."""
    greatest = max(numbers, default=-1)
    return greatest if greatest < private else max((each for each in numbers if each < private), default=-1)


def _multiplexed(rule: Rule, calls: Mapping[str, int]) -> Iterator[_Case]:
    """Yield what a rule says of calls that are also made by way of socketcall(2) or ipc(2).

    Their first argument says which; the other one is an address, whose memory no filter can read, so conditions on the
    first argument are lost.
    """
    others = tuple(each for each in rule.conditions if each.index)
    for name in sorted(calls.keys() & set(rule.names)):
        yield (Condition(0, "EQ", calls[name]), *others), rule.action


def _decision(code: Code, architecture: Architecture, cases: _Cases, default: int) -> Target:
    """Write the tests of a call's arguments."""
    entry = returning(default)
    for conditions, action in reversed(cases):
        entry = _all(code, architecture, conditions, returning(action), entry)
    return entry


def _all(
    code: Code, architecture: Architecture, conditions: tuple[Condition, ...], yes: Target, no: Target
) -> Target:  # fmt: skip
    for each in reversed(conditions):
        yes = _test(code, architecture, each, yes, no)
    return yes


_OPPOSITES = {"NE": "EQ", "LT": "GE", "LE": "GT"}


def _test(code: Code, architecture: Architecture, condition: Condition, yes: Target, no: Target) -> Target:
    """Write one condition: by the upper half of the argument, where there is one, and then by the lower."""
    operator = condition.operator
    if operator in _OPPOSITES:
        operator, yes, no = _OPPOSITES[operator], no, yes
    low = _ARGUMENTS + 8 * condition.index + (0 if architecture.little else 4)
    high = low + (4 if architecture.little else -4)
    value, upper = condition.value & _LOW, condition.value >> 32
    if operator == "MASKED_EQ":
        wanted = condition.second
        target = _masked(code, low, value, wanted & _LOW, yes, no)
        return target if architecture.narrow else _masked(code, high, upper, wanted >> 32, target, no)
    target = code.load(low, code.branch({"EQ": EQUAL, "GT": GREATER, "GE": AT_LEAST}[operator], value, yes, no))
    if architecture.narrow:
        return target
    target = code.branch(EQUAL, upper, target, no)
    return code.load(high, target if operator == "EQ" else code.branch(GREATER, upper, yes, target))


def _masked(code: Code, offset: int, bits: int, wanted: int, yes: Target, no: Target) -> Target:
    """Write the comparison of some bits of one half; those that aren't compared can't be wanted."""
    wanted &= bits
    if not bits:
        return yes
    target = code.branch(EQUAL, wanted, yes, no)
    return code.load(offset, target if bits == _LOW else code.mask(bits, target))
