"""What a host can do: probes for what components need, and all of it as plain data for a facts file.

A probe tries the thing itself where that has no effect, and never changes the host. Each that isn't met says what
to do about it.
"""

import ctypes
import ctypes.util
import errno
import os
import platform
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

from attrs import frozen

from moby.host import cgroups, namespaces, network_facts, processes, programs, subordinate_ids, versions
from moby.host.settings import confinement, forbidding_setting
from moby.host.syscalls import NUMBERS, libc

__all__ = ["KERNEL", "USER", "Probe", "collect", "probe", "satisfies"]

SCHEMA = 1
_VERSION_S = 5.0
_NUMBER = re.compile(r"\d+(?:\.\d+)*")
_RANGE = re.compile(r"\s*(>=|<=|==|!=|~=|>|<)\s*(\d+(?:\.\d+)*)\s*")


@frozen
class Probe:
    """Whether the host has something; what was found; what would change it where it hasn't."""

    ok: bool
    detail: str = ""
    fix: str = ""


def probe(what: str, name: str, version: str = "", *, package: str = "") -> Probe:
    """Try one need of a component on this very host; the terms are those of HostNeed.

    May start the binary that is asked about with `--version`, for five seconds at most.
    """
    if what == "kernel":
        tried = KERNEL.get(name)
        return tried() if tried else Probe(False, f"there is no probe for the kernel feature {name!r}")
    if what == "user":
        asked = USER.get(name)
        return asked() if asked else Probe(False, f"there is no probe for {name!r} of a user")
    if what == "binary":
        return _binary(name, version, package)
    return satisfies(_facts_for(what, name), what, name, version, package=package)


def satisfies(facts: Mapping[str, Any], what: str, name: str, version: str = "", *, package: str = "") -> Probe:
    """Judge a need by stored facts, as `collect` returned them, perhaps on another host."""
    judge = _JUDGES.get(what)
    if judge is None:
        return Probe(False, f"there is no host need of the kind {what!r}; there are {', '.join(sorted(_JUDGES))}")
    return judge(facts, name, version, package)


