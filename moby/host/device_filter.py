"""Which devices a cgroup may use: files of version 1, a BPF program in version 2.

Rules are in order, and a later one wins, for each kind of access by itself. Version 1 has no order, just one answer
for all and exceptions from it (kernel, admin-guide/cgroup-v1/devices.rst), into which rules are worked out here.
"""

from __future__ import annotations

import errno
import os

from moby.host.blocks import Undo, suppress
from moby.host.files import read_text
from moby.host.lean import structs
from moby.host.syscalls import syscall
from moby.values import frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ctypes
    from collections.abc import Callable, Iterator, Sequence

    _Key = tuple[str, int | None, int | None]
else:
    from moby.host import foreign as ctypes

__all__ = ["DeviceRule", "Inexpressible", "attach", "attaching", "changes_all", "program", "write", "writing"]

_KINDS = {"b": 1, "c": 2}
_ACCESS = {"m": 1, "r": 2, "w": 4}
_ALL = 7
_PROG_LOAD, _PROG_ATTACH, _PROG_DETACH, _PROG_GET_FD_BY_ID, _OBJ_GET_INFO, _PROG_QUERY = 5, 8, 9, 13, 15, 16
_PROG_TYPE_CGROUP_DEVICE, _ATTACH_CGROUP_DEVICE = 15, 6
_ALLOW_MULTI, _REPLACE = 2, 4
_NAME = b"moby_devices"
_NAME_IN_INFO = slice(64, 80)
_MOST_PROGRAMS = 64

_LOAD, _AND, _SHIFT, _COPY, _SET, _UNEQUAL, _EQUAL, _EXIT = 0x61, 0x54, 0x74, 0xBC, 0xB7, 0x55, 0x15, 0x95


@frozen
class DeviceRule:
    """One rule: whether devices may be used so, of a kind (`c`, `b`, or `a`, both) and numbers; None is any number."""

    allow: bool
    kind: str = "a"
    major: int | None = None
    minor: int | None = None
    access: str = "rwm"

    @property
    def bits(self) -> int:
        """Return the access as the kernel's bits."""
        return sum(_ACCESS[letter] for letter in set(self.access))

    @property
    def for_all(self) -> bool:
        """Whether it speaks of every device and access, so that no earlier rule counts."""
        return self.kind == "a" and self.major is None and self.minor is None and self.bits == _ALL


class Inexpressible(ValueError):
    """A rule takes back part of what an earlier one says, which version 1 can't have."""

    def __init__(self, rule: DeviceRule) -> None:
        super().__init__(rule)
        self.rule = rule


# --- version 1 ------------------------------------------------------------------------------------------------------


@frozen
class _Settled:
    """What holds for all, and the exceptions from it with their bits."""

    allowed: bool
    exceptions: dict[_Key, int]
    lines: dict[_Key, bytes]
    """The exceptions as the kernel is told them."""


def _covers(wide: _Key, narrow: _Key) -> bool:
    return wide[0] == narrow[0] and all(a is None or a == b for a, b in zip(wide[1:], narrow[1:], strict=True))


def _overlap(one: _Key, other: _Key) -> bool:
    return one[0] == other[0] and all(a is None or b is None or a == b for a, b in zip(one[1:], other[1:], strict=True))


_known: dict[tuple[DeviceRule, ...], _Settled] = {}
_MOST_KNOWN = 64


def _settled(rules: tuple[DeviceRule, ...]) -> _Settled:
    """Work rules out, the same ones once; Inexpressible where one takes back part of an exception."""
    found = _known.get(rules)
    if found is None:
        if len(_known) >= _MOST_KNOWN:
            _known.clear()
        found = _known[rules] = _worked_out(rules)
    return found


def _worked_out(rules: tuple[DeviceRule, ...]) -> _Settled:
    allowed = True
    exceptions: dict[_Key, int] = {}
    for rule in rules:
        if rule.for_all:
            allowed, exceptions = rule.allow, {}
            continue
        for kind in ("b", "c") if rule.kind == "a" else (rule.kind,):
            key = (kind, rule.major, rule.minor)
            if rule.allow != allowed:
                exceptions[key] = exceptions.get(key, 0) | rule.bits
                continue
            for other, bits in exceptions.items():
                if not bits & rule.bits or not _overlap(key, other):
                    continue
                if not _covers(key, other):
                    raise Inexpressible(rule)
                exceptions[other] = bits & ~rule.bits
    exceptions = _merged({key: bits for key, bits in exceptions.items() if bits})
    return _Settled(allowed, exceptions, {key: _line(key, bits) for key, bits in exceptions.items()})


