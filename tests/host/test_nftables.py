import errno
import re
import select
import struct
import subprocess

import pytest
from peers import binaries

from moby.host import nft_expressions as nft
from moby.host.elsewhere import in_namespace
from moby.host.nft_values import (
    INET,
    INTERFACE,
    IPV4,
    IPV6,
    OWNER,
    PERSIST,
    PORT,
    PROTOCOL,
    V4,
    V6,
    Chain,
    Element,
    Elements,
    Hook,
    Rule,
    Set,
    Table,
    key,
)  # fmt: skip
from moby.host.nftables import Add, Delete, Losses, Nftables, Refused, StandingTable

TABLE = Table(INET, "mine")
NAMES = Set(TABLE, "names", (INTERFACE,))
SUBNETS = Set(TABLE, "subnets", (IPV4,), interval=True)
PLACES = Set(TABLE, "places", (IPV6, INTERFACE), interval=True)
PORTS = Set(TABLE, "ports", (PROTOCOL, IPV4, PORT), (IPV4, PORT))
VERDICTS = Set(TABLE, "verdicts", (INTERFACE, INTERFACE), verdicts=True)
INPUT = Chain(TABLE, "input", Hook("filter", 1, 5, drop=True))
PREROUTING = Chain(TABLE, "prerouting", Hook("nat", 0, -100))
POSTROUTING = Chain(TABLE, "postrouting", Hook("nat", 4, 100))
OTHER = Chain(TABLE, "other")
RULES = [
    Rule(OTHER, (nft.Counter(), nft.RETURN)),
    Rule(INPUT, (nft.Meta(nft.IIFNAME), nft.Lookup(NAMES), nft.jump("other"))),
    Rule(INPUT, (nft.Meta(nft.OIFNAME), nft.Lookup(NAMES, absent=True), nft.goto("other"))),
    Rule(INPUT, (nft.State(), nft.Mask(struct.pack("=I", 6)), nft.Compare(bytes(4), unequal=True), nft.ACCEPT)),
    Rule(INPUT, (nft.Meta(nft.IIFNAME), nft.Meta(nft.OIFNAME, 4), nft.Lookup(VERDICTS))),
    Rule(
        PREROUTING,
        (
            nft.Local(), nft.Compare(struct.pack("=I", 2)), nft.Meta(nft.NFPROTO), nft.Compare(bytes([V4])),
            nft.Meta(nft.L4PROTO), nft.Payload(nft.NETWORK, 16, 4, 1), nft.Payload(nft.TRANSPORT, 2, 2, 2),
            nft.Lookup(PORTS), nft.Nat(V4, 0, 1),
        ),
    ),
    Rule(
        PREROUTING,
        (
            nft.Meta(nft.NFPROTO), nft.Compare(bytes([V4])), nft.Meta(nft.L4PROTO), nft.Compare(b"\6"),
            nft.Immediate(bytes([10, 1, 0, 2])), nft.Immediate(b"\x1f\x90", 1), nft.Nat(V4, 0, 1),
        ),
    ),
    Rule(
        POSTROUTING,
        (
            nft.Status(), nft.Mask(struct.pack("=I", 0x20)), nft.Compare(bytes(4), unequal=True),
            nft.Meta(nft.NFPROTO), nft.Compare(bytes([V6])),
            nft.Payload(nft.NETWORK, 8, 16), nft.Meta(nft.OIFNAME, 4), nft.Lookup(PLACES), nft.Masquerade(),
        ),
    ),
    Rule(
        POSTROUTING,
        (
            nft.Meta(nft.NFPROTO), nft.Compare(bytes([V4])), nft.Payload(nft.NETWORK, 12, 4), nft.Lookup(SUBNETS),
            nft.DROP,
        ),
    ),
]  # fmt: skip
V6_FIRST, V6_LAST = bytes([0xFD] + [0] * 15), bytes([0xFD] + [0] * 7 + [255] * 8)


def name(text):
    """An interface's name as keys have it."""
    return text.encode().ljust(16, b"\0")


