"""A container's root with all that is mounted in it, as a program inside would see it, whether it runs or not.

It is put together in a mount namespace of a thread's own, and is gone with that thread: nobody else sees it, and
nothing has to be taken back.
"""

import os
import secrets
import stat
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from moby.contracts.containers import MountRequest
from moby.contracts.types import Mount
from moby.host import mounts as kernel
from moby.host.mounts import open_in_root
from moby.host.namespaces import FLAGS, unshare
from moby.host.overlay import mount_root, paths_of
from moby.host.tree import mount_id
from moby.oci.merged import folders_at
from moby.oci.pack import marks_of
from moby_containers.engine import etc
from moby_containers.engine.entries import Entry, Point
from moby_containers.engine.parts import Parts

__all__ = ["View", "make_folders", "within"]

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_PARAMETERS = Path("/sys/module/overlay/parameters")
"""What a kernel does where a mount's options don't say."""
_REFERRING = ("redirect_dir", "metacopy")
_KEPT = ("nosuid", "nodev", "noexec")
"""What a mount that is mounted anew has to keep; statvfs(3) numbers these as mount(2) does."""


class View:
    """What an action gets: the root, and which of its mounts are read-only."""

    def __init__(self, root_fd: int, mounts: Sequence[Mount] = ()) -> None:
        self.root_fd = root_fd
        self.read_only: set[int] = set()
        """Ids of mounts of volumes and folders that the container may not write to."""
        self.layers = _layers(mounts)
        """Folders that overlayfs shows together as the whole root, the topmost first; none where it is otherwise."""
        self.marks = marks_of(userxattr=any("userxattr" in each.options for each in mounts))
        """What overlayfs goes by there."""
        self.mounted: list[str] = []
        """Where something else is mounted in it."""

    def layers_at(self, folder_fd: int, held: ExitStack) -> list[int]:
        """Return what of the layers shows together as a folder, which `held` closes; nothing where that can't be told.

        Reading there takes half of what it takes through overlayfs, which has to find each file anew in every mount.
        """
        root, here = (os.readlink(f"/proc/self/fd/{each}") for each in (self.root_fd, folder_fd))  # noqa: PTH115  # text
        if not self.layers or not _is_below(here, root):
            return []
        if any(_is_below(each, here) or _is_below(here, each) for each in self.mounted):
            return []
        shown: list[int] | None = []
        try:
            shown = [_opened(each, held, number == 0) for number, each in enumerate(self.layers)]
            for name in here[len(root) :].split("/")[1:]:
                shown = folders_at(name, shown or [], held, self.marks)
        except OSError:
            return []  # it is changed meanwhile
        return shown or []


def within(
    parts: Parts, entry: Entry, action: Callable[[View], Any], fail: Callable[[BaseException], Any]
) -> threading.Thread:
    """Return a thread that calls `action` with a view, or `fail` where there is none."""

    def work() -> None:
        with ExitStack() as stack:
            try:
                view = _assembled(parts, entry, stack)
            except BaseException as error:
                fail(error)
                return
            action(view)

    return threading.Thread(target=work, name="containers-view", daemon=True)


def _assembled(parts: Parts, entry: Entry, stack: ExitStack) -> View:
    unshare(FLAGS["mount"])
    kernel.set_propagation("/", "rprivate")
    rootfs, mounts = parts.rootfs(entry.id), parts.images.mounts(entry.id)
    with entry.lock:  # else the folder of one that has just ended may be taken away meanwhile
        rootfs.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not os.path.ismount(rootfs):
            mount_root(mounts, str(rootfs))
        view = View(os.open(rootfs, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC), mounts)
    stack.callback(os.close, view.root_fd)
    user = f"view-{secrets.token_hex(8)}"
    points = sorted(entry.keeping.points, key=lambda point: point.request.target.count("/"))
    for each in (*points, *_files(entry)):
        source = _source(parts, each, user, stack)
        if source is not None:
            _bind(view, Mount(each.request.target, str(source)), each)
    # A container may put a device in the place of a file that is read just then. Kernels before 5.12 can't keep it out.
    with suppress(OSError):
        kernel.set_attributes(view.root_fd, on=kernel.ATTRIBUTES["nodev"], recursive=True)
    return view


def _files(entry: Entry) -> Iterator[Point]:
    """Yield the files that are in its /etc; there are none before its first start."""
    files, read_only = etc.files_of(entry.container), entry.container.config.read_only_root
    for each in etc.mounts(files, read_only=read_only, taken=[each.request.target for each in entry.keeping.points]):
        yield Point(MountRequest("bind", each.destination, each.source, read_only=read_only))


