"""The conformance suite of the kind `discovery`; it runs as root, in network namespaces of its own."""

import os
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import partial
from itertools import count
from pathlib import Path
from threading import Event, Thread

import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
import dns.reversename
import dns.rrset
import pytest
from attrs import frozen

from moby.contracts.discovery import ADDRESS, Discovery, PortRequest, Presence, Resolver
from moby.errors import Conflict, Invalid
from moby.host.elsewhere import in_namespace
from moby.testing.net_namespaces import new_network, own_network

__all__ = ["DiscoverySuite", "Given", "NamesSuite", "PortsSuite", "ask"]

NET, OTHER = "a" * 64, "b" * 64
_PATIENCE_S = 60.0
_ASKING, _QUERIES, _CHANGES = 4, 100, 100


@frozen
class Given:
    """A part under test; `again` returns it after its process, and nothing else, has been killed and come back."""

    part: Discovery
    again: Callable[[], Discovery]


def ask(
    namespace: int, name: str, kind: str = "A", *, tcp: bool = False, server: str = ADDRESS, size: int = 0
) -> dns.message.Message:
    """Return the reply to a question that is asked in a namespace."""
    query = dns.message.make_query(name, kind, use_edns=0 if size else None, payload=size or None)

    def connect() -> socket.socket:
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM)
        sock.settimeout(_PATIENCE_S)
        sock.connect((server, 53))
        return sock

    with closing(in_namespace(namespace, connect)) as sock:
        if tcp:
            dns.query.send_tcp(sock, query)
            return dns.query.receive_tcp(sock)[0]
        sock.send(query.to_wire())
        return dns.message.from_wire(sock.recv(65535))


def _texts(reply: dns.message.Message) -> list[str]:
    return [str(item) for rrset in reply.answer for item in rrset]


def _here(name: str, *addresses: str, network: str = NET) -> Presence:
    return Presence(network, (name, name[:2]), addresses)


def _free(address: str = "127.0.0.1", kind: int = socket.SOCK_STREAM) -> int:
    with closing(socket.socket(socket.AF_INET, kind)) as sock:
        sock.bind((address, 0))
        return int(sock.getsockname()[1])


class Zone:
    """A name server on the port 53 of an address, for names that end in `.test`; counts what it is asked."""

    def __init__(self, namespace: int | None, address: str, value: str, *, number_off: bool = False) -> None:
        self.asked: list[str] = []
        self._value = value
        self._number_off = number_off
        make = [partial(_listening, kind, address) for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM)]
        self._udp, self._tcp = [each() if namespace is None else in_namespace(namespace, each) for each in make]
        for target in (self._serve_udp, self._serve_tcp):
            Thread(target=target, daemon=True).start()

    def close(self) -> None:
        for sock in (self._udp, self._tcp):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    def _reply(self, data: bytes) -> bytes:
        query = dns.message.from_wire(data)
        self.asked.append(str(query.question[0].name))
        reply = dns.message.make_response(query)
        reply.answer.append(dns.rrset.from_text_list(query.question[0].name, 60, "IN", "A", [self._value]))
        wire = reply.to_wire()
        return (b"\0\0" if wire[:2] != b"\0\0" else b"\1\1") + wire[2:] if self._number_off else wire

    def _serve_udp(self) -> None:
        with suppress(OSError):
            while True:
                data, peer = self._udp.recvfrom(4096)
                if not data:  # shut down
                    return
                self._udp.sendto(self._reply(data), peer)

    def _serve_tcp(self) -> None:
        with suppress(OSError, EOFError):
            while True:
                sock, _ = self._tcp.accept()
                with closing(sock):
                    data = sock.recv(4096)
                    reply = self._reply(data[2:])
                    sock.sendall(len(reply).to_bytes(2, "big") + reply)


class Nobody(Zone):
    """One that knows no name."""

    def _reply(self, data: bytes) -> bytes:
        reply = dns.message.make_response(dns.message.from_wire(data))
        reply.set_rcode(dns.rcode.NXDOMAIN)
        return reply.to_wire()


