"""Rules for devices as a BPF program: the same answers as version 1's files, and the kernel takes it."""

import contextlib
import os
import secrets
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moby.host import device_filter
from moby.host.cgroups import hierarchies
from moby.host.device_filter import DeviceRule, Inexpressible, attach, changes_all, program, write, writing

BITS = {"m": 1, "r": 2, "w": 4}


def run(code: bytes, kind: str, access: str, major: int, minor: int) -> bool:
    """Interpret the few instructions that a filter is made of."""
    bits = sum(BITS[letter] for letter in access)
    context = struct.pack("=III", bits << 16 | {"b": 1, "c": 2}[kind], major, minor)
    registers, at = [0] * 11, 0
    while True:
        operation, registers_used, offset, value = struct.unpack_from("=BBhi", code, at * 8)
        target, source = registers_used & 15, registers_used >> 4
        at += 1
        match operation:
            case 0x61:
                registers[target] = struct.unpack_from("=I", context, offset)[0]
            case 0xBC:
                registers[target] = registers[source]
            case 0x54:
                registers[target] &= value
            case 0x74:
                registers[target] >>= value
            case 0xB7:
                registers[target] = value
            case 0x55:
                at += offset if registers[target] != value else 0
            case 0x15:
                at += offset if registers[target] == value else 0
            case 0x95:
                return bool(registers[0])
            case _:
                raise AssertionError(operation)


DENY_ALL = DeviceRule(False)
NULL = DeviceRule(True, "c", 1, 3)


@pytest.mark.parametrize(
    ("rules", "asked", "expected"),
    [
        pytest.param([], ("c", "rw", 1, 3), True, id="none"),
        pytest.param([DENY_ALL], ("c", "r", 1, 3), False, id="nothing"),
        pytest.param([DENY_ALL, NULL], ("c", "rw", 1, 3), True, id="one"),
        pytest.param([DENY_ALL, NULL], ("b", "rw", 1, 3), False, id="other-kind"),
        pytest.param([DENY_ALL, NULL], ("c", "rw", 1, 5), False, id="other-minor"),
        pytest.param([DENY_ALL, DeviceRule(True, "c", 136)], ("c", "rw", 136, 7), True, id="any-minor"),
        pytest.param([DENY_ALL, DeviceRule(True, "c", 1, 3, "r")], ("c", "rw", 1, 3), False, id="less-access"),
        pytest.param(
            [DENY_ALL, DeviceRule(True, "c", 1, 3, "r"), DeviceRule(True, "c", 1, 3, "w")],
            ("c", "rw", 1, 3), True, id="access-adds-up",
        ),
        pytest.param([DENY_ALL, NULL, DeviceRule(False, "c", 1, 3, "w")], ("c", "w", 1, 3), False, id="taken-back"),
        pytest.param([DENY_ALL, NULL, DeviceRule(False, "c", 1, 3, "w")], ("c", "r", 1, 3), True, id="rest-stays"),
        pytest.param([DeviceRule(False, "b", 8, 0, "w")], ("b", "rw", 8, 0), False, id="allowed-but-for-one"),
        pytest.param([DeviceRule(False, "b", 8, 0, "w")], ("b", "r", 8, 0), True, id="allowed-but-for-writing"),
        pytest.param([NULL, DeviceRule(True)], ("b", "w", 8, 0), True, id="allow-all-forgets"),
    ],
)  # fmt: skip
def test_a_filter_answers_as_the_rules_say(rules, asked, expected) -> None:
    kind, access, major, minor = asked
    assert run(program(rules), kind, access, major, minor) is expected


some_rules = st.lists(
    st.builds(
        DeviceRule,
        st.booleans(),
        st.sampled_from("abc"),
        st.sampled_from([None, 1, 2]),
        st.sampled_from([None, 1, 2]),
        st.sampled_from(["r", "w", "m", "rw", "rwm"]),
    ),
    max_size=6,
)


@given(some_rules, st.booleans(), st.sampled_from("bc"), st.sampled_from("rwm"), st.integers(1, 3), st.integers(1, 3))
def test_a_last_rule_for_all_is_all_that_counts(rules, allow, kind, access, major, minor) -> None:
    assert run(program([*rules, DeviceRule(allow)]), kind, access, major, minor) is allow


