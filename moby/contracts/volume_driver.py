"""The kind `volume-driver`: makes the folders that outlive containers."""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from moby.contracts.kind import contract

__all__ = ["VolumeDriver"]


@contract("volume-driver", version=1, many=True)
class VolumeDriver(Protocol):
    """Makes the folders that outlive containers. Thread-safe for different volumes; safe after kill -9 at any moment.

    A name of other characters than letters, digits and `_.-`, of which the first is a letter or digit, is Invalid for
    every call, and so is one that a driver can't use all the same, as it is too long.
    Options are as with `docker volume create --opt`.
    """

    scope: str
    """`local`, or `global` where every host sees the same volumes."""

    def create(self, name: str, options: Mapping[str, str]) -> None:
        """Make a volume; a repeated call with the same options does nothing, with others it is a Conflict.

        Invalid names an option that it doesn't know or can't use.
        """
        ...

    def mount(self, name: str, user: str) -> Path:
        """Make a volume usable for a user (a container's id) and return its folder; NotFound where there is none.

        Repeating it for a user does nothing more. HostUnfit or Unavailable where what is behind it can't be mounted.
        """
        ...

    def unmount(self, name: str, user: str) -> None:
        """Say that a user needs it no more; the last one's call undoes `mount`. Nothing where there is none."""
        ...

    def path(self, name: str) -> Path | None:
        """Return where a volume is or would be mounted, for people to see; None where that can't be said."""
        ...

    def remove(self, name: str) -> None:
        """Delete a volume with all that is in it; nothing where there is none, Conflict where it is mounted.

        The Conflict names its users, whichever process of the engine it was mounted by.
        """
        ...

    def size_bytes(self, name: str) -> int:
        """Return what a volume takes, -1 where that can't be said; as long as walking it takes.

        That is the bytes of its files, of each once however many names it has. -1, too, where there is no such volume.
        """
        ...
