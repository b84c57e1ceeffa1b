"""A session for tests of builders: what it lends is in memory and in folders, and what it is given it keeps."""

import io
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from moby.context.sending import send
from moby.contracts.builder import Blobs, Build, Builder, Entry, Event, Folder, Receiver, Selection
from moby.contracts.image_registry import Credentials
from moby.contracts.types import Fd
from moby.errors import NotFound

__all__ = ["Building", "Lending", "Mixing", "tree_of"]


class Lending:
    """Lends folders, streams and secrets; keeps what is delivered, by number."""

    def __init__(
        self,
        folders: Mapping[str, Path] | None = None,
        *,
        key: str = "",
        secrets: Mapping[str, bytes] | None = None,
        streams: Mapping[str, bytes] | None = None,
        agents: Mapping[str, Callable[[], Fd]] | None = None,
    ) -> None:
        self.key = key
        self._folders = dict(folders or {})
        self._secrets = dict(secrets or {})
        self._streams = dict(streams or {})
        self._agents = dict(agents or {})
        self.received: dict[int, io.BytesIO] = {}
        self.trees: dict[int, dict[str, bytes | str | None]] = {}

    def folder(self, name: str, selection: Selection, receiver: Receiver) -> None:
        """Hand over a folder."""
        if name not in self._folders:
            raise NotFound(f"no folder {name!r} is lent")
        send(self._folders[name], selection, receiver)

    def stream(self, name: str) -> BinaryIO:
        """Open a stream."""
        if name not in self._streams:
            raise NotFound(f"nothing is sent under the name {name!r}")
        return io.BytesIO(self._streams[name])

    def secret(self, name: str) -> bytes:
        """Return a secret."""
        if name not in self._secrets:
            raise NotFound(f"secret {name}: not found")
        return self._secrets[name]

    def ssh(self, name: str) -> Fd:
        """Return a connection to an agent."""
        if name not in self._agents:
            raise NotFound(f"no agent {name!r} is lent")
        return self._agents[name]()

    def credentials(self, host: str) -> Credentials | None:
        """Be nobody anywhere."""
        return None

    def blobs(self, name: str) -> Blobs:
        """Have no store."""
        raise NotFound(f"no store {name!r} is lent")

    def deliver_stream(self, number: int) -> BinaryIO:
        """Keep what is written."""
        self.received[number] = _Kept()
        return self.received[number]

    def deliver_folder(self, number: int, folder: Folder) -> None:
        """Keep a folder's files: their content, None for folders, where a link leads."""
        self.trees[number] = tree_of(folder)


class Mixing(Lending):
    """Lends folders as clients do: content comes after all names, that of several files in turn."""

    def folder(self, name: str, selection: Selection, receiver: Receiver) -> None:
        """Hand over a folder."""
        later = _Later(receiver)
        super().folder(name, selection, later)
        later.finish()


class _Later:
    """A receiver whose content waits for all names."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._pieces: dict[str, list[bytes]] = {}

    def entry(self, entry: Entry) -> bool:
        """Pass an entry on."""
        wanted = self._receiver.entry(entry)
        if wanted:
            self._pieces[entry.path] = []
        return wanted

    def content(self, path: str, chunk: bytes) -> None:
        """Keep a piece, as two."""
        half = len(chunk) // 2
        self._pieces[path] += filter(None, (chunk[:half], chunk[half:]))

    def finish(self) -> None:
        """Pass a piece of each file on, as long as there are some."""
        left = {path: [*pieces, b""] for path, pieces in self._pieces.items()}
        while left:
            for path, pieces in tuple(left.items()):
                self._receiver.content(path, pieces.pop(0))
                if not pieces:
                    del left[path]


class _Kept(io.BytesIO):
    """What can be read after it was closed."""

    def close(self) -> None:
        self.seek(0)


def tree_of(folder: Folder) -> dict[str, bytes | str | None]:
    """Return a folder's files by path: their content, None for folders, where a link leads."""
    found: dict[str, bytes | str | None] = {}
    for entry in folder.entries():
        if entry.mode & 0o170000 == 0o040000:
            found[entry.path] = None
        elif entry.link:
            found[entry.path] = entry.link
        else:
            with folder.open(entry.path) as file:
                found[entry.path] = file.read()
    return found


class Building:
    """A build, and all that it has told."""

    def __init__(self, builder: Builder, session: Lending) -> None:
        self.events: list[Event] = []
        self._heard = threading.Condition()
        self.session = session
        self.build: Build = builder.open(session, self._tell)

    def __enter__(self) -> "Building":
        return self

    def __exit__(self, *_: object) -> None:
        self.build.close()

    def _tell(self, event: Event) -> None:
        with self._heard:
            self.events.append(event)
            self._heard.notify_all()

    def wait_for(self, fits: Callable[[Sequence[Event]], bool], patience_s: float) -> bool:
        """Wait until what was told is as one wants it, or there is no more patience."""
        with self._heard:
            return self._heard.wait_for(lambda: fits(self.events), patience_s)
