"""Control groups, version 1, 2 and both at once (cgroups(7)): finding, making, entering, freezing, removing."""

from __future__ import annotations

import errno
import os
import time

from moby.host import bare
from moby.host.blocks import suppress
from moby.host.files import read_text, write_text
from moby.host.processes import send_signal
from moby.values import frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from contextlib import AbstractContextManager

    from moby.host.bare import Calls

__all__ = ["NO_GROUP", "Entrance", "Group", "Hierarchy", "hierarchies", "version"]

_STEP_S = 0.002
_ROUNDS = 1500
"""With the step, three seconds: what a freeze or the last exit may take."""
_THAW_EVERY = 50
_LEAF = "moby-init"


@frozen
class Hierarchy:
    """One mounted tree of control groups."""

    mount: str
    version: int
    controllers: frozenset[str]
    own: str = "/"
    """Where the calling process is, from the mount on."""
    writable: bool = True

    def folder(self, path: str) -> str:
        """Return the folder of a group, by its path from the mount on."""
        return f"{self.mount}/{path.strip('/')}".rstrip("/")


def hierarchies(mountinfo: str | None = None, membership: str | None = None) -> tuple[Hierarchy, ...]:
    """Return the trees that are mounted here, for this thread; the arguments stand in for its mountinfo, and cgroup."""
    membership = read_text("/proc/self/cgroup") if membership is None else membership
    if mountinfo is not None:
        return _read(mountinfo, membership)
    # What is mounted is long to read where there are many containers, and most often is the same.
    where = membership, os.stat("/proc/thread-self/ns/mnt").st_ino
    known = _known.get(where)
    if known is not None and known[1] is not None and known[1] == _seen(known[0]):
        return known[0]
    found = _read(read_text("/proc/thread-self/mountinfo"), membership)
    _known.clear()
    # A tree that isn't mounted now may be the next time: in a namespace that has the number of one that is gone, too.
    if len(found) == len(membership.splitlines()):
        # Who asks but once has nothing of a second look.
        _known[where] = (found, None if known is None else _seen(found))
    return found


_known: dict[tuple[str, int], tuple[tuple[Hierarchy, ...], object]] = {}
"""The trees, and what was seen of them then, by the membership, which tells of every tree that there is, and the mount
namespace, which shows some."""


def _seen(trees: Iterable[Hierarchy]) -> object:
    """Return what is other once trees are mounted otherwise, or have other controllers."""
    found: list[object] = []
    for tree in trees:
        with suppress(OSError):
            system = os.statvfs(tree.mount)
            words = _words(f"{tree.mount}/cgroup.controllers") if tree.version == 2 else ()
            root = os.stat(tree.mount)
            found.append((root.st_dev, root.st_ino, system.f_flag, *words))
    return found


def _read(mountinfo: str, membership: str) -> tuple[Hierarchy, ...]:
    own = _membership(membership)
    known = {name for names in own for name in names}
    found: dict[frozenset[str], Hierarchy] = {}
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        if not after.startswith("cgroup"):
            continue
        root, point, options = before.split()[3:6]
        kind, _, rest = after.partition(" ")
        if kind not in ("cgroup", "cgroup2"):
            continue
        point = _unescaped(point)
        if kind == "cgroup2":
            key: frozenset[str] = frozenset()
            controllers = frozenset(_words(f"{point}/cgroup.controllers"))
        else:
            key = controllers = frozenset(rest.split()[-1].split(",")) & known
        path = own.get(key, "/")
        # In a container the mount shows a subtree, whose path the membership may still spell from the true root.
        path = path.removeprefix(_unescaped(root).rstrip("/")) or "/"
        found.setdefault(
            key,
            Hierarchy(point, 2 if kind == "cgroup2" else 1, controllers, path, "ro" not in options.split(",")),
        )
    return tuple(sorted(found.values(), key=lambda each: (each.version, each.mount)))


