"""What a build in this process is lent: folders, standard input, secrets, agents, and the user's credentials."""

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

from attrs import define, field, frozen

from moby.context.sending import send
from moby.contracts.builder import Blobs, Folder, Receiver, Selection
from moby.contracts.image_registry import Credentials
from moby.contracts.types import Fd
from moby.errors import Invalid, NotFound
from moby.oci import logins
from moby_builder.command.agents import Agent, Agents
from moby_builder.command.fields import pairs
from moby_builder.command.layouts import LayoutBlobs
from moby_builder.command.receiving import Incoming, write_folder

__all__ = ["Lending", "Secret", "secrets"]

STDOUT = Path("-")
_MOST_SECRET_BYTES = 500 << 10


@frozen
class Secret:
    """Where a secret is: a file, or a variable."""

    path: str = ""
    variable: str = ""


@define
class Lending:
    """See the contract; it ends with `close`."""

    key: str = ""
    folders: Mapping[str, Path] = field(factory=dict)
    streams: dict[str, BinaryIO] = field(factory=dict)
    secrets: Mapping[str, Secret] = field(factory=dict)
    agents: Mapping[str, Agent] = field(factory=dict)
    stores: Mapping[str, Path] = field(factory=dict)
    outputs: Mapping[int, Path] = field(factory=dict)
    held: ExitStack = field(factory=ExitStack)
    """What is let go at the end."""
    _agents: Agents = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        """Have agents that end with all else."""
        self._agents = Agents(self.agents, self.held)

    def close(self) -> None:
        """Let go of all, and remove outputs that aren't whole; twice is fine."""
        self.held.close()

    def folder(self, name: str, selection: Selection, receiver: Receiver) -> None:
        """Hand over a folder; see the contract."""
        if name not in self.folders:
            raise NotFound(f"no folder {name!r} is lent")
        send(self.folders[name], selection, receiver)

    def stream(self, name: str) -> BinaryIO:
        """Return standard input, once; see the contract."""
        found = self.streams.pop(name, None)
        if found is None:
            raise NotFound(f"nothing is sent under the name {name!r}")
        return found

    def secret(self, name: str) -> bytes:
        """Return a secret; see the contract."""
        found = self.secrets.get(name)
        if found is None:
            raise NotFound(f"secret {name}: not found")
        if found.variable:
            return os.environb.get(os.fsencode(found.variable), b"")
        try:
            with Path(found.path).open("rb") as file:
                data = file.read(_MOST_SECRET_BYTES + 1)
        except OSError as error:
            raise NotFound(f"secret {name}: {found.path}: {(error.strerror or '').lower()}") from error
        if len(data) > _MOST_SECRET_BYTES:
            raise Invalid(f"secret {name}: {found.path} has more than {_MOST_SECRET_BYTES} bytes")
        return data

    def ssh(self, name: str) -> Fd:
        """Connect to an agent; see the contract."""
        return self._agents.connect(name)

    def credentials(self, host: str) -> Credentials | None:
        """Return as whom the user has logged in; see the contract."""
        return logins.saved(host)

    def blobs(self, name: str) -> Blobs:
        """Return a layout's blobs; see the contract."""
        if name not in self.stores:
            raise NotFound(f"no store {name!r} is lent")
        return LayoutBlobs(self.stores[name])

    def deliver_stream(self, number: int) -> BinaryIO:
        """Open where an output goes; see the contract."""
        path = self._output(number)
        if path == STDOUT:
            return os.fdopen(os.dup(1), "wb")
        file = Incoming(path)
        self.held.callback(file.give_up)
        return file

    def deliver_folder(self, number: int, folder: Folder) -> None:
        """Write a folder; see the contract."""
        write_folder(self._output(number), folder)

    def _output(self, number: int) -> Path:
        if number not in self.outputs:
            raise NotFound(f"the build has no output for export {number}")
        return self.outputs[number]


def secrets(given: Sequence[str], environment: Mapping[str, str]) -> dict[str, Secret]:
    """Return where secrets are, given `id=NAME[,src=FILE|,env=VARIABLE]`; Invalid for what makes no sense."""
    found = {}
    for each in given:
        attributes = pairs(each)
        kind, name = attributes.pop("type", ""), attributes.pop("id", "")
        path = attributes.pop("src", "") or attributes.pop("source", "")
        variable = attributes.pop("env", "")
        if attributes or kind not in ("", "file", "env"):
            raise Invalid(f"a secret has no {next(iter(attributes), f'type {kind}')!r}: {each}")
        if not name:
            raise Invalid(f"a secret without an id: {each}", hint="as id=NAME,src=FILE")
        if kind == "env" and path and not variable:
            path, variable = "", path
        if not path and not variable:
            path, variable = ("", name) if kind != "file" and name in environment else (name, "")
        if path and not Path(path).is_file():
            raise NotFound(f"secret {name}: there is no file {path}")
        found[name] = Secret(path, variable)
    return found