class Coming:
    """Sandboxes that come and go, each time at another address; which answers are right at what time."""

    def __init__(self, part: Discovery, names: Sequence[str]) -> None:
        self._part = part
        self._said: dict[str, list[str]] = {name: [""] for name in names}
        """What was true one after the other: an address, or nothing. The last may be about to be."""
        self._true = dict.fromkeys(names, 0)
        """Which of it surely is."""
        self.changes = 0

    def change(self, name: str) -> None:
        """Have one come where it is away, and else go."""
        said = self._said[name]
        said.append("" if said[-1] else f"10.1.{self.changes >> 8 & 255}.{self.changes & 255}")
        if said[-1]:
            self._part.enter(name, None, [Presence(NET, (name,), (said[-1],))])
        else:
            self._part.leave(name)
        self._true[name] = len(said) - 1
        self.changes += 1

    def wrong(self, namespace: int, name: str) -> str:
        """Ask for one; return what is wrong with the answer, for all that was true meanwhile."""
        before = self._true[name]
        reply = ask(namespace, name)
        right = self._said[name][before:]
        found = _texts(reply)
        if (reply.rcode() == dns.rcode.NOERROR and len(found) == 1 and found[0] in right) or (
            reply.rcode() == dns.rcode.NXDOMAIN and not found and "" in right
        ):
            return ""
        return f"{name} is {found}, {dns.rcode.to_text(reply.rcode())}; it was {right}"


def _listening(kind: int, address: str) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind)
    try:
        sock.bind((address, 53))
        if kind == socket.SOCK_STREAM:
            sock.listen()
    except OSError:
        sock.close()
        raise
    return sock


class _Within:
    """What both halves need. A subclass brings `start`, which is called inside the test's own host network."""

    @contextmanager
    def start(self) -> Iterator[Given]:
        """Lend the part under test, entered."""
        raise NotImplementedError

    @pytest.fixture
    def given(self) -> Iterator[Given]:
        """Lend the part, on a host network of its own."""
        with own_network(), self.start() as given:
            yield given

    @pytest.fixture
    def rooms(self) -> Iterator[Callable[[], int]]:
        """Lend a maker of containers' namespaces."""
        with ExitStack() as stack:

            def make() -> int:
                made = new_network()
                stack.callback(os.close, made)
                return made

            yield make


