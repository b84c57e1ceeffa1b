"""The compiler: its programs say what the profile says, are such as the kernel takes, and are short."""

import json
import random

import pytest
import seccomp_machine as machine
from hypothesis import given, settings
from hypothesis import strategies as st
from seccomp_machine import Call
from seccomp_profiles import FAMILIES, call, meant, profile

from moby.errors import Invalid
from moby.oci.seccomp import compiler
from moby.oci.seccomp.architectures import ARCHITECTURES, call_numbers
from moby.oci.seccomp.compiler import compiled
from moby.oci.seccomp.default import default_profile
from moby.oci.seccomp.profile import ALLOW, ERRNO, KILL_PROCESS, KILL_THREAD, LOG, NOTIFY, TRACE, TRAP

X86_64, X86, X32, AARCH64 = (ARCHITECTURES[name] for name in ("X86_64", "X86", "X32", "AARCH64"))
ENOSYS = ERRNO | 38


def rule(names, action="ALLOW", *args, **more):
    found = {"names": names.split(), "action": f"SCMP_ACT_{action}", **more}
    if args:
        found["args"] = [
            {"index": index, "op": f"SCMP_CMP_{operator}", "value": value, "valueTwo": second}
            for index, operator, value, second in args
        ]
    return found


def filtered(*rules, default="ERRNO", architectures=(), **more):
    data = {
        "defaultAction": f"SCMP_ACT_{default}",
        "architectures": [f"SCMP_ARCH_{each}" for each in architectures],
        "syscalls": list(rules),
        **more,
    }
    return compiled(data, X86_64).program


def said(program, name, *arguments, by=X86_64, native=X86_64):
    number = call_numbers(by)[name] if isinstance(name, str) else name
    found = Call(number, by.token, (*arguments, *[0] * (6 - len(arguments))))
    return machine.verdict(program, found, "<" if native.little else ">")


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(FAMILIES))
def test_a_program_says_what_its_profile_says(seed, family):
    chance = random.Random(seed)
    native = ARCHITECTURES[family[0]]
    order = "<" if native.little else ">"
    data = profile(chance, family)
    program = compiled(data, native).program
    machine.check(program, order)
    for _ in range(40):
        each = call(chance, family, data)
        assert machine.verdict(program, each, order) == meant(data, native.name, each), each


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("KILL", KILL_THREAD),
        ("KILL_THREAD", KILL_THREAD),
        ("KILL_PROCESS", KILL_PROCESS),
        ("TRAP", TRAP),
        ("ERRNO", ERRNO | 1),
        ("TRACE", TRACE | 1),
        ("LOG", LOG),
        ("ALLOW", ALLOW),
        ("NOTIFY", NOTIFY),
    ],
)
def test_actions(name, value):
    other = "ERRNO" if name == "ALLOW" else "ALLOW"
    program = filtered(rule("mkdir", name), default=other, listenerPath="/run/agent.sock")
    assert said(program, "mkdir") == value
    assert said(program, "read") in (ALLOW, ERRNO | 1)


def test_numbers_of_errors():
    program = filtered(
        rule("mkdir", "ERRNO", errnoRet=4095), rule("rmdir", "TRACE", errnoRet=0xFFFF), rule("openat2"),
        defaultErrnoRet=5,
    )  # fmt: skip
    assert said(program, "mkdir") == ERRNO | 4095
    assert said(program, "rmdir") == TRACE | 0xFFFF
    assert said(program, "read") == ERRNO | 5


@pytest.mark.parametrize("high", [0, 1, 0xFFFFFFFF])
@pytest.mark.parametrize(
    ("operator", "below", "same", "above"),
    [
        ("NE", True, False, True),
        ("LT", True, False, False),
        ("LE", True, True, False),
        ("EQ", False, True, False),
        ("GE", False, True, True),
        ("GT", False, False, True),
    ],
)
def test_operators_on_64_bits(operator, below, same, above, high):
    """Each half decides, and the upper one first."""
    for low in (0x80000000, 0xFFFFFFFE):
        wanted = high << 32 | low
        program = filtered(rule("read", "ALLOW", (2, operator, wanted, 0)))
        cases = {wanted - 1: below, wanted: same, wanted + 1: above}
        if high:
            cases |= {wanted - (1 << 32): below, wanted - (1 << 32) + 1: below}
        if high < 0xFFFFFFFF:
            cases |= {wanted + (1 << 32): above, wanted + (1 << 32) - 1: above}
        for value, allowed in cases.items():
            assert (said(program, "read", 0, 0, value) == ALLOW) is allowed, hex(value)


