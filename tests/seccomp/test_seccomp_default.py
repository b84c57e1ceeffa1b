"""The default profile: what Docker's documentation says of it, by capability, architecture and kernel."""

import errno

import pytest
from seccomp_machine import Call, verdict

from moby.host.capabilities import NAMES
from moby.oci.seccomp import default
from moby.oci.seccomp.architectures import ARCHITECTURES, call_numbers
from moby.oci.seccomp.compiler import compiled
from moby.oci.seccomp.default import default_profile, running_kernel
from moby.oci.seccomp.profile import ALLOW, ERRNO, read
from moby.oci.spec import DEFAULT_CAPABILITIES

EPERM, ENOSYS = ERRNO | errno.EPERM, ERRNO | errno.ENOSYS
NOW = (6, 12)


def said(name, *arguments, capabilities=DEFAULT_CAPABILITIES, native="X86_64", by="", kernel=NOW):
    machine, other = ARCHITECTURES[native], ARCHITECTURES[by or native]
    program = compiled(default_profile(machine, capabilities, kernel), machine).program
    call = Call(call_numbers(other)[name], other.token, (*arguments, *[0] * (6 - len(arguments))))
    return verdict(program, call, "<" if machine.little else ">")


# Docker's documentation, "Significant syscalls blocked by the default profile"; a capability in brackets opens it.
BLOCKED = {
    "acct": "CAP_SYS_PACCT", "add_key": "", "bpf": "CAP_BPF", "clock_settime": "CAP_SYS_TIME",
    "create_module": "", "delete_module": "CAP_SYS_MODULE", "finit_module": "CAP_SYS_MODULE", "get_kernel_syms": "",
    "get_mempolicy": "CAP_SYS_NICE", "init_module": "CAP_SYS_MODULE", "ioperm": "CAP_SYS_RAWIO",
    "iopl": "CAP_SYS_RAWIO", "kcmp": "CAP_SYS_PTRACE", "kexec_file_load": "", "kexec_load": "", "keyctl": "",
    "lookup_dcookie": "CAP_SYS_ADMIN", "mbind": "CAP_SYS_NICE", "mount": "CAP_SYS_ADMIN", "move_pages": "",
    "nfsservctl": "", "open_by_handle_at": "CAP_DAC_READ_SEARCH", "perf_event_open": "CAP_PERFMON",
    "pivot_root": "", "query_module": "", "quotactl": "CAP_SYS_ADMIN", "reboot": "CAP_SYS_BOOT", "request_key": "",
    "set_mempolicy": "CAP_SYS_NICE", "setns": "CAP_SYS_ADMIN", "settimeofday": "CAP_SYS_TIME", "swapon": "",
    "swapoff": "", "sysfs": "", "_sysctl": "", "umount2": "CAP_SYS_ADMIN", "unshare": "CAP_SYS_ADMIN",
    "uselib": "", "userfaultfd": "", "ustat": "", "io_uring_setup": "", "vhangup": "CAP_SYS_TTY_CONFIG",
}  # fmt: skip


@pytest.mark.parametrize("name", BLOCKED)
def test_what_is_blocked(name):
    assert said(name) == EPERM
    assert said(name, capabilities=NAMES) == (ALLOW if BLOCKED[name] else EPERM)
    if BLOCKED[name]:
        assert said(name, capabilities=[BLOCKED[name]]) == ALLOW


@pytest.mark.parametrize(
    "name", ["read", "openat2", "execveat", "ptrace", "chroot", "futex_waitv", "memfd_secret", "statmount", "mseal"]
)
def test_what_is_allowed(name):
    assert said(name) == ALLOW


def test_tracing_on_old_kernels():
    """Before Linux 4.8 a tracer could change a call that a filter had let through."""
    assert said("ptrace", kernel=(4, 7)) == EPERM
    assert said("ptrace", kernel=(4, 8)) == ALLOW
    assert said("ptrace", kernel=(4, 7), capabilities=["CAP_SYS_PTRACE"]) == ALLOW


@pytest.mark.parametrize(("native", "flags"), [("X86_64", 0), ("AARCH64", 0), ("S390X", 1)])
def test_namespaces(native, flags):
    def clone(value, **more):
        return said("clone", *[0] * flags, value, native=native, **more)

    assert clone(0x00000100) == ALLOW
    for bit in (17, 25, 26, 27, 28, 29, 30):
        assert clone(1 << bit | 0x100) == EPERM
        assert clone(1 << bit, capabilities=["CAP_SYS_ADMIN"]) == ALLOW
    assert said("clone3", native=native) == ENOSYS
    assert said("clone3", native=native, capabilities=["CAP_SYS_ADMIN"]) == ALLOW


def test_sockets():
    assert [said("socket", family) for family in (1, 37, 38, 39, 40, 41)] == [ALLOW, ALLOW, EPERM, ALLOW, EPERM, ALLOW]


def test_personalities():
    for value in (0x0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF):
        assert said("personality", value) == ALLOW
    for value in (0x0040000, 0xFFFFFFFFFFFFFFFF, 9):
        assert said("personality", value) == EPERM


@pytest.mark.parametrize(
    ("native", "by", "name", "answer"),
    [
        ("X86_64", "X86_64", "arch_prctl", ALLOW),
        ("X86_64", "X86", "modify_ldt", ALLOW),
        ("X86_64", "X32", "read", ALLOW),
        ("AARCH64", "ARM", "set_tls", ALLOW),
        ("AARCH64", "ARM", "arm_fadvise64_64", ALLOW),
        ("S390X", "S390X", "s390_runtime_instr", ALLOW),
        ("S390X", "S390", "read", ALLOW),
        ("RISCV64", "RISCV64", "riscv_flush_icache", ALLOW),
        ("PPC64LE", "PPC64LE", "swapcontext", ALLOW),
        ("PPC64LE", "PPC64LE", "subpage_prot", EPERM),
        ("LOONGARCH64", "LOONGARCH64", "read", ALLOW),
    ],
)
def test_architectures(native, by, name, answer):
    assert said(name, native=native, by=by) == answer


@pytest.mark.parametrize("native", ARCHITECTURES)
@pytest.mark.parametrize("capabilities", [(), NAMES], ids=["none", "all"])
def test_every_machine_has_one(native, capabilities):
    data = default_profile(ARCHITECTURES[native], capabilities, NOW)
    found = read(data)
    assert not {"execveat", "read"} & compiled(data, ARCHITECTURES[native]).refused
    names = [name for rule in found.rules if not rule.conditions for name in rule.names]
    assert len(names) == len(set(names)) > 350


def test_every_name_is_a_call_of_some_machine():
    known = {name for each in ARCHITECTURES.values() for name in call_numbers(each)}
    for native in ARCHITECTURES.values():
        data = default_profile(native, NAMES, NOW)
        unknown = {name for rule in data["syscalls"] for name in rule["names"]} - known
        assert unknown <= {"epoll_ctl_old", "epoll_wait_old", "uretprobe"}


def test_the_kernel_that_runs(monkeypatch):
    assert running_kernel() >= (5, 12)
    for release, version in (("6.12.3-cloud", (6, 12)), ("4.4", (4, 4)), ("strange", (0, 0))):
        monkeypatch.setattr(default.platform, "release", lambda release=release: release)
        assert running_kernel() == version