class NamesSuite(_Within):
    """What every discovery that serves names must do."""

    def test_it_serves_names(self, given: Given) -> None:
        """And says so."""
        assert given.part.serves_names

    def test_others_are_found(self, given: Given, rooms: Callable[[], int]) -> None:
        """By each of their names, in any case, over UDP and TCP; and oneself."""
        one, two = rooms(), rooms()
        given.part.enter("one", one, [_here("first", "10.0.0.2")], Resolver())
        given.part.enter("two", two, [_here("second", "10.0.0.3", "fd00::3")], Resolver())
        for name in ("second", "se", "SecOnd", "second."):
            for tcp in (False, True):
                reply = ask(one, name, tcp=tcp)
                assert _texts(reply) == ["10.0.0.3"]
                assert reply.question[0].name.to_text(omit_final_dot=True) == name.rstrip(".")
                assert reply.flags & dns.flags.RA
        assert _texts(ask(one, "second", "AAAA")) == ["fd00::3"]
        assert _texts(ask(one, "first")) == ["10.0.0.2"]
        assert _texts(ask(two, "first")) == ["10.0.0.2"]

    def test_what_a_name_hasn_t(self, given: Given, rooms: Callable[[], int]) -> None:
        """Is answered by nothing, which is no error: others would believe that the name isn't there."""
        one = rooms()
        given.part.enter("one", one, [_here("first", "10.0.0.2")], Resolver())
        for kind in ("AAAA", "MX", "TXT"):
            reply = ask(one, "first", kind)
            assert (reply.rcode(), reply.answer) == (dns.rcode.NOERROR, [])

    def test_names_of_other_networks(self, given: Given, rooms: Callable[[], int]) -> None:
        """Aren't seen, but by who is on both, who finds each by the addresses there."""
        one, two, both = rooms(), rooms(), rooms()
        given.part.enter("one", one, [_here("first", "10.0.0.2")], Resolver())
        given.part.enter("two", two, [_here("second", "10.1.0.2", network=OTHER)], Resolver())
        given.part.enter(
            "both", both, [_here("third", "10.0.0.3"), _here("third", "10.1.0.3", network=OTHER)], Resolver()
        )
        assert ask(one, "second").rcode() == dns.rcode.SERVFAIL
        assert ask(two, "first").rcode() == dns.rcode.SERVFAIL
        assert (_texts(ask(both, "first")), _texts(ask(both, "second"))) == (["10.0.0.2"], ["10.1.0.2"])
        assert (_texts(ask(one, "third")), _texts(ask(two, "third"))) == (["10.0.0.3"], ["10.1.0.3"])

    def test_reverse(self, given: Given, rooms: Callable[[], int]) -> None:
        """By address of either family the first name is found, on networks that one sees."""
        one, two = rooms(), rooms()
        given.part.enter("one", one, [_here("first.net", "10.0.0.2", "fd00::2")], Resolver())
        given.part.enter("two", two, [_here("second", "10.1.0.2", network=OTHER)], Resolver())
        for address in ("10.0.0.2", "fd00::2"):
            name = dns.reversename.from_address(address).to_text()
            assert _texts(ask(one, name, "PTR")) == ["first.net."]
            assert ask(two, name, "PTR").rcode() == dns.rcode.SERVFAIL
        nobody = dns.reversename.from_address("10.0.0.99").to_text()
        assert ask(one, nobody, "PTR").rcode() == dns.rcode.SERVFAIL

    def test_a_name_of_several(self, given: Given, rooms: Callable[[], int]) -> None:
        """Has all their addresses, each of which comes first at times."""
        one, two = rooms(), rooms()
        given.part.enter("one", one, [Presence(NET, ("a", "web"), ("10.0.0.2",))], Resolver())
        given.part.enter("two", two, [Presence(NET, ("b", "web"), ("10.0.0.3",))], Resolver())
        found = [_texts(ask(one, "web")) for _ in range(8)]
        assert {frozenset(each) for each in found} == {frozenset({"10.0.0.2", "10.0.0.3"})}
        assert {each[0] for each in found} == {"10.0.0.2", "10.0.0.3"}
        given.part.leave("two")
        assert _texts(ask(one, "web")) == ["10.0.0.2"]

    def test_many_addresses(self, given: Given, rooms: Callable[[], int]) -> None:
        """Don't fit into a datagram: it says so, and over TCP all come; with EDNS more fit."""
        one = rooms()
        addresses = [f"10.0.{at // 250}.{at % 250 + 1}" for at in range(300)]
        given.part.enter("one", one, [Presence(NET, ("many",), tuple(addresses))], Resolver())
        assert ask(one, "many").flags & dns.flags.TC
        assert sorted(_texts(ask(one, "many", tcp=True))) == sorted(addresses)
        given.part.enter("one", one, [Presence(NET, ("many",), tuple(addresses[:60]))], Resolver())
        reply = ask(one, "many", size=1232)
        assert (bool(reply.flags & dns.flags.TC), len(_texts(reply)), reply.edns) == (False, 60, 0)
        assert ask(one, "many").flags & dns.flags.TC

    def test_who_moves_and_leaves(self, given: Given, rooms: Callable[[], int]) -> None:
        """Is found where it is now, by its names of now, and then no more."""
        one, two = rooms(), rooms()
        given.part.enter("one", one, [_here("first", "10.0.0.2")], Resolver())
        given.part.enter("two", two, [_here("second", "10.0.0.3")], Resolver())
        assert _texts(ask(one, "second")) == ["10.0.0.3"]
        given.part.enter("two", two, [_here("other", "10.0.0.4")], Resolver())
        assert ask(one, "second").rcode() == dns.rcode.SERVFAIL
        assert _texts(ask(one, "other")) == ["10.0.0.4"]
        assert _texts(ask(two, "first")) == ["10.0.0.2"]
        given.part.leave("two")
        given.part.leave("two")
        assert ask(one, "other").rcode() == dns.rcode.SERVFAIL
        name = dns.reversename.from_address("10.0.0.4").to_text()
        assert ask(one, name, "PTR").rcode() == dns.rcode.SERVFAIL
        assert _refuses(two)

    def test_names_while_others_come_and_go(self, given: Given, rooms: Callable[[], int]) -> None:
        """Each of many answers is right: where it is, or what the servers say of one who is away."""
        one, names = rooms(), [f"guest{number}" for number in range(4)]
        given.part.enter("one", one, [_here("first", "10.0.0.2")], Resolver(("127.0.0.5",)))
        coming, enough = Coming(given.part, names), Event()
        problems: list[str] = []

        def ask_one(name: str) -> None:
            problems.extend(filter(None, [coming.wrong(one, name)]))

        def ask_often(at: int) -> None:
            for number in count():
                if number >= _QUERIES and (coming.changes >= _CHANGES or changing.done()):
                    return
                if number % 4 == 3:
                    found = _texts(ask(one, "first"))
                    problems.extend([f"first is {found}"] if found != ["10.0.0.2"] else [])
                else:
                    ask_one(names[(at + number) % len(names)])

        def change_on() -> None:
            while not enough.is_set():
                name = names[coming.changes % len(names)]
                coming.change(name)
                ask_one(name)  # and only one answer is right

        with closing(Nobody(one, "127.0.0.5", "")), ThreadPoolExecutor() as threads:
            changing = threads.submit(change_on)
            asking = [threads.submit(ask_often, at) for at in range(_ASKING)]
            try:
                for each in asking:
                    each.result()
            finally:
                enough.set()
            changing.result()
        assert problems == []

    def test_who_is_only_found(self, given: Given, rooms: Callable[[], int]) -> None:
        """Needs no namespace."""
        one = rooms()
        given.part.enter("one", one, [_here("first", "10.0.0.2")], Resolver())
        given.part.enter("two", None, [_here("second", "10.0.0.3")])
        assert _texts(ask(one, "second")) == ["10.0.0.3"]

    def test_own_names(self, given: Given, rooms: Callable[[], int]) -> None:
        """Are known to one alone, and come before others' names."""
        one, two = rooms(), rooms()
        own = Resolver(own_names={"Db": ("10.9.0.2",), "second": ("10.9.0.3",)})
        given.part.enter("one", one, [_here("first", "10.0.0.2")], own)
        given.part.enter("two", two, [_here("second", "10.0.0.3")], Resolver())
        assert (_texts(ask(one, "db")), _texts(ask(one, "second"))) == (["10.9.0.2"], ["10.9.0.3"])
        assert (ask(two, "db").rcode(), _texts(ask(two, "second"))) == (dns.rcode.SERVFAIL, ["10.0.0.3"])

    def test_the_containers_own_port(self, given: Given, rooms: Callable[[], int]) -> None:
        """53 stays free, at all addresses, while names are served."""
        one = rooms()
        given.part.enter("one", one, [_here("first", "10.0.0.2")], Resolver())
        for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
            in_namespace(one, partial(_listening, kind, "0.0.0.0")).close()
        assert _texts(ask(one, "first")) == ["10.0.0.2"]

    def test_other_names(self, given: Given, rooms: Callable[[], int]) -> None:
        """Are the servers' to resolve, asked from the container's namespace, over UDP and TCP."""
        one = rooms()
        given.part.enter("one", one, [_here("first", "10.0.0.2")], Resolver(("127.0.0.5",)))
        with closing(Zone(one, "127.0.0.5", "192.0.2.1")) as zone:
            for tcp in (False, True):
                reply = ask(one, "www.Example.test", tcp=tcp)
                assert (_texts(reply), reply.question[0].name.to_text()) == (["192.0.2.1"], "www.Example.test.")
            assert _texts(ask(one, "first")) == ["10.0.0.2"]
            assert zone.asked == ["www.Example.test."] * 2

    def test_a_server_of_ipv6(self, given: Given, rooms: Callable[[], int]) -> None:
        """Is asked as any other, over UDP and TCP."""
        one = rooms()
        given.part.enter("one", one, [_here("first", "10.0.0.2")], Resolver(("::1",)))
        with closing(Zone(one, "::1", "192.0.2.1")):
            for tcp in (False, True):
                assert _texts(ask(one, "example.test", tcp=tcp)) == ["192.0.2.1"]

    def test_asked_from_the_host(self, given: Given, rooms: Callable[[], int]) -> None:
        """Where the resolver says so."""
        one = rooms()
        with closing(Zone(None, "127.0.0.53", "192.0.2.2")):
            given.part.enter("one", one, [], Resolver(("127.0.0.53",), from_host=True))
            assert _texts(ask(one, "example.test")) == ["192.0.2.2"]
            given.part.enter("one", one, [], Resolver(("127.0.0.53",)))
            assert ask(one, "example.test").rcode() == dns.rcode.SERVFAIL

    def test_a_server_that_is_away(self, given: Given, rooms: Callable[[], int]) -> None:
        """Is passed over for the next; without one, that it failed is said."""
        one = rooms()
        given.part.enter("one", one, [], Resolver(("127.0.0.6", "127.0.0.5")))
        with closing(Zone(one, "127.0.0.5", "192.0.2.1")):
            assert _texts(ask(one, "example.test")) == ["192.0.2.1"]
        assert ask(one, "example.test").rcode() == dns.rcode.SERVFAIL

    def test_a_reply_of_another_number(self, given: Given, rooms: Callable[[], int]) -> None:
        """Isn't believed: somebody guesses."""
        one = rooms()
        given.part.enter("one", one, [], Resolver(("127.0.0.6", "127.0.0.5")))
        with (
            closing(Zone(one, "127.0.0.6", "192.0.2.66", number_off=True)),
            closing(Zone(one, "127.0.0.5", "192.0.2.1")),
        ):
            assert _texts(ask(one, "example.test")) == ["192.0.2.1"]

    def test_names_outlive_the_process(self, given: Given, rooms: Callable[[], int]) -> None:
        """All that was said."""
        one, two = rooms(), rooms()
        given.part.enter("one", one, [_here("first", "10.0.0.2")], Resolver(("127.0.0.5",), own_names={"me": ("::1",)}))
        given.part.enter("two", two, [_here("second", "10.0.0.3")], Resolver())
        part = given.again()
        assert (_texts(ask(one, "second")), _texts(ask(one, "me", "AAAA"))) == (["10.0.0.3"], ["::1"])
        with closing(Zone(one, "127.0.0.5", "192.0.2.1")):
            assert _texts(ask(one, "example.test")) == ["192.0.2.1"]
        part.leave("two")
        assert _refuses(two)
        assert ask(one, "nobody.example").rcode() == dns.rcode.SERVFAIL

    def test_nonsense_is_no_question(self, given: Given, rooms: Callable[[], int]) -> None:
        """Bytes of all kinds don't disturb who asks well."""
        one = rooms()
        given.part.enter("one", one, [_here("first", "10.0.0.2")], Resolver())
        with closing(in_namespace(one, partial(socket.socket, socket.AF_INET, socket.SOCK_DGRAM))) as sock:
            head = b"\0\1\1\0\0\1\0\0\0\0\0\0"
            for data in (b"", b"\0" * 11, b"\xff" * 600, head, head + b"\x3fabc", head + b"\xc0" * 40):
                sock.sendto(data, (ADDRESS, 53))
        with closing(in_namespace(one, lambda: socket.create_connection((ADDRESS, 53), _PATIENCE_S))) as sock:
            sock.sendall(b"\0\0\0\1\xff\xff\xffabc")
            assert _texts(ask(one, "first", tcp=True)) == ["10.0.0.2"]
        assert _texts(ask(one, "first")) == ["10.0.0.2"]

    def test_only_those_are_kept(self, given: Given, rooms: Callable[[], int]) -> None:
        """That are named."""
        one, two = rooms(), rooms()
        given.part.enter("one", one, [_here("first", "10.0.0.2")], Resolver())
        given.part.enter("two", two, [_here("second", "10.0.0.3")], Resolver())
        given.part.keep({"one", "three"})
        assert (_texts(ask(one, "first")), ask(one, "second").rcode()) == (["10.0.0.2"], dns.rcode.SERVFAIL)
        assert _refuses(two)

    def test_ids(self, given: Given) -> None:
        """That are none are Invalid."""
        for wrong in ("", "../up", "a/b", "a" * 200):
            with pytest.raises(Invalid, match="sandbox"):
                given.part.enter(wrong, None, [])
            with pytest.raises(Invalid, match="sandbox"):
                given.part.claim(wrong, [])


