"""How services are reached: by name and address from others' containers, and by published ports."""

import os
import socket
import threading
from contextlib import ExitStack, closing

import dns.resolver
import pytest

from moby.contracts.containers import ContainerConfig
from moby.contracts.networks import EndpointConfig, Network
from moby.contracts.orchestrator import EndpointMode, PublishedPort, PublishMode, ServiceSpec, TaskState
from moby.errors import Conflict
from moby.host.elsewhere import in_namespace
from moby.testing.orchestrator import eventually

pytestmark = [pytest.mark.slow]
PORT = 80
FOREVER = ("sh", "-c", "while :; do sleep 1000; done")


@pytest.fixture(params=["bridge", "overlay"])
def net(engine, request):
    engine.networks.create(Network("", "shop", request.param, ""))
    yield "shop"
    for each in engine.orchestrator.services():
        engine.orchestrator.remove(each.id)
    eventually(lambda: not engine.containers.list(), "all containers go")
    eventually(lambda: not engine.networks.get("shop").containers, "all leave")
    engine.networks.remove("shop")


def service(engine, name, replicas=1, **more):
    config = ContainerConfig("box", command=FOREVER, stop_signal="SIGKILL")
    made = engine.orchestrator.create(ServiceSpec(name, config, replicas=replicas, **more))
    return made, eventually(lambda: running(engine, name, replicas), f"{name} runs")


def running(engine, name, replicas):
    found = [each for each in engine.orchestrator.tasks(name) if each.status.state is TaskState.RUNNING]
    return found if len(found) == replicas else None


def inside(engine, task, call):
    """Return what a call returns in a task's network namespace."""
    fd = os.open(engine.containers.get(task.status.container_id).sandbox, os.O_RDONLY)
    try:
        return in_namespace(fd, call)
    finally:
        os.close(fd)


class Servers:
    """One in each task's namespace, that says the task's id to who connects."""

    def __init__(self, engine, stack):
        self.engine, self.stack, self.stopped = engine, stack, threading.Event()

    def serve(self, task, at="0.0.0.0"):
        family = socket.AF_INET6 if ":" in at else socket.AF_INET
        both = family == socket.AF_INET6
        listening = inside(
            self.engine, task, lambda: socket.create_server((at, PORT), family=family, dualstack_ipv6=both)
        )
        self.stack.callback(listening.shutdown, socket.SHUT_RDWR)

        def run():
            while True:
                try:
                    connection, (peer, *_) = listening.accept()
                except OSError:
                    return listening.close()
                with connection:
                    connection.sendall(f"{task.id} {peer}".encode())

        threading.Thread(target=run, daemon=True).start()


def ask(address, port=PORT):
    with closing(socket.create_connection((address, port), timeout=10)) as connection:
        return connection.recv(100).decode().split()[0]


def seen_as(address):
    with closing(socket.create_connection((address, PORT), timeout=10)) as connection:
        return connection.recv(100).decode().split()[1]


def resolve(name, kind="A"):
    resolver = dns.resolver.Resolver(configure=False)
    resolver.nameservers = ["127.0.0.11"]
    resolver.timeout, resolver.lifetime = 20, 60
    try:
        return sorted(each.address for each in resolver.resolve(name, kind))
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
        return []


def address_of(task, network):
    return next(each.ipv4_address for each in task.endpoints if each.network == network)


def test_by_name(engine, net):
    """One address for all tasks, which leads to each in turn, also after an end of one; and the addresses of all."""
    _, tasks = service(engine, "web", 3, networks={net: EndpointConfig(aliases=("www",))})
    _, [client] = service(engine, "client", networks={net: EndpointConfig()})
    eventually(lambda: len(engine.orchestrator.service("web").addresses) == 1, "it has an address")
    [address] = engine.orchestrator.service("web").addresses.values()
    address = address.partition("/")[0]
    assert inside(engine, client, lambda: resolve("web")) == [address] == inside(engine, client, lambda: resolve("www"))
    all_of_them = sorted(address_of(each, net) for each in tasks)
    assert inside(engine, client, lambda: resolve("tasks.web")) == all_of_them
    with ExitStack() as stack:
        servers = Servers(engine, stack)
        for each in tasks:
            servers.serve(each)
        everybody = {each.id for each in tasks}

        def asked(task):
            return asks(engine, task, address)

        eventually(lambda: asked(client) == everybody, "each of them is asked, and none twice")
        own = address_of(client, net)
        eventually(lambda: inside(engine, client, lambda: seen_as(address)) == own, "a task is seen as who it is")
        # Also to itself.
        eventually(lambda: asked(tasks[0]) == everybody, "one of them asks all")
        engine.restart()
        assert engine.orchestrator.service("web").addresses != {}
        eventually(lambda: asked(client) == everybody, "each of them is asked again")
        engine.orchestrator.scale("web", 2)
        kept = {each.id for each in eventually(lambda: running(engine, "web", 2), "two are left")}
        eventually(lambda: asked(client) == kept, "only they are asked")


