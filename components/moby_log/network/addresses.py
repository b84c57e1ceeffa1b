"""Addresses of sinks, `SCHEME://HOST:PORT` or `SCHEME:///PATH`, refused in docker's words (Go's net/url)."""

import re
from urllib.parse import unquote, urlsplit

from moby.errors import Invalid
from moby.values import frozen

__all__ = ["Address", "parse"]

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")


@frozen
class Address:
    """Where a sink is: a scheme, and a host with a port, or a path."""

    scheme: str
    host: str = ""
    port: int = 0
    path: str = ""

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{self.path or f'{host}:{self.port}'}"


def parse(text: str, *, port: int) -> Address:
    """Return an address; Invalid for what is none. `port` is the usual one."""
    scheme, mark, _ = text.partition("://")
    if not mark or not _SCHEME.fullmatch(scheme):
        raise Invalid(f'parse "{text}": first path segment in URL cannot contain colon' if ":" in text else (
            f"unsupported scheme: '' in {text!r}"
        ), hint="write it as tcp://HOST:PORT or unix:///PATH")  # fmt: skip
    try:
        parts = urlsplit(text)
        found = parts.port
    except ValueError as error:
        raise Invalid(f'parse "{text}": invalid port: {error}') from None
    return Address(parts.scheme, parts.hostname or "", port if found is None else found, unquote(parts.path))
