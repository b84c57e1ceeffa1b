"""Figures for Prometheus, read by its own parser."""

import http.client
import os
import socket
import subprocess
import threading
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from attrs import evolve
from frontend.conftest import Connection
from moby_frontend.metrics.counting import EventCounts
from moby_frontend.metrics.exposition import Family, text
from moby_frontend.metrics.figures import Parts, collect
from moby_frontend.metrics.plugin import Config, make
from moby_frontend.traffic.interfaces import interfaces
from prometheus_client.parser import text_string_to_metric_families

from moby.contracts.events import Event
from moby.contracts.networks import Endpoint
from moby.contracts.runtime import DeviceIo, Stall, Stats
from moby.errors import NotFound, Unsupported
from moby.testing.frontend import FrontendSuite

PATIENCE_S = 60


@pytest.fixture
def opened(served):
    """Make front ends behind which are the same parts as behind `served`; they are left at the end."""
    made = []

    def start(**options):
        found = make(
            Config(**options), containers=served.containers, images=served.images, volumes=served.volumes,
            events=served.events, place=served.place, log=served.log,
        )  # fmt: skip
        found.__enter__()
        made.append(found)
        return found

    yield start
    for each in made:
        each.__exit__(None, None, None)


@pytest.fixture
def short(tmp_path_factory):
    return tmp_path_factory.mktemp("m")


class TestMetrics(FrontendSuite):
    @pytest.fixture
    def start(self, opened):
        return opened

    @pytest.fixture
    def folder(self, short):
        return short


@pytest.fixture
def ask(opened, short):
    """Make one call; return its answer and body."""
    opened().listen([f"unix://{short / 's'}"])

    def call(method="GET", path="/metrics"):
        connection = Connection(str(short / "s"))
        try:
            connection.request(method, path)
            answer = connection.getresponse()
            return answer, answer.read()
        finally:
            connection.close()

    return call


def figures(body):
    """Return all figures by name and labels, as Prometheus' parser reads them."""
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
    }


def test_the_engine_and_each_container(ask, served):
    runs, rests = served.run("sleep", "100"), served.run("true")
    served.call("POST", f"/containers/{rests}/wait")
    answer, body = ask()
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    found = figures(body)
    assert found["moby_engine_info", "test"] == 1
    assert (found["moby_containers", "running"], found["moby_containers", "exited"]) == (1, 1)
    assert (found["moby_images",], found["moby_volumes",]) == (1, 0)
    assert found["process_open_fds",] > 0
    names = {each.id: each.name for each in served.containers.list()}
    one, other = sorted(["box", runs, names[runs]]), sorted(["box", rests, names[rests]])
    assert (found["moby_container_up", *one], found["moby_container_up", *other]) == (1, 0)
    assert found["moby_container_exit_code", *other] == 0
    assert ("moby_container_exit_code", *one) not in found
    assert found["moby_container_start_time_seconds", *one] == pytest.approx(time.time(), abs=60)
    assert (found["moby_container_memory_bytes", *one], found["moby_container_cpu_seconds_total", *one]) == (7, 5e-9)
    assert ("moby_container_memory_bytes", *other) not in found


def test_every_figure_that_the_kernel_counts(served):
    runs = served.run("sleep", "100")
    stats = Stats(
        1, cpu_ns=2 * 10**9, cpu_throttled_ns=10**9, memory_bytes=3, memory_limit_bytes=0, swap_bytes=4, oom_kills=5,
        pids=6, pids_limit=7, io=(DeviceIo(8, 1, 9, 10),), pressure={"cpu": (Stall(total_us=10**6), Stall())},
    )  # fmt: skip
    served.containers.stats = lambda _: stats
    found = figures(text(collect(Parts(served.containers, served.images, served.volumes, "x"), {})))
    of = {name: value for (name, *labels), value in found.items() if runs in labels and "some" not in labels}
    assert of.items() >= {
        "moby_container_cpu_seconds_total": 2.0, "moby_container_cpu_throttled_seconds_total": 1.0,
        "moby_container_swap_bytes": 4.0, "moby_container_oom_kills_total": 5.0, "moby_container_processes": 6.0,
        "moby_container_processes_limit": 7.0, "moby_container_io_read_bytes_total": 9.0,
        "moby_container_io_written_bytes_total": 10.0, "moby_container_pressure_seconds_total": 0.0,
    }.items()  # fmt: skip
    assert "moby_container_memory_limit_bytes" not in of


def test_a_container_that_ends_meanwhile_is_left_out(served):
    served.run("sleep", "100")

    def gone(_):
        raise NotFound("it has just ended")

    served.containers.stats = gone
    found = figures(text(collect(Parts(served.containers, served.images, served.volumes, "x"), {})))
    assert not [each for each in found if each[0] == "moby_container_memory_bytes"]


def test_names_may_be_anything():
    odd = 'a"b\\c\nd{}=,'
    family = Family("name", "gauge", "Said\nin \\ lines.", ("label",))
    family.add(1, odd)
    (found,) = text_string_to_metric_families(text([family]).decode())
    assert (found.documentation, found.samples[0].labels) == ("Said\nin \\ lines.", {"label": odd})


