"""What a plugin was told that there is, in files that last: it may outlive the engine, and so what it has made."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from moby.contracts.network_driver import Port
from moby.values import asdict, field, frozen
from moby_network_driver.records.files import Files

__all__ = ["Known", "Place", "Records"]


@frozen
class Place:
    """A container's endpoint on a network."""

    interface: str
    """Its name in the container."""
    made_as: str = ""
    """Its name where the plugin made it; empty as long as it hasn't."""
    ports: tuple[Port, ...] = field(default=())
    joined: bool = False
    """Whether the plugin may have joined it, whatever it answered."""


@frozen
class Known:
    """A network that the plugin has been told of."""

    id: str
    places: Mapping[str, Place] = field(factory=dict)
    """By endpoint."""


class Records(Files[Known]):
    """The records of one engine, a file for each network."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, _known, asdict)


def _known(document: Mapping[str, Any]) -> Known:
    places = {endpoint: _place(each) for endpoint, each in document["places"].items()}
    return Known(document["id"], places)


def _place(document: Mapping[str, Any]) -> Place:
    ports = tuple(Port(**each) for each in document["ports"])
    made_as = document["made_as"]
    return Place(document["interface"], made_as, ports, document.get("joined", bool(made_as)))
