"""What of a graph is done, and what is found: over effects that only note what they are asked for."""

import threading
from collections import Counter

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from moby_builder.dockerfile.operations import EmptySource, Node
from moby_builder.dockerfile.solver.effects import Cancel
from solver_parts import Bench, Effects, copy, failure, run, source

from moby.contracts.builder import BuildFailed, Range
from moby.errors import NotFound, Unavailable


@pytest.fixture
def bench(tmp_path):
    with Bench.at(tmp_path) as bench:
        yield bench


def solved(bench, node, **more):
    """What was done to solve a node, in a build of its own."""
    effects = bench.effects(**more)
    with bench.build(effects) as build:
        build.solve(node)
    return effects.done


def chain():
    base = source("base")
    return run("second", run("first", base))


def test_each_step_is_done_once_and_found_again(bench):
    assert solved(bench, chain()) == ["base", "first", "second"]
    assert solved(bench, chain()) == []


def test_what_is_found_is_told_with_all_below_it(bench):
    solved(bench, chain())
    with bench.build(bench.effects()) as build:
        build.solve(chain())
    for name in ("first", "second"):
        assert build.vertex(name).cached
        assert build.vertex(name).completed_ns
    assert build.vertex("second").inputs == (chain().inputs[0].digest,)


def test_another_command_below_does_all_above_anew(bench):
    solved(bench, chain())
    assert solved(bench, run("second", run("other", source("base")))) == ["base", "other", "second"]


def test_a_source_that_stands_for_something_else_does_all_anew(bench):
    solved(bench, chain())
    assert solved(bench, chain(), given={"base": "newer"}) == ["base", "first", "second"]


def test_a_copy_is_found_by_what_it_reads_and_so_is_what_is_on_it(bench):
    node = run("make", copy("copy", source("base"), source("context")))
    assert sorted(solved(bench, node, given={"context": {"/a": 1, "/b": 1}})) == ["base", "context", "copy", "make"]
    changed = {"context": {"/a": 1, "/b": 2}}
    assert sorted(solved(bench, node, given=changed)) == ["base", "context"]
    assert solved(bench, node, given=changed) == [], "the second time it is known by its inputs"
    assert solved(bench, copy("copy", *node.inputs[0].inputs), given=changed) == [], "and so is what was read"
    assert sorted(solved(bench, node, given={"context": {"/a": 2, "/b": 2}})) == ["base", "context", "copy", "make"]


def test_a_stage_that_comes_to_the_same_files_changes_nothing_for_its_readers(bench):
    def node(flag):
        return copy("copy", source("base"), run(f"make {flag}", source("base")))

    def files(flag):
        return {f"make {flag}": {"/a": "binary"}}

    assert solved(bench, node("-O1"), given=files("-O1")) == ["base", "make -O1", "copy"]
    assert solved(bench, node("-O2"), given=files("-O2")) == ["base", "make -O2"]


def test_nothing_is_fetched_below_what_is_found(bench):
    node = copy("copy", source("base"), run("make", source("tools")))
    solved(bench, node)
    effects = bench.effects()
    with bench.build(effects) as build:
        build.solve(node)
    assert effects.done == []
    assert effects.asked == {"base": 1, "tools": 1}


def test_without_the_cache_a_step_is_done_and_its_result_is_the_one_that_is_found(bench):
    ignoring = run("second", run("first", source("base"), ignore_cache=True))
    solved(bench, chain())
    assert solved(bench, ignoring) == ["base", "first", "second"], "what is on another result is another one"
    assert solved(bench, chain()) == []
    with bench.build(bench.effects()) as build:
        build.solve(ignoring)
    assert build.vertex("first").missed == "the cache is not to be used"


class Patient(Effects):
    """Its source `context` is known once the step `first` has begun."""

    def identify(self, node, watch):
        assert node.name != "context" or self.begun.setdefault("first", threading.Event()).wait(30)
        return super().identify(node, watch)


def test_without_the_cache_steps_begin_before_sources_that_others_read_are_there(bench):
    first = run("first", source("base"), ignore_cache=True)
    effects = Patient(bench.snapshots)
    with bench.build(effects) as build:
        build.solve(copy("second", first, source("context"), ignore_cache=True))
    assert Counter(effects.done) == {"base": 1, "context": 1, "first": 1, "second": 1}


def test_steps_one_by_one_begin_in_the_order_of_the_file_without_the_cache_too(bench):
    first = run("first", source("base"), ignore_cache=True)
    effects = bench.effects()
    with bench.build(effects, sequential=True) as build:
        build.solve(copy("second", first, source("context"), ignore_cache=True))
    assert [each for each in effects.done if each in ("first", "second")] == ["first", "second"]
    assert effects.most_at_once == 1


