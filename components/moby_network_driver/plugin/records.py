"""What a plugin was told that there is, in files that last: it may outlive the engine, and so what it has made."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from moby.contracts.network_driver import Port
from moby.values import asdict, field, frozen
from moby_network_driver.records.files import Files

__all__ = ["Endpoint", "Known", "Records"]


@frozen
class Endpoint:
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
    endpoints: Mapping[str, Endpoint] = field(factory=dict)
    """By id."""


class Records(Files[Known]):
    """The records of one engine, a file for each network."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, _known, _document)


def _document(known: Known) -> dict[str, Any]:
    document = asdict(known)
    return {"id": document["id"], "places": document["endpoints"]}


def _known(document: Mapping[str, Any]) -> Known:
    return Known(document["id"], {endpoint_id: _endpoint(each) for endpoint_id, each in document["places"].items()})


def _endpoint(document: Mapping[str, Any]) -> Endpoint:
    ports = tuple(Port(**each) for each in document["ports"])
    made_as = document["made_as"]
    return Endpoint(document["interface"], made_as, ports, document.get("joined", bool(made_as)))
