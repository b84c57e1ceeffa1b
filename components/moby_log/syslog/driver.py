"""syslog: sends each record to a server by udp, tcp, tcp+tls, or a socket of this host."""

import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from moby.contracts.log_driver import STDERR, LogConfig, LogQuery
from moby.contracts.types import Fd
from moby.errors import HostUnfit, Invalid, Unsupported
from moby_log.network.addresses import Address, parse
from moby_log.network.connections import connect, send_all
from moby_log.records.lines import Batch, Lines, records
from moby_log.records.options import COMMON, check_common, refuse_unknown
from moby_log.records.tags import DEFAULT, tag
from moby_log.syslog.messages import Form, facility, form

if TYPE_CHECKING:
    import ssl

__all__ = ["LOCAL_SOCKETS", "Syslog", "address_of"]

_OWN = ("address", "facility", "format", "tls-ca-cert", "tls-cert", "tls-key", "tls-skip-verify")
_KNOWN = COMMON | {f"syslog-{name}" for name in _OWN}
LOCAL_SOCKETS = ("/dev/log", "/var/run/syslog", "/var/run/log")
"""Where the host's own server may listen, if no address is given."""
_PORT = 514
_SECURE = "tcp+tls"
_STREAMS = frozenset({"tcp", _SECURE, "unix"})
_ERROR, _INFORMATION = 3, 6
"""Severities (RFC 5424, 6.2.1) of standard error and standard output."""


def address_of(options: Mapping[str, str]) -> Address | None:
    """Return where to send to, None for the host's own server; Invalid in docker's words."""
    text = options.get("syslog-address", "")
    if not text:
        return None
    found = parse(text, port=_PORT)
    if found.scheme in ("unix", "unixgram"):
        if not Path(found.path).exists():
            raise Invalid(f"stat {found.path}: no such file or directory")
        return Address(found.scheme, path=found.path)
    if found.scheme not in ("udp", "tcp", _SECURE):
        raise Invalid(f"unsupported scheme: '{found.scheme}'", hint=f"there are: udp, tcp, {_SECURE}, unix, unixgram")
    return Address(found.scheme, found.host, found.port)


def _tls(options: Mapping[str, str]) -> "ssl.SSLContext":
    """Return how to trust the server, and to be trusted; Invalid for files that can't be used."""
    import ssl  # which most logs do without

    authority = options.get("syslog-tls-ca-cert", "")
    try:
        context = ssl.create_default_context(cafile=authority or None)
    except (OSError, ssl.SSLError) as error:
        raise Invalid(f'could not read CA certificate "{authority}": {error}') from None
    if "syslog-tls-skip-verify" in options:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    certificate, key = options.get("syslog-tls-cert", ""), options.get("syslog-tls-key", "")
    if certificate or key:
        try:
            context.load_cert_chain(certificate, key or None)
        except (OSError, ssl.SSLError) as error:
            raise Invalid(f'Could not load X509 key pair: {error} ("{certificate}", "{key}")') from None
    return context


class _Writer:
    def __init__(self, config: LogConfig, address: Address | None) -> None:
        options = config.options
        self._address = address
        secure = address is not None and address.scheme == _SECURE
        self._tls = _tls(options) if secure else None
        self._facility = facility(options.get("syslog-facility", ""))
        self._form: Form = form(
            options.get("syslog-format", ""), hostname=socket.gethostname(), tag=tag(config, DEFAULT), secure=secure
        )
        self._lines = Lines()
        self._socket: socket.socket | None = None
        self._connect()

    def _connect(self) -> socket.socket:
        self._disconnect()
        if self._address is not None:
            self._socket = connect(self._address, self._tls)
            return self._socket
        for scheme in ("unixgram", "unix"):
            for path in LOCAL_SOCKETS:
                try:
                    self._socket = connect(Address(scheme, path=path))
                    return self._socket
                except OSError:
                    continue
        raise OSError("Unix syslog delivery error")

    def _disconnect(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _message(self, batch: Batch, record: bytes) -> bytes:
        severity = _ERROR if batch.stream == STDERR else _INFORMATION
        return self._form(self._facility * 8 + severity, batch.time_ns, record)

    def _send(self, batches: list[Batch]) -> None:
        # Empty lines are no messages, as with docker.
        messages = [self._message(batch, record) for batch in batches for record in records(batch) if record]
        tried = self._socket
        if tried is not None and messages:
            messages = messages[self._taken(tried, messages) :]
        if messages:
            fresh = self._connect()
            if self._taken(fresh, messages) < len(messages):
                self._disconnect()
                raise OSError(f"the syslog server {self._address or 'of this host'} takes no messages")

    def _taken(self, made: socket.socket, messages: list[bytes]) -> int:
        """Send, and return how many messages got away."""
        if made.type == socket.SOCK_STREAM:
            return send_all(made, messages)
        for number, message in enumerate(messages):
            try:
                made.send(message)
            except OSError:
                return number
        return len(messages)

    def write(self, stream: int, time_ns: int, chunk: bytes) -> None:
        """Send the records that a chunk makes whole; where the server has gone, once more to it anew."""
        self._send(self._lines.feed(stream, time_ns, chunk))

    def close(self) -> None:
        """Send what has no end, and let go."""
        try:
            self._send(self._lines.end())
        finally:
            self._disconnect()


class Syslog:
    """Sends records to a syslog server."""

    waits = True
    readable = False

    def check(self, options: Mapping[str, str]) -> None:
        """Refuse options as docker does."""
        refuse_unknown(options, _KNOWN, "syslog log driver")
        address_of(options)
        facility(options.get("syslog-facility", ""))
        form(options.get("syslog-format", ""), hostname="", tag="", secure=False)
        check_common(options)

    def open(self, config: LogConfig) -> _Writer:
        """Connect; HostUnfit where there is no server."""
        self.check(config.options)
        address = address_of(config.options)
        try:
            return _Writer(config, address)
        except OSError as error:
            raise HostUnfit(f"no syslog server at {address or ', '.join(LOCAL_SOCKETS)}: {error}") from error

    def read(self, config: LogConfig, query: LogQuery, ended: Fd) -> Iterator[bytes]:
        """Raise Unsupported, in docker's words."""
        raise Unsupported("configured logging driver does not support reading")
