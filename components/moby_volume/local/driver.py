"""Volumes in docker's layout: `NAME/_data`, and what is mounted there if the options name something."""

import json
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from moby.errors import Conflict, Corrupt, HostUnfit, NotFound
from moby.host import claims
from moby_volume.folders import names, places
from moby_volume.folders.users import Users
from moby_volume.local import options as words

__all__ = ["Local"]

_DATA = "_data"
_OPTIONS = "opts.json"


class Local:
    """A volume driver; see the contract. Each volume's folder carries its lock."""

    scope = "local"

    def __init__(self, volumes: Path, aside: Path, users: Path) -> None:
        self._volumes = volumes
        # On the volumes' own file system, so that they come and go by a rename, whole.
        self._making = aside / "making"
        self._gone = aside / "gone"
        self._users = Users(users)

    def __enter__(self) -> "Local":
        """Clear up what a killed process was making or removing."""
        with places.told("clear up volumes"):
            places.sweep(self._making)
            places.sweep(self._gone)
        return self

    def __exit__(self, *error: object) -> None:
        """Stop: mounts stay, as containers do."""

    def reclaim(self) -> None:
        """Unmount what is still mounted."""
        with places.told("clear up volumes"):
            for folder in sorted(self._volumes.glob("*")):
                with places.locked(folder) as there:
                    if there:
                        self._users.forget(folder.name)
                        self._unmount(folder)

    def create(self, name: str, options: Mapping[str, str]) -> None:
        """Make a volume."""
        names.check(name)
        words.check(options)
        with places.told(f"make the volume {name}"):
            while (found := self._options(name)) is None:
                self._try_to_make(name, options)
        if found != options:
            raise Conflict(
                f"the volume {name} is there with other options", hint="remove it first, or take another name"
            )

    def _try_to_make(self, name: str, options: Mapping[str, str]) -> None:
        self._volumes.mkdir(mode=0o711, parents=True, exist_ok=True)
        made = claims.claim(self._making, secrets.token_hex(16))
        try:
            (made.path / _DATA).mkdir()
            (made.path / _DATA).chmod(0o755)
            made.path.chmod(0o701)
            (made.path / _OPTIONS).write_text(json.dumps({"format": 1, "options": dict(options)}), encoding="utf-8")
            try:
                made.path.rename(self._volumes / name)
            except OSError:
                if not (self._volumes / name).is_dir():
                    raise  # else another call was first
        finally:
            made.release()

    def mount(self, name: str, user: str) -> Path:
        """Make a volume usable and return its folder."""
        folder = self._folder(name)
        with places.told(f"mount the volume {name}"), places.locked(folder) as there:
            options = self._options(name) if there else None
            if options is None:
                raise _no_such(name)
            data = folder / _DATA
            if not data.is_dir():
                raise HostUnfit(f"the folder of the volume {name}, {data}, is gone", hint="put it back, or remove it")
            self._users.add(name, user)
            if options.get("type") and not places.is_mounted(data):
                from moby_volume.local import mounting

                try:
                    mounting.mount(options, data)
                except BaseException:
                    self._users.drop(name, user)
                    raise
            return data

    def unmount(self, name: str, user: str) -> None:
        """Say that a user needs it no more."""
        folder = self._folder(name)
        with places.told(f"unmount the volume {name}"), places.locked(folder) as there:
            if there:
                self._users.drop(name, user)
                if not self._users.of(name):
                    self._unmount(folder)

    def path(self, name: str) -> Path | None:
        """Return the folder."""
        return self._folder(name) / _DATA

    def remove(self, name: str) -> None:
        """Delete a volume with all that is in it; not what was mounted there."""
        folder = self._folder(name)
        with places.told(f"remove the volume {name}"), places.locked(folder) as there:
            if not there:
                return
            users = self._users.of(name)
            if users:
                raise Conflict(f"the volume {name} is mounted for {', '.join(users)}", hint="stop what uses it")
            self._unmount(folder)  # where a call was killed that had done half of that
            places.discard(folder, self._gone)

    def size_bytes(self, name: str) -> int:
        """Return the size of all files; -1 with options, as docker, since what is mounted may be anywhere."""
        folder = self._folder(name)
        with places.told(f"measure the volume {name}"):
            options = self._options(name)
            return -1 if options is None or options else places.size_bytes(folder / _DATA)

    def _folder(self, name: str) -> Path:
        names.check(name)
        return self._volumes / name

    def _unmount(self, folder: Path) -> None:
        data = folder / _DATA
        if data.exists() and places.is_mounted(data):
            from moby_volume.local import mounting

            mounting.unmount(data)

    def _options(self, name: str) -> Mapping[str, str] | None:
        """Return the options of a volume; None where there is no such one."""
        path = self._volumes / name / _OPTIONS
        text = _text(path) or _text(path)  # removed and made again between the two looks at it
        if text is None:
            return None
        try:
            found: Any = json.loads(text)
            return {str(key): str(value) for key, value in found["options"].items()}
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            hint = 'write {"format": 1, "options": {}} there, or the options that it had'
            raise Corrupt(f"{path} is damaged: {error}", hint=hint) from error


def _text(path: Path) -> bytes | None:
    """Return a file; none in a folder that is there is an empty one, since both come and go together."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b"" if path.parent.is_dir() else None


def _no_such(name: str) -> NotFound:
    return NotFound(f"get {name}: no such volume")
