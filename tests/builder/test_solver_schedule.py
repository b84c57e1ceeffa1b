"""Tasks that wait for each other: each once, in order, side by side, to the first failure."""

import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from moby_builder.dockerfile.solver.effects import Cancel
from moby_builder.dockerfile.solver.schedule import LONG, Schedule

from moby.errors import Unavailable


@st.composite
def graphs(draw):
    """For each task, the earlier ones that it waits for."""
    size = draw(st.integers(1, 30))
    return [draw(st.sets(st.integers(0, number - 1), max_size=4)) if number else set() for number in range(size)]


def schedule_of(graph, schedule, done, fails=()):
    tasks = []

    def steps(number):
        yield [tasks[each] for each in graph[number]]
        assert graph[number] <= set(done)
        if number in fails:
            raise ValueError(number)
        done.append(number)
        return number * 2

    for number in range(len(graph)):
        tasks.append(schedule.add(steps(number), number))
    return tasks


@given(graphs(), st.integers(1, 5))
@settings(deadline=None, max_examples=100)
def test_each_task_is_done_once_after_what_it_waits_for(graph, threads):
    done = []
    schedule = Schedule(threads, Cancel())
    tasks = schedule_of(graph, schedule, done)
    schedule.run(*tasks)
    assert sorted(done) == list(range(len(graph)))
    assert [each.value for each in tasks] == [number * 2 for number in range(len(graph))]


@given(graphs())
@settings(deadline=None, max_examples=50)
def test_one_thread_takes_the_lowest_order_that_is_ready(graph):
    done = []
    schedule = Schedule(1, Cancel())
    schedule.run(*schedule_of(graph, schedule, done))
    assert done == sorted(done)


@given(graphs(), st.integers(1, 5), st.data())
@settings(deadline=None, max_examples=100)
def test_the_first_failure_ends_all(graph, threads, data):
    fails = data.draw(st.sets(st.integers(0, len(graph) - 1), min_size=1))
    done, cancel = [], Cancel()
    schedule = Schedule(threads, cancel)
    tasks = schedule_of(graph, schedule, done, fails)
    with pytest.raises(ValueError) as caught:
        schedule.run(*tasks)
    assert caught.value.args[0] in fails
    assert cancel.is_set()
    blocked = set()
    for number, waits in enumerate(graph):
        if number in fails or waits & blocked:
            blocked.add(number)
    assert not blocked & set(done)
    with pytest.raises(ValueError):
        schedule.run()


def test_tasks_are_done_side_by_side():
    meet = threading.Barrier(5, timeout=60)

    def steps():
        yield LONG
        meet.wait()

    schedule = Schedule(5, Cancel())
    schedule.run(*[schedule.add(steps()) for _ in range(5)])


def test_what_is_quick_takes_no_further_thread():
    by = set()

    def steps():
        by.add(threading.current_thread())
        return
        yield

    schedule = Schedule(5, Cancel())
    schedule.run(*[schedule.add(steps()) for _ in range(20)])
    assert by == {threading.current_thread()}


def test_what_is_ready_once_others_take_long_is_done_meanwhile():
    meet = threading.Barrier(2, timeout=60)

    def long(below):
        yield below
        yield LONG
        meet.wait()

    def quick():
        return
        yield

    schedule = Schedule(3, Cancel())
    first = schedule.add(quick())
    schedule.run(*[schedule.add(long([first])) for _ in range(2)])


def test_no_more_threads_than_asked_for():
    lock, at_once, most, all_there = threading.Lock(), [], [], threading.Event()

    def steps():
        yield LONG
        with lock:
            at_once.append(1)
            most.append(len(at_once))
            if len(at_once) == 3:
                all_there.set()
        all_there.wait(60)
        threading.Event().wait(0.002)
        with lock:
            at_once.pop()

    schedule = Schedule(3, Cancel())
    schedule.run(*[schedule.add(steps()) for _ in range(20)])
    assert max(most) == 3


def test_a_deep_chain_takes_no_depth_of_calls():
    schedule = Schedule(4, Cancel())

    def steps(below):
        yield below
        return sum(each.value for each in below) + 1

    task = schedule.add(steps([]))
    for _ in range(5000):
        task = schedule.add(steps([task]))
    schedule.run(task)
    assert task.value == 5001


def test_tasks_may_add_tasks():
    schedule = Schedule(4, Cancel())

    def steps(depth):
        below = [schedule.add(steps(depth - 1)) for _ in range(2)] if depth else []
        yield below
        return 1 + sum(each.value for each in below)

    task = schedule.add(steps(6))
    schedule.run(task)
    assert task.value == 2**7 - 1


def test_a_cancel_ends_what_waits_and_raises_once_nothing_is_at_work():
    cancel, ended, begun = Cancel(), [], threading.Barrier(3)

    def works():
        yield LONG
        stop = threading.Event()
        cancel.add(stop.set)
        begun.wait(30)
        stop.wait(10)
        ended.append("works")

    def waits(task):
        begun.wait(30)
        try:
            yield [task]
        finally:
            ended.append("waits")

    schedule = Schedule(2, cancel)
    task = schedule.add(works())
    other = schedule.add(waits(task))
    threading.Thread(target=lambda: (begun.wait(30), cancel.set())).start()
    with pytest.raises(Unavailable, match="canceled"):
        schedule.run(other)
    assert ended == ["works", "waits"]


def test_a_schedule_that_was_given_up_does_nothing():
    cancel, done = Cancel(), []
    cancel.set()
    schedule = Schedule(2, cancel)

    def steps():
        done.append(1)
        return
        yield

    task = schedule.add(steps())
    with pytest.raises(Unavailable):
        schedule.run(task)
    assert not done