def _unescaped(word: str) -> str:
    r"""Undo what the kernel does to spaces and the like in mountinfo: \040."""
    if "\\" not in word:
        return word
    first, *rest = word.split("\\")
    return first + "".join(chr(int(each[:3], 8)) + each[3:] for each in rest)


def _membership(text: str) -> dict[frozenset[str], str]:
    """Read /proc/PID/cgroup: the path by the controllers of its tree, which are none for version 2."""
    found = {}
    for line in text.splitlines():
        _, names, path = line.split(":", 2)
        found[frozenset(name for name in names.split(",") if name)] = path
    return found


def version(trees: Iterable[Hierarchy]) -> str:
    """Return `v1`, `v2`, `hybrid` or nothing, by which versions have controllers that matter."""
    trees = tuple(trees)
    one = any(each.version == 1 for each in trees)
    two = any(each.version == 2 for each in trees)
    return "hybrid" if one and two else "v1" if one else "v2" if two else ""


def _words(path: str) -> list[str]:
    try:
        return read_text(path).split()
    except OSError:
        return []


@frozen
class Entrance:
    """Open descriptors of a group, by which a process that has one thread moves itself, or is cloned, into it.

    Unlike moving another process, this never waits for the kernel (RCU), which may be ten milliseconds.
    """

    folder: int = -1
    """Of version 2, for `clone`; -1 where there is none."""
    tasks: tuple[int, ...] = ()
    """Of version 1, one a tree, but for `counted`."""
    counted: int = -1
    """Of version 1, that which limits how many there are."""
    procs: int = -1
    """Of version 2, for whoever can't be cloned into it."""

    @property
    def moved_by_others(self) -> bool:
        """Whether there is nothing to enter."""
        return self.folder < 0 and not self.tasks

    def enter(self, *, counted: bool = True) -> None:
        """Enter the trees of version 1, as a process that was cloned into the folder of version 2.

        Who only clones another one there isn't `counted` itself, and that one enters the rest.
        """
        for fd in self.tasks:
            os.write(fd, b"0")
        if counted:
            self.enter_counted()

    def enter_counted(self) -> None:
        """Enter what limits how many there are."""
        if self.counted >= 0:
            os.write(self.counted, b"0")

    @property
    def calls(self) -> Calls:
        """What does as `enter`, in a copy of this process."""
        return tuple([bare.write(fd, b"0") for fd in (*self.tasks, self.counted) if fd >= 0])

    def enter_all(self, *, counted: bool = True) -> None:
        """Enter all trees; in that of version 2 the kernel may make it wait."""
        self.enter(counted=counted)
        if self.procs >= 0:
            os.write(self.procs, b"0")


NO_GROUP = Entrance()
"""Of no group at all."""


