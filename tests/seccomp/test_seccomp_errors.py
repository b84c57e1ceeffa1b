"""Every mistake in a profile is told by the path of its field, and all of them at once."""

import pytest

from moby.errors import Invalid
from moby.oci.seccomp.profile import ERRNO, Condition, Profile, read

FINE = {"defaultAction": "SCMP_ACT_ALLOW"}
CALL = {"names": ["read"], "action": "SCMP_ACT_ERRNO"}
ARG = {"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}


def problems(data):
    with pytest.raises(Invalid) as caught:
        read(data)
    assert "; ".join(each.message for each in caught.value.problems) == caught.value.message
    return [each.message.removeprefix("config.json: linux.seccomp") for each in caught.value.problems]


def call(**changes):
    return {**FINE, "syscalls": [CALL, {key: value for key, value in {**CALL, **changes}.items() if value != "gone"}]}


def arg(**changes):
    return call(args=[{key: value for key, value in {**ARG, **changes}.items() if value != "gone"}])


@pytest.mark.parametrize(
    ("data", "said"),
    [
        pytest.param([], " must be an object, not []", id="list"),
        pytest.param("x", " must be an object, not 'x'", id="text"),
        pytest.param({}, ".defaultAction is missing", id="no default"),
        pytest.param({"defaultAction": None}, ".defaultAction is missing", id="null for a default"),
        pytest.param({"defaultAction": "ALLOW"}, ".defaultAction is 'ALLOW'; there are SCMP_ACT_KILL, ", id="default"),
        pytest.param(
            {"defaultAction": ["SCMP_ACT_ALLOW"]}, ".defaultAction is ['SCMP_ACT_ALLOW']; ", id="default list"
        ),
        pytest.param(
            {**FINE, "defaultErrnoRet": 1}, ".defaultErrnoRet is set, but SCMP_ACT_ALLOW returns", id="number"
        ),
        pytest.param(
            {"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 4096},
            ".defaultErrnoRet must be a number from 0 to 4095, not 4096",
            id="number too great",
        ),
        pytest.param(
            {"defaultAction": "SCMP_ACT_TRACE", "defaultErrnoRet": 65536},
            ".defaultErrnoRet must be a number from 0 to 65535, not 65536",
            id="number for a tracer",
        ),
        pytest.param(
            {"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": -1}, "0 to 4095, not -1", id="number below 0"
        ),
        pytest.param(
            {"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": True}, "0 to 4095, not True", id="number of truth"
        ),
        pytest.param({**FINE, "architectures": {}}, ".architectures must be an array, not {}", id="architectures"),
        pytest.param(
            {**FINE, "architectures": ["amd64"]}, ".architectures[0] is 'amd64'; there are SCMP_ARCH_X86", id="amd64"
        ),
        pytest.param({**FINE, "architectures": [7]}, ".architectures[0] is 7; ", id="architecture of a number"),
        pytest.param({**FINE, "flags": "LOG"}, ".flags must be an array, not 'LOG'", id="flags"),
        pytest.param({**FINE, "flags": ["LOG"]}, ".flags[0] is 'LOG'; there are SECCOMP_FILTER_FLAG_TSYNC", id="flag"),
        pytest.param(
            {**FINE, "listenerPath": 7}, ".listenerPath must be a string without a zero byte, not 7", id="path"
        ),
        pytest.param({**FINE, "listenerPath": "/a\0b"}, ".listenerPath must be a string without a zero", id="zero"),
        pytest.param(
            {**FINE, "listenerMetadata": "x"}, ".listenerMetadata is set, but listenerPath isn't", id="metadata alone"
        ),
        pytest.param({**FINE, "syscalls": 7}, ".syscalls must be an array, not 7", id="calls"),
        pytest.param({**FINE, "syscalls": [7]}, ".syscalls[0] must be an object, not 7", id="call"),
        pytest.param(call(names="gone"), ".syscalls[1].names is missing", id="no names"),
        pytest.param(call(names=[]), ".syscalls[1].names is missing", id="empty names"),
        pytest.param(call(names="read"), ".syscalls[1].names must be an array, not 'read'", id="one name"),
        pytest.param(call(names=["read", 7]), ".syscalls[1].names[1] must be the name of a system call", id="name"),
        pytest.param(call(names=[""]), ".syscalls[1].names[0] must be the name of a system call", id="empty name"),
        pytest.param(call(action="gone"), ".syscalls[1].action is missing", id="no action"),
        pytest.param(call(action="SCMP_ACT_NO"), ".syscalls[1].action is 'SCMP_ACT_NO'; ", id="action"),
        pytest.param(
            call(action="SCMP_ACT_KILL", errnoRet=1),
            ".syscalls[1].errnoRet is set, but SCMP_ACT_KILL",
            id="call number",
        ),
        pytest.param(call(errnoRet="EPERM"), ".syscalls[1].errnoRet must be a number from 0 to 4095", id="error name"),
        pytest.param(call(args={}), ".syscalls[1].args must be an array, not {}", id="args"),
        pytest.param(call(args=[7]), ".syscalls[1].args[0] must be an object, not 7", id="arg"),
        pytest.param(
            arg(index="gone"), ".syscalls[1].args[0].index must be a number from 0 to 5, not None", id="index"
        ),
        pytest.param(arg(index=6), ".args[0].index must be a number from 0 to 5, not 6", id="seventh"),
        pytest.param(arg(value="gone"), ".args[0].value must be a number from 0 to 18446744073709551615", id="value"),
        pytest.param(arg(value=1 << 64), ".args[0].value must be a number from 0 to", id="great value"),
        pytest.param(arg(value=1.5), ".args[0].value must be a number from 0 to", id="broken value"),
        pytest.param(arg(valueTwo=-1), ".args[0].valueTwo must be a number from 0 to", id="second value"),
        pytest.param(arg(op="EQ"), ".args[0].op is 'EQ'; there are SCMP_CMP_NE, SCMP_CMP_LT", id="operator"),
        pytest.param(arg(op="gone"), ".args[0].op is None; there are", id="no operator"),
        pytest.param(
            call(action="SCMP_ACT_NOTIFY"), ".listenerPath is missing, which SCMP_ACT_NOTIFY needs", id="listener"
        ),
        pytest.param(
            {"defaultAction": "SCMP_ACT_NOTIFY"}, ".listenerPath is missing, which SCMP_ACT_NOTIFY", id="notify default"
        ),
    ],
)
def test_a_mistake_is_told_by_its_field(data, said):
    (found,) = problems(data)
    assert said in found


def test_all_mistakes_are_told_at_once():
    data = {"architectures": ["x"], "flags": [1], "syscalls": [{"names": ["a"], "action": "b"}, {"names": [1]}]}
    assert [each.partition(" ")[0] for each in problems(data)] == [
        ".defaultAction", ".syscalls[0].action", ".syscalls[1].names[0]", ".architectures[0]", ".flags[0]",
    ]  # fmt: skip


def test_what_a_profile_says():
    found = read(
        {
            "defaultAction": "SCMP_ACT_ERRNO",
            "flags": ["SECCOMP_FILTER_FLAG_LOG"],
            "listenerPath": "/run/agent.sock",
            "listenerMetadata": "who",
            "syscalls": [{**CALL, "errnoRet": 5, "args": [{**ARG, "valueTwo": None}]}, {**CALL, "args": None}],
            "unknown": [1],
        }
    )
    assert (found.default, found.flags, found.listener_path, found.listener_metadata) == (
        ERRNO | 1, ("LOG",), "/run/agent.sock", "who",
    )  # fmt: skip
    assert [(each.action, each.conditions) for each in found.rules] == [
        (ERRNO | 5, (Condition(0, "EQ", 1),)), (ERRNO | 1, ()),
    ]  # fmt: skip
    assert not found.notifies


def test_no_flags_are_not_the_same_as_none_said():
    assert read({**FINE, "flags": []}).flags == ()
    assert read({**FINE, "flags": None}).flags is None
    assert read(FINE) == Profile(0x7FFF0000)