def test_masked_equality():
    program = filtered(rule("clone", "ALLOW", (0, "MASKED_EQ", 0xF00000000000000F, 0x1000000000000001)))
    assert said(program, "clone", 0x1000000000000001) == ALLOW
    assert said(program, "clone", 0x1FFFFFFFFFFFFFF1) == ALLOW
    assert said(program, "clone", 0x2000000000000001) == ERRNO | 1
    assert said(program, "clone", 0x1000000000000002) == ERRNO | 1


def test_bits_outside_of_the_mask_are_not_wanted():
    program = filtered(rule("clone", "ALLOW", (0, "MASKED_EQ", 1, 0xFF)))
    assert said(program, "clone", 1) == ALLOW
    assert said(program, "clone", 0xFF) == ALLOW
    assert said(program, "clone", 0xFE) == ERRNO | 1


def test_conditions_of_a_rule_must_all_hold_and_one_rule_is_enough():
    program = filtered(
        rule("read", "ALLOW", (0, "EQ", 1, 0), (1, "EQ", 2, 0)), rule("read", "ALLOW", (1, "EQ", 3, 0))
    )  # fmt: skip
    assert said(program, "read", 1, 2) == ALLOW
    assert said(program, "read", 1, 1) == ERRNO | 1
    assert said(program, "read", 2, 2) == ERRNO | 1
    assert said(program, "read", 1, 3) == ALLOW, "another rule, after the first one held half"


def test_conditions_on_one_argument_are_rules_of_their_own():
    """As runc and crun have it."""
    program = filtered(rule("read", "ALLOW", (0, "EQ", 1, 0), (0, "EQ", 2, 0)))
    assert [said(program, "read", value) for value in (1, 2, 3)] == [ALLOW, ALLOW, ERRNO | 1]


@pytest.mark.parametrize("first", [True, False])
def test_a_rule_without_conditions_wins(first):
    rules = [rule("read", "ERRNO", errnoRet=7), rule("read", "ALLOW", (0, "EQ", 1, 0))]
    program = filtered(*(rules if first else rules[::-1]), default="KILL")
    assert said(program, "read", 1) == ERRNO | 7


def test_the_first_rule_that_holds_wins():
    program = filtered(rule("read", "TRAP", (0, "GT", 5, 0)), rule("read", "ALLOW", (0, "GT", 3, 0)))
    assert [said(program, "read", value) for value in (3, 4, 6)] == [ERRNO | 1, ALLOW, TRAP]


def test_a_rule_of_the_default_action_says_nothing():
    program = filtered(rule("read", "ERRNO"), rule("read", "ALLOW"))
    assert said(program, "read") == ALLOW


def test_names_that_there_are_not_are_passed_over():
    program = filtered(rule("no_such_call read"), rule("stat64"))
    assert said(program, "read") == ALLOW


def test_calls_newer_than_the_profile_are_not_there():
    program = filtered(rule("read write openat2"), architectures=["X86"])
    newest = call_numbers(X86_64)["openat2"]
    assert said(program, newest) == ALLOW
    assert said(program, newest - 1) == ERRNO | 1
    assert said(program, newest + 1) == ENOSYS
    assert said(program, 0x3FFFFFFF) == ENOSYS
    assert said(program, newest + 1, by=X86) == ENOSYS


@pytest.mark.parametrize("default", ["KILL", "KILL_PROCESS", "TRAP"])
def test_newer_calls_do_not_kill(default):
    assert said(filtered(rule("read"), default=default), "openat2") == ENOSYS


@pytest.mark.parametrize(
    ("default", "value"), [("ALLOW", ALLOW), ("LOG", LOG), ("TRACE", TRACE | 1), ("NOTIFY", NOTIFY)]
)
def test_newer_calls_go_through_by_default(default, value):
    program = filtered(rule("read", "KILL"), default=default, listenerPath="/run/agent.sock")
    assert said(program, "openat2") == value


def test_private_calls_of_arm_are_no_sign_of_how_new_it_is():
    data = {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [rule("set_tls openat2")]}
    arm = ARCHITECTURES["ARM"]
    program = compiled(data, arm).program
    assert said(program, "set_tls", by=arm, native=arm) == ALLOW
    assert said(program, "faccessat2", by=arm, native=arm) == ENOSYS
    assert said(program, "cacheflush", by=arm, native=arm) == ENOSYS
    assert said(program, "read", by=arm, native=arm) == ERRNO | 1


def test_the_number_of_unknown_calls_on_s390():
    data = {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [rule("read")]}
    s390x = ARCHITECTURES["S390X"]
    program = compiled(data, s390x).program
    assert said(program, 0, by=s390x, native=s390x) == ENOSYS
    assert said(program, "read", by=s390x, native=s390x) == ALLOW