@frozen
class Group:
    """The folders of one control group, one in each tree. It holds no descriptor, so it can be stored by its paths."""

    folders: tuple[str, ...]

    @classmethod
    def create(cls, trees: Sequence[Hierarchy], name: str, *, move_aside: bool = False) -> Group:
        """Make a group at a path in each tree; OSError, with nothing left, where a tree refuses.

        One that is there already is taken over, unless processes are in or below it, or it is frozen (EBUSY). In
        version 2 what has processes can't have groups with limits below it: `move_aside` lets those in the way, the
        caller among them, be moved to a group beside, where the caller's own group is delegated to it.
        """
        made: list[str] = []
        found: list[str] = []
        try:
            for tree in trees:
                folder = tree.folder(name)
                (made if _make(tree, folder, move_aside=move_aside) else found).append(folder)
            _refuse_in_use(found)
        except BaseException:
            cls(tuple(made)).remove()
            for tree in trees:
                _remove_above(tree.folder(name))
            raise
        return cls(tuple([tree.folder(name) for tree in trees]))

    def file(self, name: str) -> str | None:
        """Return the path of a group's file, in whichever tree has it."""
        controller = name.partition(".")[0]
        paths = [f"{each}/{name}" for each in self.folders]
        # Where each controller has a tree, that most often has its name.
        likely = [path for path in paths if f"/{controller}/" in path]
        return next((path for path in likely + paths if os.access(path, os.F_OK)), None)

    @property
    def unified(self) -> str | None:
        """Return the folder in the tree of version 2."""
        # That tree sorts last.
        last = self.folders[-1:]
        return last[0] if last and os.access(f"{last[0]}/cgroup.type", os.F_OK) else None

    def holding(self, pid: int) -> Group:
        """Return the group to put a process beside another one of this group.

        In version 2 that may have moved to a group below, after which none can be in this one itself (cgroups(7), no
        internal processes).
        """
        unified = self.unified
        if unified is None or not _words(f"{unified}/cgroup.subtree_control"):
            return self
        for below in _all_below(unified):
            if str(pid) in _words(f"{below}/cgroup.procs"):
                return Group((*self.folders[:-1], below))
        return self

    def attach(self, pid: int) -> None:
        """Move a process into the group, with what it starts from then on.

        The kernel may wait for several milliseconds (RCU), which an `entrance` doesn't.
        """
        for folder in self.folders:
            _attach(f"{folder}/cgroup.procs", pid)

    def entrance(self) -> AbstractContextManager[Entrance]:
        """Lend what a process enters by; OSError where the group isn't there any more."""
        return _Lent(self)

    def pids(self) -> tuple[int, ...]:
        """Return the processes in the group and in groups below it, ordered by pid."""
        found: set[int] = set()
        for folder in self.folders[-1:]:
            for below in _all_below(folder):
                found.update(int(word) for word in _words(f"{below}/cgroup.procs"))
        return tuple(sorted(pid for pid in found if pid))

    def kill(self, number: int) -> None:
        """Send a signal to every process in the group, also to those that they start meanwhile."""
        if number == 9 and (unified := self.unified):
            with suppress(OSError):  # before Linux 5.14 there was no such file
                write_text(f"{unified}/cgroup.kill", "1")
                return
        sent: set[int] = set()
        for _ in range(_ROUNDS):
            fresh = set(self.pids()) - sent
            if not fresh:
                return
            for pid in fresh:
                _signal(pid, number)
            sent |= fresh

    def freeze(self) -> None:
        """Stop every process of the group from running; TimeoutError where one doesn't stop in three seconds."""
        v1, v2 = self.file("freezer.state"), self.file("cgroup.freeze")
        if v1 is not None:
            _until(_Freezing(v1), f"{v1} doesn't become FROZEN")
        elif v2 is not None:
            write_text(v2, "1")
            _until(self.frozen, f"{v2} has no effect")
        else:
            raise FileNotFoundError(errno.ENOENT, "no freezer controller", "freezer")

    def thaw(self) -> None:
        """Let the processes of the group go on."""
        v1, v2 = self.file("freezer.state"), self.file("cgroup.freeze")
        if v1 is not None:
            write_text(v1, "THAWED")
        elif v2 is not None:
            write_text(v2, "0")

    def frozen(self) -> bool:
        """Whether the group is frozen."""
        v1 = self.file("freezer.state")
        if v1 is not None and _words(v1) == ["FROZEN"]:
            return True
        try:
            return "frozen 1" in read_text(f"{self.folders[-1]}/cgroup.events") if self.folders else False
        except OSError:  # that of version 2 sorts last, if there is one
            return False

    def give(self, uid: int, listed: str = "/sys/kernel/cgroup/delegate") -> None:
        """Let a user manage groups below: it owns the folder, and the files that the kernel lists (cgroups(7)).

        Version 2 alone is made for that; where there is version 1, too, nothing is done.
        """
        if self.unified is None or len(self.folders) != 1:
            return
        try:
            names = read_text(listed).split()
        except FileNotFoundError:
            names = ["cgroup.procs", "cgroup.subtree_control", "cgroup.threads"]
        for path in (self.unified, *(f"{self.unified}/{name}" for name in names)):
            with suppress(FileNotFoundError):  # which of them there are depends on the controllers
                os.chown(path, uid, -1)

    def remove(self) -> None:
        """Remove the group, groups below it, and folders above it that are empty and named by an engine.

        Removing twice is fine; OSError (EBUSY) where a process stays in it for three seconds.
        """
        for folder in self.folders:
            _remove_tree(folder)
        for folder in self.folders:
            _remove_above(folder)