def test_a_snapshot_that_has_gone_is_a_miss(bench):
    with bench.build(bench.effects()) as build:
        (outcome,) = build.solve(chain())
    bench.snapshots.remove(outcome.tree.snapshot)
    assert solved(bench, chain()) == ["second"]
    assert solved(bench, chain()) == []


def test_an_empty_root_takes_no_effects(bench):
    empty = Node(EmptySource(), name="scratch")
    with bench.build(bench.effects()) as build:
        (outcome,) = build.solve(empty)
    assert outcome.tree.snapshot == ""
    assert solved(bench, run("make", empty)) == ["make"]
    assert solved(bench, run("make", empty)) == []


def test_independent_steps_run_side_by_side_and_no_more_than_there_are_slots(bench):
    def node():
        root = source("base")
        return run("all", root, *[run(f"step {each}", root) for each in range(12)])

    gates = {f"step {each}": threading.Event() for each in range(12)}
    effects = bench.effects(slow=gates)

    def release():
        while effects.at_once < 4:
            threading.Event().wait(0.001)
        for each in gates.values():
            each.set()

    threading.Thread(target=release).start()
    with bench.build(effects) as build:
        build.solve(node())
    assert effects.most_at_once == 4
    assert Counter(effects.done) == Counter(["base", "all", *gates])


def test_sequential_steps_are_done_in_the_order_of_the_file(bench):
    root = source("base")
    names = [f"step {each}" for each in range(8)]
    effects = bench.effects()
    with bench.build(effects, sequential=True) as build:
        build.solve(run("all", root, *[run(each, root) for each in names]))
    assert effects.done == ["base", *names, "all"]
    assert effects.most_at_once == 1


@st.composite
def nodes(draw):
    """A root on a random graph."""
    made = [source("base"), source("context")]
    for number in range(draw(st.integers(1, 12))):
        inputs = draw(st.lists(st.sampled_from(made), min_size=1, max_size=3))
        made.append(run(f"step {number}", *inputs))
    return run("root", *made[-3:])


@given(nodes())
@settings(deadline=None, max_examples=40)
def test_a_graph_is_done_once_and_then_found(tmp_path_factory, root):
    with Bench.at(tmp_path_factory.mktemp("bench")) as bench:
        done = solved(bench, root)
        assert solved(bench, root) == []
    assert len(set(done)) == len(done)
    assert done[-1] == "root"
    places = {name: number for number, name in enumerate(done)}
    stack = [root]
    while stack:
        node = stack.pop()
        assert all(places[each.name] < places[node.name] for each in node.inputs)
        stack += node.inputs


def test_a_graph_may_be_deep(bench):
    node = source("base")
    for number in range(1200):
        node = run(f"step {number}", node)
    assert len(solved(bench, node)) == 1201
    assert solved(bench, node) == []


# Failures


def test_a_failure_names_its_vertex_and_where_it_is_written(bench):
    node = run("make", source("base"), ranges=(Range(3, 4),))
    with bench.build(bench.effects(bad={"make": failure("no", 7)})) as build, pytest.raises(BuildFailed) as caught:
        build.solve(node)
    assert (caught.value.message, caught.value.code) == ("no", 7)
    assert (caught.value.vertex, caught.value.ranges) == (node.digest, (Range(3, 4),))
    assert build.vertex("make").error == "no"
    assert build.vertex("make").completed_ns


def test_what_is_missing_for_a_step_is_the_files_fault_and_else_its_own(bench):
    missing = {"make": NotFound("no such file")}
    written = run("make", source("base"), ranges=(Range(3, 3),))
    with bench.build(bench.effects(bad=missing)) as build, pytest.raises(BuildFailed, match="no such file"):
        build.solve(written)
    with bench.build(bench.effects(bad=missing)) as build, pytest.raises(NotFound):
        build.solve(run("make", source("base")))


def test_what_was_done_before_a_failure_is_kept(bench):
    effects = bench.effects(bad={"second": failure()})
    with bench.build(effects) as build, pytest.raises(BuildFailed):
        build.solve(chain())
    assert solved(bench, chain()) == ["second"]


def test_the_first_failure_ends_what_else_goes_on(bench):
    root = source("base")
    node = run("all", root, run("slow", root), run("bad", root))
    effects = bench.effects(slow={"slow": threading.Event()}, bad={"bad": failure("it is bad")})
    effects.slow["bad"] = effects.begun["slow"] = threading.Event()
    with bench.build(effects) as build, pytest.raises(BuildFailed, match="it is bad"):
        build.solve(node)
    assert build.vertex("slow").error == "context canceled"
    assert "all" not in effects.done


def test_a_cancel_ends_all(bench):
    effects, cancel = bench.effects(slow={"first": threading.Event()}), Cancel()

    def give_up():
        while "first" not in effects.begun:
            threading.Event().wait(0.001)
        cancel.set()

    threading.Thread(target=give_up).start()
    with bench.build(effects, cancel=cancel) as build, pytest.raises(Unavailable, match="canceled"):
        build.solve(chain())
    assert build.vertex("first").error == "context canceled"


