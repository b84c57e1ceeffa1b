"""Profiles in Docker's format come to what they say for a machine, its kernel, and a container's capabilities."""

import errno
import json

import pytest

from moby.errors import Invalid
from moby.oci.seccomp.architectures import ARCHITECTURES
from moby.oci.seccomp.compiler import compiled
from moby.oci.seccomp.docker_format import evaluated

ALLOW = "SCMP_ACT_ALLOW"


def come_to(data, *, native="X86_64", capabilities=(), kernel=(6, 12)):
    return evaluated(data, ARCHITECTURES[native], capabilities, kernel)


def names(rule, **machine):
    data = {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["a"], "action": ALLOW, **rule}]}
    return [each["names"] for each in come_to(data, **machine)["syscalls"]]


def test_what_is_as_in_the_specification():
    argument = {"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}
    plain = {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": 1,
        "architectures": ["SCMP_ARCH_X86"],
        "flags": ["SECCOMP_FILTER_FLAG_LOG"],
        "listenerPath": "/a",
        "listenerMetadata": "b",
        "syscalls": [{"names": ["read"], "action": ALLOW, "args": [argument]}],
    }
    found = come_to({**plain, "comment": "x", "defaultErrno": "EPERM"})
    assert found == plain
    assert compiled(found, ARCHITECTURES["X86_64"]) == compiled(plain, ARCHITECTURES["X86_64"])


@pytest.mark.parametrize(
    ("native", "wanted"),
    [
        ("X86_64", ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]),
        ("AARCH64", ["SCMP_ARCH_AARCH64"]),
        ("RISCV64", []),
    ],
)
def test_architectures(native, wanted):
    groups = [
        {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]},
        {"architecture": "SCMP_ARCH_AARCH64"},
    ]
    found = come_to({"defaultAction": ALLOW, "archMap": groups}, native=native)
    assert found["architectures"] == wanted


@pytest.mark.parametrize(
    ("rule", "machine", "there"),
    [
        ({"includes": {"arches": ["amd64", "x32"]}}, {}, True),
        ({"includes": {"arches": ["amd64"]}}, {"native": "AARCH64"}, False),
        ({"includes": {"arches": ["s390x"]}}, {"native": "S390X"}, True),
        ({"excludes": {"arches": ["arm64"]}}, {"native": "AARCH64"}, False),
        ({"excludes": {"arches": ["arm64"]}}, {}, True),
        ({"includes": {"caps": ["CAP_A"]}}, {"capabilities": ["CAP_A", "CAP_B"]}, True),
        ({"includes": {"caps": ["CAP_A", "CAP_B"]}}, {"capabilities": ["CAP_A"]}, False),
        ({"excludes": {"caps": ["CAP_A", "CAP_B"]}}, {"capabilities": ["CAP_B"]}, False),
        ({"excludes": {"caps": ["CAP_A"]}}, {}, True),
        ({"includes": {"minKernel": "4.8"}}, {"kernel": (4, 8)}, True),
        ({"includes": {"minKernel": "4.8"}}, {"kernel": (4, 7)}, False),
        ({"includes": {"minKernel": "4.8"}}, {"kernel": (4, 10)}, True),
        ({"excludes": {"minKernel": "4.8"}}, {"kernel": (4, 8)}, False),
        ({"excludes": {"minKernel": "4.8"}}, {"kernel": (4, 7)}, True),
        ({"includes": {}, "excludes": None}, {}, True),
    ],
)
def test_what_a_rule_depends_on(rule, machine, there):
    assert names(rule, **machine) == ([["a"]] if there else [])


def test_one_name():
    assert names({"names": [], "name": "b"}) == [["b"]]


def test_errors_by_name():
    data = {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrno": "ENOSYS",
        "syscalls": [
            {"names": ["a"], "action": "SCMP_ACT_ERRNO", "errno": "EXDEV"},
            {"names": ["b"], "action": "SCMP_ACT_ERRNO", "errno": "EXDEV", "errnoRet": 1},
        ],
    }
    found = come_to(data)
    assert found["defaultErrnoRet"] == errno.ENOSYS
    assert [each["errnoRet"] for each in found["syscalls"]] == [errno.EXDEV, 1]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        pytest.param([], "it must be an object, not []", id="list"),
        pytest.param({"archMap": {}, "syscalls": {}}, "syscalls must be an array, not {}", id="calls"),
        pytest.param({"syscalls": [7]}, "syscalls[0] must be an object, not 7", id="call"),
        pytest.param({"archMap": 7}, "archMap must be an array, not 7", id="map"),
        pytest.param({"archMap": [7]}, "archMap[0] must be an object, not 7", id="entry"),
        pytest.param(
            {"archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": [7]}]},
            "archMap[0].subArchitectures must be an array of strings, not [7]",
            id="architecture",
        ),
        pytest.param(
            {"archMap": [{}], "architectures": ["x"]}, "architectures can't be there beside archMap", id="both"
        ),
        pytest.param({"syscalls": [{"name": "a", "names": ["b"]}]}, "syscalls[0].name can't be there", id="names"),
        pytest.param({"syscalls": [{"includes": 7}]}, "syscalls[0].includes must be an object, not 7", id="includes"),
        pytest.param(
            {"syscalls": [{"includes": {"caps": [[]]}}]},
            "syscalls[0].includes.caps must be an array of strings",
            id="capabilities",
        ),
        pytest.param(
            {"syscalls": [{"excludes": {"arches": "amd64"}}]},
            "syscalls[0].excludes.arches must be an array, not 'amd64'",
            id="arches",
        ),
        pytest.param(
            {"syscalls": [{"includes": {"minKernel": "new"}}]},
            "includes.minKernel must be as 4.8, not 'new'",
            id="kernel",
        ),
        pytest.param({"defaultErrno": "EWHAT"}, "defaultErrno is no error: 'EWHAT'", id="error"),
        pytest.param({"syscalls": [{"names": ["a"], "errno": 7}]}, "syscalls[0].errno is no error: 7", id="number"),
    ],
)
def test_mistakes(data, said):
    with pytest.raises(Invalid, match="the seccomp profile is wrong") as caught:
        come_to(data)
    assert said in caught.value.message


def test_what_comes_out_is_json():
    data = {"defaultAction": ALLOW, "syscalls": [{"names": None, "action": ALLOW}]}
    with pytest.raises(Invalid, match=r"syscalls\[0\]\.names is missing"):
        compiled(json.loads(json.dumps(come_to(data))), ARCHITECTURES["X86_64"])
