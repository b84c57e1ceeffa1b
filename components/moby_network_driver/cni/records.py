"""What was made for whom, in a folder of this boot: plugins keep nothing of it, and nobody else knows."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from moby.contracts.network_driver import Port
from moby.values import asdict, evolve, field, frozen
from moby_network_driver.cni.lists import PluginList, read
from moby_network_driver.cni.results import Result, result_of
from moby_network_driver.cni.running import Call
from moby_network_driver.records.files import Files

__all__ = ["Record", "Records"]


@frozen
class Record:
    """A container's endpoint on a network."""

    id: str
    """Of the endpoint."""
    network_id: str
    call: Call
    plugins: PluginList
    """As they were when it was made: what is changed since makes no difference to how it goes."""
    result: Result
    devices: tuple[str, ...] = ()
    """Interfaces of the host's that came with it, and haven't been there before."""
    ports: tuple[Port, ...] = field(default=())

    def at(self, namespace: str) -> "Record":
        """Return it with another path of the same namespace."""
        document = json.loads(json.dumps(self.result.document))
        for each in document.get("interfaces", ()):
            if each.get("sandbox"):
                each["sandbox"] = namespace or each["sandbox"]
        result = evolve(self.result, document=document)
        return evolve(self, call=evolve(self.call, namespace=namespace), result=result)


class Records(Files[Record]):
    """The records of one engine, a file each."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, _record, _document)


def _document(record: Record) -> dict[str, Any]:
    return {**asdict(record), "result": dict(record.result.document)}


def _record(document: Mapping[str, Any]) -> Record:
    plugins, call = document["plugins"], Call(**document["call"])
    again = {"name": plugins["name"], "cniVersion": plugins["version"], "plugins": plugins["plugins"]}
    found = read(again, "a record")
    return Record(
        document["id"],
        document["network_id"],
        call,
        evolve(found, checks=plugins["checks"], collects=plugins["collects"]),
        result_of(json.dumps(document["result"]).encode(), "of a record", call.interface),
        tuple(document["devices"]),
        tuple(Port(**each) for each in document["ports"]),
    )
