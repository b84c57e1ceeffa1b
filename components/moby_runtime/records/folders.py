"""The folders of containers' records, under the run folder of one instance of a runtime."""

from __future__ import annotations

import os

from moby.errors import Conflict, Corrupt, Invalid, NotFound
from moby.host.blocks import suppress
from moby.host.files import read_bytes
from moby.values import asdict
from moby_runtime.records.json_text import decoded, encoded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Protocol, TypeVar

    R = TypeVar("R")

    class Recorded(Protocol):
        """A value that is one container's record."""

        @property
        def id(self) -> str: ...


__all__ = ["Folders"]

FORMAT = 1
_LETTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")
_MARKS = frozenset("_.+-")
_LONGEST = 255


def _may_be(container_id: str) -> bool:
    """Whether this can name a container."""
    return (
        0 < len(container_id) <= _LONGEST
        and container_id[0] in _LETTERS
        and not set(container_id) - _LETTERS - _MARKS
    )  # fmt: skip


def _made(path: str, data: dict[str, Any], make: Callable[..., R]) -> R:
    if data.pop("format") != FORMAT:
        raise Corrupt(f"{path} is of another version", hint="use the version that made this container")
    return make(**{**data, "cgroups": tuple(data["cgroups"])})


_OTHERS = ("start.sock",)
"""What else there is in most folders."""


class Folders:
    """A folder a container, with its record in a file of one name."""

    def __init__(self, root: str | os.PathLike[str], name: str) -> None:
        self.root = os.fspath(root)
        self._name = name
        self._last: tuple[str, bytes, Any] = ("", b"", None)
        """What was read last, which an engine asks for again and again."""

    def path(self, container_id: str) -> str:
        """Return the folder of a container; Invalid for an id that can't name one."""
        if not _may_be(container_id):
            raise Invalid(
                f"{container_id!r} can't be the id of a container", hint="letters, digits, and any of _ . + - after one"
            )
        return f"{self.root}/{container_id}"

    def make(self, container_id: str) -> None:
        """Make the folder of a new container; Conflict where the id is taken."""
        path = self.path(container_id)
        try:
            try:
                os.mkdir(path, 0o700)
            except FileNotFoundError:
                os.makedirs(self.root, exist_ok=True)
                os.mkdir(path, 0o700)
        except FileExistsError:
            raise Conflict(
                f"there is a container {container_id!r} already", hint="delete it, or take another id"
            ) from None

    def reserve(self, record: Recorded) -> None:
        """Write the record of a new container; Conflict where the id is taken."""
        self.make(record.id)
        try:
            self.write(record)
        except BaseException:
            self.remove(record.id)
            raise

    def write(self, record: Recorded) -> None:
        """Replace a record in one step."""
        path = f"{self.path(record.id)}/{self._name}"
        fd = os.open(f"{path}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        try:
            data = encoded({"format": FORMAT, **asdict(record)}).encode()
            while data:
                data = data[os.write(fd, data) :]
        finally:
            os.close(fd)
        os.replace(f"{path}.new", path)

    def get(self, container_id: str, make: Callable[..., R]) -> R:
        """Return what `make` makes of a record's values; NotFound where there is none, Corrupt."""
        path = f"{self.path(container_id)}/{self._name}"
        try:
            text = read_bytes(path)
            known, same, record = self._last
            if path != known or text != same:
                record = _made(path, decoded(text.decode()), make)
                self._last = path, text, record
            return record  # type: ignore[no-any-return]
        except (FileNotFoundError, NotADirectoryError):
            raise NotFound(f"there is no container {container_id!r}") from None
        except (AttributeError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise Corrupt(f"{path} can't be read: {error}", hint=f"remove {os.path.dirname(path)}") from error

    def ids(self) -> tuple[str, ...]:
        """Return all ids, sorted; what else is in the folder is somebody's own."""
        try:
            with os.scandir(self.root) as found:
                return tuple(sorted(each.name for each in found if _may_be(each.name) and each.is_dir()))
        except FileNotFoundError:
            return ()

    def remove(self, container_id: str) -> None:
        """Remove a folder with all that is in it; removing twice is fine."""
        path = self.path(container_id)
        # Without a descriptor first, since there may be none left: what it has by its names.
        for each in (self._name, f"{self._name}.new", *_OTHERS):
            with suppress(OSError):
                os.unlink(f"{path}/{each}")
        try:
            os.rmdir(path)
            return
        except FileNotFoundError:
            return
        except OSError:
            pass
        with suppress(OSError):
            for each in os.listdir(path):
                os.unlink(f"{path}/{each}")
            os.rmdir(path)
            return
        import shutil  # which costs more than the rest of a command, and is for what has folders

        shutil.rmtree(path, ignore_errors=True)