class _Lent:
    """An entrance while it is open."""

    def __init__(self, group: Group) -> None:
        self._group = group
        self._fds: list[int] = []

    def __enter__(self) -> Entrance:
        try:
            return self._opened()
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *error: object) -> None:
        while self._fds:
            os.close(self._fds.pop())

    def _opened(self) -> Entrance:
        tasks, counted, folder, procs = [], -1, -1, -1
        counts = (self._group.file("pids.max") or "").rpartition("/")[0]
        for each in self._group.folders:
            try:
                fd = self._open(f"{each}/tasks", os.O_WRONLY)
                if each == counts:
                    counted = fd
                else:
                    tasks.append(fd)
            except FileNotFoundError:
                folder = self._open(each, os.O_RDONLY | os.O_DIRECTORY)
                procs = self._open(f"{each}/cgroup.procs", os.O_WRONLY)
        return Entrance(folder, tuple(tasks), counted, procs)

    def _open(self, path: str, flags: int) -> int:
        fd = os.open(path, flags | os.O_CLOEXEC)
        self._fds.append(fd)
        return fd


def _attach(path: str, pid: int) -> None:
    for attempt in range(5):
        try:
            write_text(path, str(pid))
        except OSError as error:  # a process that was only just made (TASK_NEW) is refused by some kernels
            if error.errno != errno.EINVAL or attempt == 4:
                raise
            time.sleep(_STEP_S)
        else:
            return


class _Freezing:
    """One attempt after another to freeze a group of version 1."""

    def __init__(self, state: str) -> None:
        self._state = state
        self._round = 0

    def __call__(self) -> bool:
        """Try once more, and say whether it is frozen."""
        self._round += 1
        if self._round % _THAW_EVERY == 0:
            # Where processes keep appearing it may hang at FREEZING, unless all begin anew.
            write_text(self._state, "THAWED")
        # A fork at the wrong moment leaves it at FREEZING, until it is written once more.
        write_text(self._state, "FROZEN")
        return _words(self._state) == ["FROZEN"]


def _is_frozen(folder: str) -> bool:
    state = _words(f"{folder}/freezer.state")
    if state:
        return state == ["FROZEN"]
    try:
        return "frozen 1" in read_text(f"{folder}/cgroup.events")
    except OSError:
        return False


def _signal(pid: int, number: int) -> None:
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        send_signal(fd, number)
    except ProcessLookupError:
        pass
    finally:
        os.close(fd)


def _until(done: Callable[[], bool], message: str) -> None:
    for _ in range(_ROUNDS):
        if done():
            return
        time.sleep(_STEP_S)
    raise TimeoutError(errno.ETIMEDOUT, message)


