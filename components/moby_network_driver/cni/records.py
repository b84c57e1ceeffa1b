"""What was made for whom, in a folder of this boot: plugins keep nothing of it, and nobody else knows."""

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from moby.contracts.network_driver import Port
from moby.values import asdict, evolve, field, frozen
from moby_network_driver.cni.lists import PluginList, read
from moby_network_driver.cni.results import Result, result_of
from moby_network_driver.cni.running import Call

__all__ = ["Record", "Records"]


@frozen
class Record:
    """A container's place on a network."""

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


class Records:
    """The records of one engine, a file each. OSError as the kernel has it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def all(self) -> Mapping[str, Record]:
        """Return them by endpoint."""
        if not self._folder.is_dir():
            return {}
        paths = (each for each in self._folder.iterdir() if each.suffix == ".json")
        return {each.stem: _record(json.loads(each.read_text(encoding="utf-8"))) for each in paths}

    def get(self, endpoint_id: str) -> Record | None:
        """Return that of an endpoint."""
        with suppress(FileNotFoundError):
            return _record(json.loads(self._path(endpoint_id).read_text(encoding="utf-8")))
        return None

    def _path(self, endpoint_id: str) -> Path:
        return self._folder / f"{endpoint_id}.json"

    def put(self, record: Record) -> None:
        """Write one down, whole or not at all."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        aside = self._folder / f"{record.id}.new"
        document = asdict(record)
        document["result"] = dict(record.result.document)
        aside.write_text(json.dumps(document), encoding="utf-8")
        aside.replace(self._path(record.id))

    def remove(self, endpoint_id: str) -> None:
        """Forget one; nothing where there is none."""
        self._path(endpoint_id).unlink(missing_ok=True)


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