# Several builds


def in_thread(build, node):
    outcome = {}

    def solve():
        try:
            outcome["value"] = build.solve(node)
        except Exception as error:
            outcome["error"] = error

    thread = threading.Thread(target=solve)
    thread.start()
    return thread, outcome


def waiting_on(bench, count):
    """Wait until so many builds want the same step."""
    flights = bench.shared.flights._flights
    while not any(len(each.watches) >= count for each in list(flights.values())):
        threading.Event().wait(0.001)


def test_two_builds_do_what_both_want_once_and_both_hear_of_it(bench):
    gate = threading.Event()
    first, second = bench.effects(slow={"first": gate}), bench.effects()
    with bench.build(first) as one, bench.build(second) as other:
        threads = [in_thread(one, chain())]
        while "first" not in first.begun:
            threading.Event().wait(0.001)
        threads.append(in_thread(other, chain()))
        waiting_on(bench, 2)
        gate.set()
        for thread, _ in threads:
            thread.join()
    assert [each["value"][0].tree for _, each in threads] == [threads[0][1]["value"][0].tree] * 2
    assert Counter(first.done + second.done)["first"] == 1
    assert other.vertex("first").cached


def test_a_build_goes_on_with_what_another_one_gave_up(bench):
    cancel = Cancel()
    first, second = bench.effects(slow={"first": threading.Event()}), bench.effects()
    with bench.build(first, cancel=cancel) as one, bench.build(second) as other:
        given_up = in_thread(one, chain())
        while "first" not in first.begun:
            threading.Event().wait(0.001)
        goes_on = in_thread(other, chain())
        waiting_on(bench, 2)
        cancel.set()
        for thread, _ in (given_up, goes_on):
            thread.join()
    assert isinstance(given_up[1]["error"], Unavailable)
    assert "first" in second.done
    assert goes_on[1]["value"]


@pytest.mark.parametrize(("code", "again"), [(1, False), (None, True)])
def test_who_waited_shares_a_bad_end_but_not_what_the_other_build_lacked(bench, code, again):
    gate = threading.Event()
    first = bench.effects(slow={"first": gate}, bad={"first": failure(code=code)})
    second = bench.effects(bad={"first": failure(code=code)})
    with bench.build(first) as one, bench.build(second) as other:
        threads = [in_thread(one, chain())]
        while "first" not in first.begun:
            threading.Event().wait(0.001)
        threads.append(in_thread(other, chain()))
        waiting_on(bench, 2)
        gate.set()
        for thread, _ in threads:
            thread.join()
    assert all(isinstance(each["error"], BuildFailed) for _, each in threads)
    assert [each.vertex("first").error for each in (one, other)] == ["it failed"] * 2
    assert all(each.vertex("first").started_ns for each in (one, other))
    assert ("first" in second.done) is again


def test_who_waits_can_be_given_up(bench):
    gate, cancel = threading.Event(), Cancel()
    with (
        bench.build(bench.effects(slow={"first": gate})) as one,
        bench.build(bench.effects(), cancel=cancel) as other,
    ):
        working = in_thread(one, chain())
        while not bench.shared.flights._flights:
            threading.Event().wait(0.001)
        waits = in_thread(other, chain())
        waiting_on(bench, 2)
        cancel.set()
        waits[0].join()
        gate.set()
        working[0].join()
    assert isinstance(waits[1]["error"], Unavailable)
    assert working[1]["value"]


# Why


def missed(bench, node, **more):
    with bench.build(bench.effects(**more)) as build:
        build.solve(node)
    return build.vertex(node.name).missed


def test_why_a_step_was_not_found(bench):
    base = source("base")
    assert missed(bench, run("make", base, environment=("A=1", "B=1"))) == "nothing like it was built before"
    changed = run("make", base, environment=("A=1", "B=2"))
    assert missed(bench, changed) == "the variable B changed from '1' to '2'"
    assert missed(bench, run("make", base, environment=("A=1", "C=2"))) == "the variable B has gone"
    assert missed(bench, run("make", base, environment=("A=1", "C=2", "D="))) == "the variable D is new"
    plain = run("make", base)
    network = Node(evolve(plain.operation, network="none"), (base,), name="make")
    assert missed(bench, plain) == "the variable A has gone"
    assert missed(bench, network) == "its network changed"
    assert missed(bench, network, given={"base": "newer"}) == "what it is based on changed: base"


def test_why_a_copy_was_not_found(bench):
    node = copy("[2/2] COPY a /", source("base"), source("context"))
    missed(bench, node, given={"context": {"/a": 1}})
    assert missed(bench, node, given={"context": {"/a": 2}}) == "files that it reads changed: a"
    assert missed(bench, copy("[2/2] COPY b /", *node.inputs, path="/b")) == "the instruction was another one: COPY a /"