def test_by_name_and_ipv6(engine):
    """An address of each sort for all tasks, on a network that has both."""
    pools = ({"Subnet": "10.77.0.0/24"}, {"Subnet": "fd77::/64"})
    engine.networks.create(Network("", "both", "bridge", "", enable_ipv6=True, ipam=pools))
    _, tasks = service(engine, "web", 3, networks={"both": EndpointConfig()})
    _, [client] = service(engine, "client", networks={"both": EndpointConfig()})
    with ExitStack() as stack:
        servers = Servers(engine, stack)
        for each in tasks:
            servers.serve(each, "::")
        everybody = {each.id for each in tasks}
        for kind in ("A", "AAAA"):
            [address] = eventually(lambda kind=kind: inside(engine, client, lambda: resolve("web", kind)), kind)
            eventually(
                lambda address=address: asks(engine, client, address) == everybody, f"each is asked at {address}"
            )
        alien = engine.networks.join("alien", {"both": EndpointConfig()})
        stack.callback(engine.networks.leave, "alien")
        fd = os.open(alien.namespace, os.O_RDONLY)
        stack.callback(os.close, fd)
        eventually(
            lambda: {in_namespace(fd, lambda: ask(address)) for _ in range(3)} == everybody, "strangers reach all too"
        )
        engine.orchestrator.scale("web", 0)
        eventually(lambda: not engine.orchestrator.tasks("web"), "they go")
        eventually(lambda: not asks(engine, client, address), "nobody answers any more")
    for each in engine.orchestrator.services():
        engine.orchestrator.remove(each.id)
    eventually(lambda: not engine.networks.get("both").containers, "all leave")
    engine.networks.remove("both")


def asks(engine, task, address):
    """Return who answers a task three times, one after the other; nobody while some don't."""
    try:
        return {inside(engine, task, lambda: ask(address)) for _ in range(3)}
    except OSError:
        return set()


def test_round_robin_of_names(engine, net):
    """Without an address of its own a service is all its tasks."""
    _, tasks = service(engine, "web", 2, networks={net: EndpointConfig()}, endpoint_mode=EndpointMode.DNSRR)
    found = inside(engine, tasks[0], lambda: resolve("web"))
    assert found == sorted(address_of(each, net) for each in tasks)
    assert engine.orchestrator.service("web").addresses == {}


def test_published(engine, net):
    """A port leads to every task, a chosen one is told, a taken one refused; it stays over an engine's restart."""
    ports = (PublishedPort(PORT, 8080), PublishedPort(PORT))
    made, tasks = service(engine, "web", 2, ports=ports)
    chosen = made.ports[1].published
    assert 30000 <= chosen <= 32767
    with pytest.raises(Conflict, match="port '8080' is already in use by service 'web'"):
        service(engine, "other", ports=(PublishedPort(81, 8080),))
    with ExitStack() as stack:
        servers = Servers(engine, stack)
        for each in tasks:
            servers.serve(each)
        wanted = {each.id for each in tasks}
        for port in (8080, chosen):
            eventually(lambda port=port: answers(port) == wanted, f"all answer at {port}")
        engine.restart()
        assert answers(8080) == wanted
    engine.orchestrator.remove("web")
    eventually(lambda: not answers(8080), "nobody answers any more")


def answers(port):
    try:
        return {ask("127.0.0.1", port) for _ in range(4)}
    except OSError:
        return set()


def test_published_by_each_task(engine, net):
    """In host mode a port is the task's own."""
    _, [task] = service(engine, "web", ports=(PublishedPort(PORT, 8081, mode=PublishMode.HOST),))
    assert [(each.container_port, each.host_port) for each in task.status.ports if each.host_address == "0.0.0.0"] == [
        (PORT, 8081)
    ]
    with ExitStack() as stack:
        Servers(engine, stack).serve(task)
        assert ask("127.0.0.1", 8081) == task.id
