"""Files copied out of and into containers, running or not (docker cp)."""

import os
import posixpath
import queue
import stat
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from typing import Any, BinaryIO, TypeVar

from moby.contracts.containers import FileStat, Status
from moby.errors import Conflict, Denied, Invalid, NotFound
from moby.host.mounts import open_in_root
from moby.host.tree import mount_id
from moby.oci import layer
from moby.oci.merged import MergedPacking
from moby.oci.pack import Packing
from moby_containers.engine import tars
from moby_containers.engine.entries import Entry
from moby_containers.engine.parts import Parts
from moby_containers.engine.starting import user_of
from moby_containers.engine.views import View, within

__all__ = ["Archives"]

T = TypeVar("T")
_MOST_LINKS = 40
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class Archives:
    """Reads and writes what is at a path of a container's root, through its volumes too."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def stat(self, entry: Entry, path: str) -> FileStat:
        """Return what is at a path."""
        self._expect(entry)

        def look(view: View) -> FileStat:
            with _Found(view, entry, path) as found:
                status = found.status
                target = _link_target(view, found) if stat.S_ISLNK(status.st_mode) else ""
                return FileStat(found.base, status.st_size, status.st_mode, status.st_mtime_ns, target)

        return self._call(entry, look)

    def read(self, entry: Entry, path: str) -> Iterator[bytes]:
        """Yield an archive of what is at a path; errors come before the first chunk."""
        self._expect(entry)
        begun: queue.SimpleQueue[_Reading | BaseException] = queue.SimpleQueue()
        over = threading.Event()

        def look(view: View) -> None:
            try:
                with _Found(view, entry, path) as found, ExitStack() as held:
                    begun.put(_Reading(found.archive(held), over))
                    over.wait()
            except BaseException as error:
                begun.put(error)

        self._start(entry, look, begun.put)
        reading = begun.get()
        if isinstance(reading, BaseException):
            raise reading
        self._parts.tell(entry.container, "archive-path")
        return reading

    def write(self, entry: Entry, path: str, archive: BinaryIO, *, keep_types: bool, keep_owners: bool) -> None:
        """Unpack an archive into a folder."""
        self._expect(entry)

        def work(view: View) -> None:
            folder = _folder(view, entry, path)
            try:
                here = mount_id(folder)
                if here in view.read_only:
                    raise Denied("mounted volume is marked read-only")
                if entry.container.config.read_only_root and here == mount_id(view.root_fd):
                    raise Denied("container rootfs is marked read-only")
            finally:
                os.close(folder)
            owner = None
            if keep_owners and entry.container.config.user:
                user, _ = user_of(self._parts.rootfs(entry.id), entry.container.config.user, ())
                owner = (user.uid, user.gid)
            tars.unpack(archive, view.root_fd, path, tars.Unpacked(keep_types, owner))

        self._call(entry, work)
        self._parts.tell(entry.container, "extract-to-dir")

    def _expect(self, entry: Entry) -> None:
        if entry.removing or entry.status in (Status.REMOVING, Status.DEAD):
            raise Conflict(f"container {entry.id} is being removed")

    def _call(self, entry: Entry, action: Callable[[View], T]) -> T:
        """Call an action with a view and return what it returns."""
        results: list[Any] = []
        errors: list[BaseException] = []

        def guarded(view: View) -> None:
            try:
                results.append(action(view))
            except BaseException as error:
                errors.append(error)

        thread = self._start(entry, guarded, errors.append)
        thread.join()
        if errors:
            raise errors[0]
        result: T = results[0]
        return result

    def _start(
        self, entry: Entry, action: Callable[[View], None], fail: Callable[[BaseException], None]
    ) -> threading.Thread:
        thread = within(self._parts, entry, action, fail)
        thread.start()
        return thread


class _Found:
    """What a path means: its folder, open, and the name in it, which isn't followed unless the path says so."""

    def __init__(self, view: View, entry: Entry, path: str) -> None:
        if not path:
            raise Invalid("path cannot be empty")
        self._missing = NotFound(f"Could not find the file {path} in container {entry.container.name}")
        clean = posixpath.normpath("/" + path)
        self.clean = "/" + clean.lstrip("/")
        self.follows = path.endswith(("/", "/.")) or self.clean == "/"
        self.base = "." if path == "." or path.endswith("/.") else posixpath.basename(self.clean) or "/"
        self._view = view

    def __enter__(self) -> "_Found":
        above, _, self.name = self.clean.rpartition("/")
        try:
            if self.follows:
                self.parent = -1
                self.fd = open_in_root(self._view.root_fd, self.clean, _FOLDER)
                self.status = os.fstat(self.fd)
                return self
            self.fd = -1
            self.parent = open_in_root(self._view.root_fd, above or "/", _FOLDER)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise self._missing from error
        except OSError as error:
            raise Invalid(f"{self.clean}: {(error.strerror or '').lower()}") from error
        try:
            self.status = os.lstat(self.name, dir_fd=self.parent)
        except FileNotFoundError as error:
            os.close(self.parent)
            raise self._missing from error
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.fd if self.parent < 0 else self.parent)

    def archive(self, held: ExitStack) -> Generator[bytes, None, None]:
        """Return its archive, in chunks, made of what `held` closes."""
        if not stat.S_ISDIR(self.status.st_mode):
            return layer.stream(tars.single(self.parent, self.name, self.base))
        fd = self.fd
        if not self.follows:  # a volume may be mounted here, and is gone into
            fd = os.open(self.name, _FOLDER | os.O_NOFOLLOW, dir_fd=self.parent)
            held.callback(os.close, fd)
        shown = self._view.layers_at(fd, held)
        if shown:
            return MergedPacking(shown[0], lowers=shown[1:], base=self.base, marks=self._view.marks).stream()
        return Packing(fd, base=self.base).stream()


class _Reading:
    """An archive on its way, by whoever asks for it; `over` is set once nothing is read any more. Thread-safe."""

    def __init__(self, chunks: Generator[bytes, None, None], over: threading.Event) -> None:
        self._chunks = chunks
        self._over = over
        self._reads = threading.Lock()
        self._closed = False

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            with self._reads:
                if self._closed:
                    raise StopIteration
                return next(self._chunks)
        except BaseException:
            self._closed = True
            raise
        finally:
            if self._closed:
                self._end()

    def close(self) -> None:
        """Read no more. Nobody waits for what is being read just now, after which it ends."""
        self._closed = True
        self._end()

    def _end(self) -> None:
        """Let go, unless somebody reads, who does so then."""
        if self._reads.acquire(blocking=False):
            try:
                self._chunks.close()
            finally:
                self._reads.release()
                self._over.set()

    __del__ = close


def _link_target(view: View, found: _Found) -> str:
    """Return where a link leads in the end, inside the root, as far as there is something."""
    path = found.clean
    for _ in range(_MOST_LINKS):
        above, _, name = path.rpartition("/")
        try:
            parent = open_in_root(view.root_fd, above or "/")
        except OSError:
            return path
        try:
            target = os.readlink(name, dir_fd=parent)
        except OSError:
            return path
        finally:
            os.close(parent)
        path = "/" + posixpath.normpath(posixpath.join(above or "/", target)).lstrip("/")
    return path


def _folder(view: View, entry: Entry, path: str) -> int:
    try:
        return open_in_root(view.root_fd, path, _FOLDER)
    except NotADirectoryError as error:
        raise Invalid("extraction point is not a directory") from error
    except FileNotFoundError as error:
        raise NotFound(f"Could not find the file {path} in container {entry.container.name}") from error
    except OSError as error:
        raise Invalid(f"{path}: {(error.strerror or '').lower()}") from error