def test_other_architectures_kill():
    program = filtered(rule("read"), default="ERRNO")
    assert said(program, "read") == ALLOW
    assert said(program, "read", by=X86) == KILL_THREAD
    assert said(program, "read", by=AARCH64) == KILL_THREAD
    assert said(program, "read", by=X32) == KILL_THREAD
    assert said(program, 0x40000000 + 400) == KILL_THREAD


def test_x32_has_rules_of_its_own():
    program = filtered(rule("read readv"), architectures=["X86_64", "X32"])
    assert said(program, "readv", by=X32) == ALLOW
    assert said(program, 0x40000000 | call_numbers(X86_64)["readv"]) == ERRNO | 1, "x32 has another readv"
    assert said(program, "read", by=X86) == KILL_THREAD


def test_the_own_architecture_is_always_there():
    program = filtered(rule("read"), architectures=["X86"])
    assert said(program, "read") == said(program, "read", by=X86) == ALLOW
    assert said(program, "read", by=X32) == KILL_THREAD


def test_what_a_debugger_takes_back():
    assert said(filtered(rule("read"), default="TRAP"), 0xFFFFFFFF) == TRAP
    assert said(filtered(rule("read"), default="TRAP", architectures=["X32"]), 0xFFFFFFFF) == ENOSYS


def test_sockets_by_socketcall():
    program = filtered(
        rule("socket", "ALLOW", (0, "LT", 38, 0)), rule("bind", "ERRNO", errnoRet=9), architectures=["X86"]
    )
    assert said(program, "socket", 37, by=X86) == ALLOW
    assert said(program, "socket", 38, by=X86) == ERRNO | 1
    assert said(program, "socketcall", 1, by=X86) == ALLOW, "which family it is lies in memory"
    assert said(program, "socketcall", 2, by=X86) == ERRNO | 9
    assert said(program, "socketcall", 3, by=X86) == ERRNO | 1


def test_halves_on_big_endian_machines():
    data = {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [rule("read", "ALLOW", (1, "EQ", 5 << 32 | 6, 0))]}
    s390x = ARCHITECTURES["S390X"]
    program = compiled(data, s390x).program
    machine.check(program, ">")
    assert said(program, "read", 0, 5 << 32 | 6, by=s390x, native=s390x) == ALLOW
    assert said(program, "read", 0, 6 << 32 | 5, by=s390x, native=s390x) == ERRNO | 1


def test_more_than_a_jump_reaches():
    """Many rules for one call, with the calls around it: jumps over hundreds of instructions."""
    many = [rule("read", "ALLOW", (0, "EQ", value << 32 | value, 0)) for value in range(1, 400)]
    others = [rule(name) for name in list(call_numbers(X86_64))[1::2] if name != "write"]
    program = filtered(*others, *many, rule("write", "ALLOW", (0, "GT", 7, 0)), architectures=["X86", "X32"])
    machine.check(program)
    assert len(program) // 8 > 1500
    assert said(program, "read", 399 << 32 | 399) == said(program, "read", 1 << 32 | 1) == ALLOW
    assert said(program, "read", 400 << 32 | 400) == ERRNO | 1
    assert said(program, "write", 8) == ALLOW
    for name, number in call_numbers(X86_64).items():
        wanted = {"read": ERRNO | 1, "write": ERRNO | 1}.get(name)
        allowed = any(name in each["names"] for each in others)
        assert said(program, number) == (wanted or (ALLOW if allowed else ERRNO | 1))


def test_a_program_too_long_for_the_kernel():
    many = [rule("read", "ALLOW", (0, "EQ", value << 32 | value, 0)) for value in range(1, 1100)]
    with pytest.raises(Invalid, match=r"linux\.seccomp\.syscalls need \d+ instructions of BPF, and .* takes 4096"):
        filtered(*many)


def test_another_byte_order():
    with pytest.raises(Invalid, match=r"linux\.seccomp\.architectures\[1\] is SCMP_ARCH_S390X, of another byte order"):
        filtered(architectures=["X86", "S390X"])


def test_the_default_profile_is_short_and_quick_to_run():
    data = default_profile(X86_64, ["CAP_CHOWN"], (6, 12))
    program = compiled(data, X86_64).program
    assert len(program) // 8 < 400
    for architecture in (X86_64, X86, X32):
        for number in call_numbers(architecture).values():
            _, steps = machine.run(program, Call(number, architecture.token))
            assert steps < 40


def test_a_profile_is_compiled_once(monkeypatch):
    data = default_profile(X86_64, ["CAP_SYS_BOOT"], (6, 12))
    once = compiled(data, X86_64)
    monkeypatch.setattr(compiler, "_compile", None)
    assert compiled(json.loads(json.dumps(data)), X86_64) is once


def test_what_is_kept_has_an_end():
    for number in range(200):
        filtered(rule("read", "ERRNO", errnoRet=number))
    assert len(compiler._compiled) <= 64
