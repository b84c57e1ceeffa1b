"""How a container of a machine starts: the system calls by which its runtime would start it, worked out beforehand.

A machine's first process makes them, so that neither an interpreter nor a runtime has to be loaded before a container
runs. They follow the native runtime's, in its order, for what bundles of a machine have; for another there is no plan,
and the engine's verb `bundle` runs it. As nothing of the image can have changed when they are made, the program and
the places of mounts are found here; a link that is met in a place nevertheless is an error.
"""

import errno
import stat
import struct
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from attrs import frozen

from moby.host import device_filter
from moby.host.capabilities import NAMES
from moby.host.device_filter import DeviceRule
from moby.host.mounts import ATTRIBUTES, FLAGS, PROPAGATION
from moby.oci.seccomp.architectures import native
from moby.oci.seccomp.compiler import compiled
from moby.oci.spec import DEFAULT_MOUNTS
from moby_packager.vm.cpio import Record
from moby_packager.vm.rootfs import program_in, resolved
from moby_packager.vm.steps import GROUP, MOST_BYTES, Address, Kept, Steps

__all__ = ["plan"]

# Numbers of calls on x86-64.
_WRITE, _IOCTL, _DUP2, _SOCKET, _EXECVE, _FCNTL, _CHDIR, _FCHDIR, _FCHOWN, _UMASK = (
    1,
    16,
    33,
    41,
    59,
    72,
    80,
    81,
    93,
    95,
)
_SETGROUPS, _SETRESUID, _SETRESGID, _CAPSET, _PIVOT_ROOT, _PRCTL = 116, 117, 119, 126, 155, 157
_MOUNT, _UMOUNT, _SETHOSTNAME, _KEYCTL, _OPENAT, _MKDIRAT, _MKNODAT = 165, 166, 170, 250, 257, 258, 259
_SYMLINKAT, _UNSHARE, _SECCOMP, _BPF, _OPEN_TREE, _MOVE_MOUNT = 266, 272, 317, 321, 428, 429
_CLOSE_RANGE, _OPENAT2, _MOUNT_SETATTR = 436, 437, 442

