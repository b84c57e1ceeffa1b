"""Errors as one line of text, with the words by which podman, containerd and dockerd tell them apart."""

from __future__ import annotations

import errno
import os

from moby.errors import Conflict, Invalid, MobyError, NotFound

TYPE_CHECKING = False

__all__ = ["exit_code_of", "words_of"]


def words_of(verb: str, error: Exception) -> str:
    """Return what to log for an error of a verb."""
    return f"{verb} failed: {_text(verb, error)}" if verb in ("create", "run", "exec", "start") else _text(verb, error)


def exit_code_of(error: Exception, code: int) -> int:
    """Return the exit code: 70 for a bug of ours, else the verb's."""
    return code if isinstance(error, (MobyError, OSError)) else 70


def _text(verb: str, error: Exception) -> str:
    if isinstance(error, OSError):
        return f"{error.filename}: {_reason(error)}" if error.filename else _reason(error)
    if not isinstance(error, MobyError):
        return f"{type(error).__name__}: {error} (a bug of this runtime; --debug shows more)"
    message = error.message
    if isinstance(error, Invalid) and error.problems:
        message = "; ".join(each.message for each in error.problems)
    marks = _marks(verb, error)
    hint = f" ({error.hint})" if error.hint else ""
    return f"{message}{marks}{hint}"


def _marks(verb: str, error: MobyError) -> str:
    """Return words that engines look for, where the message lacks them.

    containerd: checkKillError of its shim; podman: libpod/oci_util.go; dockerd: daemon/errors.go.
    """
    if isinstance(error, NotFound) and error.message.startswith("there is no container "):
        return ": container does not exist"
    if isinstance(error, Conflict) and verb == "kill":
        return ": container not running"
    cause = error.__cause__
    if not isinstance(cause, OSError) or not cause.errno:
        return ""
    reason = _reason(cause)
    if not cause.filename:
        return "" if reason in error.message else f": {reason}"
    if cause.errno == errno.ENOENT and "/" not in str(cause.filename):
        reason = "executable file not found in $PATH"
    return f': exec: "{cause.filename}": {reason}'


def _reason(error: OSError) -> str:
    return os.strerror(error.errno).lower() if error.errno else str(error)