def _refuses(namespace: int) -> bool:
    """Whether nobody serves names in a namespace any more."""

    def connect() -> bool:
        with closing(socket.socket()) as sock:
            return sock.connect_ex((ADDRESS, 53)) != 0

    return in_namespace(namespace, connect)


def _tcp(port: int, *, container: int = 80, address: str = "", targets: Sequence[str] = ()) -> PortRequest:
    return PortRequest("tcp", container, address, port, port, tuple(targets))


def _can_bind(port: int, address: str = "127.0.0.1", kind: int = socket.SOCK_STREAM) -> bool:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with closing(socket.socket(family, kind)) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, kind == socket.SOCK_STREAM)
        try:
            sock.bind((address, port))
            return True
        except OSError:
            return False


class PortsSuite(_Within):
    """What every discovery must do that holds ports."""

    def test_a_port_is_held(self, given: Given) -> None:
        """For both families, until its sandbox leaves; nobody else gets it."""
        port = _free()
        found = given.part.claim("one", [_tcp(port)])
        assert [(each.protocol, each.container_port, each.host_address, each.host_port) for each in found] == [
            ("tcp", 80, "0.0.0.0", port),
            ("tcp", 80, "::", port),
        ]
        assert not (_can_bind(port) or _can_bind(port, "::1") or _can_bind(port, "0.0.0.0"))
        assert _can_bind(port, kind=socket.SOCK_DGRAM)
        given.part.leave("one")
        assert _can_bind(port)
        assert _can_bind(port, "::1")

    def test_of_one_address(self, given: Given) -> None:
        """Only that is held; another one may be somebody's."""
        port = _free()
        found = given.part.claim("one", [_tcp(port, address="127.0.0.2")])
        assert [(each.host_address, each.host_port) for each in found] == [("127.0.0.2", port)]
        assert (_can_bind(port), _can_bind(port, "127.0.0.2")) == (True, False)
        found = given.part.claim("two", [PortRequest("udp", 53, "::1", port, port)])
        assert [(each.protocol, each.host_address) for each in found] == [("udp", "::1")]
        assert not _can_bind(port, "::1", socket.SOCK_DGRAM)

    def test_a_port_that_is_taken(self, given: Given) -> None:
        """By a process of the host, any sandbox, or twice: a Conflict in docker's words; nothing has changed then."""
        port, free, other = _free(), _free("127.0.0.3"), _free("127.0.0.4")
        given.part.claim("one", [_tcp(port)])
        given.part.claim("two", [_tcp(free)])
        with pytest.raises(Conflict, match=rf"Bind for 0\.0\.0\.0:{port} failed: port is already allocated"):
            given.part.claim("two", [_tcp(other), _tcp(port)])
        with pytest.raises(Conflict, match=rf"Bind for 0\.0\.0\.0:{other} failed: port is already allocated"):
            given.part.claim("two", [_tcp(other), _tcp(other)])
        assert (_can_bind(free), _can_bind(other)) == (False, True)
        given.part.leave("one")
        with closing(socket.socket()) as sock:
            sock.bind(("127.0.0.1", port))
            sock.listen()
            with pytest.raises(Conflict, match="already allocated"):
                given.part.claim("one", [_tcp(_free("127.0.0.3"), container=82), _tcp(port)])
        assert given.part.claim("one", [_tcp(port)])[0].host_port == port

    def test_any_port(self, given: Given) -> None:
        """Is one of the ephemeral range, another for each, the same in both families, and not soon the same again."""
        first, last = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii").split())
        found = given.part.claim("one", [PortRequest("tcp", 80), PortRequest("tcp", 80), PortRequest("udp", 80)])
        assert [each.host_address for each in found] == ["0.0.0.0", "::"] * 3
        assert all(first <= each.host_port <= last for each in found)
        assert found[0].host_port == found[1].host_port != found[2].host_port
        given.part.leave("one")
        assert given.part.claim("one", [PortRequest("tcp", 80)])[0].host_port not in {each.host_port for each in found}

    def test_any_port_that_is_left(self, given: Given) -> None:
        """Is free at all the addresses that are asked for, whoever has the others; none left is a Conflict."""
        Path("/proc/sys/net/ipv4/ip_local_port_range").write_text("40000 40005", encoding="ascii")
        with ExitStack() as stack:
            for at, (family, address) in enumerate(((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))):
                stack.enter_context(closing(sock := socket.socket(family)))
                sock.bind((address, 40001 + 2 * at))
                sock.listen()
            given.part.claim("none", [_tcp(40000)])
            found = [given.part.claim(name, [PortRequest("tcp", 80)]) for name in ("one", "two", "three")]
            assert [[each.host_address for each in ports] for ports in found] == [["0.0.0.0", "::"]] * 3
            assert {each.host_port for ports in found for each in ports} == {40002, 40004, 40005}
            with pytest.raises(Conflict):
                given.part.claim("four", [PortRequest("tcp", 80)])
            assert given.part.claim("four", [PortRequest("tcp", 80, "127.0.0.2")])[0].host_port in {40001, 40003}
            assert given.part.claim("five", [PortRequest("udp", 80)])[0].host_port in range(40000, 40006)

    def test_a_range(self, given: Given) -> None:
        """Gives the first of it that is free; none is a Conflict."""
        first = next(each for each in range(20000, 60000) if all(_can_bind(each + at) for at in range(3)))
        wanted = PortRequest("tcp", 80, "127.0.0.1", first, first + 2)
        found = [given.part.claim(name, [wanted])[0].host_port for name in ("one", "two", "three")]
        assert found == [first, first + 1, first + 2]
        with pytest.raises(Conflict, match="already allocated"):
            given.part.claim("four", [wanted])

    def test_what_is_claimed_instead(self, given: Given) -> None:
        """Replaces what was; what is in both stays held throughout, and repeating changes nothing."""
        port, other = _free(), _free("127.0.0.3")
        given.part.claim("one", [_tcp(port), _tcp(other)])
        assert given.part.claim("one", [_tcp(port)]) == given.part.claim("one", [_tcp(port)])
        assert (_can_bind(port), _can_bind(other)) == (False, True)
        given.part.claim("one", [])
        assert _can_bind(port)

    def test_forwarding(self, given: Given) -> None:
        """What reaches a port comes to its container, by connections and datagrams, of either family."""
        for kind, protocol in ((socket.SOCK_STREAM, "tcp"), (socket.SOCK_DGRAM, "udp")):
            with closing(socket.socket(socket.AF_INET, kind)) as service:
                service.bind(("127.0.0.9", 0))
                if kind == socket.SOCK_STREAM:
                    service.listen()
                Thread(target=_echo, args=(service,), daemon=True).start()
                inside = service.getsockname()[1]
                wanted = PortRequest(protocol, inside, targets=("127.0.0.9",))
                port = given.part.claim(protocol, [wanted])[0].host_port
                for address in ("::1", "127.0.0.1"):
                    assert _said(kind, address, port, b"hello") == b"hello"
                with suppress(OSError):
                    service.shutdown(socket.SHUT_RDWR)

    def test_forwarding_much(self, given: Given) -> None:
        """Whole, both ways at once, and the end of one way leaves the other open."""
        data = bytes(range(256)) * 4096 * 4
        with closing(socket.socket()) as service:
            service.bind(("127.0.0.9", 0))
            service.listen()
            # What comes after the end of the one way is lost by who takes it for the end of both.
            Thread(target=_echo, args=(service, b"the last"), daemon=True).start()
            wanted = PortRequest("tcp", service.getsockname()[1], targets=("127.0.0.9",))
            port = given.part.claim("one", [wanted])[0].host_port
            with closing(socket.create_connection(("::1", port), _PATIENCE_S)) as sock:
                sender = Thread(target=_send_all, args=(sock, data), daemon=True)
                sender.start()
                got = b"".join(iter(lambda: sock.recv(1 << 16), b""))
                sender.join()
        assert got == data + b"the last"

    def test_forwarding_to_nobody(self, given: Given) -> None:
        """Ends the connection."""
        wanted = PortRequest("tcp", _free("127.0.0.9"), targets=("127.0.0.9",))
        port = given.part.claim("one", [wanted])[0].host_port
        with suppress(ConnectionResetError), closing(socket.create_connection(("::1", port), _PATIENCE_S)) as sock:
            assert sock.recv(1) == b""

    def test_ports_outlive_the_process(self, given: Given) -> None:
        """Held, forwarded, and known to be whose."""
        with closing(socket.socket()) as service:
            service.bind(("127.0.0.9", 0))
            service.listen()
            Thread(target=_echo, args=(service,), daemon=True).start()
            wanted = [PortRequest("tcp", service.getsockname()[1], targets=("127.0.0.9",))]
            found = given.part.claim("one", wanted)
            part = given.again()
            port = found[0].host_port
            assert not _can_bind(port)
            assert _said(socket.SOCK_STREAM, "::1", port, b"again") == b"again"
            part.claim("one", [])
            assert _can_bind(port)

    def test_only_ports_of_those_are_kept(self, given: Given) -> None:
        """That are named."""
        one, two = (given.part.claim(name, [PortRequest("tcp", 80)])[0].host_port for name in ("one", "two"))
        given.part.keep({"two"})
        assert (_can_bind(one), _can_bind(two)) == (True, False)

    def test_nonsense(self, given: Given) -> None:
        """Of protocols, ports and addresses is Invalid, and named."""
        for wanted, words in (
            (PortRequest("icmp", 80), "icmp"),
            (PortRequest("tcp", 0), ":0"),
            (PortRequest("tcp", 80, "", 70000, 70000), "70000"),
            (PortRequest("tcp", 80, "", 9, 8), "9-8"),
            (PortRequest("tcp", 80, "localhost"), "localhost"),
            (PortRequest("tcp", 80, "192.0.2.77"), r"192\.0\.2\.77"),
        ):
            with pytest.raises(Invalid, match=words):
                given.part.claim("one", [wanted])


class DiscoverySuite(NamesSuite, PortsSuite):
    """What every discovery must do that serves names and holds ports. A subclass brings `start`."""


def _echo(service: socket.socket, last: bytes = b"") -> None:
    with suppress(OSError):
        if service.type == socket.SOCK_DGRAM:
            while True:
                data, peer = service.recvfrom(65535)
                if not data:  # shut down
                    return
                service.sendto(data, peer)
        while True:
            sock, _ = service.accept()
            Thread(target=_echo_one, args=(sock, last), daemon=True).start()


def _echo_one(sock: socket.socket, last: bytes) -> None:
    with closing(sock), suppress(OSError):
        while data := sock.recv(1 << 16):
            sock.sendall(data)
        if last:
            time.sleep(0.1)  # by then who takes the end of one way for that of both has ended both
            sock.sendall(last)


def _send_all(sock: socket.socket, data: bytes) -> None:
    sock.sendall(data)
    sock.shutdown(socket.SHUT_WR)


def _said(kind: int, address: str, port: int, data: bytes) -> bytes:
    """Return what comes back from a port."""
    with closing(socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind)) as sock:
        sock.settimeout(_PATIENCE_S)
        sock.connect((address, port))
        sock.send(data)
        return sock.recv(1 << 16)