ELEMENTS = [
    Elements(NAMES, (Element(name("br-0")), Element(name("br-1")))),
    Elements(
        SUBNETS,
        (
            Element(bytes([10, 1, 0, 0]), last=bytes([10, 1, 255, 255])),
            Element(bytes([10, 2, 0, 0]), last=bytes([10, 2, 255, 255])),
            Element(bytes([240, 0, 0, 0]), last=bytes([255, 255, 255, 255])),
        ),
    ),
    Elements(PLACES, (Element(key(V6_FIRST, name("br-0")), last=key(V6_LAST, name("br-0"))),)),
    Elements(
        PORTS,
        (Element(key(b"\x11", bytes([192, 0, 2, 1]), b"\0\x35"), key(bytes([10, 1, 0, 2]), b"\x14\xe9")),),
    ),
    Elements(
        VERDICTS,
        (Element(key(name("br-0"), name("br-0")), nft.ACCEPT), Element(key(name("a"), name("b")), nft.goto("other"))),
    ),
]  # fmt: skip
WHOLE = [
    Add(each)
    for each in (
        TABLE,
        NAMES,
        SUBNETS,
        PLACES,
        PORTS,
        VERDICTS,
        OTHER,
        INPUT,
        PREROUTING,
        POSTROUTING,
        *RULES,
        *ELEMENTS,
    )
]
SAID = """
table inet mine {
    set names { type ifname; elements = { "br-0", "br-1" }; }
    set subnets { type ipv4_addr; flags interval; elements = { 10.1.0.0/16, 10.2.0.0/16, 240.0.0.0/4 }; }
    set places { type ipv6_addr . ifname; flags interval; elements = { fd00::/64 . "br-0" }; }
    map ports {
        type inet_proto . ipv4_addr . inet_service : ipv4_addr . inet_service
        elements = { udp . 192.0.2.1 . 53 : 10.1.0.2 . 5353 }
    }
    map verdicts {
        type ifname . ifname : verdict
        elements = { "a" . "b" : goto other, "br-0" . "br-0" : accept }
    }
    chain other { counter return; }
    chain input {
        type filter hook input priority 5; policy drop;
        iifname @names jump other
        oifname != @names goto other
        ct state established,related accept
        iifname . oifname vmap @verdicts
    }
    chain prerouting {
        type nat hook prerouting priority dstnat;
        fib daddr type local dnat ip to meta l4proto . ip daddr . th dport map @ports
        meta nfproto ipv4 meta l4proto tcp dnat ip to 10.1.0.2:8080
    }
    chain postrouting {
        type nat hook postrouting priority srcnat;
        ct status dnat ip6 saddr . oifname @places masquerade
        ip saddr @subnets drop
    }
}
"""
"""The same in the words of nft."""


@pytest.fixture
def nftables(inside, tables):
    with Nftables() as found:
        yield found


def peer(*args, stdin=""):
    """What Debian's nft prints."""
    program = binaries.need("nft", "nftables")
    done = subprocess.run(
        [program, *args], input=stdin, capture_output=True, text=True, env=binaries.environment(), check=False
    )
    assert not done.returncode, done.stderr
    return done.stdout


def seen(nftables):
    """All that we see, in an order of its own."""
    sets = nftables.sets(TABLE)
    elements = [sorted(nftables.elements(each), key=repr) for each in (NAMES, SUBNETS, PLACES, PORTS, VERDICTS)]
    chains = sorted(nftables.chains(), key=lambda each: each.chain.name)
    return [each.table for each in nftables.tables()], sorted(sets), elements, chains


@pytest.fixture
def said(fresh):
    """A namespace where nft has made the same."""
    in_namespace(fresh, lambda: peer("-f", "-", stdin=SAID))
    return fresh


def test_what_is_made_nft_lists_like_its_own(nftables, said):
    nftables.commit(WHOLE)
    assert peer("list", "ruleset") == in_namespace(said, lambda: peer("list", "ruleset"))
    assert "places" in peer("list", "ruleset")


def test_what_nft_made_is_seen_like_our_own(nftables, said):
    nftables.commit(WHOLE)
    with in_namespace(said, Nftables) as theirs:
        assert seen(theirs) == seen(nftables)
    tables, sets, elements, chains = seen(nftables)
    assert tables == [TABLE]
    assert sets == ["names", "places", "ports", "subnets", "verdicts"]
    assert [each.chain for each in chains] == [INPUT, OTHER, POSTROUTING, PREROUTING]
    assert elements[0] == list(ELEMENTS[0].elements)
    assert elements[3] == list(ELEMENTS[3].elements)
    assert (bytes([V4]), b"\6") in chains[3].compared


def test_what_nft_lists_it_takes_again(nftables, fresh):
    """So nothing in it is half said."""
    nftables.commit(WHOLE)
    listed = peer("list", "ruleset")
    in_namespace(fresh, lambda: peer("-f", "-", stdin=listed))
    assert in_namespace(fresh, lambda: peer("list", "ruleset")) == listed


def test_elements_come_and_go(nftables):
    nftables.commit(WHOLE)
    nftables.commit([Delete(each) for each in ELEMENTS])
    assert all(not elements for elements in seen(nftables)[2])
    assert "elements" not in peer("list", "ruleset")
    nftables.commit([Add(each) for each in ELEMENTS])
    nftables.commit([Add(each) for each in ELEMENTS])
    assert [len(each) for each in seen(nftables)[2]] == [2, 3, 1, 1, 2]


@pytest.mark.slow
def test_more_elements_than_fit_a_message(nftables):
    nftables.commit(WHOLE)
    many = tuple(
        Element(key(b"\6", bytes([198, 51, 100, 1]), struct.pack(">H", at)), key(bytes([10, 1, 0, 2]), b"\0\x50"))
        for at in range(1, 20001)
    )
    nftables.commit([Add(Elements(PORTS, many))])
    assert len(nftables.elements(PORTS)) == 20001
    nftables.commit([Delete(Elements(PORTS, many))])
    assert len(nftables.elements(PORTS)) == 1


