"""Builds of very many steps, where the metadata makes no more than some hundred changes at once."""

from types import SimpleNamespace

import pytest
from metadata.few import Few
from moby_builder.dockerfile.effects.contents import Contents
from moby_builder.dockerfile.exports.times import Times
from moby_builder.dockerfile.solver.records import Made as Making
from moby_builder.dockerfile.solver.records import Record, Records, Uses
from moby_builder.dockerfile.solver.results import Made, Results
from moby_metadata.sqlite.store import Store

MANY = 300


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "metadata.db") as found:
        yield found


def test_steps_that_are_found_again_and_forgotten(store):
    records = Records(Few(store))
    for number in range(MANY):
        keys = tuple(f"k{number}-{each}" for each in range(3))
        records.add(Record(f"r{number}", f"s{number}", keys[0], keys), Making("a", {}), (f"p{number}",))
    records.note({f"r{number}": [f"k{number}-{each}" for each in range(3, 20)] for number in range(MANY)}, 5)
    assert dict(records.uses()) == {f"r{number}": Uses(1, 5) for number in range(MANY)}
    assert [len(each.keys) for each in records.list()] == [19] * MANY
    records.remove(f"r{number}" for number in range(MANY))
    assert store.buckets() == ("builder/places",)
    records.tidy()
    assert store.buckets() == ()


def test_results_that_are_forgotten(store):
    results = Results(Few(store))
    kept = results.add(Made("", "kept"))
    for number in range(MANY):
        results.add(Made("", f"i{number}"))
    results.keep(lambda made: made.identity == "kept")
    assert store.bucket("builder/results").keys() == (kept,)


def test_what_was_read_of_a_snapshot(store):
    contents = Contents(None, Few(store))
    for number in range(MANY):
        store.bucket("builder/contents").put(f"s1\n{number}", "a")
    store.bucket("builder/contents").put("s2\n0", "a")
    contents.forget("s1")
    assert store.bucket("builder/contents").keys() == ("s2\n0",)


def test_layers_that_are_gone(store):
    there = SimpleNamespace(key="s1", parent="", aliases=(), created_ns=1)
    times = Times(SimpleNamespace(stat=lambda key: there, list=lambda: [there]), Few(store))
    for number in range(MANY):
        store.bucket("builder/times").put(f"gone{number}", 1)
    times.note("s1", [7])
    assert store.bucket("builder/times").items() == (("s1", 7),)