def _merged(exceptions: dict[_Key, int]) -> dict[_Key, int]:
    """Give each exception what wider ones have, since the kernel wants a single one with all that is asked for."""
    wide = [(key, bits) for key, bits in exceptions.items() if None in key]
    found = {}
    for key, bits in exceptions.items():
        for other, more in wide:
            if bits != _ALL and _covers(other, key):
                bits |= more  # noqa: PLW2901
        found[key] = bits
    return found


def _line(key: _Key, bits: int) -> bytes:
    shown = ["*" if number is None else str(number) for number in key[1:]]
    access = "".join(letter for letter, bit in _ACCESS.items() if bits & bit)
    return f"{key[0]} {shown[0]}:{shown[1]} {access}".encode()


def _listed(text: str) -> dict[_Key, int] | None:
    """Read devices.list: the exceptions where all is refused; None where all is allowed, and they don't show."""
    found = {}
    for line in text.splitlines():
        kind, numbers, access = line.split()
        if kind == "a":
            return None
        major, minor = (None if word == "*" else int(word) for word in numbers.split(":"))
        found[(kind, major, minor)] = sum(_ACCESS[letter] for letter in access)
    return found


def changes_all(folder: str, rules: Sequence[DeviceRule]) -> bool:
    """Whether `write` would for a moment refuse what is allowed before and after."""
    return _settled(tuple(rules)).allowed or _listed(read_text(f"{folder}/devices.list")) is None


def write(folder: str, rules: Sequence[DeviceRule]) -> None:
    """Set the rules of a group of version 1, by no more changes than it takes; Inexpressible, or OSError."""
    writing(folder, rules)()


def writing(folder: str, rules: Sequence[DeviceRule]) -> Callable[[], None]:
    """Work out what `write` has to change, and return what does it; errors as that."""
    changes = _changes(folder, _settled(tuple(rules)))

    def apply() -> None:
        with Undo() as undo:
            files = {}
            for name in ("allow", "deny"):
                files[name] = os.open(f"{folder}/devices.{name}", os.O_WRONLY | os.O_CLOEXEC)
                undo.callback(os.close, files[name])
            for name, line in changes:
                try:
                    os.write(files[name], line)
                except OSError as error:
                    raise OSError(error.errno, error.strerror, f"{folder}/devices.{name}") from None

    return apply


def _changes(folder: str, target: _Settled) -> list[tuple[str, bytes]]:
    """Return the lines to write, in order, each with the file that it is for."""
    if target.allowed:
        return [("allow", b"a"), *(("deny", line) for line in target.lines.values())]
    found = []
    before = _listed(read_text(f"{folder}/devices.list"))
    if before is None:
        found.append(("deny", b"a"))
        before = {}
    for key, bits in target.exceptions.items():
        if fresh := bits & ~before.get(key, 0):
            found.append(("allow", target.lines[key] if fresh == bits else _line(key, fresh)))
    for key, bits in before.items():
        if gone := bits & ~target.exceptions.get(key, 0):
            found.append(("deny", _line(key, gone)))
    return found


# --- version 2 ------------------------------------------------------------------------------------------------------


def _instruction(code: int, target: int = 0, source: int = 0, offset: int = 0, value: int = 0) -> bytes:
    return structs.pack("=BBhi", code, target | source << 4, offset, value)


def _answer(allow: bool) -> bytes:
    return _instruction(_SET, 0, value=int(allow)) + _instruction(_EXIT)


def program(rules: Sequence[DeviceRule]) -> bytes:
    """Return the BPF program of some rules (bpf_cgroup_dev_ctx): 1 lets an access through, 0 refuses it.

    Where no rule speaks of an access, it is let through.
    """
    # Registers: 2 the kind of device, 3 the access that is still to be decided on, 4 and 5 the numbers.
    code = _instruction(_LOAD, 2, 1, 0) + _instruction(_COPY, 3, 2) + _instruction(_AND, 2, value=0xFFFF)
    code += _instruction(_SHIFT, 3, value=16) + _instruction(_LOAD, 4, 1, 4) + _instruction(_LOAD, 5, 1, 8)
    for rule in reversed(rules):
        if rule.for_all:
            return code + _answer(rule.allow)
        code += _one(rule)
    return code + _answer(True)


