"""What a caller does with one call: its arguments go out, what they lend lives meanwhile, and the answer comes in."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from moby.errors import MobyError
from moby.served import faults, wire
from moby.served.codec import Decoder
from moby.served.methods import Method
from moby.served.outgoing import Crew, Outgoing, packed

__all__ = ["Exchange", "perform", "value_of"]

Exchange = Callable[[bytes, Sequence[int], bool], tuple[dict[str, Any], list[int]]]
"""Sends a request with its descriptors, again where that is harmless, and returns the answer with its own."""


def perform(
    name: str,
    method: Method,
    args: Sequence[Any],
    given: Mapping[str, Any],
    exchange: Exchange,
    *,
    on: str | None = None,
) -> Any:
    """Make a call of what `name` names in errors, and return what it returns or raise what it raises.

    `on` is the name of the object that is called, empty for the part, where the exchange is another one's.
    """
    raised: list[Exception] = []
    crew = Crew(raised.append)
    out = Outgoing(crew, results=False)
    try:
        call = {"call": method.name, "with": method.encode(args, given, out)}
        request = packed(call if on is None else {**call, "on": on}, out)
        # What was lent to a process that has ended may have been used there: that can't be done again.
        repeatable = method.repeatable and not out.jobs
        out.start()
        data, received = exchange(request, out, repeatable)
        value = value_of(name, method.result[1], data, received, raised)
    except BaseException:
        out.close()
        crew.end()
        raise
    out.close()
    if not method.lives:
        crew.end()
    return value


def value_of(
    name: str, decode: Decoder, data: Mapping[str, Any], fds: Sequence[int], raised: Sequence[Exception] = ()
) -> Any:
    """Return an answer's value, or raise its error; descriptors that the value doesn't hold are closed."""
    given = wire.Given(fds)
    try:
        _raise_error(name, data, raised)
        return decode(data.get("value"), given)
    except BaseException:
        wire.close_all(given.held)
        raise
    finally:
        wire.close_all(given)


def _raise_error(name: str, data: Mapping[str, Any], raised: Sequence[Exception]) -> None:
    """Raise an answer's error, where it is one; where that began here, in what was lent, what was raised here."""
    if "error" not in data:
        return
    error = faults.load(data["error"])
    for each in raised:
        if (text := str(faults.dump(each)["message"])) and text in str(error):
            raise each
    if type(error) is MobyError:
        error.message = f"{name}: {error.message}"
    raise error
