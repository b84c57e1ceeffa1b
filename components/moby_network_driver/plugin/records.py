"""What a plugin was told that there is, in files that last: it may outlive the engine, and so what it has made."""

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from moby.contracts.network_driver import Port
from moby.values import asdict, field, frozen

__all__ = ["Known", "Place", "Records"]


@frozen
class Place:
    """A container's place on a network."""

    interface: str
    """Its name in the container."""
    made_as: str = ""
    """Its name where the plugin made it; empty as long as it hasn't."""
    ports: tuple[Port, ...] = field(default=())


@frozen
class Known:
    """A network that the plugin has been told of."""

    id: str
    places: Mapping[str, Place] = field(factory=dict)
    """By endpoint."""


class Records:
    """The records of one engine, a file for each network. OSError as the kernel has it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def ids(self) -> tuple[str, ...]:
        """Return the networks that the plugin knows of."""
        if not self._folder.is_dir():
            return ()
        return tuple(sorted(each.stem for each in self._folder.iterdir() if each.suffix == ".json"))

    def get(self, network_id: str) -> Known | None:
        """Return what the plugin knows of a network."""
        with suppress(FileNotFoundError):
            return _known(json.loads(self._path(network_id).read_text(encoding="utf-8")))
        return None

    def _path(self, network_id: str) -> Path:
        return self._folder / f"{network_id}.json"

    def put(self, known: Known) -> None:
        """Write one down, whole or not at all."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        aside = self._folder / f"{known.id}.new"
        aside.write_text(json.dumps(asdict(known)), encoding="utf-8")
        aside.replace(self._path(known.id))

    def remove(self, network_id: str) -> None:
        """Forget one; nothing where there is none."""
        self._path(network_id).unlink(missing_ok=True)


def _known(document: Mapping[str, Any]) -> Known:
    places = {
        endpoint: Place(each["interface"], each["made_as"], tuple(Port(**port) for port in each["ports"]))
        for endpoint, each in document["places"].items()
    }
    return Known(document["id"], places)
