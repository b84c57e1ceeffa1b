"""What went wrong with a connection, in words that don't name the library it is made by."""

import os
import ssl
from http.client import HTTPException, IncompleteRead, RemoteDisconnected

import urllib3

__all__ = ["in_words"]

_ENDED = "it ended the connection"
_ODD = "it says what is no HTTP"


def in_words(error: Exception | None) -> str:
    """Return why no answer came, or not all of one."""
    kinds = urllib3.exceptions
    if isinstance(error, kinds.ConnectTimeoutError) and not isinstance(error, kinds.NewConnectionError):
        return "connecting timed out"
    if isinstance(error, kinds.ReadTimeoutError):
        return "waiting for it timed out"
    if isinstance(error, kinds.ResponseError):
        return str(error)  # whose words are this part's own
    if isinstance(error, kinds.LocationValueError):
        return "no host can have its name"
    return _of_cause(_cause(error))


def _of_cause(error: BaseException | None) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate doesn't hold: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"no TLS with it: {(error.reason or 'it ended the connection').replace('_', ' ').lower()}"
    if isinstance(error, RemoteDisconnected | IncompleteRead | EOFError | urllib3.exceptions.IncompleteRead):
        return _ENDED
    if isinstance(error, HTTPException):
        return _ODD
    if isinstance(error, OSError):
        return (error.strerror or (os.strerror(error.errno) if error.errno else str(error))).lower()
    return _ODD


def _cause(error: BaseException | None) -> BaseException | None:
    """Return what the library met: the innermost error that isn't its own, else the innermost of its own."""
    found, seen = error, error
    while seen is not None:
        inner = seen.__cause__ or next((each for each in seen.args if isinstance(each, Exception)), None)
        if inner is None and isinstance(seen, urllib3.exceptions.HTTPError):
            inner = seen.__context__
        if inner is not None:
            found = inner
        seen = inner
    return found
