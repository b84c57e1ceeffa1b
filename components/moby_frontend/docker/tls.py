"""Mutual TLS for TCP: the context of a listener, and a hijacked connection as a plain socket."""

import os
import select
import socket
import ssl
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from moby.errors import HostUnfit, Invalid

__all__ = ["bridged", "context", "refuse_plain", "subject", "why"]

_CHUNK = 64 << 10
_OPTIONS = ("tls_certificate", "tls_key", "tls_authority")
_PLAIN_S = 1.0


def context(certificate: Path, key: Path, authority: Path) -> ssl.SSLContext:
    """Return the context of a server whose clients have a certificate of the authority's; HostUnfit names the file."""
    for name, each in zip(_OPTIONS, (certificate, key, authority), strict=True):
        if not each.is_file():
            raise HostUnfit(f"option {name}: no file {each}", hint="name a PEM file that is there")
    found = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    found.minimum_version = ssl.TLSVersion.TLSv1_2
    found.verify_mode = ssl.CERT_REQUIRED
    try:
        found.load_cert_chain(certificate, key)
        found.load_verify_locations(authority)
    except (OSError, ssl.SSLError) as error:
        files = f"{certificate}, {key} and {authority}"
        raise Invalid(f"options {', '.join(_OPTIONS)}: {files} don't go together: {error}") from error
    return found


def subject(sock: ssl.SSLSocket) -> str:
    """Return the common name of a client's certificate."""
    certificate: dict[str, Any] = sock.getpeercert() or {}
    names = [value for part in certificate.get("subject", ()) for name, value in part if name == "commonName"]
    return str(names[0]) if names else ""


def why(error: OSError) -> str:
    """Return why a client and this server don't agree; nothing where it has gone before they could."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate isn't taken: {error.verify_message}"
    if isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return (error.reason or str(error)).lower().replace("_", " ")
    return ""


def refuse_plain(sock: socket.socket, error: OSError) -> None:
    """Tell a client that speaks HTTP without TLS that it should, in the words of Go's server."""
    if not (isinstance(error, ssl.SSLError) and error.reason == "HTTP_REQUEST"):
        return
    plain = socket.socket(fileno=os.dup(sock.fileno()))  # the other takes nothing that isn't encrypted
    with plain, suppress(OSError):
        plain.settimeout(_PLAIN_S)
        plain.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n")
        plain.shutdown(socket.SHUT_WR)
        for _ in range(64):  # a socket that is closed on unread bytes resets the client's end
            if not plain.recv(_CHUNK):
                return


def bridged(sock: ssl.SSLSocket) -> socket.socket:
    """Return a plain socket whose bytes, and ends of bytes, go to a TLS connection and back, by a thread of its own.

    TLS is not for two threads at once, as both directions of an attached stream need.
    """
    ours, theirs = socket.socketpair()
    threading.Thread(target=_carry, args=(sock, ours), name="tls", daemon=True).start()
    return theirs


def _carry(outer: ssl.SSLSocket, inner: socket.socket) -> None:
    """Carry bytes both ways until both have ended, or one is gone."""
    with outer, inner, suppress(OSError):
        outer.setblocking(False)
        inner.setblocking(False)
        to_inner, to_outer = _Way(), _Way()
        while not (to_inner.done and to_outer.done):
            _from_outer(outer, inner, to_inner)
            _from_inner(outer, inner, to_outer)
            _rest(outer, inner, to_inner, to_outer)


class _Way:
    """One direction: bytes that wait, whether there come more, whether the end was passed on."""

    def __init__(self) -> None:
        self.waiting = b""
        self.ended = False
        self.done = False


def _from_outer(outer: ssl.SSLSocket, inner: socket.socket, way: _Way) -> None:
    if not way.waiting and not way.ended:
        try:
            way.waiting = outer.recv(_CHUNK)
            way.ended = not way.waiting
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return
        except ssl.SSLEOFError:
            way.ended = True
    if way.waiting:
        with suppress(BlockingIOError):
            way.waiting = way.waiting[inner.send(way.waiting) :]
    elif way.ended and not way.done:
        way.done = True
        inner.shutdown(socket.SHUT_WR)


def _from_inner(outer: ssl.SSLSocket, inner: socket.socket, way: _Way) -> None:
    if not way.waiting and not way.ended:
        try:
            way.waiting = inner.recv(_CHUNK)
            way.ended = not way.waiting
        except BlockingIOError:
            return
    if way.waiting:
        with suppress(ssl.SSLWantReadError, ssl.SSLWantWriteError):
            way.waiting = way.waiting[outer.send(way.waiting) :]
    elif way.ended:
        # The other half of a stream is over once its output is: nothing more is read either.
        with suppress(ssl.SSLError, OSError):
            outer.unwrap()
        raise OSError("ended")


def _rest(outer: ssl.SSLSocket, inner: socket.socket, to_inner: _Way, to_outer: _Way) -> None:
    """Wait until one of them can go on."""
    if outer.pending() and not to_inner.waiting:
        return
    poll = select.poll()
    poll.register(outer, (0 if to_inner.waiting or to_inner.ended else select.POLLIN) | _out(to_outer))
    poll.register(inner, (0 if to_outer.waiting or to_outer.ended else select.POLLIN) | _out(to_inner))
    for _, event in poll.poll():
        if event & (select.POLLERR | select.POLLNVAL):
            raise OSError("gone")
        if event & select.POLLHUP and not event & select.POLLIN:
            raise OSError("gone")


def _out(way: _Way) -> int:
    return select.POLLOUT if way.waiting else 0