def _is_below(path: str, folder: str) -> bool:
    return f"{path}/".startswith(f"{folder}/")


def _layers(mounts: Sequence[Mount]) -> tuple[str, ...]:
    if len(mounts) != 1 or mounts[0].type != "overlay":
        return ()
    options = mounts[0].options
    paths = paths_of(options)
    if "lowerdir" not in paths or any(_refers(each, options) for each in _REFERRING):
        return ()
    return (*paths.get("upperdir", ()), *paths["lowerdir"])


def _refers(feature: str, options: Sequence[str]) -> bool:
    """Whether an overlay has a feature by which a layer says that something lies elsewhere in those below."""
    for each in options:
        name, _, value = each.partition("=")
        if name == feature:
            return value not in ("off", "nofollow")
    try:
        return (_PARAMETERS / feature).read_text() != "N\n"
    except OSError:
        return False


def _opened(path: str, held: ExitStack, written: bool) -> int:
    """Open a layer; one that may be written meanwhile is by a mount that opens no device, where the kernel can."""
    apart = -1
    if written:
        with suppress(OSError):
            apart = kernel.clone_tree(path)
            held.callback(os.close, apart)
            kernel.set_attributes(apart, on=kernel.ATTRIBUTES["nodev"])
    fd = os.open(path if apart < 0 else ".", _FOLDER, dir_fd=None if apart < 0 else apart)
    held.callback(os.close, fd)
    return fd


def _source(parts: Parts, point: Point, user: str, stack: ExitStack) -> Path | None:
    if point.request.type == "tmpfs":
        return None
    if not point.volume:
        return Path(point.request.source) if os.path.exists(point.request.source) else None  # noqa: PTH110
    folder = parts.volumes.mount(point.volume, user)
    stack.callback(parts.volumes.unmount, point.volume, user)
    if point.request.subpath:
        root = os.open(folder, os.O_PATH | os.O_DIRECTORY)
        stack.callback(os.close, root)
        inside = open_in_root(root, point.request.subpath)
        stack.callback(os.close, inside)
        return Path(f"/proc/self/fd/{inside}")
    return folder


def _bind(view: View, mount: Mount, point: Point) -> None:
    asked = point.request
    tree = kernel.clone_tree(mount.source, recursive=not asked.non_recursive)
    try:
        folder = stat.S_ISDIR(os.fstat(tree).st_mode)
        place = _place(view.root_fd, mount.destination, folder=folder)
        try:
            kernel.attach(tree, place)
        finally:
            os.close(place)
        view.mounted.append(os.readlink(f"/proc/self/fd/{tree}"))  # noqa: PTH115  # text
        if asked.read_only:
            _protect(tree, deep=not asked.read_only_non_recursive)
            view.read_only.add(mount_id(tree))
    finally:
        os.close(tree)


def _protect(mount_fd: int, *, deep: bool) -> None:
    """Make a mount read-only, and those below it too where the kernel can (since 5.12)."""
    try:
        kernel.set_attributes(mount_fd, on=kernel.ATTRIBUTES["ro"], recursive=deep)
    except OSError:
        kept = os.fstatvfs(mount_fd).f_flag & sum(kernel.FLAGS[each] for each in _KEPT)
        flags = sum(kernel.FLAGS[each] for each in ("remount", "bind", "ro"))
        kernel.mount("none", f"/proc/self/fd/{mount_fd}", "", flags | kept)


def _place(root_fd: int, path: str, *, folder: bool) -> int:
    """Return a descriptor of where something is to be mounted, which is made where it is missing."""
    with suppress(FileNotFoundError):
        return open_in_root(root_fd, path)
    above, _, name = path.rpartition("/")
    parent = make_folders(root_fd, path if folder else above)
    if folder:
        return parent
    try:
        os.close(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644, dir_fd=parent))
        return os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    finally:
        os.close(parent)


def make_folders(root_fd: int, path: str) -> int:
    """Return a descriptor of a folder inside a root; it and those above it are made where they are missing.

    Links are followed inside the root. OSError as open(2) has it, where something else is in the way.
    """
    with suppress(FileNotFoundError):
        return open_in_root(root_fd, path, _FOLDER)
    reached = ""
    fd = open_in_root(root_fd, "/", _FOLDER)
    try:
        for name in path.split("/"):
            if name in ("", "."):
                continue
            reached = f"{reached}/{name}"
            try:
                inner = open_in_root(root_fd, reached, _FOLDER)
            except FileNotFoundError:
                os.mkdir(name, 0o755, dir_fd=fd)
                inner = open_in_root(root_fd, reached, _FOLDER)
            os.close(fd)
            fd = inner
    except BaseException:
        os.close(fd)
        raise
    return fd
