"""What a container knows of those that it is linked to by variables (docker's legacy links)."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from moby.values import frozen

__all__ = ["Linked", "variables"]

_NOT_TOLD = ("HOME", "PATH")


@frozen
class Linked:
    """A container that another one is linked to."""

    alias: str
    """What that one calls it."""
    address: str
    ports: Sequence[str] = ()
    """Those that it exposes: `5432/tcp`."""
    environment: Sequence[str] = ()


def variables(name: str, linked: Sequence[Linked]) -> Iterator[str]:
    """Yield the variables of a container of that name."""
    for each in linked:
        yield from _of(name, each)


def _of(name: str, linked: Linked) -> Iterator[str]:
    prefix = linked.alias.upper().replace("-", "_")
    ports = sorted(_read(each) for each in linked.ports)
    if ports:
        yield f"{prefix}_PORT={_place(linked, ports[0])}"
    for each in ports:
        key = _key(prefix, each)
        yield f"{key}={_place(linked, each)}"
        yield f"{key}_ADDR={linked.address}"
        yield f"{key}_PORT={each.number}"
        yield f"{key}_PROTO={each.protocol}"
    for first, last in _ranges(ports):
        yield f"{_key(prefix, first)}_START={_place(linked, first)}"
        yield f"{_key(prefix, first)}_PORT_START={first.number}"
        end = _key(prefix, Port(first.number, last.protocol))  # docker: number of the first, protocol of the last
        yield f"{end}_END={_place(linked, last)}"
        yield f"{end}_PORT_END={last.number}"
    yield f"{prefix}_NAME=/{name}/{linked.alias}"
    for text in linked.environment:
        key, equals, value = text.partition("=")
        if equals and key not in _NOT_TOLD:
            yield f"{prefix}_ENV_{key}={value}"


class Port(NamedTuple):
    """A port that is exposed; they sort by number, TCP first."""

    number: int
    protocol: str


def _read(text: str) -> Port:
    number, _, protocol = text.partition("/")
    return Port(int(number), protocol or "tcp")


def _key(prefix: str, port: Port) -> str:
    return f"{prefix}_PORT_{port.number}_{port.protocol.upper()}"


def _place(linked: Linked, port: Port) -> str:
    return f"{port.protocol}://{linked.address}:{port.number}"


def _ranges(ports: Sequence[Port]) -> Iterator[tuple[Port, Port]]:
    """Yield the first and the last of three and more that follow each other without a gap."""
    at = 0
    while at < len(ports):
        end = at
        while end + 1 < len(ports) and ports[end + 1].number <= ports[at].number + end + 1 - at:
            end += 1
        if end > at + 1:
            yield ports[at], ports[end]
        at = end + 1
