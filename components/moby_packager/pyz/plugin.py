"""Declares the packager `pyz`."""

from collections.abc import Iterable

from attrs import asdict, field, frozen

from moby.component import Component
from moby.contracts.packager import Packager
from moby.hookspecs import hookimpl


@frozen
class Config:
    """Options of the packager."""

    interpreter: str = field(
        default="/usr/bin/env python3", metadata={"help": "What the file's first line says to run it with."}
    )
    bytecode: bool = field(
        default=True, metadata={"help": "Whether to embed the bytecode of the Python that builds, for a quick start."}
    )
    compress: bool = field(default=True, metadata={"help": "Whether to deflate."})
    stored_bytecode: bool = field(
        default=False,
        metadata={"help": "Whether bytecode isn't deflated: two thirds larger, a fifth quicker to start."},
    )


def make(config: Config) -> Packager:
    """One executable file for any CPython from 3.11 on, with nothing to unpack."""
    from moby_packager.pyz.archive import Pyz

    return Pyz(**asdict(config))


@hookimpl
def moby_components() -> Iterable[Component]:
    """Return the packager."""
    return [Component(name="pyz", factory=make, preferred=True, offers=("single-file",))]
