"""Calls made in another network namespace, while this process stays where it is."""

from __future__ import annotations

import threading
from typing import TypeVar

from moby.host.namespaces import FLAGS, join

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["in_namespace"]

Result = TypeVar("Result")


def in_namespace(namespace: int, call: Callable[[], Result]) -> Result:
    """Return what a call returns, or raise what it raises, in the network namespace of a descriptor.

    It runs in a thread of its own, which ends with it. Sockets that it opens belong to that namespace for good, whoever
    uses them later.
    """
    results: list[Result] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            join(namespace, FLAGS["network"])
            results.append(call())
        except BaseException as error:  # raised again in the caller's thread
            errors.append(error)

    thread = threading.Thread(target=run, name="elsewhere")
    thread.start()
    thread.join()
    if errors:
        try:
            raise errors[0]
        finally:
            errors.clear()  # the traceback would hold this frame, and it the error
    return results[0]
