"""DNS messages, as far as names of containers need them: one question in, addresses or a name out (RFC 1035, 6891).

Written for speed: a library takes 40 to 100 µs a reply, with which neither rate nor latency of dockerd are reached.
"""

import struct
from collections.abc import Sequence
from ipaddress import ip_address
from typing import NamedTuple

__all__ = [
    "A", "AAAA", "ANY", "MOST_BYTES", "NAME_ERROR", "PTR", "SERVER_FAILURE", "Question", "answer", "failure", "parse",
    "reverse_address", "truncated",
]  # fmt: skip

A, PTR, AAAA, ANY = 1, 12, 28, 255
"""Types of records (RFC 1035 section 3.2, RFC 3596)."""
SERVER_FAILURE, NAME_ERROR = 2, 3
"""Codes of responses (RFC 1035 section 4.1.1)."""
MOST_BYTES = 4096
"""Of a reply over UDP to who takes that much."""
TTL_S = 600

_HEADER = struct.Struct("!HHHHHH")
_TWO = struct.Struct("!HH")
_RECORD = struct.Struct("!HHIH")
_TO_THE_QUESTION = b"\xc0\x0c"
_OPT = 41
_PLAIN_BYTES = 512
_INTERNET = 1
_QR, _OPCODES, _TC, _RD, _RA = 0x8000, 0x7800, 0x0200, 0x0100, 0x0080


class Question(NamedTuple):
    """What a message asks."""

    number: int
    """Its id."""
    flags: int
    name: str
    """In lower case, without the last dot."""
    kind: int
    """The type of record that is wanted."""
    section: bytes
    """The question as it was sent, whose case a reply keeps."""
    most_bytes: int
    """Of a reply over UDP."""
    extended: bool
    """Whether it has EDNS(0), and so the reply (RFC 6891 section 6.1.1)."""


def parse(data: bytes) -> Question | None:
    """Return the question of a message; None for what is no query with one question of the Internet's class."""
    if len(data) < _HEADER.size:
        return None
    number, flags, questions, answers, authorities, additions = _HEADER.unpack_from(data)
    if flags & (_QR | _OPCODES) or questions != 1:
        return None
    labels = []
    at = _HEADER.size
    while at < len(data) and (length := data[at]):
        if length > 63 or at + length > len(data):  # no pointer either: there is nothing yet to point to
            return None
        labels.append(data[at + 1 : at + 1 + length])
        at += length + 1
    at += 1
    if at + _TWO.size > len(data) or at - _HEADER.size > 255:
        return None
    kind, kin = _TWO.unpack_from(data, at)
    at += _TWO.size
    if kin != _INTERNET:
        return None
    most = _sender_takes(data, at) if additions and not answers and not authorities else 0
    name = b".".join(labels).decode("latin-1").lower()
    return Question(number, flags, name, kind, data[_HEADER.size : at], most or _PLAIN_BYTES, most > 0)


def _sender_takes(data: bytes, at: int) -> int:
    """Return the size in the OPT record at a place; 0 where there is none."""
    if len(data) < at + 1 + _RECORD.size or data[at]:
        return 0
    kind, size, *_ = _RECORD.unpack_from(data, at + 1)
    return min(max(size, _PLAIN_BYTES), MOST_BYTES) if kind == _OPT else 0


def answer(question: Question, values: Sequence[str], *, most_bytes: int = 0) -> bytes:
    """Return the reply with addresses or, to a reverse question, names; truncated where it is over `most_bytes`.

    Addresses of a type that wasn't asked for are left out.
    """
    records = [each for each in map(_name_record if question.kind == PTR else _address_record, values) if each[0]]
    if question.kind not in (PTR, ANY):
        records = [each for each in records if each[0] == question.kind]
    body = b"".join(_TO_THE_QUESTION + _RECORD.pack(kind, _INTERNET, TTL_S, len(data)) + data for kind, data in records)
    whole = _reply(question, 0, len(records), body)
    return truncated(question) if most_bytes and len(whole) > most_bytes else whole


def truncated(question: Question) -> bytes:
    """Return the reply that has its asker come again over TCP."""
    return _reply(question, _TC, 0, b"")


def failure(question: Question, code: int) -> bytes:
    """Return the reply that there is none."""
    return _reply(question, code, 0, b"")


def _reply(question: Question, more: int, count: int, body: bytes) -> bytes:
    flags = _QR | _RA | (question.flags & _RD) | more
    extension = b"\0" + _RECORD.pack(_OPT, MOST_BYTES, 0, 0) if question.extended else b""
    head = _HEADER.pack(question.number, flags, 1, count, 0, 1 if extension else 0)
    return head + question.section + body + extension


def _address_record(value: str) -> tuple[int, bytes]:
    data = ip_address(value).packed
    return (A if len(data) == 4 else AAAA), data


def _name_record(value: str) -> tuple[int, bytes]:
    labels = [each.encode("utf-8", "replace")[:63] for each in value.split(".") if each]
    return PTR, b"".join(bytes((len(each),)) + each for each in labels) + b"\0"


def reverse_address(name: str) -> str:
    """Return the address that a name of the reverse zones stands for; empty for others (RFC 1035 3.5, RFC 3596 2.5)."""
    labels = name.split(".")
    if labels[-2:] == ["in-addr", "arpa"] and len(labels) == 6:
        text = ".".join(reversed(labels[:4]))
    elif labels[-2:] == ["ip6", "arpa"] and len(labels) == 34:
        digits = "".join(reversed(labels[:32]))
        text = ":".join(digits[at : at + 4] for at in range(0, 32, 4))
    else:
        return ""
    try:
        return str(ip_address(text))
    except ValueError:
        return ""
