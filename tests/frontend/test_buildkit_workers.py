"""Which platforms a front end says that it builds for."""

import pytest
from moby_frontend.docker.buildkit.workers import platforms

from moby.contracts.types import Platform

V2 = "cx16 lahf_lm popcnt sse4_1 sse4_2 ssse3"
V3 = f"{V2} abm avx avx2 bmi1 bmi2 f16c fma movbe xsave"
AMD64, ARM64 = Platform("linux", "amd64"), Platform("linux", "arm64")


def proc(folder, flags="", thirty_two=False, interpreters=()):
    (folder / "cpuinfo").write_text(f"processor\t: 0\nflags\t\t: fpu {flags}\nbugs\t\t: none\n")
    (folder / "sys/fs/binfmt_misc").mkdir(parents=True)
    if thirty_two:
        (folder / "sys/abi").mkdir()
        (folder / "sys/abi/vsyscall32").write_text("1\n")
    for name, state in interpreters:
        (folder / f"sys/fs/binfmt_misc/qemu-{name}").write_text(f"{state}\ninterpreter /usr/bin/qemu\n")
    return folder


@pytest.mark.parametrize(
    ("host", "given", "found"),
    [
        pytest.param(AMD64, {}, ["linux/amd64"], id="plain"),
        pytest.param(AMD64, {"flags": V2}, ["linux/amd64", "linux/amd64/v2"], id="second level"),
        pytest.param(
            AMD64,
            {"flags": V3, "thirty_two": True},
            ["linux/amd64", "linux/amd64/v2", "linux/amd64/v3", "linux/386"],
            id="third level and 32 bits",
        ),
        pytest.param(AMD64, {"flags": V3.replace("cx16", "")}, ["linux/amd64"], id="a level that has a gap"),
        pytest.param(
            AMD64,
            {
                "interpreters": [
                    ("aarch64", "enabled"),
                    ("s390x", "disabled"),
                    ("arm", "enabled"),
                    ("x86_64", "enabled"),
                ]
            },
            ["linux/amd64", "linux/arm64", "linux/arm/v7"],
            id="interpreters",
        ),
        pytest.param(ARM64, {"flags": V3, "thirty_two": True}, ["linux/arm64"], id="another processor"),
    ],
)
def test_what_is_run_here(tmp_path, host, given, found):
    assert [str(each) for each in platforms(proc(tmp_path, **given), host)] == found


def test_a_host_that_tells_nothing(tmp_path):
    assert platforms(tmp_path, AMD64) == (AMD64,)
