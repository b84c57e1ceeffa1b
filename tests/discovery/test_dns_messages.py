"""Messages beside those of dnspython."""

import dns.message
import dns.name
import dns.rdatatype
import dns.reversename
import pytest
from hypothesis import given
from hypothesis import strategies as st
from moby_discovery.dns import messages

LABELS = st.text("abcXYZ019-_", min_size=1, max_size=63)
NAMES = st.lists(LABELS, min_size=1, max_size=4).filter(lambda labels: sum(map(len, labels)) < 240).map(".".join)
V4 = st.ip_addresses(v=4).map(str)
# Those that stand for IPv4 addresses dnspython reverses as such.
V6 = st.ip_addresses(v=6).filter(lambda address: address.ipv4_mapped is None).map(str)
KINDS = {"A": messages.A, "AAAA": messages.AAAA, "PTR": messages.PTR, "ANY": messages.ANY, "MX": 15}


@given(NAMES, st.sampled_from(sorted(KINDS)), st.sampled_from([None, 512, 1232, 9000]))
def test_questions(name, kind, payload):
    query = dns.message.make_query(name, kind, use_edns=None if payload is None else 0, payload=payload)
    found = messages.parse(query.to_wire())
    assert (found.number, found.name, found.kind) == (query.id, name.lower(), KINDS[kind])
    assert found.extended == (payload is not None)
    assert found.most_bytes == min(payload or 512, 4096)


@given(NAMES, st.lists(V4 | V6, max_size=6), st.sampled_from(["A", "AAAA", "ANY", "MX"]), st.booleans())
def test_addresses(name, values, kind, extended):
    query = dns.message.make_query(name, kind, use_edns=0 if extended else None)
    reply = dns.message.from_wire(messages.answer(messages.parse(query.to_wire()), values))
    assert query.is_response(reply)
    assert (reply.edns == 0) is extended
    found = sorted(str(item) for rrset in reply.answer for item in rrset)
    wanted = {"A": is_v4, "AAAA": is_v6, "ANY": lambda value: True, "MX": lambda value: False}[kind]
    assert found == sorted({each for each in values if wanted(each)})


def is_v4(value):
    return ":" not in value


def is_v6(value):
    return ":" in value


@given(V4 | V6, NAMES)
def test_names_of_addresses(address, name):
    query = dns.message.make_query(dns.reversename.from_address(address), "PTR")
    question = messages.parse(query.to_wire())
    assert messages.reverse_address(question.name) == address
    reply = dns.message.from_wire(messages.answer(question, [name]))
    assert [str(item) for rrset in reply.answer for item in rrset] == [str(dns.name.from_text(name))]


@given(st.binary(max_size=600))
def test_bytes_of_all_kinds(data):
    found = messages.parse(data)
    if found is not None:
        dns.message.from_wire(messages.failure(found, messages.SERVER_FAILURE))


@given(st.binary(max_size=40), st.integers(0, 60), st.integers(0, 255))
def test_nearly_a_question(more, at, value):
    wire = bytearray(dns.message.make_query("web.example", "A", use_edns=0).to_wire() + more)
    wire[at % len(wire)] = value
    found = messages.parse(bytes(wire))
    if found is not None:
        assert len(messages.truncated(found)) <= 12 + len(found.section) + 11


@pytest.mark.parametrize(
    "name",
    ["", "arpa", "in-addr.arpa", "4.3.2.1", "1.4.3.2.1.in-addr.arpa", "x.3.2.1.in-addr.arpa", "999.3.2.1.in-addr.arpa",
     "g" + ".0" * 31 + ".ip6.arpa", "0" * 32 + ".ip6.arpa"],
)  # fmt: skip
def test_no_reverse_name(name):
    assert messages.reverse_address(name) == ""


def test_what_is_no_query():
    query = dns.message.make_query("web", "A").to_wire()
    response = bytes([*query[:2], query[2] | 0x80, *query[3:]])
    status = bytes([*query[:2], query[2] | 0x10, *query[3:]])
    chaos = query[:-1] + b"\3"
    two = query[:4] + b"\0\2" + query[6:]
    for data in (response, status, chaos, two, query[:-1], query[:12], b""):
        assert messages.parse(data) is None