def _one(rule: DeviceRule) -> bytes:
    """Return what decides on a rule's access, or goes on to the next."""
    if rule.bits == _ALL:
        verdict = b""
    elif rule.allow:
        verdict = _instruction(_AND, 3, value=_ALL & ~rule.bits) + _instruction(_UNEQUAL, 3, offset=2)
    else:
        verdict = _instruction(_COPY, 1, 3) + _instruction(_AND, 1, value=rule.bits)
        verdict += _instruction(_EQUAL, 1, offset=2)
    verdict += _answer(rule.allow)
    tests = [(2, _KINDS[rule.kind])] if rule.kind != "a" else []
    tests += [(register, number) for register, number in ((4, rule.major), (5, rule.minor)) if number is not None]
    length = len(tests) + len(verdict) // 8
    skips = (
        _instruction(_UNEQUAL, register, offset=length - index - 1, value=value)
        for index, (register, value) in enumerate(tests)
    )
    return b"".join(skips) + verdict


def attach(folder: str, rules: Sequence[DeviceRule]) -> None:
    """Have the kernel apply rules to a group of version 2, in place of those attached before; OSError as bpf(2).

    There is no moment at which neither holds. Programs of others stay. The rules end with the group.
    """
    attaching(folder, rules)()


def attaching(folder: str, rules: Sequence[DeviceRule]) -> Callable[[], None]:
    """Work rules out, and return what does `attach`; errors as that."""
    code = program(rules)

    def apply() -> None:
        new = _load(code)
        try:
            group = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                _swap(group, new)
            finally:
                os.close(group)
        finally:
            os.close(new)

    return apply


def _swap(group: int, new: int) -> None:
    with Undo() as undo:
        old = []
        for fd in _attached(group):
            undo.callback(os.close, fd)
            if _name(fd) == _NAME:
                old.append(fd)
        if old and _replaced(group, new, old[0]):
            del old[0]
        else:
            _bpf(_PROG_ATTACH, structs.pack("=IIII", group, new, _ATTACH_CGROUP_DEVICE, _ALLOW_MULTI))
        for fd in old:
            _bpf(_PROG_DETACH, structs.pack("=III", group, fd, _ATTACH_CGROUP_DEVICE))


def _replaced(group: int, new: int, old: int) -> bool:
    """Put a program in another's place; False where the kernel (before 5.6) can't."""
    wanted = structs.pack("=IIIII", group, new, _ATTACH_CGROUP_DEVICE, _ALLOW_MULTI | _REPLACE, old)
    try:
        _bpf(_PROG_ATTACH, wanted)
    except OSError as error:
        if error.errno == errno.EINVAL:
            return False
        raise
    return True


def _attached(group: int) -> Iterator[int]:
    """Yield descriptors of the programs that are attached to a group itself."""
    numbers = (ctypes.c_uint32 * _MOST_PROGRAMS)()
    query = structs.pack("=IIIIQI", group, _ATTACH_CGROUP_DEVICE, 0, 0, ctypes.addressof(numbers), _MOST_PROGRAMS)
    buffer = ctypes.create_string_buffer(query.ljust(64, b"\0"), 64)
    syscall("bpf", _PROG_QUERY, buffer, len(buffer))
    (count,) = structs.unpack_from("=I", buffer.raw, 24)
    for number in numbers[:count]:
        with suppress(FileNotFoundError):  # detached meanwhile
            yield _bpf(_PROG_GET_FD_BY_ID, structs.pack("=III", number, 0, 0))


def _name(fd: int) -> bytes:
    info = ctypes.create_string_buffer(256)
    _bpf(_OBJ_GET_INFO, structs.pack("=IIQ", fd, len(info), ctypes.addressof(info)))
    return info.raw[_NAME_IN_INFO].rstrip(b"\0")


def _load(code: bytes) -> int:
    instructions = ctypes.create_string_buffer(code, len(code))
    license_text = ctypes.create_string_buffer(b"Apache-2.0")
    return _bpf(
        _PROG_LOAD,
        structs.pack(
            "=IIQQIIQII16s", _PROG_TYPE_CGROUP_DEVICE, len(code) // 8, ctypes.addressof(instructions),
            ctypes.addressof(license_text), 0, 0, 0, 0, 0, _NAME,
        ),
    )  # fmt: skip


def _bpf(command: int, attributes: bytes) -> int:
    buffer = ctypes.create_string_buffer(attributes.ljust(128, b"\0"), 128)
    return syscall("bpf", command, buffer, len(buffer))
