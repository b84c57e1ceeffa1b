"""What was made for whom, in a folder of this boot: netavark undoes only what it is told again."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from moby.contracts.network_driver import Port
from moby.values import asdict, frozen
from moby_network_driver.netavark.calls import Call
from moby_network_driver.records.files import Files

__all__ = ["Record", "Records"]


@frozen
class Record:
    """A container's endpoint on a network."""

    id: str
    """Of the endpoint."""
    network_id: str
    call: Call
    ports: tuple[Port, ...] = ()


class Records(Files[Record]):
    """The records of one engine, a file each."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, _record, asdict)


def _record(document: Mapping[str, Any]) -> Record:
    ports = tuple(Port(**each) for each in document["ports"])
    return Record(document["id"], document["network_id"], Call(**document["call"]), ports)