def _below(folder: str) -> list[str]:
    """Return the groups just below one."""
    try:
        with os.scandir(folder) as entries:
            return [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return []


def _all_below(folder: str) -> list[str]:
    """Return a group and all below it, each before those below it."""
    found = [folder]
    for each in found:
        found += _below(each)
    return found


def _refuse_in_use(folders: Iterable[str]) -> None:
    """See that groups which were there before are nobody's."""
    for folder in folders:
        for each in _all_below(folder):
            if _words(f"{each}/cgroup.procs"):
                raise OSError(errno.EBUSY, "the control group has processes of others", each)
        if _is_frozen(folder):
            raise OSError(errno.EBUSY, "the control group is frozen", folder)


def _make(tree: Hierarchy, folder: str, *, move_aside: bool) -> bool:
    """Make a group and those above it, and pass on to it what a tree doesn't by itself; whether it is new."""
    for attempt in range(3):
        try:
            new = _make_level(tree, folder)
        except FileNotFoundError:
            if attempt == 2:
                raise
            level = tree.mount
            for name in folder.removeprefix(level).strip("/").split("/")[:-1]:
                level = f"{level}/{name}"
                # Somebody may remove an empty one meanwhile, as its group's last.
                with suppress(FileNotFoundError):
                    _make_level(tree, level)
        else:
            break
    if tree.version == 2 and tree.controllers - set(_words(f"{folder}/cgroup.controllers")):
        _enable(tree, folder.rpartition("/")[0], move_aside=move_aside)
    return new


def _make_level(tree: Hierarchy, folder: str) -> bool:
    try:
        os.mkdir(folder)
        new = True
    except FileExistsError:
        new = False
    if "cpuset" in tree.controllers and tree.version == 1:
        # A new one has none of its own, and then no process can enter.
        above = folder.rpartition("/")[0]
        for name in ("cpuset.cpus", "cpuset.mems"):
            if new or not _words(f"{folder}/{name}"):
                write_text(f"{folder}/{name}", _inherited(tree, above, name))
    return new


def _inherited(tree: Hierarchy, folder: str, name: str) -> str:
    """Return a file of a cpuset, filled from above where somebody else has made the group and not filled it yet."""
    text = read_text(f"{folder}/{name}")
    if not text.strip() and folder != tree.mount:
        text = _inherited(tree, folder.rpartition("/")[0], name)
        write_text(f"{folder}/{name}", text)
    return text


def _enable(tree: Hierarchy, folder: str, *, move_aside: bool) -> None:
    """Have a group of version 2, and those above it, pass their controllers on, as far as the kernel lets them.

    Where it doesn't, the files that a limit needs aren't there, and the limit says so.
    """
    names = folder.removeprefix(tree.mount).strip("/").split("/")
    for depth in range(len(names) + 1 if names[0] else 1):
        at = "/".join([tree.mount, *names[:depth]])
        lacking = tree.controllers - set(_words(f"{at}/cgroup.subtree_control"))
        if not lacking:
            continue
        if _words(f"{at}/cgroup.procs") and os.access(f"{at}/cgroup.type", os.F_OK):
            # Only the true root, which has no type, may have processes beside groups with limits. Elsewhere some
            # controllers would still be passed on, and nothing could enter the groups below (domain invalid).
            if not move_aside or at != tree.folder(tree.own):
                return
            _move_aside(at)
        for controller in sorted(lacking):
            with suppress(OSError):
                write_text(f"{at}/cgroup.subtree_control", f"+{controller}")


def _move_aside(folder: str) -> None:
    """Move the processes of a group into one below it."""
    with suppress(OSError):
        for _ in range(_ROUNDS):
            pids = _words(f"{folder}/cgroup.procs")
            if not pids:
                return
            with suppress(FileExistsError):
                os.mkdir(f"{folder}/{_LEAF}")
            for pid in pids:
                with suppress(ProcessLookupError):
                    write_text(f"{folder}/{_LEAF}/cgroup.procs", pid)


def _remove_tree(folder: str) -> None:
    """Remove a group, after those below it."""
    try:
        os.rmdir(folder)
    except FileNotFoundError:
        return
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        for below in reversed(_all_below(folder)):
            _remove(below)


def _remove_above(folder: str) -> None:
    """Remove the empty groups above one, up to and with the one that an engine has named."""
    above = folder.rpartition("/")[0]
    while "/moby" in above:
        try:
            os.rmdir(above)
        except OSError:
            break
        above = above.rpartition("/")[0]


def _remove(folder: str) -> None:
    for attempt in range(_ROUNDS):
        try:
            os.rmdir(folder)
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno != errno.EBUSY or attempt == _ROUNDS - 1:
                raise
            time.sleep(_STEP_S)
        else:
            return
