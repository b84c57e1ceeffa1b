"""What is written down of a sandbox, for the next process of this part; its sockets are the keeper's meanwhile."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from moby.contracts.discovery import Presence, Resolver
from moby.values import asdict, field, frozen
from moby_discovery.dns.ports import Claim

__all__ = ["Record", "Records"]

FORMAT = 1


@frozen
class Record:
    """A sandbox, but for its sockets."""

    presences: tuple[Presence, ...] = ()
    resolver: Resolver | None = None
    targets: Mapping[Claim, tuple[int, tuple[str, ...]]] = field(factory=dict)
    """The container's port and addresses, by what is held of the host."""


class Records:
    """A file for each sandbox, in the run folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(mode=0o700, exist_ok=True)

    def put(self, sandbox: str, record: Record) -> None:
        """Write one down, whole or not at all."""
        document = {
            "format": FORMAT,
            "presences": [asdict(each) for each in record.presences],
            "resolver": asdict(record.resolver) if record.resolver else None,
            "targets": [[*claim, port, list(addresses)] for claim, (port, addresses) in record.targets.items()],
        }
        fresh = self._folder / f".{sandbox}"
        fresh.write_text(json.dumps(document), encoding="utf-8")
        fresh.rename(self._folder / sandbox)

    def delete(self, sandbox: str) -> None:
        """Forget one; nothing where it isn't there."""
        (self._folder / sandbox).unlink(missing_ok=True)

    def all(self) -> Iterator[tuple[str, Record]]:
        """Yield all that are there, by id; one that can't be read is none."""
        for name in sorted(os.listdir(self._folder)):  # noqa: PTH208
            if name.startswith("."):
                (self._folder / name).unlink()
                continue
            try:
                document = json.loads((self._folder / name).read_text(encoding="utf-8"))
                if document["format"] == FORMAT:
                    yield name, _record(document)
            except (ValueError, KeyError, TypeError):
                continue


def _record(document: Mapping[str, Any]) -> Record:
    return Record(
        tuple(Presence(each["network_id"], _texts(each["names"]), _texts(each["addresses"]))
              for each in document["presences"]),
        _resolver(document["resolver"]) if document["resolver"] else None,
        {(each[0], each[1], each[2]): (each[3], _texts(each[4])) for each in document["targets"]},
    )  # fmt: skip


def _resolver(document: Mapping[str, Any]) -> Resolver:
    own = {name: _texts(addresses) for name, addresses in document["own_names"].items()}
    return Resolver(_texts(document["servers"]), document["from_host"], own)


def _texts(values: Sequence[str]) -> tuple[str, ...]:
    return tuple(values)
