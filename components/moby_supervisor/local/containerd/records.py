"""What is known of containers besides containerd, on disk: for calls of any process of this supervisor."""

import contextlib
import json
import shutil
from pathlib import Path

from moby.errors import NotFound
from moby.values import field, frozen

__all__ = ["Record", "Records"]


@frozen
class Record:
    """A container."""

    id: str
    bundle: str
    program: str
    pid: int = 0
    groups: tuple[str, ...] = ()
    """The folders of its cgroup, one in every hierarchy."""
    annotations: dict[str, str] = field(factory=dict)


@frozen
class Records:
    """A folder for each container, with a file for each program that was run in it."""

    root: Path

    def begin(self, record: Record) -> None:
        """Write down a container that is about to be made."""
        self._folder(record.id).mkdir(mode=0o700, parents=True, exist_ok=True)
        self.write(record)

    def write(self, record: Record) -> None:
        """Write down what a container has become."""
        path = self._folder(record.id) / "container.json"
        new = path.with_suffix(".new")
        values = {name: getattr(record, name) for name in type(record).__match_args__}
        new.write_text(json.dumps(values), encoding="utf-8")
        new.replace(path)

    def read(self, container_id: str) -> Record:
        """Return what is known of a container; NotFound where there is none."""
        try:
            values = json.loads((self._folder(container_id) / "container.json").read_bytes())
        except FileNotFoundError:
            raise NotFound(f"there is no container {container_id!r}") from None
        return Record(**{**values, "groups": tuple(values["groups"])})

    def ids(self) -> tuple[str, ...]:
        """Return the ids of all containers, sorted."""
        with contextlib.suppress(FileNotFoundError):
            return tuple(sorted(each.parent.name for each in self.root.glob("*/container.json")))
        return ()

    def remove(self, container_id: str) -> None:
        """Forget a container; forgetting twice is fine."""
        shutil.rmtree(self._folder(container_id), ignore_errors=True)

    def note(self, container_id: str, pid: int, exec_id: str) -> None:
        """Write down which of containerd's programs in a container a process is."""
        (self._folder(container_id) / f"exec-{pid}").write_text(exec_id, encoding="ascii")

    def noted(self, container_id: str, pid: int) -> str:
        """Return the id of a program that was run in a container; empty for the container's own."""
        with contextlib.suppress(FileNotFoundError):
            return (self._folder(container_id) / f"exec-{pid}").read_text(encoding="ascii")
        return ""

    def drop(self, container_id: str, pid: int) -> None:
        """Forget a program that was run in a container."""
        (self._folder(container_id) / f"exec-{pid}").unlink(missing_ok=True)

    def _folder(self, container_id: str) -> Path:
        return self.root / container_id