_HERE = -100
"""AT_FDCWD."""
_O_DIRECTORY, _O_PATH, _O_CLOEXEC, _O_WRONLY = 0o200000, 0o10000000, 0o2000000, 1
_NO_MAGIC, _NO_LINKS, _IN_ROOT = 0x02, 0x04, 0x10
_EMPTY_PATH, _RECURSIVE, _CLONE, _ONTO = 0x1000, 0x8000, 1, 0x44
_DETACH = 2
_NAMESPACES = {
    "mount": 0x00020000, "cgroup": 0x02000000, "uts": 0x04000000, "ipc": 0x08000000, "network": 0x40000000,
}  # fmt: skip
_PID = 0x20000000
_DUMPABLE, _KEEP_CAPABILITIES, _DROP, _NO_NEW_PRIVILEGES, _AMBIENT, _CLEAR_ALL = 4, 8, 24, 38, 47, 4
_CAPABILITY_VERSION = 0x20080522
_MOST_CAPABILITIES = 64
_FILTER, _SPEC_ALLOW = 1, 4
_PROG_LOAD, _PROG_ATTACH, _CGROUP_DEVICE, _ATTACH_DEVICE, _ALLOW_MULTI = 5, 8, 15, 6, 2
_NEW_SESSION, _DUPLICATE = 1, 1030
_UP, _SET_FLAGS, _INET, _DATAGRAM = 1, 0x8914, 2, 2
_DEVICES = (("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0))
_LINKS = (
    ("fd", "/proc/self/fd"), ("stdin", "/proc/self/fd/0"), ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"), ("ptmx", "pts/ptmx"),
)  # fmt: skip
_KERNELS = ("proc", "sys", "dev")
"""What only the mounts that every container has may cover."""
_USUAL = {each.destination: each.type for each in DEFAULT_MOUNTS}
_NOT_THERE = (errno.ENOENT, errno.ENOTDIR)
_KNOWN: Mapping[str, frozenset[str]] = {
    "": frozenset(("ociVersion", "process", "root", "hostname", "mounts", "annotations", "linux")),
    "process": frozenset(("terminal", "user", "args", "env", "cwd", "capabilities", "noNewPrivileges")),
    "linux": frozenset(("namespaces", "resources", "maskedPaths", "readonlyPaths", "seccomp")),
}
"""What of a bundle is understood here."""


def plan(spec: Mapping[str, Any], files: Mapping[str, Record], place: str) -> bytes | None:
    """Return the file by which a bundle's container is started, whose root has these files; None where there is none.

    `place` is where the machine has the bundle.
    """
    process = spec["process"]
    program, read = program_in(files, process["args"][0], process["env"], process["cwd"])
    points = _points(files, spec["mounts"])
    if (
        not _is_known(spec)
        or not program
        or points is None
        or any(each.hides(path) for each in points for path in read)
    ):
        return None
    wanted = compiled(spec["linux"]["seccomp"], native("x86_64", little=True))
    if wanted.notifies or wanted.refused or wanted.flags:
        return None
    start = _Start(Steps(), spec, f"{place}/{spec['root']['path']}", points)
    start.separate()
    start.mount_all()
    start.enter_root()
    start.become_user()
    start.run(program, wanted.program)
    whole = start.steps.encoded(_PID)
    return whole if len(whole) <= MOST_BYTES else None


@frozen
class _Point:
    """A mount, whose place has no links on its way."""

    place: str
    kind: str
    source: str
    options: Sequence[str]
    below: str = ""
    """The place of another mount that hides this one's."""

    def hides(self, path: str) -> bool:
        """Whether a path is in its place."""
        return f"{path}/".startswith(f"{self.place}/")


def _is_known(spec: Mapping[str, Any]) -> bool:
    parts = all((spec[name] if name else spec).keys() <= keys for name, keys in _KNOWN.items())
    linux, process = spec["linux"], spec["process"]
    spaces = {each["type"] for each in linux["namespaces"]}
    plain = all(set(each) == {"type"} for each in linux["namespaces"]) and spaces >= {"pid", "mount", "cgroup"}
    limits = linux["resources"].keys() <= {"devices", "memory"} and linux["resources"].get("memory", {}).keys() <= {
        "limit"
    }
    sets = process["capabilities"].keys() == {"bounding", "effective", "permitted"}
    # Without one the runtime looks it up.
    home = any(each.startswith("HOME=") and each != "HOME=" for each in process["env"])
    known = parts and plain and spaces <= {*_NAMESPACES, "pid"} and limits and sets and home
    return known and not process["terminal"]


def _points(files: Mapping[str, Record], mounts: Sequence[Mapping[str, Any]]) -> Sequence[_Point] | None:
    """Return the mounts; None where one is what no plan can have."""
    found: list[_Point] = []
    for each in mounts:
        place, kind, options = resolved(files, each["destination"]), each["type"], each["options"]
        below = next((other.place for other in reversed(found) if other.hides(place)), "")
        usual = _USUAL.get(each["destination"]) == kind and f"/{place}" == each["destination"]
        if kind == "tmpfs" and not any(option.startswith("mode=") for option in options):
            # It has the mode of what it covers, which isn't known of another mount's.
            fits = not below and "ro" not in options and place in files
            options = (*options, f"mode={stat.S_IMODE(files[place].mode):o}") if fits else options
        elif usual:
            fits = True
        else:
            fits = "rbind" in options and (not below or each["source"].endswith("/"))
        if not fits or not place or (place.partition("/")[0] in _KERNELS and not usual):
            return None
        found.append(_Point(place, "bind" if "rbind" in options else kind, each["source"], options, below))
    return found


@frozen
class _Start:
    steps: Steps
    spec: Mapping[str, Any]
    root: str
    """Where the machine has the container's root."""
    points: Sequence[_Point]

    def separate(self) -> None:
        """Set the limits, and get into namespaces of its own (the native runtime's `placement` and `inside`)."""
        steps, linux = self.steps, self.spec["linux"]
        limit = linux["resources"].get("memory", {}).get("limit")
        group = steps.call("open its group", _OPENAT, _HERE, GROUP, _O_DIRECTORY | _O_CLOEXEC)
        # Where it should be already; were it not, neither limits nor rules would hold.
        self._write(group, "cgroup.procs", "0", "enter its group")
        if limit:
            self._write(group, "memory.max", str(limit), "limit its memory")
        self._rule_devices(group)
        empty = steps.call("have no input", _OPENAT, _HERE, steps.text("/dev/null"), _O_CLOEXEC)
        steps.call("have no input", _DUP2, empty, 0)
        spaces = [each["type"] for each in linux["namespaces"]]
        steps.call("make its namespaces", _UNSHARE, sum(_NAMESPACES.get(each, 0) for each in spaces))
        steps.call("keep its mounts to itself", _MOUNT, steps.text("none"), steps.text("/"), 0, _slave(), 0)
        steps.call("make a session keyring", _KEYCTL, _NEW_SESSION, 0, fine=(errno.ENOSYS, errno.EPERM))
        steps.call("set the umask", _UMASK, 0)
        if "network" in spaces:
            socket = steps.call("bring up the loopback device", _SOCKET, _INET, _DATAGRAM | _O_CLOEXEC, 0)
            request = steps.data(struct.pack("16sH22x", b"lo", _UP))
            steps.call("bring up the loopback device", _IOCTL, socket, _SET_FLAGS, request)
        if self.spec["hostname"] and "uts" in spaces:
            name = self.spec["hostname"]
            steps.call("set the host name", _SETHOSTNAME, steps.text(name), len(name.encode()))

    def _write(self, folder: Kept, name: str, value: str, what: str) -> None:
        text = self.steps.text
        file = self.steps.call(what, _OPENAT, folder, text(name), _O_WRONLY | _O_CLOEXEC)
        self.steps.call(what, _WRITE, file, text(value), len(value))

    def _rule_devices(self, group: Kept) -> None:
        """Have the kernel apply the rules for devices to the group."""
        steps, what = self.steps, "rule its devices"
        rules = [_rule(each) for each in self.spec["linux"]["resources"]["devices"]]
        code = device_filter.program([DeviceRule(False), *rules])
        head = struct.pack("=IIQQIIQII16s", _CGROUP_DEVICE, len(code) // 8, 0, 0, 0, 0, 0, 0, 0, b"moby_devices")
        asked = steps.data(head.ljust(128, b"\0"), [(8, steps.data(code)), (16, steps.text("Apache-2.0"))])
        attached = steps.data(struct.pack("=IIII", 0, 0, _ATTACH_DEVICE, _ALLOW_MULTI).ljust(128, b"\0"))
        steps.call(what, _FCNTL, group, _DUPLICATE, 3, into=attached)
        steps.call(what, _BPF, _PROG_LOAD, asked, 128, into=Address(attached.offset + 4))
        steps.call(what, _BPF, _PROG_ATTACH, attached, 128)

    def mount_all(self) -> None:
        """Make its root a mount, and what is mounted in there; make devices; hide what it shall not see."""
        steps, linux = self.steps, self.spec["linux"]
        below = steps.call("open its root", _OPENAT, _HERE, steps.text(self.root), _O_PATH | _O_DIRECTORY | _O_CLOEXEC)
        root = self._tree(_HERE, self.root, "open its root", deep=True)
        self._attach(root, below, "make its root a mount")
        for each in self.points:
            self._mount(root, each)
        self._make_devices(root)
        for path in linux["readonlyPaths"]:
            what = f"make {path} read-only"
            with self._if_there(root, path, what) as found:
                tree = self._tree(found, "", what, deep=True)
                self._set(tree, what, on=ATTRIBUTES["ro"], deep=True)
                self._attach(tree, found, what)
        for path in linux["maskedPaths"]:
            self._mask(root, path)
        if self.spec["root"]["readonly"]:
            self._set(root, "make its root read-only", on=ATTRIBUTES["ro"])
        steps.call("enter its root", _FCHDIR, root)

    def _mount(self, root: Kept, point: _Point) -> None:
        what = f"mount {point.kind} on /{point.place}"
        if point.below:
            self._make_place(root, point, what)
        target = self._open(root, point.place, what, _NO_LINKS)
        if point.kind == "bind":
            tree = self._tree(_HERE, point.source, what, deep=True)
            if "rro" in point.options:
                self._set(tree, what, on=ATTRIBUTES["ro"], deep=True)
            self._set(tree, what, propagation=PROPAGATION["private"], deep=True)
            self._attach(tree, target, what)
        elif point.kind == "cgroup":
            tree = self._tree(_HERE, GROUP, what)
            self._set(tree, what, on=sum(ATTRIBUTES[each] for each in point.options))
            self._attach(tree, target, what)
        else:
            self._mount_here(target, point.kind, point.source, point.options, what)

    def _mount_here(self, target: Kept, kind: str, source: str, options: Sequence[str], what: str) -> None:
        flags = sum(FLAGS[each] for each in options if each in FLAGS)
        data = ",".join(each for each in options if each not in FLAGS)
        text = self.steps.text
        self.steps.call(what, _FCHDIR, target)
        self.steps.call(what, _MOUNT, text(source), text("."), text(kind), flags, text(data))

    def _make_place(self, root: Kept, point: _Point, what: str) -> None:
        """Make a folder, and those that it is in, inside of the mount that hides the image's."""
        above = point.below
        for name in filter(None, point.place.removeprefix(point.below).split("/")):
            folder = self._open(root, above, what, _NO_LINKS)
            self.steps.call(what, _MKDIRAT, folder, self.steps.text(name), 0o755, fine=(errno.EEXIST, errno.EROFS))
            above = f"{above}/{name}"

    def _make_devices(self, root: Kept) -> None:
        steps = self.steps
        folder = self._open(root, "dev", "make its devices", _NO_LINKS)
        for name, major, minor in _DEVICES:
            number = major << 8 | minor
            steps.call(f"make /dev/{name}", _MKNODAT, folder, steps.text(name), stat.S_IFCHR | 0o666, number)
        for name, target in _LINKS:
            steps.call(f"make /dev/{name}", _SYMLINKAT, steps.text(target), folder, steps.text(name))

    def _mask(self, root: Kept, path: str) -> None:
        """Hide a path: a folder behind an empty one, a file behind /dev/null; fine where it isn't there."""
        what = f"hide {path}"
        with self._if_there(root, path, what, _O_DIRECTORY) as found:
            self._mount_here(found, "tmpfs", "tmpfs", ("ro", "size=0"), what)
        with self.steps.unless_done(), self._if_there(root, path, what) as found:
            tree = self._tree(_HERE, "/dev/null", what)
            self._set(tree, what, on=ATTRIBUTES["ro"])
            self._attach(tree, found, what)

    def enter_root(self) -> None:
        """Make the working folder, which is the new root, the root, and let go of the old one."""
        steps, what, here = self.steps, "change the root", self.steps.text(".")
        old = steps.call(what, _OPENAT, _HERE, steps.text("/"), _O_PATH | _O_DIRECTORY | _O_CLOEXEC)
        steps.call(what, _PIVOT_ROOT, here, here)
        steps.call(what, _FCHDIR, old)
        steps.call(what, _MOUNT, steps.text("none"), here, 0, _slave(), 0)
        steps.call(what, _UMOUNT, here, _DETACH)
        steps.call(what, _CHDIR, steps.text("/"))

    def become_user(self) -> None:
        """Take on all that the program has, but for the filter of its calls (the native runtime's `program`)."""
        steps, process = self.steps, self.spec["process"]
        user, what = process["user"], "change user and groups"
        steps.call("close what the machine has open", _CLOSE_RANGE, 3, 0x7FFFFFFF, 0)
        if process["noNewPrivileges"]:
            steps.call("set no_new_privs", _PRCTL, _NO_NEW_PRIVILEGES, 1, 0, 0, 0)
        kept = {NAMES.index(each) for each in process["capabilities"]["bounding"]}
        for number in range(_MOST_CAPABILITIES):
            if number not in kept:
                steps.call("limit its capabilities", _PRCTL, _DROP, number, 0, 0, 0, fine=(errno.EINVAL,))
        for number in (1, 2) if user["uid"] else ():
            steps.call("own its streams", _FCHOWN, number, user["uid"], -1, fine=(errno.EPERM, errno.EROFS))
        groups = user["additionalGids"]
        steps.call(what, _PRCTL, _KEEP_CAPABILITIES, 1, 0, 0, 0)
        steps.call(what, _SETGROUPS, len(groups), steps.data(struct.pack(f"<{len(groups)}I", *groups)))
        steps.call(what, _SETRESGID, *[user["gid"]] * 3)
        self._change_folder(process["cwd"])
        steps.call(what, _SETRESUID, *[user["uid"]] * 3)
        steps.call(what, _PRCTL, _KEEP_CAPABILITIES, 0, 0, 0, 0)
        steps.call("set the umask", _UMASK, user["umask"])

    def _change_folder(self, path: str) -> None:
        """Enter the working folder as root still, as some are root's alone."""
        steps, what = self.steps, f"change to the folder {path}"
        root = steps.call(what, _OPENAT, _HERE, steps.text("/"), _O_PATH | _O_DIRECTORY | _O_CLOEXEC)
        steps.call(what, _FCHDIR, self._open(root, path.strip("/"), what, _NO_MAGIC, _O_DIRECTORY))

    def run(self, program: str, code: bytes) -> None:
        """Become the program, through a filter of its calls."""
        steps, process = self.steps, self.spec["process"]
        sets = {name: _bits(names) for name, names in process["capabilities"].items()}
        # Without no_new_privs only CAP_SYS_ADMIN may install a filter; exec takes it back.
        more = 0 if process["noNewPrivileges"] else _bits(["CAP_SYS_ADMIN"])
        words = [word for shift in (0, 32) for word in (
            (sets["effective"] & sets["permitted"] | more) >> shift & 0xFFFFFFFF,
            (sets["permitted"] | more) >> shift & 0xFFFFFFFF, 0,
        )]  # fmt: skip
        head = steps.data(struct.pack("<Ii", _CAPABILITY_VERSION, 0))
        steps.call("set its capabilities", _CAPSET, head, steps.data(struct.pack("<6I", *words)))
        steps.call("set its capabilities", _PRCTL, _AMBIENT, _CLEAR_ALL, 0, 0, 0)
        steps.call("hide from others", _PRCTL, _DUMPABLE, 0, 0, 0, 0)
        filtering = steps.data(struct.pack("<H14x", len(code) // 8), [(8, steps.data(code))])
        steps.call("filter its calls", _SECCOMP, _FILTER, _SPEC_ALLOW, filtering)
        arguments, environment = steps.texts(process["args"]), steps.texts(process["env"])
        steps.call(f"run {program}", _EXECVE, steps.text(program), arguments, environment)

    def _how(self, flags: int, resolve: int) -> Address:
        return self.steps.data(struct.pack("<3Q", flags | _O_PATH | _O_CLOEXEC, 0, resolve | _IN_ROOT))

    def _open(self, root: Kept, path: str, what: str, resolve: int, flags: int = 0) -> Kept:
        text = self.steps.text(path or ".")
        return self.steps.call(what, _OPENAT2, root, text, self._how(flags, resolve), 24)

    def _if_there(self, root: Kept, path: str, what: str, flags: int = 0) -> AbstractContextManager[Kept]:
        text, how = self.steps.text(path.strip("/")), self._how(flags, _NO_MAGIC)
        return self.steps.if_done(what, _OPENAT2, root, text, how, 24, fine=_NOT_THERE)

    def _tree(self, folder: Kept | int, path: str | Address, what: str, *, deep: bool = False) -> Kept:
        """Copy a mount, to be attached elsewhere."""
        flags = _CLONE | _O_CLOEXEC | (_RECURSIVE if deep else 0) | (0 if path else _EMPTY_PATH)
        place = path if isinstance(path, Address) else self.steps.text(path)
        return self.steps.call(what, _OPEN_TREE, folder, place, flags)

    def _set(self, tree: Kept, what: str, *, on: int = 0, propagation: int = 0, deep: bool = False) -> None:
        flags = _EMPTY_PATH | (_RECURSIVE if deep else 0)
        attributes = self.steps.data(struct.pack("<4Q", on, 0, propagation, 0))
        self.steps.call(what, _MOUNT_SETATTR, tree, self.steps.text(""), flags, attributes, 32)

    def _attach(self, tree: Kept, target: Kept, what: str) -> None:
        empty = self.steps.text("")
        self.steps.call(what, _MOVE_MOUNT, tree, empty, target, empty, _ONTO)


def _slave() -> int:
    return PROPAGATION["slave"] | FLAGS["rec"]


def _bits(names: Sequence[str]) -> int:
    return sum(1 << NAMES.index(each) for each in names)


def _rule(data: Mapping[str, Any]) -> DeviceRule:
    return DeviceRule(data["allow"], data["type"], data.get("major"), data.get("minor"), data["access"])
