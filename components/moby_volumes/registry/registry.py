"""Volumes by name."""

import os
import re
import secrets
import zlib
from collections.abc import Mapping
from contextlib import AbstractContextManager, suppress
from datetime import UTC, datetime
from pathlib import Path

from attrs import evolve

from moby.contracts.ambient import Clock
from moby.contracts.events import Event, Events
from moby.contracts.metadata import Metadata
from moby.contracts.volume_driver import VolumeDriver
from moby.contracts.volumes import Volume
from moby.errors import Conflict, Invalid, MobyError, NotFound
from moby.host.locks import locked
from moby_volumes.registry.records import Record, Records, Stage

__all__ = ["ANONYMOUS", "Registry"]

ANONYMOUS = "com.docker.volume.anonymous"
"""The label of a volume that nobody gave a name; as docker."""
_CHARACTERS = "[a-zA-Z0-9][a-zA-Z0-9_.-]"
_NAME = re.compile(f"{_CHARACTERS}+")
_LONGEST = 255
_LOCKS = 16


class Registry:
    """Volumes, whichever driver makes them; see the contract.

    Making and removing note their intent first: what a kill interrupts is then known by name, and undone. Both are
    done by one at a time for a name, by a lock that ends with its holder.
    """

    def __init__(
        self, drivers: Mapping[str, VolumeDriver], metadata: Metadata, events: Events, clock: Clock, run: Path
    ) -> None:
        self._drivers = drivers
        self._records = Records(metadata)
        self._events = events
        self._clock = clock
        self._run = run

    def __enter__(self) -> "Registry":
        """Undo what a killed process left half-done; what its driver refuses now is tried again next time."""
        for name, record in tuple(self._records.all()):
            if record.stage is not Stage.READY:
                with self._lock(name, wait=False) as held:
                    if held:
                        with suppress(MobyError):
                            self._clear(name)
        return self

    def __exit__(self, *error: object) -> None:
        """Stop: nothing is held."""

    def drivers(self) -> tuple[str, ...]:
        """Return the names of all volume drivers."""
        return tuple(self._drivers)

    def create(
        self,
        name: str = "",
        driver: str = "",
        options: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
        holder: str = "",
    ) -> Volume:
        """Make a volume, or return the one that is there."""
        anonymous = not name
        name = name or secrets.token_hex(32)
        _check(name)
        with self._lock(name):
            self._clear(name)
            found = self._there(name)
            if found is not None:
                self._check_same(name, found, driver)
                if holder:
                    self.hold(name, holder)
                return self._volume(name, found, self._records.users(name))
            chosen = driver or next(iter(self._drivers))
            part = self._chosen(name, chosen)
            marks = {**(labels or {}), **({ANONYMOUS: ""} if anonymous else {})}
            record = Record(chosen, self._now(), dict(options or {}), marks, anonymous)
            self._records.put(name, record)
            try:
                part.create(name, record.options)
            except MobyError as error:
                self._records.delete(name)
                raise _prefixed("create", name, error) from error
            ready = evolve(record, stage=Stage.READY)
            with self._records.transaction():
                self._records.put(name, ready)
                if holder:
                    self._records.add_user(name, holder)
        self._tell("create", name, ready)
        return self._volume(name, ready, (holder,) if holder else ())

    def get(self, name: str) -> Volume:
        """Return a volume."""
        with self._records.snapshot():
            found = self._there(name)
            users = self._records.users(name) if found else ()
        if found is None:
            raise _no_such("get", name)
        return self._volume(name, found, users)

    def list(self) -> tuple[Volume, ...]:
        """Return all volumes."""
        with self._records.snapshot():
            found = [(name, record) for name, record in self._records.all() if record.stage is Stage.READY]
            users = self._records.all_users()
        return tuple(self._volume(name, record, users.get(name, ())) for name, record in found)

    def remove(self, name: str, *, force: bool = False) -> None:
        """Delete a volume."""
        with self._lock(name):
            with self._records.transaction():
                record = self._there(name)
                if record is None:
                    if force:
                        return
                    raise _no_such("get", name)
                users = self._records.users(name)
                if users:
                    text = f"remove {name}: volume is in use - [{', '.join(users)}]"
                    raise Conflict(text)
                self._records.put(name, evolve(record, stage=Stage.REMOVING))
            try:
                self._dispose(name, record, force=force)
            except MobyError as error:
                self._records.put(name, record)
                raise _prefixed("remove", name, error) from error
            self._records.delete(name)
        self._tell("destroy", name, record)

    def hold(self, name: str, container_id: str) -> None:
        """Note that a container has a volume."""
        with self._records.transaction():
            if self._there(name) is None:
                raise _no_such("get", name)
            self._records.add_user(name, container_id)

    def release(self, name: str, container_id: str) -> None:
        """Undo that."""
        if _NAME.fullmatch(name):
            self._records.drop_user(name, container_id)

    def mount(self, name: str, container_id: str) -> Path:
        """Mount a volume for a container that starts."""
        found = self._there(name)
        if found is None:
            raise _no_such("get", name)
        return self._driver(found.driver).mount(name, container_id)

    def unmount(self, name: str, container_id: str) -> None:
        """Undo that; nothing where the volume or its driver is gone."""
        found = self._there(name)
        if found is not None and found.driver in self._drivers:
            self._drivers[found.driver].unmount(name, container_id)

    def size_bytes(self, name: str) -> int:
        """Return what a volume takes."""
        found = self._there(name)
        if found is None:
            raise _no_such("get", name)
        return self._drivers[found.driver].size_bytes(name) if found.driver in self._drivers else -1

    def _there(self, name: str) -> Record | None:
        found = self._records.get(name) if _NAME.fullmatch(name) and len(name) <= _LONGEST else None
        return found if found is not None and found.stage is Stage.READY else None

    def _clear(self, name: str) -> None:
        """Undo what a killed process was doing with a name."""
        record = self._records.get(name)
        if record is not None and record.stage is not Stage.READY:
            self._dispose(name, record)
            self._records.delete(name)

    def _dispose(self, name: str, record: Record, *, force: bool = False) -> None:
        """Have the driver delete it; with `force` a driver that isn't there any more is no hindrance."""
        if not (force and record.driver not in self._drivers):
            self._driver(record.driver).remove(name)

    def _driver(self, name: str) -> VolumeDriver:
        found = self._drivers.get(name)
        if found is None:
            text = f'error looking up volume plugin {name}: plugin "{name}" not found'
            raise NotFound(text, hint=f"this engine has {', '.join(self._drivers)}")
        return found

    def _chosen(self, name: str, driver: str) -> VolumeDriver:
        try:
            return self._driver(driver)
        except NotFound as error:
            raise _prefixed("create", name, error) from error

    def _check_same(self, name: str, found: Record, driver: str) -> None:
        """Refuse another driver than a volume has, where one is asked for; as docker, pass over other options."""
        if driver and driver != found.driver:
            self._chosen(name, driver)
            text = f"create {name}: driver '{found.driver}' already has volume '{name}': volume name must be unique"
            raise Conflict(text, hint="take another name")

    def _volume(self, name: str, record: Record, users: tuple[str, ...]) -> Volume:
        driver = self._drivers.get(record.driver)
        return Volume(
            name=name,
            driver=record.driver,
            mountpoint=driver.path(name) if driver is not None else None,
            created=record.created,
            labels=record.labels,
            options=record.options,
            scope=driver.scope if driver is not None else "local",
            anonymous=record.anonymous,
            users=users,
        )

    def _tell(self, action: str, name: str, record: Record) -> None:
        self._events.publish(Event("volume", action, name, {"driver": record.driver}))

    def _now(self) -> str:
        return f"{datetime.fromtimestamp(self._clock.now_ns() // 1_000_000_000, UTC):%Y-%m-%dT%H:%M:%SZ}"

    def _lock(self, name: str, *, wait: bool = True) -> AbstractContextManager[bool]:
        """Be the only one, of threads and processes, who makes or removes volumes of this name."""
        return locked(self._run / f"lock-{zlib.crc32(os.fsencode(name)) % _LOCKS}", wait=wait)


def _check(name: str) -> None:
    if len(name) < 2:
        text = f"create {name}: volume name is too short, names should be at least two alphanumeric characters"
        raise Invalid(text)
    if len(name) > _LONGEST or not _NAME.fullmatch(name):
        text = (
            f'create {name[:_LONGEST]}: "{name[:_LONGEST]}" includes invalid characters for a local volume name, only '
            f'"{_CHARACTERS}" are allowed. If you intended to pass a host directory, use absolute path'
        )
        raise Invalid(text, hint=f"the longest name has {_LONGEST} characters" if len(name) > _LONGEST else "")


def _no_such(doing: str, name: str) -> NotFound:
    return NotFound(f"{doing} {name}: no such volume")  # docker's words, whole


def _prefixed(doing: str, name: str, error: MobyError) -> MobyError:
    """Say what was being done, as docker's errors of volumes begin."""
    error.message = f"{doing} {name}: {error.message}"
    error.args = (error.message,)
    return error
