"""What a served part's process does with one message: finds the method, and writes the answer."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from moby.errors import Invalid, Unsupported
from moby.served import faults, wire
from moby.served.methods import LIFECYCLE, Interface, Method
from moby.served.outgoing import Outgoing, packed

__all__ = ["RECLAIM", "Call", "Packed", "failure", "read_call", "success"]

RECLAIM = "reclaim"


class Packed(NamedTuple):
    """A packed message and its descriptors, which are still to be closed."""

    data: bytes
    fds: list[int]


class Call(NamedTuple):
    """What a message calls."""

    method: Method
    arguments: dict[str, Any]


def read_call(
    interface: Interface, part: object, message: Any, fds: list[int], rest: Callable[[], None]
) -> Call | Packed:
    """Return what a message calls, or the answer where the part needn't be asked; Invalid or Unsupported why not.

    Those are attributes, and a lifecycle that the part hasn't. `rest` reclaims what else lives in this process.
    """
    if not isinstance(message, Mapping):
        raise Invalid("a message of another process is no call")
    if "get" in message:
        return _attribute(interface, part, message["get"])
    name = message.get("call")
    method = interface.methods.get(name) if isinstance(name, str) else None
    if method is None:
        raise Unsupported(f"the contract {interface.kind} has no method {str(name)[:40]!r} here")
    if method.name in LIFECYCLE and not hasattr(part, method.name):
        if method.name == RECLAIM:
            rest()
        return success(method, LIFECYCLE[method.name])
    return Call(method, method.decode(message.get("with"), fds))


def _attribute(interface: Interface, part: object, name: Any) -> Packed:
    if name not in interface.attributes:
        raise Unsupported(f"the contract {interface.kind} has no {str(name)[:40]!r} here")
    return _packed(lambda fds: {"value": interface.attribute_codecs[name][0](getattr(part, name), fds)})


def success(method: Method, value: Any, out: Outgoing | None = None) -> Packed:
    """Return the answer that carries a result; the error where that isn't what the contract says."""
    return _packed(lambda fds: {"value": method.result[0](value, fds)}, out)


def failure(error: BaseException) -> Packed:
    """Return the answer that carries an error."""
    return Packed(wire.pack({"error": faults.dump(error)}), [])


def _packed(write: Callable[[Outgoing], Any], out: Outgoing | None = None) -> Packed:
    fds = Outgoing(None, results=True) if out is None else out
    try:
        return Packed(packed(write(fds), fds), fds)
    except Exception as error:
        fds.close()
        return failure(error)
