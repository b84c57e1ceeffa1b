"""Architectures and the numbers of their calls, as libseccomp and this machine's own headers have them."""

import os
import platform
from types import SimpleNamespace

import libseccomp
import pytest

from moby.errors import HostUnfit
from moby.oci.seccomp import architectures
from moby.oci.seccomp.architectures import ARCHITECTURES, IPC, SOCKETCALL, call_numbers, current, native

AFTER_LIBSECCOMP = {"open_tree_attr", "file_getattr", "file_setattr"}
peer = pytest.mark.skipif(
    libseccomp.library() is None, reason="libseccomp.so.2 is not there; `tools/peers runc` unpacks it"
)


@peer
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_libseccomp_has_the_same_numbers(name):
    architecture = ARCHITECTURES[name]
    assert libseccomp.token(name) & ~0 == (0x4000003E if name == "X32" else architecture.token)
    numbers = call_numbers(architecture)
    assert len(numbers) > 300
    for call, number in numbers.items():
        found = libseccomp.number(name, call)
        if found < -1 and architecture.multiplexed:  # what it also makes by socketcall or ipc
            assert call in SOCKETCALL or call in IPC
        elif call not in AFTER_LIBSECCOMP and call != "sync_file_range2":
            assert found == number, call


@peer
@pytest.mark.parametrize("name", ["X86_64", "X86", "X32", "AARCH64", "ARM", "S390X", "RISCV64", "PPC64LE", "MIPS64"])
def test_no_number_of_libseccomp_is_missing(name):
    architecture = ARCHITECTURES[name]
    ours = set(call_numbers(architecture).values())
    theirs = {number for number in range(600) if libseccomp.name(name, architecture.base + number)}
    assert len(theirs) > 250
    assert {architecture.base + number for number in theirs} <= ours


@peer
def test_what_is_multiplexed_is_what_libseccomp_multiplexes():
    for name, architecture in ARCHITECTURES.items():
        assert architecture.multiplexed is (libseccomp.number(name, "bind") == -102)
        for call, number in {**SOCKETCALL, **{each: 100 + number for each, number in IPC.items()}}.items():
            if architecture.multiplexed:
                assert libseccomp.number(name, call) == -100 - number


@pytest.mark.parametrize(
    ("machine", "little", "wide", "name"),
    [
        ("x86_64", True, True, "X86_64"),
        ("x86_64", True, False, "X86"),
        ("i686", True, False, "X86"),
        ("aarch64", True, True, "AARCH64"),
        ("aarch64", True, False, "ARM"),
        ("armv7l", True, False, "ARM"),
        ("mips64", False, True, "MIPS64"),
        ("mips64", True, True, "MIPSEL64"),
        ("mips", True, False, "MIPSEL"),
        ("ppc64le", True, True, "PPC64LE"),
        ("s390x", False, True, "S390X"),
        ("riscv64", True, True, "RISCV64"),
        ("loongarch64", True, True, "LOONGARCH64"),
        ("sh4", True, False, "SH"),
        ("sh4", False, False, "SHEB"),
    ],
)
def test_architecture_of_a_machine(machine, little, wide, name):
    found = native(machine, little=little, wide=wide)
    assert found.name == name
    assert found.little is little


def test_this_machine():
    assert current() is native(platform.machine(), little=True)
    assert call_numbers(current())["getpid"] == {"x86_64": 39}.get(os.uname().machine, 172)


def test_a_machine_without_seccomp(monkeypatch):
    monkeypatch.setattr(architectures.os, "uname", lambda: SimpleNamespace(machine="vax"))
    with pytest.raises(HostUnfit, match="there are no seccomp filters for vax"):
        current()
