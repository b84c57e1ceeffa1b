"""What was made for whom, in a folder of this boot: netavark undoes only what it is told again."""

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from moby.contracts.network_driver import Port
from moby.values import asdict, frozen
from moby_network_driver.netavark.calls import Call

__all__ = ["Record", "Records"]


@frozen
class Record:
    """A container's place on a network."""

    id: str
    """Of the endpoint."""
    network_id: str
    call: Call
    ports: tuple[Port, ...] = ()


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
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        aside = self._folder / f"{record.id}.new"
        aside.write_text(json.dumps(asdict(record)), encoding="utf-8")
        aside.replace(self._path(record.id))

    def remove(self, endpoint_id: str) -> None:
        """Forget one; nothing where there is none."""
        self._path(endpoint_id).unlink(missing_ok=True)


def _record(document: Mapping[str, Any]) -> Record:
    ports = tuple(Port(**each) for each in document["ports"])
    return Record(document["id"], document["network_id"], Call(**document["call"]), ports)
