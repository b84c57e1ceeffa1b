"""An orchestrator's errors in the words of docker's swarm, which are those of gRPC, and with its status codes."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum

from moby.errors import Conflict, Denied, Invalid, Unsupported
from moby_frontend.docker.failures import Status, message

__all__ = ["OUT_OF_DATE", "Code", "described", "rejected", "told"]


class Code(Enum):
    """gRPC's codes, with the status that docker answers."""

    UNKNOWN = ("Unknown", 500)
    INVALID_ARGUMENT = ("InvalidArgument", 400)
    ALREADY_EXISTS = ("AlreadyExists", 409)
    PERMISSION_DENIED = ("PermissionDenied", 403)
    FAILED_PRECONDITION = ("FailedPrecondition", 400)
    UNIMPLEMENTED = ("Unimplemented", 501)


OUT_OF_DATE = "update out of sequence"


def described(code: Code, text: str) -> Status:
    """Return an error as docker's swarm words it."""
    word, status = code.value
    return Status(status, f"rpc error: code = {word} desc = {text}")


def rejected(text: str) -> Status:
    """Return an error of a description that can't be."""
    return described(Code.INVALID_ARGUMENT, text)


@contextmanager
def told(conflict: Code = Code.FAILED_PRECONDITION, outdated: Callable[[], bool] = lambda: False) -> Iterator[None]:
    """Word what goes wrong within as docker does.

    What a Conflict is depends on the call; where `outdated` says, once it came, that the version isn't the present
    one any more, it is that.
    """
    try:
        yield
    except Conflict as error:
        if outdated():
            raise described(Code.UNKNOWN, OUT_OF_DATE) from error
        raise described(conflict, message(error)) from error
    except Invalid as error:
        raise rejected(message(error)) from error
    except Unsupported as error:
        raise described(Code.UNIMPLEMENTED, message(error)) from error
    except Denied as error:
        raise described(Code.PERMISSION_DENIED, message(error)) from error
