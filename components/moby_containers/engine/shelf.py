"""All containers: found by name, id or prefix, and on disk before anybody is told."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from moby.contracts.containers import Container, ContainerConfig
from moby.contracts.metadata import Metadata
from moby.errors import Conflict, Corrupt, Invalid, NotFound
from moby.values import evolve
from moby_containers.engine import names
from moby_containers.engine.codec import decode, encode
from moby_containers.engine.entries import Entry, Keeping, Session

__all__ = ["Shelf"]

_BUCKET = "containers"
_POSITION_BUCKET, _POSITION = "containers-journal", "position"


class Shelf:
    """The entries of one engine, which alone changes them."""

    def __init__(self, metadata: Metadata) -> None:
        self._metadata = metadata
        self._bucket = metadata.bucket(_BUCKET)
        self._positions = metadata.bucket(_POSITION_BUCKET)
        self._lock = threading.Lock()
        self._by_id: dict[str, Entry] = {}
        self._by_name: dict[str, str] = {}
        self._sessions: dict[str, Session] = {}
        self.position = 0
        """Number of the last journal entry that was dealt with."""

    def load(self) -> None:
        """Read all that an earlier engine wrote."""
        self.position = int(self._positions.get(_POSITION) or 0)
        found = [_read(key, document) for key, document in self._bucket.items()]
        for entry in sorted(found, key=lambda each: (each.container.created, each.id)):
            self._by_id[entry.id] = entry
            self._by_name[entry.container.name] = entry.id

    def entries(self) -> tuple[Entry, ...]:
        """Return all, the oldest first."""
        with self._lock:
            return tuple(self._by_id.values())

    def get(self, name: str) -> Entry:
        """Find one by id, name or a unique prefix of its id."""
        bare = name.removeprefix("/")
        with self._lock:
            found = self._by_id.get(bare) or self._by_id.get(self._by_name.get(bare, ""))
            if found is None and bare:
                matches = [each for key, each in self._by_id.items() if key.startswith(bare)]
                if len(matches) > 1:
                    raise Invalid(f"Multiple IDs found with provided prefix: {bare}")
                found = matches[0] if matches else None
        if found is None:
            raise NotFound(f"No such container: {name}")
        return found

    def by_id(self, container_id: str) -> Entry | None:
        """Return the one of this id."""
        with self._lock:
            return self._by_id.get(container_id)

    @contextmanager
    def naming(self, name: str, container_id: str) -> Iterator[str]:
        """Take a name for a container that is being made, a fresh one for an empty one; an error gives it back."""
        bare = names.checked(name) if name else ""
        with self._lock:
            bare = bare or names.fresh(self._by_name.__contains__)
            self._take(bare, container_id)
        try:
            yield bare
        except BaseException:
            with self._lock:
                del self._by_name[bare]
            raise

    def rename(self, entry: Entry, name: str) -> None:
        """Give it another name, on disk too."""
        bare = names.checked(name)
        old = entry.container.name
        with self._lock:
            self._take(bare, entry.id)
        try:
            entry.show(name=bare)
            self.save(entry)
        except BaseException:
            entry.show(name=old)
            with self._lock:
                del self._by_name[bare]
            raise
        with self._lock:
            del self._by_name[old]

    def _take(self, name: str, container_id: str) -> None:
        holder = self._by_name.setdefault(name, container_id)
        if holder != container_id:
            raise Conflict(
                f'Conflict. The container name "/{name}" is already in use by container "{holder}". '
                "You have to remove (or rename) that container to be able to reuse that name."
            )

    def add(self, entry: Entry) -> None:
        """Put a new one onto disk and among the others."""
        self.save(entry)
        with self._lock:
            self._by_id[entry.id] = entry

    def save(self, entry: Entry, *, position: int = 0) -> None:
        """Put it onto disk as it is; with a position, together with that of the journal."""
        text = _text(entry)
        if not position:
            self._bucket.put_text(entry.id, text)
            return
        with self._metadata.transaction():
            self._bucket.put_text(entry.id, text)
            self._positions.put(_POSITION, position)
        self.position = position

    def reach(self, position: int) -> None:
        """Note how far the journal was dealt with."""
        if position > self.position:
            self._positions.put(_POSITION, position)
            self.position = position

    def strike(self, entry: Entry, *, position: int = 0) -> None:
        """Take one off the disk, as `save` puts it there; it is still found, by this engine."""
        if not position:
            self._bucket.delete(entry.id)
            return
        with self._metadata.transaction():
            self._bucket.delete(entry.id)
            self._positions.put(_POSITION, position)
        self.position = position

    def drop(self, entry: Entry) -> None:
        """Let nobody find it any more."""
        with self._lock:
            self._by_id.pop(entry.id, None)
            if self._by_name.get(entry.container.name) == entry.id:
                del self._by_name[entry.container.name]
            for each in entry.sessions:
                self._sessions.pop(each, None)

    def add_session(self, session: Session) -> None:
        """Let an exec be found."""
        with self._lock:
            self._sessions[session.id] = session

    def session(self, exec_id: str) -> Session:
        """Find an exec by its id."""
        found = self.find_session(exec_id)
        if found is None:
            raise NotFound(f"No such exec instance: {exec_id}")
        return found

    def find_session(self, exec_id: str) -> Session | None:
        """Return the exec of an id."""
        with self._lock:
            return self._sessions.get(exec_id)

    def drop_session(self, session: Session) -> None:
        """Forget an exec."""
        with self._lock:
            self._sessions.pop(session.id, None)


def _text(entry: Entry) -> str:
    shown = encode(evolve(entry.container, config=_NO_CONFIG))
    keeping = json.dumps(encode(entry.keeping), separators=(",", ":"))
    text = json.dumps(shown, separators=(",", ":"))
    return f'{{"container":{text},"keeping":{keeping},"config":{entry.config_text}}}'


_NO_CONFIG = ContainerConfig("")


def _read(key: str, document: object) -> Entry:
    try:
        assert isinstance(document, dict)
        config = decode(ContainerConfig, document["config"])
        container = evolve(decode(Container, document["container"]), config=config)
        keeping = decode(Keeping, document["keeping"])
        return Entry(container, keeping, json.dumps(document["config"], separators=(",", ":")), doubtful=True)
    except (AssertionError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise Corrupt(f"what is stored of container {key} can't be read: {error!r}") from error
