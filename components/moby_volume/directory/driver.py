"""Volumes that are folders of a folder which the user named: on another disk, or one that several hosts share."""

import json
import os
import re
import stat
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from moby.contracts.ambient import Place
from moby.errors import Conflict, Corrupt, HostUnfit, Invalid, NotFound
from moby.host import tree
from moby.host.locks import locked
from moby_volume.folders import names, places
from moby_volume.folders.users import Users

__all__ = ["Directory"]

_ASIDE = ".moby-removed"
_RECORD = ".json"
_GREATEST_ID = 2**32 - 2  # the next is for `none` (chown(2))
_OPTIONS = {"mode": r"[0-7]{3,4}", "uid": r"\d{1,10}", "gid": r"\d{1,10}"}


class Directory:
    """A volume driver; see the contract. What it knows of a volume is a file in its own state."""

    def __init__(self, folder: Path | None, place: Place, *, shared: bool) -> None:
        self.scope = "global" if shared else "local"
        self._chosen = folder
        self._folder = folder or place.state / "volumes"
        self._records = place.state / "records"
        self._lock = place.run / "lock"
        self._users = Users(place.run / "users")

    def __enter__(self) -> "Directory":
        """See that the folder is there, and clear up what a killed process was removing."""
        if self._chosen is not None and not (self._chosen.is_absolute() and self._chosen.is_dir()):
            raise HostUnfit(
                f"the folder of volumes {self._chosen} is not there",
                hint="make it, or set the option `folder` of volume-driver/directory to the absolute path of one",
            )
        with places.told("clear up volumes"):
            places.sweep(self._folder / _ASIDE)
        return self

    def __exit__(self, *error: object) -> None:
        """Stop: nothing is held."""

    def reclaim(self) -> None:
        """Forget who used a volume."""
        with places.told("clear up volumes"), self._alone():
            for record in self._records.glob(f"*{_RECORD}"):
                self._users.forget(record.stem)

    def create(self, name: str, options: Mapping[str, str]) -> None:
        """Make a volume, or take over a folder of that name with what is in it."""
        names.check(name, _RECORD)
        _check(options)
        with places.told(f"make the volume {name}"), self._alone():
            record = self._record(name)
            if record is None:
                adopted = self._make(name, options)
                self._keep(name, {"format": 1, "options": dict(options), "adopted": adopted})
            elif record["options"] != options:
                raise Conflict(f"the volume {name} is there with other options", hint="remove it first")

    def mount(self, name: str, user: str) -> Path:
        """Return the folder."""
        folder = self._path(name)
        with places.told(f"mount the volume {name}"), self._alone():
            if self._record(name) is None:
                raise NotFound(f"get {name}: no such volume")
            if not stat.S_ISDIR(_mode(folder)):
                raise HostUnfit(f"the folder of the volume {name}, {folder}, is gone", hint="put it back, or remove it")
            self._users.add(name, user)
            return folder

    def unmount(self, name: str, user: str) -> None:
        """Say that a user needs it no more."""
        names.check(name, _RECORD)
        with places.told(f"unmount the volume {name}"), self._alone():
            self._users.drop(name, user)

    def path(self, name: str) -> Path | None:
        """Return the folder."""
        return self._path(name)

    def remove(self, name: str) -> None:
        """Delete a volume with all that is in it; a folder that was there before stays."""
        folder = self._path(name)
        with places.told(f"remove the volume {name}"), self._alone():
            record = self._record(name)
            if record is None:
                return
            users = self._users.of(name)
            if users:
                raise Conflict(f"the volume {name} is mounted for {', '.join(users)}", hint="stop what uses it")
            if not record["adopted"] and stat.S_ISDIR(_mode(folder)):
                places.discard(folder, self._folder / _ASIDE)
            (self._records / f"{name}{_RECORD}").unlink()

    def size_bytes(self, name: str) -> int:
        """Return the size of all files; -1 where several hosts share them, since walking them may take long."""
        folder = self._path(name)
        with places.told(f"measure the volume {name}"):
            known = self.scope == "local" and self._record(name) is not None and stat.S_ISDIR(_mode(folder))
            return places.size_bytes(folder) if known else -1

    def _path(self, name: str) -> Path:
        names.check(name, _RECORD)
        return self._folder / name

    def _make(self, name: str, options: Mapping[str, str]) -> bool:
        """Make a folder, unless it is there; return whether it was."""
        self._folder.mkdir(mode=0o711, parents=True, exist_ok=True)
        folder = self._folder / name
        if _mode(folder):
            if not stat.S_ISDIR(_mode(folder)):
                raise Conflict(f"{folder} is there, and is no folder", hint="take another name")
            return True
        folder.mkdir()
        try:
            fd = os.open(folder, tree.DIRECTORY_FLAGS)
            try:
                if "uid" in options or "gid" in options:
                    os.fchown(fd, int(options.get("uid", "-1")), int(options.get("gid", "-1")))
                os.fchmod(fd, int(options.get("mode", "755"), 8))
            finally:
                os.close(fd)
        except OSError:
            folder.rmdir()
            raise
        return False

    def _record(self, name: str) -> Any:
        path = self._records / f"{name}{_RECORD}"
        try:
            found: Any = json.loads(path.read_bytes())
            return {"options": dict(found["options"]), "adopted": bool(found["adopted"])}
        except FileNotFoundError:
            return None
        except (ValueError, LookupError, TypeError) as error:
            raise Corrupt(f"{path} is damaged: {error}", hint="remove it, and make the volume again") from error

    def _keep(self, name: str, record: Mapping[str, Any]) -> None:
        self._records.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = self._records / ".fresh"
        fresh.write_text(json.dumps(record), encoding="utf-8")
        fresh.replace(self._records / f"{name}{_RECORD}")

    def _alone(self) -> AbstractContextManager[bool]:
        return locked(self._lock)


def _mode(path: Path) -> int:
    """Return what is at a path, as stat(2) has it; 0 for nothing."""
    try:
        return path.lstat().st_mode
    except FileNotFoundError:
        return 0


def _check(options: Mapping[str, str]) -> None:
    for name, value in options.items():
        if name not in _OPTIONS:
            raise Invalid(f'invalid option: "{name}"', hint=f"there are {', '.join(_OPTIONS)}")
        if not re.fullmatch(_OPTIONS[name], value):
            raise Invalid(f"invalid option: {name}={value}", hint=f"a value matches {_OPTIONS[name]}")
        if name != "mode" and int(value) > _GREATEST_ID:
            raise Invalid(f"invalid option: {name}={value}", hint=f"the greatest id is {_GREATEST_ID}")