def test_rules_of_a_chain_are_replaced_at_once(nftables):
    nftables.commit(WHOLE)
    nftables.commit([Delete(Rule(INPUT)), Add(Rule(INPUT, (nft.ACCEPT,)))])
    listed = peer("list", "chain", "inet", "mine", "input")
    assert "accept" in listed
    assert "jump" not in listed


def test_refusal_names_the_object_and_nothing_is_done(nftables):
    nftables.commit([Add(TABLE), Add(PORTS)])
    other = Set(TABLE, "absent", (PORT,))
    good = Element(key(b"\6", bytes(4), b"\0\1"), key(bytes(4), b"\0\1"))
    changes = [Add(Elements(PORTS, (good,))), Add(Elements(other, (Element(b"\0\1"),))), Delete(Chain(TABLE, "gone"))]
    with pytest.raises(Refused) as caught:
        nftables.commit(changes)
    assert str(caught.value) == (
        "[Errno 2] No such file or directory, and 1 more: 'nftables: add element 0001 of set absent of table mine'"
    )
    assert [(str(change), number) for change, number, _ in caught.value.failures] == [
        ("add element 0001 of set absent of table mine", errno.ENOENT),
        ("delete chain gone of table mine", errno.ENOENT),
    ]
    assert not nftables.elements(PORTS)


def test_another_value_for_a_key_is_refused(nftables):
    nftables.commit(WHOLE)
    (there,) = ELEMENTS[3].elements
    with pytest.raises(Refused, match="add element 110000"):
        nftables.commit([Add(Elements(PORTS, (Element(there.key, key(bytes(4), b"\0\1")),)))])


def test_range_that_overlaps_is_refused(nftables):
    nftables.commit(WHOLE)
    overlapping = Element(bytes([10, 1, 128, 0]), last=bytes([10, 3, 0, 0]))
    with pytest.raises(Refused, match="of set subnets of table mine"):
        nftables.commit([Add(Elements(SUBNETS, (overlapping,)))])


def test_many_changes_are_named_together(nftables):
    with pytest.raises(Refused, match="add 2 elements of set names of table mine"):
        nftables.commit([Add(ELEMENTS[0])])
    with pytest.raises(
        Refused, match=re.escape("add rule Counter(), Verdict(code=-5, chain='') in chain other of table mine")
    ):
        nftables.commit([Add(RULES[0])])
    with pytest.raises(Refused, match=re.escape("delete rule (all) in chain input of table mine")):
        nftables.commit([Delete(Rule(INPUT))])


def test_owned_table_is_nobody_elses(nftables):
    nftables.commit([Add(Table(INET, "mine", OWNER | PERSIST))])
    with Nftables() as other:
        with pytest.raises(Refused, match="Operation not permitted: 'nftables: delete table mine'"):
            other.commit([Delete(TABLE)])
        assert other.tables() == [StandingTable(Table(INET, "mine", OWNER | PERSIST), nftables.port)]
    peer("flush", "ruleset")
    assert [each.table.name for each in nftables.tables()] == ["mine"]


def test_owned_table_outlives_its_owner_and_is_taken_over(nftables):
    with Nftables() as owner:
        owner.commit([Add(Table(INET, "mine", OWNER | PERSIST))])
    peer("flush", "ruleset")
    owned = Table(INET, "mine", OWNER | PERSIST)
    nftables.commit([Add(owned), Add(NAMES)])
    assert nftables.tables() == [StandingTable(owned, nftables.port)]


def test_flags_that_the_kernel_does_not_know_are_refused(nftables):
    with pytest.raises(Refused) as caught:
        nftables.commit([Add(Table(INET, "mine", 1 << 20))])
    assert caught.value.errno == errno.EOPNOTSUPP


def test_losses_are_told_with_who_did_it(nftables):
    losses = Losses()
    try:
        nftables.commit(WHOLE)
        nftables.commit([Delete(Elements(NAMES, (Element(name("br-0")),)))])
        peer("flush", "ruleset")
        found = []
        while not any(each.what == "table" for each in found):
            assert select.select([losses], [], [], 60)[0]
            found += losses.read()
        assert (found[0].what, found[0].by) == ("element", nftables.port)
        assert {(each.family, each.table) for each in found} == {(INET, "mine")}
        assert all(each.by != nftables.port for each in found[1:])
        assert {each.what for each in found} >= {"element", "rule", "chain", "set", "table"}
    finally:
        losses.close()


def test_without_the_power_it_is_said(unprivileged, fresh):
    def run(_folder):
        with Nftables() as found, pytest.raises(Refused, match="Operation not permitted: 'nftables: the transaction'"):
            found.commit([Add(TABLE)])

    unprivileged(run)


def test_nothing_to_do_is_fine(nftables):
    nftables.commit([])
    nftables.commit([Add(Elements(NAMES, ()))])