def collect(*, binaries: tuple[str, ...] = (), libraries: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return all facts as JSON carries them, with the versions of binaries and the presence of libraries asked for."""
    found = {name: tried() for name, tried in sorted(KERNEL.items())}
    return {
        "schema": SCHEMA,
        "system": {
            "machine": platform.machine(),
            "kernel": platform.release(),
            "python": platform.python_version(),
            "implementation": sys.implementation.name,
        },
        "kernel": {name: _as_data(each) for name, each in found.items()},
        "cgroup": _cgroup_facts(),
        "privilege": {"root": os.geteuid() == 0},
        "user": {name: _as_data(tried()) for name, tried in sorted(USER.items())},
        "binary": {name: _binary_facts(name) for name in sorted({*_BINARIES, *binaries})},
        "library": {name: bool(_library(name)) for name in sorted({*_LIBRARIES, *libraries})},
    }


_BINARIES = ("bwrap", "crun", "runc", "newuidmap", "nft", "iptables", "mount", "git")
_LIBRARIES = ("zstd", "seccomp")


def _as_data(found: Probe) -> dict[str, Any]:
    return {"ok": found.ok, "detail": found.detail, "fix": found.fix}


def _facts_for(what: str, name: str) -> dict[str, Any]:
    """Collect just the facts that a need of this kind is judged by."""
    return {
        "cgroup": _cgroup_facts() if what == "cgroup" else {},
        "privilege": {"root": os.geteuid() == 0},
        "system": {"python": platform.python_version()},
        "library": {name: bool(_library(name))} if what == "library" else {},
    }


# --- judging stored facts ---------------------------------------------------------------------------------------


def _judge_kernel(facts: Mapping[str, Any], name: str, version: str, package: str) -> Probe:
    known = facts.get("kernel", {}).get(name)
    if known is None:
        return Probe(False, f"the facts don't tell about the kernel feature {name}", "collect them again")
    return Probe(bool(known["ok"]), known.get("detail", ""), known.get("fix", ""))


def _judge_user(facts: Mapping[str, Any], name: str, version: str, package: str) -> Probe:
    known = facts.get("user", {}).get(name)
    if known is None:
        return Probe(False, f"the facts don't tell about {name} of a user", "collect them again")
    return Probe(bool(known["ok"]), known.get("detail", ""), known.get("fix", ""))


def _judge_binary(facts: Mapping[str, Any], name: str, version: str, package: str) -> Probe:
    known = facts.get("binary", {}).get(name)
    fix = f"apt install {package or name}"
    if not known:
        return Probe(False, f"{name} isn't on PATH", fix)
    found = known.get("version", "")
    if not version or _within(found, version):
        return Probe(True, f"{known.get('path', name)} {found}".rstrip())
    return Probe(False, f"{name} is {found or 'of an unknown version'}, but {version} is needed", fix)


def _judge_library(facts: Mapping[str, Any], name: str, version: str, package: str) -> Probe:
    if facts.get("library", {}).get(name):
        return Probe(True, f"lib{name} is there")
    return Probe(False, f"the library {name} isn't there", f"apt install {package or f'lib{name}'}")


def _judge_cgroup(facts: Mapping[str, Any], name: str, version: str, package: str) -> Probe:
    known = facts.get("cgroup", {})
    if name == "unmixed":
        mixed = known.get("mode") == "hybrid"
        fix = "boot with systemd.unified_cgroup_hierarchy=1, or unmount the tree of version 2" if mixed else ""
        return Probe(not mixed, f"cgroups are {known.get('mode') or 'none'}", fix)
    missing = sorted(_CONTROLLERS - set(known.get(name, [])))
    if not missing:
        return Probe(True, f"cgroup {name} has {', '.join(known[name])}")
    setting = "1" if name == "v2" else "0"
    return Probe(
        False,
        f"cgroup {name} has no {', '.join(missing)} here (mode {known.get('mode') or 'none'})",
        f"boot with systemd.unified_cgroup_hierarchy={setting}",
    )


def _judge_privilege(facts: Mapping[str, Any], name: str, version: str, package: str) -> Probe:
    if name != "root":
        return Probe(False, f"there is no privilege {name!r}; there is root")
    if facts.get("privilege", {}).get("root"):
        return Probe(True, "runs as root")
    return Probe(False, "runs as an ordinary user", _AS_ROOT)


_AS_ROOT = "run it as root, with sudo, or with an enclosure, as the assembly `rootless` has one"


def _judge_python(facts: Mapping[str, Any], name: str, version: str, package: str) -> Probe:
    found = facts.get("system", {}).get("python", "")
    wanted = version or (name if name != "python" else "")
    if not wanted or _within(found, wanted):
        return Probe(True, f"Python {found}")
    return Probe(False, f"Python is {found}, but {wanted} is needed", "apt install a python3 of that version")


_CONTROLLERS = frozenset({"cpu", "memory", "pids"})
"""What a version must have to count: in hybrid mode the other one has these."""

_JUDGES: Mapping[str, Callable[[Mapping[str, Any], str, str, str], Probe]] = {
    "kernel": _judge_kernel,
    "binary": _judge_binary,
    "library": _judge_library,
    "cgroup": _judge_cgroup,
    "privilege": _judge_privilege,
    "user": _judge_user,
    "python": _judge_python,
}


def _within(found: str, wanted: str) -> bool:
    """Whether a version is in a range as in `>=1.1,<2`; an unknown one is in none."""
    number = _NUMBER.match(found)
    if number is None:
        return False
    have = _parts(number.group())
    return all(_compare(have, each) for each in wanted.split(","))


def _compare(have: tuple[int, ...], condition: str) -> bool:
    match = _RANGE.fullmatch(condition)
    if match is None:
        return False
    operator, text = match.groups()
    want = _parts(text)
    width = max(len(have), len(want))
    left, right = have + (0,) * (width - len(have)), want + (0,) * (width - len(want))
    if operator == "~=":
        return left >= right and left[: len(want) - 1] == right[: len(want) - 1]
    return {
        ">=": left >= right, "<=": left <= right, "==": left == right,
        "!=": left != right, ">": left > right, "<": left < right,
    }[operator]  # fmt: skip


def _parts(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))


# --- binaries, libraries, cgroups -------------------------------------------------------------------------------


def _binary(name: str, version: str, package: str) -> Probe:
    path = programs.find(name)
    known = {"path": path, "version": _version_of(path) if version else ""} if path else None
    return _judge_binary({"binary": {name: known}}, name, version, package)


def _binary_facts(name: str) -> dict[str, str] | None:
    path = programs.find(name)
    return {"path": path, "version": _version_of(path)} if path else None


def _version_of(path: str) -> str:
    """Return the first number that a binary prints when asked for its version; empty where it prints none."""
    try:
        done = versions.asked(path, _VERSION_S)
    except OSError:
        return ""
    found = re.search(r"\d+(?:\.\d+)+", done.stdout or done.stderr)
    return found.group() if found else ""


def _library(name: str) -> bool:
    """Whether the dynamic linker finds a library."""
    found = ctypes.util.find_library(name)
    if found is None:
        return False
    try:
        ctypes.CDLL(found)
    except OSError:
        return False
    return True


def _cgroup_facts() -> dict[str, Any]:
    trees = cgroups.hierarchies()
    by_version = {
        f"v{number}": sorted({name for tree in trees if tree.version == number for name in tree.controllers})
        for number in (1, 2)
    }
    return {"mode": cgroups.version(trees), **by_version}


# --- the kernel -------------------------------------------------------------------------------------------------


def _system_call(name: str, needed: str) -> Callable[[], Probe]:
    """Return a probe for a system call: with bad arguments it fails, but not with ENOSYS."""

    def tried() -> Probe:
        ctypes.set_errno(0)
        result = libc.syscall(NUMBERS[name], *(ctypes.c_long(-1) for _ in range(5)))
        number = ctypes.get_errno()
        if result == -1 and number == errno.ENOSYS:
            return Probe(False, f"the kernel has no {name}", f"run Linux {needed} or newer")
        return Probe(True, f"{name} is there")

    return tried


def _in_child(action: Callable[[], object]) -> int:
    """Do something in a copy of this process; return 0 or the errno that it ended with."""

    def child() -> NoReturn:
        try:
            action()
        except OSError as error:
            os._exit(min(error.errno or 255, 255))
        except BaseException:
            os._exit(255)
        os._exit(0)

    try:
        _, pidfd = processes.fork(child)
    except OSError as error:
        return error.errno or 255
    try:
        return processes.reap(pidfd) or 0
    finally:
        os.close(pidfd)


def _user_namespaces() -> Probe:
    number = _in_child(lambda: namespaces.unshare(namespaces.FLAGS["user"]))
    fix = forbidding_setting()
    if number:
        reason = os.strerror(number)
        return Probe(False, f"a user namespace can't be made: {reason}", fix or confinement())
    if fix and os.geteuid() != 0:
        return Probe(False, "user namespaces give an ordinary user no power here", fix)
    return Probe(True, "a user namespace could be made")


def _all_namespaces() -> Probe:
    missing = [
        name for name in ("mount", "pid", "uts", "ipc", "network", "cgroup")
        if not Path("/proc/self/ns", namespaces.PROC_NAMES[name]).exists()
    ]  # fmt: skip
    if missing:
        return Probe(False, f"the kernel has no namespaces of kind {', '.join(missing)}", "run a kernel that has them")
    return Probe(True, "mount, pid, uts, ipc, network and cgroup namespaces are there")


def _filesystem(name: str) -> Callable[[], Probe]:
    def tried() -> Probe:
        known = Path("/proc/filesystems").read_text(encoding="ascii").split()
        if name in known:
            return Probe(True, f"the file system {name} is there")
        return Probe(False, f"the kernel has no file system {name}", f"modprobe {name}")

    return tried


def _tun() -> Probe:
    """Try to open the device by which a network namespace is joined to a program."""
    try:
        fd = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        fix = "chmod 666 /dev/net/tun" if error.errno in (errno.EACCES, errno.EPERM) else "modprobe tun"
        return Probe(False, f"/dev/net/tun can't be opened: {error.strerror}", fix)
    os.close(fd)
    return Probe(True, "/dev/net/tun can be opened")


def _seccomp() -> Probe:
    try:
        actions = Path("/proc/sys/kernel/seccomp/actions_avail").read_text(encoding="ascii").split()
    except OSError:
        return Probe(False, "the kernel has no seccomp filters", "run a kernel with CONFIG_SECCOMP_FILTER")
    return Probe(True, f"seccomp knows {', '.join(actions)}")


def _pidfd() -> Probe:
    try:
        fd = os.pidfd_open(os.getpid())
    except OSError as error:
        return Probe(False, f"the kernel has no pidfds: {error.strerror}", "run Linux 5.4 or newer")
    os.close(fd)
    return Probe(True, "pidfd_open is there")


def _controller(name: str) -> Callable[[], Probe]:
    def tried() -> Probe:
        trees = [tree for tree in cgroups.hierarchies() if name in tree.controllers]
        if trees:
            return Probe(True, f"the controller {name} is at {trees[0].mount}")
        return Probe(False, f"no cgroup has the controller {name}", f"boot with cgroup_enable={name}")

    return tried


def _of_networks(look: Callable[[], tuple[bool, str, str]]) -> Callable[[], Probe]:
    return lambda: Probe(*look())


KERNEL: Mapping[str, Callable[[], Probe]] = {
    "clone3": _system_call("clone3", "5.3"),
    "openat2": _system_call("openat2", "5.6"),
    "close-range": _system_call("close_range", "5.9"),
    "mount-setattr": _system_call("mount_setattr", "5.12"),
    "open-tree": _system_call("open_tree", "5.2"),
    "pidfd": _pidfd,
    "namespaces": _all_namespaces,
    "user-namespaces": _user_namespaces,
    "seccomp": _seccomp,
    "overlay": _filesystem("overlay"),
    "tmpfs": _filesystem("tmpfs"),
    "fuse": _filesystem("fuse"),
    "tun": _tun,
    "btrfs": _filesystem("btrfs"),
    "memory-controller": _controller("memory"),
    "cpu-controller": _controller("cpu"),
    "pids-controller": _controller("pids"),
    "ipv4-forwarding": _of_networks(network_facts.ipv4_forwarding),
    "ipv6-forwarding": _of_networks(network_facts.ipv6_forwarding),
    "forward-accepted": _of_networks(network_facts.forward_accepted),
}
"""Probes by the names that components use."""


# --- what the calling user has been given -----------------------------------------------------------------------


def _subordinate_ids() -> Probe:
    names = subordinate_ids.names_of(os.getuid())
    lacking = subordinate_ids.missing()
    if lacking is not None:
        return Probe(False, f"{lacking} gives {names[0]} no ids", subordinate_ids.fix(names))
    count = min(sum(n for _, n in subordinate_ids.ranges(file, names)) for file in subordinate_ids.FILES.values())
    return Probe(True, f"{names[0]} has {count} of them")


def _delegated_group() -> Probe:
    """Say whether this user may make cgroups that limit anything."""
    for tree in cgroups.hierarchies():
        own = tree.folder(tree.own)
        for folder in (os.path.dirname(own), own):
            if tree.version != 2 or not tree.writable or not os.access(f"{folder}/cgroup.procs", os.W_OK):
                continue
            limits = sorted(_CONTROLLERS & set(Path(folder, "cgroup.controllers").read_text(encoding="ascii").split()))
            if limits:
                return Probe(True, f"{folder} is this user's, with {', '.join(limits)}")
    return Probe(
        False,
        "no control group of version 2 that can limit anything is this user's",
        "start it by systemd (`install --user`), on a host whose control groups are of version 2",
    )


USER: Mapping[str, Callable[[], Probe]] = {
    "subordinate-ids": _subordinate_ids,
    "delegated-group": _delegated_group,
}
"""Probes of what a user has, by the names that components use."""