def test_what_happens_is_counted(served):
    counts = EventCounts(served.events)
    counts.start()
    for action in ("start", "exec_create: sh -c x", "exec_create: other"):
        served.events.publish(Event("container", action, "i"))
    deadline = time.monotonic() + PATIENCE_S
    while sum(counts.now().values()) < 3 and time.monotonic() < deadline:
        time.sleep(0.005)
    assert counts.now() == {("container", "start"): 1, ("container", "exec_create"): 2}
    found = figures(text(collect(Parts(served.containers, served.images, served.volumes, "x"), counts.now())))
    assert found["moby_events_total", "container", "exec_create"] == 2
    counts.close()
    counts.close()


def test_more_events_than_it_can_follow_are_no_end(served):
    counts = EventCounts(served.events)
    subscribed = served.events.subscribe
    ended = []

    def once_too_slow(*given):
        found = subscribed(*given)
        if not ended:
            ended.append(found)
            for _ in range(2000):
                served.events.publish(Event("container", "flood", "i"))
        return found

    served.events.subscribe = once_too_slow
    counts.start()
    deadline = time.monotonic() + PATIENCE_S
    while ("container", "after") not in counts.now() and time.monotonic() < deadline:
        served.events.publish(Event("container", "after", "i"))
        time.sleep(0.005)
    assert counts.now()["container", "after"] > 0
    counts.close()


def test_other_requests(ask):
    answer, body = ask("HEAD")
    assert (answer.status, body, int(answer.headers["Content-Length"]) > 100) == (200, b"", True)
    assert ask(path="/")[0].status == 404
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        refused = ask(method)[0]
        assert (refused.status, refused.headers["Allow"]) == (405, "GET, HEAD")
    assert ask("BREW")[0].status == 501


def test_figures_that_can_t_be_told(ask, served):
    def broken(*_, **__):
        raise RuntimeError("broken")

    served.containers.list = broken
    assert ask()[0].status == 500
    assert served.log.lines.pop()[0] == "error"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_tcp_of_this_machine(opened, host):
    (address,) = opened().listen([f"tcp://{host}:0"])
    connection = http.client.HTTPConnection(address.removeprefix("tcp://"), timeout=PATIENCE_S)
    connection.request("GET", "/metrics")
    assert b"moby_engine_info" in connection.getresponse().read()
    connection.close()


def test_more_clients_than_anybody_needs(opened):
    (address,) = opened().listen(["tcp://127.0.0.1:0"])
    port = int(address.rpartition(":")[2])
    before = threading.active_count()
    with ExitStack() as silent:
        for _ in range(100):
            last = silent.enter_context(socket.create_connection(("127.0.0.1", port), PATIENCE_S))
        with suppress(ConnectionResetError):
            assert last.recv(1) == b"", "it is refused"
        assert threading.active_count() - before < 50


def test_tcp_of_others(opened):
    with pytest.raises(Unsupported, match="everybody who reaches the port"):
        opened().listen(["tcp://0.0.0.0:0"])
    assert opened(public=True).listen(["tcp://0.0.0.0:0"])


def test_its_own_addresses(opened, short):
    found = opened(addresses=(f"unix://{short / 'own'}",))
    assert found.listen() == (f"unix://{short / 'own'}",)
    assert Path(short / "own").is_socket()


def test_who_has_asked_is_answered_before_it_ends(opened, served, short):
    asked, go = threading.Event(), threading.Event()
    listed = served.containers.list

    def slowly():
        asked.set()
        assert go.wait(PATIENCE_S)
        return listed()

    served.containers.list = slowly
    frontend = opened()
    frontend.listen([f"unix://{short / 's'}"])
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(PATIENCE_S)
        sock.connect(str(short / "s"))
        sock.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        assert asked.wait(PATIENCE_S)
        assert frontend.drain(0) is False
        go.set()
        assert frontend.drain(PATIENCE_S) is True
        assert sock.makefile("rb").read().startswith(b"HTTP/1.0 200 ")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may make interfaces")
def test_interfaces_of_its_own(served):
    runs = served.run("sleep", "100")
    script = "ip link add d0 type bridge && ip link set d0 up && echo ready && read end"
    with subprocess.Popen(
        ["unshare", "--net", "sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as inside:
        assert inside.stdout.readline() == b"ready\n"
        container = served.containers.get(runs)
        joined = evolve(
            container, endpoints=(Endpoint("1", "bridge"),), state=evolve(container.state, pid=inside.pid)
        )  # fmt: skip
        served.containers.list = lambda: (joined,)
        found = figures(text(collect(Parts(served.containers, served.images, served.volumes, "x"), {})))
        of = {name for name, *labels in found if "d0" in labels}
        assert of == {
            f"moby_container_network_{way}_{what}_total"
            for way in ("rx", "tx") for what in ("bytes", "packets", "errors", "dropped")
        }  # fmt: skip
        assert interfaces(evolve(joined, endpoints=(Endpoint("2", "none"),)), inside.pid) == {}
        inside.stdin.close()
    assert interfaces(joined, inside.pid) == {}
