"""libseccomp as a peer: the filter that runc would have it make of a profile (libcontainer/seccomp of runc)."""

import contextlib
import ctypes
import functools
import os
import tempfile
from pathlib import Path
from typing import Any

from moby.oci.seccomp.profile import Profile, read

_OPERATORS = {"NE": 1, "LT": 2, "LE": 3, "EQ": 4, "GE": 5, "GT": 6, "MASKED_EQ": 7}
_CTL_OPTIMIZE = 8
_ACT_KILL_PROCESS, _ACT_KILL_THREAD = 0x80000000, 0x00000000


class _Comparison(ctypes.Structure):
    _fields_ = (("arg", ctypes.c_uint), ("op", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64))


@functools.cache
def library() -> Any:
    """Load it, of the machine or of what `tools/peers` unpacked; None where it isn't there."""
    unpacked = Path(__file__).resolve().parents[2] / ".cache/peers/root/usr/lib"
    for each in ("libseccomp.so.2", *sorted(unpacked.glob("*/libseccomp.so.2"))):
        with contextlib.suppress(OSError):
            found = ctypes.CDLL(str(each), use_errno=True)
            break
    else:
        return None
    found.seccomp_init.restype = ctypes.c_void_p
    found.seccomp_init.argtypes = (ctypes.c_uint32,)
    found.seccomp_release.argtypes = (ctypes.c_void_p,)
    found.seccomp_arch_add.argtypes = (ctypes.c_void_p, ctypes.c_uint32)
    found.seccomp_arch_remove.argtypes = (ctypes.c_void_p, ctypes.c_uint32)
    found.seccomp_arch_resolve_name.argtypes = (ctypes.c_char_p,)
    found.seccomp_arch_resolve_name.restype = ctypes.c_uint32
    found.seccomp_rule_add_array.argtypes = (
        ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint, ctypes.c_void_p,
    )  # fmt: skip
    found.seccomp_attr_set.argtypes = (ctypes.c_void_p, ctypes.c_int, ctypes.c_uint32)
    found.seccomp_export_bpf.argtypes = (ctypes.c_void_p, ctypes.c_int)
    found.seccomp_syscall_resolve_name_arch.argtypes = (ctypes.c_uint32, ctypes.c_char_p)
    found.seccomp_syscall_resolve_name.argtypes = (ctypes.c_char_p,)
    return found


def token(architecture: str) -> int:
    """Return libseccomp's number of an architecture."""
    return library().seccomp_arch_resolve_name(architecture.lower().encode())


def number(architecture: str, name: str) -> int:
    """Return the number of a system call: negative for one that this architecture makes in another way, or -1."""
    return library().seccomp_syscall_resolve_name_arch(token(architecture), name.encode())


def program(data: Any, *, native: str = "X86_64", optimize: bool = True) -> bytes:
    """Return the program, without what runc puts before it for calls newer than the profile."""
    profile: Profile = read(data)
    lib = library()
    context = lib.seccomp_init(profile.default)
    assert context
    try:
        if native != "X86_64":
            _need(lib.seccomp_arch_remove(context, token("X86_64")))
            _need(lib.seccomp_arch_add(context, token(native)))
        for each in profile.architectures:
            result = lib.seccomp_arch_add(context, token(each.name))
            assert result in (0, -17), (each.name, result)
        if optimize:
            _need(lib.seccomp_attr_set(context, _CTL_OPTIMIZE, 2))
        for rule in profile.rules:
            if rule.action == profile.default:
                continue
            comparisons = (_Comparison * len(rule.conditions))(
                *((each.index, _OPERATORS[each.operator], each.value, each.second) for each in rule.conditions)
            )
            for name in rule.names:
                call = lib.seccomp_syscall_resolve_name(name.encode())
                if call != -1:
                    _need(
                        lib.seccomp_rule_add_array(context, rule.action, call, len(comparisons), comparisons),
                        f"{name} {rule}",
                    )
        with tempfile.TemporaryFile() as file:
            _need(lib.seccomp_export_bpf(context, file.fileno()))
            file.seek(0)
            return file.read()
    finally:
        lib.seccomp_release(context)


def _need(result: int, what: str = "") -> None:
    assert result == 0, f"libseccomp: {os.strerror(-result)} {what}"


def name(architecture: str, number: int) -> bool:
    """Return whether it has a name for a number."""
    lib = library()
    lib.seccomp_syscall_resolve_num_arch.restype = ctypes.c_void_p
    lib.seccomp_syscall_resolve_num_arch.argtypes = (ctypes.c_uint32, ctypes.c_int)
    return bool(lib.seccomp_syscall_resolve_num_arch(token(architecture), number))
