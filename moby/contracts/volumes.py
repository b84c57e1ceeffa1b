"""The kind `volumes`: knows volumes by name, whichever driver makes them, and who uses them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from moby.contracts.kind import contract
from moby.values import field, frozen

__all__ = ["Volume", "Volumes"]


@frozen
class Volume:
    """A volume, whether mounted or not."""

    name: str
    driver: str
    mountpoint: Path | None
    created: str
    """RFC 3339."""
    labels: Mapping[str, str] = field(factory=dict)
    options: Mapping[str, str] = field(factory=dict)
    scope: str = "local"
    anonymous: bool = False
    """Whether nobody gave it its name."""
    users: tuple[str, ...] = ()
    """Ids of the containers that have it, running or not."""


@contract("volumes", version=1)
class Volumes(Protocol):
    """Knows volumes by name. Thread-safe; what it answered for is on disk. Publishes `create` and `destroy`."""

    def drivers(self) -> tuple[str, ...]:
        """Return the names of all volume drivers, the default one first."""
        ...

    def create(
        self,
        name: str = "",
        driver: str = "",
        options: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
        holder: str = "",
    ) -> Volume:
        """Make a volume and return it; one of that name and driver that is there already is returned as it is.

        A `holder` is a container that has it from the first: no death leaves it made and held by nobody.
        Without a name it is anonymous: 64 random hexadecimal digits. Conflict where another driver than the one asked
        for has the name; its options and labels stay as they are, whichever are asked for. Invalid for a name or an
        option; NotFound for a driver that isn't there.
        """
        ...

    def get(self, name: str) -> Volume:
        """Return a volume; NotFound."""
        ...

    def list(self) -> tuple[Volume, ...]:
        """Return all volumes, sorted by name."""
        ...

    def remove(self, name: str, *, force: bool = False) -> None:
        """Delete a volume; Conflict where a container has it, NotFound where there is none.

        With `force` none is fine, and so is one whose driver isn't there any more; one that is in use still isn't.
        """
        ...

    def hold(self, name: str, container_id: str) -> None:
        """Note that a container has a volume, from its creation to its removal; repeating does nothing more.

        NotFound where there is none; once this returns, `remove` refuses.
        """
        ...

    def release(self, name: str, container_id: str) -> None:
        """Undo `hold`; nothing where there is none."""
        ...

    def mount(self, name: str, container_id: str) -> Path:
        """Mount a volume for a container that starts; as VolumeDriver.mount."""
        ...

    def unmount(self, name: str, container_id: str) -> None:
        """Undo `mount`."""
        ...

    def size_bytes(self, name: str) -> int:
        """Return what a volume takes; -1 where that can't be said."""
        ...