@given(some_rules, st.sampled_from("bc"), st.sampled_from("rwm"), st.integers(1, 2), st.integers(1, 2))
def test_allowing_never_takes_away(rules, kind, access, major, minor) -> None:
    rules = [rule for rule in rules if rule.kind != "a"]  # where all is allowed, version 1 forgets only the very rule
    code = program([DENY_ALL, *rules, DeviceRule(True, kind, major, minor, access)])
    assert run(code, kind, access, major, minor)


def test_the_kernel_refuses_what_the_rules_refuse() -> None:
    trees = [tree for tree in hierarchies() if tree.version == 2 and tree.writable]
    if os.geteuid() != 0 or not trees:
        pytest.skip("needs root and a tree of control groups of version 2")
    folder = Path(trees[0].mount) / f"moby-test-{secrets.token_hex(4)}"
    folder.mkdir()
    try:
        attach(folder, [DENY_ALL, DeviceRule(True, "c", 1, 3, "rw")])
        pid = os.fork()
        if pid == 0:
            (folder / "cgroup.procs").write_text(str(os.getpid()))
            os.close(os.open("/dev/null", os.O_RDWR))
            try:
                os.open("/dev/zero", os.O_RDONLY)
            except PermissionError:
                os._exit(0)
            os._exit(1)
        assert os.waitpid(pid, 0)[1] == 0
    finally:
        folder.rmdir()


# --- version 1, and both against what the rules say ------------------------------------------------------------------


def said(rules, kind: str, access: str, major: int, minor: int) -> bool:
    """Answer as the rules say: for each kind of access the last one that speaks of it."""
    for letter in access:
        answers = [
            rule.allow
            for rule in rules
            if rule.kind in ("a", kind)
            and rule.major in (None, major)
            and rule.minor in (None, minor)
            and letter in rule.access
        ]
        if answers and not answers[-1]:
            return False
    return True


def as_version_1(rules, kind: str, access: str, major: int, minor: int) -> bool:
    """Answer as version 1 does with what rules are worked out to (kernel, security/device_cgroup.c)."""
    settled = device_filter._settled(tuple(rules))
    bits = sum(BITS[letter] for letter in access)
    met = [
        exception
        for key, exception in settled.exceptions.items()
        if key[0] == kind and key[1] in (None, major) and key[2] in (None, minor)
    ]
    if settled.allowed:
        return not any(exception & bits for exception in met)
    return any(exception & bits == bits for exception in met)


asked_access = st.sampled_from(["r", "w", "m", "rw", "rm", "rwm"])


@given(some_rules, st.sampled_from("bc"), asked_access, st.integers(1, 3), st.integers(1, 3))
def test_a_program_answers_as_the_rules_say(rules, kind, access, major, minor) -> None:
    assert run(program(rules), kind, access, major, minor) is said(rules, kind, access, major, minor)


@given(some_rules, st.sampled_from("bc"), asked_access, st.integers(1, 3), st.integers(1, 3))
def test_version_1_answers_as_the_rules_say_or_has_no_answer(rules, kind, access, major, minor) -> None:
    try:
        answer = as_version_1(rules, kind, access, major, minor)
    except Inexpressible as error:
        assert error.rule in rules
        return
    expected = said(rules, kind, access, major, minor)
    # What two exceptions allow only together version 1 refuses, which is the safe side.
    assert answer is expected or (expected and len(access) > 1)


@pytest.fixture
def devices() -> Iterator[Path]:
    trees = [tree for tree in hierarchies() if "devices" in tree.controllers and tree.writable]
    if os.geteuid() != 0 or not trees:
        pytest.skip("needs root and the controller devices of version 1; guests have version 2")
    folder = Path(trees[0].mount) / f"moby-test-{secrets.token_hex(4)}"
    folder.mkdir()
    yield folder
    folder.rmdir()


