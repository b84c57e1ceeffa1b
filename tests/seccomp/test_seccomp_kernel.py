"""The kernel's own verdict: programs of profiles at random say to it what they say to the machine of these tests."""

import errno
import os
import random
from pathlib import Path

import pytest
from seccomp_kernel import (
    KILLED,
    NEEDED,
    TRAPPED,
    expected,
    harmless,
    needs_x86_64,
    outcomes,
    takes_int_80,
    unfiltered,
)
from seccomp_machine import Call, verdict
from seccomp_profiles import arguments, meant, profile

from moby.host import seccomp
from moby.oci.seccomp.architectures import ARCHITECTURES, call_numbers, current
from moby.oci.seccomp.compiler import compiled
from moby.oci.seccomp.default import default_profile
from moby.oci.seccomp.profile import ALLOW

X86_64, X86, X32 = (ARCHITECTURES[name] for name in ("X86_64", "X86", "X32"))
FAMILY = ("X86_64", "X86", "X32")
pytestmark = needs_x86_64


def only_with_i386():
    if not takes_int_80():
        pytest.skip("this kernel runs no programs of i386; no guest of ours does either")


def allowing(*rules, default="ERRNO", architectures=("X86_64", "X86", "X32")):
    """Return a program whose rules come after what the copy itself needs."""
    data = {
        "defaultAction": f"SCMP_ACT_{default}",
        "architectures": [f"SCMP_ARCH_{each}" for each in architectures],
        "syscalls": [{"names": list(NEEDED), "action": "SCMP_ACT_ALLOW"}, *rules],
    }
    return compiled(data, current()).program


def rule(name, action, *args, **more):
    conditions = [{"index": index, "op": f"SCMP_CMP_{operator}", "value": value} for index, operator, value in args]
    return {"names": [name], "action": f"SCMP_ACT_{action}", "args": conditions, **more}


def by(architecture, name, *args):
    number = call_numbers(architecture)[name] if isinstance(name, str) else name
    return Call(number, architecture.token, (*args, *[0] * (6 - len(args))))


def answers(program, *calls):
    return outcomes(program, calls)


def at_random(chance):
    """Return a profile that the copy lives with, and calls that it has something to say about."""
    names = ("getppid", "getuid", "geteuid", "getgid", "getegid", "getpgrp", "sched_yield", "munlockall")
    data = profile(chance, FAMILY, names=names, defaults=("ALLOW", "ERRNO", "LOG", "TRAP", "KILL", "TRACE"))
    keep = {"names": list(NEEDED), "action": "SCMP_ACT_ALLOW"}
    data = {**data, "syscalls": [keep, *data["syscalls"]]}
    calls = []
    for _ in range(24):
        name = chance.choice(FAMILY if takes_int_80() else ("X86_64", "X32"))
        architecture = ARCHITECTURES[name]
        number = chance.choice((*harmless(name), *harmless(name), architecture.base + 480, 0x3FFFFFFF))
        calls.append(Call(number, architecture.token, arguments(chance, architecture, data)))
    return data, calls


def compare(chance):
    """See that kernel, machine and model say the same of some calls; a mistake is told with all that is needed."""
    data, calls = at_random(chance)
    program = compiled(data, X86_64).program
    wanted = [expected(program, each, free) for each, free in zip(calls, unfiltered(calls), strict=True)]
    assert outcomes(program, calls) == wanted, data
    for each in calls:
        assert meant(data, "X86_64", each) == verdict(program, each), (data, each)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(30))
def test_profiles_at_random(seed):
    compare(random.Random(seed))


def test_every_action():
    program = allowing(
        rule("getuid", "ERRNO", errnoRet=123),
        rule("geteuid", "TRAP"),
        rule("getgid", "KILL_PROCESS"),
        rule("getegid", "KILL"),
        rule("getpgrp", "TRACE"),
        rule("getppid", "LOG"),
    )
    names = ("getuid", "geteuid", "getgid", "getegid", "getpgrp", "getppid", "munlockall", "sched_yield", "openat2")
    assert answers(program, *(by(X86_64, name) for name in names)) == [
        -123, TRAPPED, KILLED, KILLED, -errno.ENOSYS, os.getpid(), -errno.EPERM, -errno.EPERM, -errno.ENOSYS,
    ]  # fmt: skip


