"""Waiting for a container: the head of the answer at once, the exit code when there is one."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

from moby.contracts.containers import Condition, Ended
from moby.errors import Invalid
from moby_frontend.docker.call import Call, Reply, encode, stream
from moby_frontend.docker.parts import Parts

__all__ = ["UNKNOWN_EXIT", "wait"]

UNKNOWN_EXIT = 255
"""How an exit code is shown that nobody saw, as containerd does; an error goes with it."""


def wait(parts: Parts, call: Call) -> Reply:
    """Wait for it."""
    condition = _condition(call)
    waiter = parts.containers.wait(call.names["name"], condition)

    def answer() -> Iterator[bytes]:
        with closing(waiter):
            yield b""
            call.link.watch(waiter.fileno())
            yield encode(_shown(waiter.result())) + b"\n"

    return stream(answer(), "application/json")


def _condition(call: Call) -> Condition:
    if call.version < (1, 30):
        return Condition.NOT_RUNNING
    text = call.query.text("condition") or Condition.NOT_RUNNING.value
    try:
        return Condition(text)
    except ValueError:
        raise Invalid(f'invalid condition: "{text}"') from None


def _shown(ended: Ended) -> dict[str, Any]:
    code, error = ended.exit_code, ended.error
    if code is None:
        code, error = UNKNOWN_EXIT, error or "the exit code is unknown: nobody saw it end"
    return {"StatusCode": code} | ({"Error": {"Message": error}} if error else {})
