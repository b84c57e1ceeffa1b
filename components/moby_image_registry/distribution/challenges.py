"""What a service asks for before it answers: WWW-Authenticate, read (RFC 9110, 11.6.1)."""

import re
from collections.abc import Iterable, Mapping

from attrs import field, frozen

__all__ = ["Challenge", "read"]

_SCHEME = re.compile(r"\s*([A-Za-z][A-Za-z0-9-]*)(?:\s+|\s*,|\s*$)")
_PARAMETER = re.compile(r"\s*([A-Za-z_]+)\s*=\s*(?:\"((?:[^\"\\]|\\.)*)\"|([^\s,\"]+))\s*(?:,|$)")
_LONGEST = 8192


@frozen
class Challenge:
    """One way in that a service offers: `bearer` with realm, service and scope, or `basic`."""

    scheme: str
    parameters: Mapping[str, str] = field(factory=dict)


def read(headers: Iterable[str]) -> tuple[Challenge, ...]:
    """Return the challenges of all headers; what can't be read is passed over."""
    found = []
    for header in headers:
        rest = header[:_LONGEST]
        while match := _SCHEME.match(rest):
            scheme, rest = match[1].lower(), rest[match.end() :]
            parameters: dict[str, str] = {}
            while pair := _PARAMETER.match(rest):
                parameters[pair[1].lower()] = re.sub(r"\\(.)", r"\1", pair[2]) if pair[2] is not None else pair[3]
                rest = rest[pair.end() :]
            found.append(Challenge(scheme, parameters))
    return tuple(found)