def test_upper_halves_of_arguments():
    """What a profile allows by a small number isn't allowed to a great one that ends in the same bits."""
    program = allowing(rule("getppid", "ALLOW", (0, "EQ", 5)), rule("getpgrp", "ALLOW", (3, "LT", 1 << 33)))
    found = answers(
        program,
        by(X86_64, "getppid", 5),
        by(X86_64, "getppid", 1 << 32 | 5),
        by(X86_64, "getppid", 1 << 63 | 5),
        by(X86_64, "getpgrp", 0, 0, 0, (1 << 33) - 1),
        by(X86_64, "getpgrp", 0, 0, 0, 1 << 33),
    )
    assert found == [os.getpid(), -errno.EPERM, -errno.EPERM, os.getpgrp(), -errno.EPERM]


def test_x32_is_no_way_around():
    """A call refused to x86_64 isn't made by the number that x32 has for it; without x32 in the profile that kills."""
    asked = [by(X32, "getppid"), by(X32, 0x40000000 | 600)]
    assert answers(allowing(rule("getuid", "ALLOW")), *asked) == [-errno.EPERM, -errno.ENOSYS]
    assert answers(allowing(rule("getppid", "ALLOW"), architectures=["X86_64"]), *asked) == [KILLED, KILLED]
    assert answers(allowing(default="ALLOW", architectures=[]), *asked) == [KILLED, KILLED]


def test_i386_is_no_way_around():
    """By int 0x80, 110 is another call than by syscall; without i386 in the profile it kills."""
    only_with_i386()
    number = call_numbers(X86_64)["getppid"]
    program = allowing(rule("getppid", "ALLOW"))
    assert answers(program, by(X86_64, number), by(X86, "getppid")) == [os.getpid(), os.getpid()]
    assert answers(program, by(X86, number)) == [-errno.EPERM]
    asked = [by(X86, "getppid"), by(X86, "munlockall")]
    assert answers(allowing(default="ALLOW", architectures=["X86_64"]), *asked) == [KILLED, KILLED]


def test_clone3_is_not_there_and_clone_makes_no_namespaces():
    """Its flags are in memory, which no filter reads: programs must take clone(2), whose flags are seen."""
    data = default_profile(X86_64, ["CAP_CHOWN"], (6, 12))
    program = compiled(data, X86_64).program
    new_user, both = 0x10000000, 0x30000000
    found = answers(
        program,
        by(X86_64, "clone3"),
        by(X86_64, "clone", new_user),
        by(X86_64, "clone", 1 << 32 | both),
        by(X86_64, "unshare", new_user),
        by(X86 if takes_int_80() else X32, "clone", new_user),
        by(X32, "clone", new_user),
        by(X86_64, "mount"),
        by(X86_64, "keyctl"),
        by(X86_64, "socket", 40, 1, 0),
        by(X86_64, "socket", 38, 5, 0),
        by(X86_64, 470),
    )
    assert found == [-errno.ENOSYS, *[-errno.EPERM] * 9, -errno.ENOSYS]


def test_the_default_profile_lets_ordinary_calls_through():
    program = compiled(default_profile(X86_64, [], (6, 12)), X86_64).program
    asked = [
        by(each, name)
        for each in (X86_64, X86)[: 1 + takes_int_80()]
        for name in ("getppid", "getuid", "getpgrp", "sched_yield")
    ]
    assert answers(program, *asked) == unfiltered(asked)


def test_a_program_of_the_greatest_length():
    many = [rule("getppid", "ALLOW", (0, "EQ", value << 32 | value)) for value in range(1, 1000)]
    program = allowing(*many, architectures=["X86_64"])
    assert 3900 < len(program) // 8 <= 4096
    asked = [by(X86_64, "getppid", value << 32 | value) for value in (1, 999, 1000)]
    assert answers(program, *asked) == [os.getpid(), os.getpid(), -errno.EPERM]


@pytest.mark.parametrize("flags", [(), *((each,) for each in seccomp.FLAGS), tuple(seccomp.FLAGS)])
def test_flags(flags):
    program = allowing(rule("getppid", "ALLOW"))
    assert outcomes(program, [by(X86_64, "getuid")], flags=flags) == [-errno.EPERM]


def test_what_the_kernel_knows():
    listed = Path("/proc/sys/kernel/seccomp/actions_avail").read_text(encoding="ascii").upper().split()
    assert seccomp.actions() == {"NOTIFY" if each == "USER_NOTIF" else each for each in listed}
    assert {"LOG", "SPEC_ALLOW", "TSYNC"} <= seccomp.flags() <= set(seccomp.FLAGS)


def test_a_program_that_the_kernel_refuses():
    with pytest.raises(OSError, match="Invalid argument"):
        seccomp.install(b"\0" * 8)
    assert verdict(allowing(default="ALLOW"), by(X86_64, "getppid")) == ALLOW