@pytest.mark.parametrize(
    ("rules", "lines"),
    [
        ([DENY_ALL], set()),
        ([DENY_ALL, NULL], {"c 1:3 rwm"}),
        ([DENY_ALL, NULL, DeviceRule(False, "c", 1, 3, "m")], {"c 1:3 rw"}),
        ([DENY_ALL, DeviceRule(True, "b", access="m")], {"b *:* m"}),
        ([DENY_ALL, DeviceRule(True, "a", 7)], {"b 7:* rwm", "c 7:* rwm"}),
        ([DENY_ALL, DeviceRule(True, "c", 136), DeviceRule(True, "c", 136, 1, "r")], {"c 136:* rwm", "c 136:1 rwm"}),
        ([DeviceRule(True)], {"a *:* rwm"}),
        ([DeviceRule(False, "c", 1, 3)], {"a *:* rwm"}),
    ],
)
def test_the_kernel_lists_the_rules_that_were_written(devices: Path, rules, lines) -> None:
    # Whatever was before, by few changes.
    for before in ([], [DENY_ALL], [DENY_ALL, NULL, DeviceRule(True, "c", 9)], [DeviceRule(False, "b", 8)]):
        write(devices, before)
        assert changes_all(devices, rules) is not (rules[0] == DENY_ALL == next(iter(before), None))
        write(devices, rules)
        assert set((devices / "devices.list").read_text().splitlines()) == lines


def test_rules_are_worked_out_before_they_are_written(tmp_path: Path) -> None:
    for name, text in (("list", "a *:* rwm\n"), ("allow", ""), ("deny", "")):
        (tmp_path / f"devices.{name}").write_text(text)
    apply = writing(str(tmp_path), [DENY_ALL, NULL])
    assert (tmp_path / "devices.deny").read_text() == ""
    (tmp_path / "devices.list").unlink()  # nothing is left to read
    apply()
    assert (tmp_path / "devices.deny").read_text() == "a"
    assert (tmp_path / "devices.allow").read_text() == "c 1:3 mrw"


def test_what_version_1_cannot_have(devices: Path) -> None:
    with pytest.raises(Inexpressible) as caught:
        write(devices, [DENY_ALL, DeviceRule(True, "c", 1), DeviceRule(False, "c", 1, 3, "w")])
    assert caught.value.rule == DeviceRule(False, "c", 1, 3, "w")
    assert (devices / "devices.list").read_text() == "a *:* rwm\n"


def test_a_group_whose_parent_refuses_more_is_told(devices: Path) -> None:
    write(devices, [DENY_ALL])
    (devices / "below").mkdir()
    try:
        with pytest.raises(PermissionError, match=r"devices\.allow"):
            write(devices / "below", [DENY_ALL, NULL])
    finally:
        (devices / "below").rmdir()


@pytest.fixture
def unified() -> Iterator[Path]:
    trees = [tree for tree in hierarchies() if tree.version == 2 and tree.writable]
    if os.geteuid() != 0 or not trees:
        pytest.skip("needs root and a tree of control groups of version 2")
    folder = Path(trees[0].mount) / f"moby-test-{secrets.token_hex(4)}"
    folder.mkdir()
    yield folder
    folder.rmdir()


def answers(folder: Path, path: str) -> bool:
    """Whether a process in a group may open a device."""
    pid = os.fork()
    if pid == 0:
        with contextlib.suppress(BaseException):
            (folder / "cgroup.procs").write_text(str(os.getpid()))
            os.open(path, os.O_RDONLY)
            os._exit(0)
        os._exit(1)
    return os.waitpid(pid, 0)[1] == 0


@pytest.mark.parametrize("replaces", [True, False], ids=["replaces", "an-older-kernel"])
def test_rules_are_changed_without_a_gap(unified: Path, replaces, monkeypatch) -> None:
    if not replaces:
        monkeypatch.setattr(device_filter, "_replaced", lambda group, new, old: False)
    zero = DeviceRule(True, "c", 1, 5)
    for rules, null_there, zero_there in (([DENY_ALL, NULL], True, False), ([DENY_ALL, zero], False, True)) * 2:
        attach(unified, rules)
        assert (answers(unified, "/dev/null"), answers(unified, "/dev/zero")) == (null_there, zero_there)
        group = os.open(unified, os.O_RDONLY)
        programs = list(device_filter._attached(group))
        for fd in (group, *programs):
            os.close(fd)
        assert len(programs) == 1


def test_programs_of_others_stay(unified: Path, monkeypatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(device_filter, "_NAME", b"others")
        attach(unified, [DENY_ALL, NULL])
    attach(unified, [DENY_ALL, DeviceRule(True, "c", 1, 5)])
    assert not answers(unified, "/dev/null"), "each program must let it through"
    assert not answers(unified, "/dev/zero")
