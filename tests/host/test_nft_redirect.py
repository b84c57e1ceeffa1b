import socket
import threading

import pytest

from moby.host.elsewhere import in_namespace
from moby.host.nft_redirect import redirect_dns
from moby.host.nft_values import V4
from moby.host.nftables import Nftables

ADDRESS = "127.0.0.11"


def servers():
    """A datagram socket and a listener at the address, at free ports."""
    datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    datagrams.bind((ADDRESS, 0))
    return datagrams, socket.create_server((ADDRESS, 0))


def redirect(namespace, udp_port, tcp_port):
    def make():
        with Nftables() as nftables:
            redirect_dns(nftables, ADDRESS, udp_port, tcp_port)

    in_namespace(namespace, make)


@pytest.fixture
def served(namespace, tables):
    """Sockets in the namespace to which its port 53 leads."""
    datagrams, listener = in_namespace(namespace, servers)
    redirect(namespace, datagrams.getsockname()[1], listener.getsockname()[1])
    for each in (datagrams, listener):
        each.settimeout(60)
    yield datagrams, listener
    datagrams.close()
    listener.close()


def client(namespace, kind):
    """A socket of the namespace at port 53 of the address."""

    def connect():
        found.connect((ADDRESS, 53))
        return found

    found = in_namespace(namespace, lambda: socket.socket(socket.AF_INET, kind))
    found.settimeout(60)
    return in_namespace(namespace, connect)


def test_datagrams_go_there_and_back(namespace, served):
    with client(namespace, socket.SOCK_DGRAM) as asks:
        asks.send(b"question")
        question, asker = served[0].recvfrom(100)
        served[0].sendto(b"answer", asker)
        assert (question, asks.recv(100)) == (b"question", b"answer")


def test_connections_go_there_and_back(namespace, served):
    with client(namespace, socket.SOCK_STREAM) as asks:
        answers, _ = served[1].accept()
        with answers:
            asks.send(b"question")
            assert answers.recv(100) == b"question"
            answers.send(b"answer")
            assert asks.recv(100) == b"answer"


def test_what_is_sent_first_comes_from_port_53(namespace, served):
    """As an answer does that comes so late that its connection is forgotten."""

    def listen():
        found = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        found.bind(("127.0.0.1", 0))
        return found

    with in_namespace(namespace, listen) as asks:
        asks.settimeout(60)
        served[0].sendto(b"late", asks.getsockname())
        assert asks.recvfrom(100) == (b"late", (ADDRESS, 53))


def test_own_port_53_stays_free(namespace, served):
    in_namespace(namespace, lambda: socket.create_server(("0.0.0.0", 53))).close()


def test_other_ports_lead_where_they_did(namespace, served):
    def refused():
        with socket.socket() as asks:
            asks.connect((ADDRESS, 54))

    with pytest.raises(ConnectionRefusedError):
        in_namespace(namespace, refused)


def test_repeating_leads_elsewhere(namespace, served):
    datagrams, listener = in_namespace(namespace, servers)
    with datagrams, listener, client(namespace, socket.SOCK_DGRAM) as asks:
        datagrams.settimeout(60)
        redirect(namespace, datagrams.getsockname()[1], listener.getsockname()[1])
        asks.send(b"again")
        assert datagrams.recv(100) == b"again"

    def tables():
        with Nftables() as nftables:
            return [(each.table.family, each.table.name) for each in nftables.tables()]

    assert in_namespace(namespace, tables) == [(V4, "moby-dns")]


def test_many_at_once(namespace, served):
    """Sockets of threads don't meet."""
    ports = [each.getsockname()[1] for each in served]
    errors = []

    def attempt():
        try:
            redirect(namespace, *ports)
        except OSError as error:
            errors.append(error)

    threads = [threading.Thread(target=attempt) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert not errors
