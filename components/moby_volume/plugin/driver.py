"""A plugin's volumes. The plugin has them; who uses which, and with which options they were made, is known here."""

import json
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from moby.contracts.ambient import Place
from moby.errors import Conflict, HostUnfit, Invalid, MobyError, NotFound
from moby.host.docker_plugins import Answered, Plugin
from moby.host.locks import locked
from moby_volume.folders import names, places
from moby_volume.folders.users import Users

__all__ = ["PluginVolumes"]

_RECORD = ".json"


class PluginVolumes:
    """A volume driver; see the contract. What its plugin says of what it can't do is told as it is."""

    def __init__(self, plugin: Plugin, place: Place) -> None:
        self._plugin = plugin
        self._options = place.state / "options"
        self._lock = place.run / "lock"
        self._users = Users(place.run / "users")
        self._scope = ""

    if TYPE_CHECKING:
        scope: str
    else:

        @property
        def scope(self) -> str:
            """As the plugin says; `local` as long as it doesn't."""
            if not self._scope:
                with suppress(MobyError):
                    told = self._plugin.call("Capabilities").get("Capabilities") or {}
                    self._scope = "global" if told.get("Scope") == "global" else "local"
            return self._scope or "local"

    def reclaim(self) -> None:
        """Have the plugin unmount what is mounted, and forget who used it."""
        with places.told("clear up volumes"), self._alone():
            for name in [each.stem for each in self._options.glob(f"*{_RECORD}")]:
                for user in self._users.of(name):
                    with suppress(Answered):  # it is unmounted already
                        self._plugin.call("Unmount", Name=name, ID=user)
                self._users.forget(name)

    def create(self, name: str, options: Mapping[str, str]) -> None:
        """Have the plugin make a volume."""
        names.check(name, _RECORD)
        with places.told(f"make the volume {name}"), self._alone():
            known = self._known(name)
            if known is None:
                try:
                    self._plugin.call("Create", Name=name, Opts=dict(options))
                except Answered as error:
                    raise Invalid(f"can't make the volume {name}: {error.message}") from error
                self._keep(name, options)
            elif known != options:
                raise Conflict(f"the volume {name} is there with other options", hint="remove it first")

    def mount(self, name: str, user: str) -> Path:
        """Have the plugin mount a volume, and return where."""
        names.check(name, _RECORD)
        with places.told(f"mount the volume {name}"), self._alone():
            if self._known(name) is None:
                raise NotFound(f"get {name}: no such volume")
            users = self._users.of(name)
            method, more = ("Path", {}) if user in users else ("Mount", {"ID": user})
            with self._failed(f"mount the volume {name}"):
                found = str(self._plugin.call(method, Name=name, **more).get("Mountpoint") or "")
            if not found.startswith("/") or not Path(found).is_dir():
                raise HostUnfit(f"the plugin {self._plugin.name} mounts {name} at {found!r}, which is no folder here")
            self._users.add(name, user)
            return Path(found)

    def unmount(self, name: str, user: str) -> None:
        """Say that a user needs it no more."""
        names.check(name, _RECORD)
        with places.told(f"unmount the volume {name}"), self._alone():
            if user in self._users.of(name):
                with self._failed(f"unmount the volume {name}"):
                    self._plugin.call("Unmount", Name=name, ID=user)
                self._users.drop(name, user)

    def path(self, name: str) -> Path | None:
        """Return where it is mounted, where the plugin says so."""
        names.check(name, _RECORD)
        found = ""
        with places.told(f"find the volume {name}"), suppress(Answered):
            found = str(self._plugin.call("Path", Name=name).get("Mountpoint") or "")
        return Path(found) if found else None

    def remove(self, name: str) -> None:
        """Have the plugin delete a volume."""
        names.check(name, _RECORD)
        with places.told(f"remove the volume {name}"), self._alone():
            if self._known(name) is None:
                return
            users = self._users.of(name)
            if users:
                raise Conflict(f"the volume {name} is mounted for {', '.join(users)}", hint="stop what uses it")
            with self._failed(f"remove the volume {name}"):
                self._plugin.call("Remove", Name=name)
            (self._options / f"{name}{_RECORD}").unlink()

    def size_bytes(self, name: str) -> int:
        """Return -1: plugins don't say."""
        names.check(name, _RECORD)
        return -1

    @contextmanager
    def _failed(self, what: str) -> Iterator[None]:
        """Tell what a plugin couldn't do."""
        try:
            yield
        except Answered as error:
            raise HostUnfit(f"can't {what}: the plugin {self._plugin.name} says: {error.message}") from error

    def _known(self, name: str) -> dict[str, Any] | None:
        """Return the options with which a volume was made; None where it wasn't, here."""
        try:
            return dict(json.loads((self._options / f"{name}{_RECORD}").read_bytes()))
        except FileNotFoundError:
            return None

    def _keep(self, name: str, options: Mapping[str, str]) -> None:
        self._options.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = self._options / ".fresh"
        fresh.write_text(json.dumps(dict(options)), encoding="utf-8")
        fresh.replace(self._options / f"{name}{_RECORD}")

    def _alone(self) -> AbstractContextManager[bool]:
        return locked(self._lock)
