"""Records in a folder, a file each, which is there whole or not at all."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

__all__ = ["Files"]


class Named(Protocol):
    """What is written down."""

    @property
    def id(self) -> str:
        """What names its file."""
        ...


R = TypeVar("R", bound=Named)


class Files(Generic[R]):
    """The records of one engine. OSError as the kernel has it."""

    def __init__(
        self, folder: Path, read: Callable[[Mapping[str, Any]], R], write: Callable[[R], Mapping[str, Any]]
    ) -> None:
        self._folder, self._read, self._write = folder, read, write

    def ids(self) -> tuple[str, ...]:
        """Return what names them, in order."""
        return tuple(sorted(self._names()))

    def _names(self) -> Iterator[str]:
        if self._folder.is_dir():
            yield from (each.stem for each in self._folder.iterdir() if each.suffix == ".json")

    def all(self) -> Mapping[str, R]:
        """Return them by id."""
        return {each: record for each in self.ids() if (record := self.get(each)) is not None}

    def get(self, record_id: str) -> R | None:
        """Return one; None where it isn't there."""
        with suppress(FileNotFoundError):
            return self._read(json.loads(self._path(record_id).read_text(encoding="utf-8")))
        return None

    def _path(self, record_id: str) -> Path:
        return self._folder / f"{record_id}.json"

    def put(self, record: R) -> None:
        """Write one down."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        aside = self._folder / f"{record.id}.new"
        aside.write_text(json.dumps(self._write(record)), encoding="utf-8")
        aside.replace(self._path(record.id))

    def remove(self, record_id: str) -> None:
        """Forget one; nothing where there is none."""
        self._path(record_id).unlink(missing_ok=True)
