"""What both sides say of themselves before the first call."""

from collections.abc import Mapping
from typing import Any

from moby.errors import MobyError, Unsupported
from moby.served.methods import Interface
from moby.served.wire import VERSION

__all__ = ["greeting", "refusal"]

NEIGHBOURS = 1
"""How far versions may be apart: an engine that was upgraded talks to a part that wasn't yet, and the other way."""


def greeting(interface: Interface) -> dict[str, Any]:
    """Return what a side says of itself."""
    return {"moby": VERSION, "contract": interface.kind, "version": interface.version}


def refusal(interface: Interface, said: Any) -> MobyError | None:
    """Return why calls can't be exchanged with somebody who said this of himself; None where they can."""
    hint = "end what runs in this engine's folders (`down`), or start the engine that it belongs to"
    if not isinstance(said, Mapping) or type(said.get("moby")) is not int:
        return Unsupported("the other side doesn't speak the protocol of this engine's processes", hint=hint)
    if abs(said["moby"] - VERSION) > NEIGHBOURS:
        return Unsupported(f"the other side speaks protocol {said['moby']}, and this one {VERSION}", hint=hint)
    if said.get("contract") != interface.kind:
        what = f"{str(said.get('contract'))[:40]!r}, not {interface.kind!r}"
        return Unsupported(f"the other side's contract is {what}", hint=hint)
    version = said.get("version")
    if type(version) is not int or abs(version - interface.version) > NEIGHBOURS:
        return Unsupported(
            f"the other side has version {str(version)[:10]} of the contract {interface.kind}, "
            f"and this one {interface.version}",
            hint=hint,
        )
    return None
