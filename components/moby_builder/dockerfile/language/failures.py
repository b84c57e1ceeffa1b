"""Failures of a file: BuildFailed, with where in it."""

from collections.abc import Iterator
from contextlib import contextmanager

from moby.contracts.builder import BuildFailed, Range
from moby.errors import Invalid

__all__ = ["located", "place"]


@contextmanager
def place(file: str, source: str, range: Range | None, prefix: str = "") -> Iterator[None]:
    """Have failures inside say where in a file they are, unless they know that better."""
    try:
        yield
    except (BuildFailed, Invalid) as error:
        raise located(error, file, source, range, prefix) from error


def located(error: BuildFailed | Invalid, file: str, source: str, range: Range | None, prefix: str = "") -> BuildFailed:
    """Return a failure that says where in a file it is; one that says so already stays as it is."""
    if isinstance(error, Invalid):
        error = BuildFailed(error.message, hint=error.hint)
    if error.file:
        return error
    return BuildFailed(
        prefix + error.message,
        code=error.code,
        vertex=error.vertex,
        file=file,
        source=source,
        ranges=(range,) if range else error.ranges,
        hint=error.hint,
    )
