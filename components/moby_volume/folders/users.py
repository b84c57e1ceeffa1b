"""Who has which volume mounted, on disk for this boot. Callers hold the volume's lock."""

import json
import os
import secrets
from pathlib import Path

__all__ = ["Users"]


class Users:
    """The users of volumes by name; those of an earlier boot are nobody."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def of(self, name: str) -> tuple[str, ...]:
        """Return who has it, sorted."""
        try:
            found = json.loads((self._folder / name).read_bytes())
            return tuple(found["users"]) if found["boot"] == _boot() else ()
        except FileNotFoundError:
            return ()
        except (ValueError, LookupError, TypeError):  # cut off by a loss of power, which ended them all
            return ()

    def add(self, name: str, user: str) -> None:
        """Note a user; on disk once it returns."""
        self._write(name, {*self.of(name), user})

    def drop(self, name: str, user: str) -> None:
        """Forget a user."""
        self._write(name, {*self.of(name)} - {user})

    def forget(self, name: str) -> None:
        """Forget all users."""
        (self._folder / name).unlink(missing_ok=True)

    def _write(self, name: str, users: set[str]) -> None:
        if not users:
            self.forget(name)
            return
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = self._folder / f".{secrets.token_hex(8)}"
        fresh.write_text(json.dumps({"boot": _boot(), "users": sorted(users)}), encoding="utf-8")
        fresh.replace(self._folder / name)


def _boot() -> str:
    fd = os.open("/proc/sys/kernel/random/boot_id", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, 64).decode().strip()
    finally:
        os.close(fd)
