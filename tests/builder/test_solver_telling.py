"""How a build is told: vertices, logs within their limits, one event at a time."""

import threading

import pytest
from attrs import define
from moby_builder.dockerfile.solver.effects import Cancel
from moby_builder.dockerfile.solver.flights import Slots
from moby_builder.dockerfile.solver.telling import Clipped, Telling
from solver_parts import source

from moby.contracts.builder import Log, Progress, Vertex
from moby.errors import NotFound, Unavailable

MIB = 1 << 20
SECOND = 10**9


@define
class Clock:
    now: int = SECOND

    def now_ns(self):
        return self.now

    def monotonic_ns(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def told():
    return []


@pytest.fixture
def telling(told, clock):
    return Telling(told.append, clock)


def test_a_vertex_is_told_whenever_it_changes(telling, told, clock):
    node = source("step")
    telling.started(node, missed="nothing like it was built before")
    clock.now += 5
    telling.completed(node, result="id")
    common = {"missed": "nothing like it was built before", "started_ns": SECOND}
    assert told == [
        Vertex(node.digest, "step", **common),
        Vertex(node.digest, "step", completed_ns=SECOND + 5, result="id", **common),
    ]
    assert telling.is_completed(node)


def test_what_fails_before_it_began_began_then(telling, told):
    telling.failed(source("step"), "it is bad")
    (vertex,) = told
    assert (vertex.started_ns, vertex.completed_ns, vertex.error) == (SECOND, SECOND, "it is bad")


def test_a_node_without_a_name_is_nobodys_business(telling, told):
    telling.started(source(""))
    assert not told


def test_an_errand_is_a_vertex_of_its_own(telling, told):
    for _ in range(2):
        with telling.errand("exporting", Cancel()) as watch:
            watch.progress("layers", 1, 2)
            watch.progress("layers", 2, 2, done=True)
    vertices = [each for each in told if isinstance(each, Vertex)]
    assert len({each.digest for each in vertices}) == 2
    progress = [each for each in told if isinstance(each, Progress)][:2]
    assert {each.vertex for each in progress} == {vertices[0].digest}
    assert [(each.current, bool(each.completed_ns)) for each in progress] == [(1, False), (2, True)]


def test_an_errand_that_fails_is_told_so(telling, told):
    cancel = Cancel()
    with pytest.raises(NotFound), telling.errand("looking", cancel):
        raise NotFound("no such image")
    assert told[-1].error == "no such image"
    with pytest.raises(Unavailable), telling.errand("looking", cancel):
        cancel.set()
        cancel.check()
    assert told[-1].error == "context canceled"


def test_after_its_end_nobody_hears(telling, told):
    telling.close()
    telling.started(source("step"))
    telling.watch(source("step"), Cancel()).log(1, b"late")
    assert not told


def test_events_are_told_one_at_a_time(clock):
    inside, most = [], []

    def tell(event):
        inside.append(event)
        most.append(len(inside))
        threading.Event().wait(0.001)
        inside.remove(event)

    telling = Telling(tell, clock)
    watch = telling.watch(source("step"), Cancel())
    threads = [threading.Thread(target=watch.log, args=(1, b"x")) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert most == [1] * 8


def test_what_a_step_wrote_is_told_by_stream(telling, told):
    watch = telling.watch(source("step"), Cancel())
    assert not watch.heard
    watch.log(2, b"no\n")
    assert told == [Log(source("step").digest, 2, b"no\n", SECOND)]
    assert watch.heard


def passed(stream, *pieces):
    return [b"".join(stream.pass_on(each)) for each in pieces]


def test_a_log_that_is_too_fast_is_clipped_until_the_next_second(clock):
    stream = Clipped(clock)
    first, second = passed(stream, b"x" * (300 << 10), b"y")
    assert first == b"x" * (200 << 10) + b"\n[output clipped, log limit 200KiB/s reached]\n"
    assert second == b""
    clock.now += 2 * SECOND
    assert passed(stream, b"z" * 1000) == [b"z" * 1000]
    assert passed(stream, b"z" * MIB)[0].endswith(b"\n[output clipped, log limit 200KiB/s reached]\n")


def test_a_log_that_is_too_long_ends(clock):
    stream = Clipped(clock)
    passed(stream, b"x")
    clock.now += 100 * SECOND
    first, second = passed(stream, b"x" * (3 * MIB), b"y")
    assert first == b"x" * (2 * MIB - 1) + b"\n[output clipped, log limit 2MiB reached]\n"
    clock.now += 1000 * SECOND
    assert second == b""
    assert passed(stream, b"z") == [b""]


def test_slots_are_waited_for_and_the_wait_can_be_given_up():
    slots, cancel, waits = Slots(1), Cancel(), threading.Event()

    def give_up():
        waits.wait(10)
        cancel.set()

    threading.Thread(target=give_up).start()
    with slots.one(Cancel()):
        waits.set()
        with pytest.raises(Unavailable, match="canceled"), slots.one(cancel):
            pass
    with slots.one(Cancel()):
        pass
