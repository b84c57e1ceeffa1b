"""Errors in, answers in docker's words out."""

from moby.errors import (
    Conflict,
    Corrupt,
    Denied,
    HostUnfit,
    Invalid,
    MobyError,
    NotFound,
    Unavailable,
    Unsupported,
    masked,
)
from moby_frontend.docker.call import Reply, reply_json

__all__ = ["Status", "failed", "message", "status_of"]

_STATUS: tuple[tuple[type[Exception], int], ...] = (
    (NotFound, 404), (Invalid, 400), (Conflict, 409), (Denied, 403), (Unsupported, 501), (Unavailable, 503),
)  # fmt: skip


class Status(MobyError):
    """An error with the status that docker has at that place."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def status_of(error: Exception) -> int:
    """Return the HTTP status of an error; 500 for all that the host can't, and for bugs."""
    if isinstance(error, Status):
        return error.status
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)


def message(error: Exception) -> str:
    """Return what is told to a client, on one line, without passwords of URLs.

    Words that are docker's own stay as they are; a hint is added where it is the host, or the moment, that is at fault.
    """
    return masked(_words(error))


def _words(error: Exception) -> str:
    if isinstance(error, Invalid) and error.problems:
        return "; ".join(str(each.message) for each in error.problems)
    if isinstance(error, MobyError):
        hinted = error.hint and isinstance(error, HostUnfit | Unavailable | Corrupt)
        return f"{error.message} ({error.hint})" if hinted else error.message
    if isinstance(error, OSError):
        return f"{error.strerror or error}" + (f": {error.filename}" if error.filename else "")
    return f"{type(error).__name__}: {error}"


def failed(error: Exception) -> Reply:
    """Return the answer to a call that failed."""
    return reply_json({"message": message(error)}, status_of(error))
