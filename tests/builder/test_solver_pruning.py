"""What is kept, and what of it goes."""

import fcntl
import math
import signal
import subprocess
import sys

import pytest
from attrs import define, evolve, field
from moby_builder.dockerfile.effects.repositories import Repositories, note
from moby_builder.dockerfile.keeping import KeptCheckouts
from moby_builder.dockerfile.solver.choosing import Choice
from moby_builder.dockerfile.solver.leases import Leases
from moby_builder.dockerfile.solver.pruning import Pruning, Stores
from moby_builder.dockerfile.solver.results import Made, Results
from solver_parts import Bench, Clock, copy, run, source

from moby.contracts.builder import CacheEntry, Keep
from moby.errors import Conflict, Invalid, NotFound

HOUR = 3600 * 10**9
NOW = 1000 * HOUR


def entry(name, **more):
    return CacheEntry(**{"id": name, "type": "regular", "description": "", "size_bytes": 100, "created_ns": NOW - HOUR,
                         "used_ns": 0, **more})  # fmt: skip


@pytest.mark.parametrize(
    ("keep", "found", "may_go"),
    [
        pytest.param(Keep(), {}, True, id="all"),
        pytest.param(Keep(), {"in_use": True}, False, id="in use"),
        pytest.param(Keep(all=True), {"in_use": True}, False, id="in use, and all"),
        pytest.param(Keep(), {"shared": True}, False, id="shared"),
        pytest.param(Keep(all=True), {"shared": True}, True, id="shared, and all"),
        pytest.param(Keep(), {"type": "internal"}, False, id="internal"),
        pytest.param(Keep(all=True), {"type": "internal"}, True, id="internal, and all"),
        pytest.param(Keep(age_ns=2 * HOUR), {}, False, id="young"),
        pytest.param(Keep(age_ns=HOUR // 2), {}, True, id="old"),
        pytest.param(Keep(age_ns=HOUR // 2), {"used_ns": NOW - 1}, False, id="old and used"),
        pytest.param(Keep(filters={"until": ["30m"]}), {}, True, id="until"),
        pytest.param(Keep(filters={"until": ["1h30m"]}), {}, False, id="not until"),
        pytest.param(Keep(filters={"until": [str((NOW - 2 * HOUR) // 10**9)]}), {}, False, id="until a time"),
        pytest.param(Keep(filters={"until": ["2030-01-01T00:00:00Z"]}), {}, True, id="until a written time"),
        pytest.param(Keep(filters={"unused-for": ["0.5h"]}), {}, True, id="unused-for"),
        pytest.param(Keep(filters={"id": ["bc"]}), {}, True, id="a part of the id"),
        pytest.param(Keep(filters={"id": ["x"]}), {}, False, id="another id"),
        pytest.param(Keep(filters={"type": ["source.local", "regular"]}), {}, True, id="one of the types"),
        pytest.param(Keep(filters={"type": ["source.local"]}), {}, False, id="another type"),
        pytest.param(Keep(filters={"description": ["x"]}), {"description": "x"}, True, id="description"),
        pytest.param(Keep(filters={"description": ["x"]}), {"description": "y"}, False, id="another description"),
        pytest.param(Keep(filters={"parents": ["p"]}), {"parents": ("p",)}, True, id="parents"),
        pytest.param(Keep(filters={"parents": ["p"]}), {"parents": ("q",)}, False, id="other parents"),
        pytest.param(Keep(filters={"inuse": ["true"]}), {}, False, id="inuse"),
        pytest.param(Keep(filters={"inuse": ["0"]}), {}, True, id="not inuse"),
        pytest.param(Keep(filters={"private": []}), {}, True, id="private"),
        pytest.param(Keep(all=True, filters={"private": [""]}), {"shared": True}, False, id="not private"),
        pytest.param(Keep(all=True, filters={"shared": ["1"]}), {"shared": True}, True, id="only shared"),
        pytest.param(Keep(filters={"type": ["regular"], "id": ["x"]}), {}, False, id="each filter"),
    ],
)
def test_what_may_go(keep, found, may_go):
    assert Choice(keep, NOW).may_go(entry("abcd", **found)) is may_go


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        ({"colour": ["red"]}, "invalid filter 'colour'"),
        ({"until": ["soon"]}, "invalid filter 'until=soon'"),
        ({"until": [""]}, "invalid filter 'until='"),
        ({"unused-for": ["5 days"]}, "invalid filter 'unused-for=5 days'"),
        ({"inuse": ["maybe"]}, "invalid filter 'inuse=maybe'"),
    ],
)
def test_filters_that_make_no_sense(filters, message):
    with pytest.raises(Invalid, match=message):
        Choice(Keep(filters=filters), NOW)


@pytest.mark.parametrize(
    ("keep", "free_bytes", "room"),
    [
        (Keep(), 0, math.inf),
        (Keep(reserved_bytes=250), 0, 150),
        (Keep(reserved_bytes=1000), 0, -600),
        (Keep(max_bytes=300), 0, 100),
        (Keep(max_bytes=100, reserved_bytes=300), 0, 100),
        (Keep(min_free_bytes=50), 100, -math.inf),
        (Keep(min_free_bytes=150), 100, 50),
        (Keep(min_free_bytes=1000, reserved_bytes=350), 0, 50),
        (Keep(max_bytes=300, min_free_bytes=50), 100, 100),
    ],
)
def test_how_much_is_to_go(keep, free_bytes, room):
    entries = [entry(str(each)) for each in range(4)]
    assert Choice(keep, NOW).room([*entries, entry("image's", shared=True)], free_bytes) == room


# With records


@define
class Images:
    collected: int = 0

    def collect(self):
        self.collected += 1
        return 0


@define
class Shelf:
    """Something that is kept besides."""

    found: list = field(factory=list)
    used: set = field(factory=set)

    def entries(self):
        return list(self.found)

    def remove(self, entry_id):
        if entry_id in self.used:
            raise Conflict(f"{entry_id} is in use")
        self.found = [each for each in self.found if each.id != entry_id]


@pytest.fixture
def bench(tmp_path):
    with Bench.at(tmp_path) as bench:
        yield bench


@pytest.fixture
def images():
    return Images()


@pytest.fixture
def shelf():
    return Shelf()


@pytest.fixture
def pruning(bench, images, shelf):
    stores = Stores(
        bench.records, bench.leases, bench.snapshots, images, (shelf,), Results(bench.metadata), bench.folder
    )
    return Pruning(stores, Clock())


def build(bench, node, **more):
    effects = bench.effects(**more)
    with bench.build(effects) as one:
        one.solve(node)
    return effects.done


def chain(last="third"):
    return run(last, run("second", run("first", source("base"))))


def by_name(pruning):
    return {each.description: each for each in pruning.usage()}


def test_what_was_built_is_listed_with_what_it_is_on(bench, pruning):
    build(bench, chain())
    found = by_name(pruning)
    assert set(found) == {"first", "second", "third"}
    assert found["third"].parents == (found["second"].id,)
    assert found["first"].parents == ()
    assert {(each.type, each.size_bytes, each.uses, each.used_ns) for each in found.values()} == {
        ("regular", 1000, 0, 0)
    }
    assert [each.id for each in pruning.usage()] == sorted(each.id for each in found.values())
    assert all(len(each.id) == 25 for each in found.values())


def test_what_is_found_again_is_counted(bench, pruning):
    build(bench, chain())
    build(bench, chain())
    build(bench, chain("other"))
    found = by_name(pruning)
    assert {name: each.uses for name, each in found.items()} == {"first": 2, "second": 2, "third": 1, "other": 0}
    assert found["third"].used_ns > found["third"].created_ns


def test_a_prune_takes_all_and_what_goes_is_missed(bench, pruning, images):
    build(bench, chain())
    gone = pruning.prune(Keep())
    assert [each.description for each in gone.entries] == ["third", "second", "first"]
    assert gone.reclaimed_bytes == 3000
    assert (pruning.usage(), bench.snapshots.parents, images.collected) == ((), {}, 1)
    for name in bench.metadata.buckets():
        assert not bench.metadata.bucket(name).count(), name
    assert build(bench, chain()) == ["base", "first", "second", "third"]


def test_what_others_are_on_stays_with_them(bench, pruning):
    build(bench, chain())
    first = by_name(pruning)["first"]
    assert pruning.prune(Keep(filters={"id": [first.id]})).entries == ()
    assert build(bench, chain()) == []


def test_what_was_used_last_stays(bench, pruning):
    build(bench, run("old", source("base")))
    build(bench, run("new", source("base")))
    build(bench, run("old", source("base")))
    gone = pruning.prune(Keep(reserved_bytes=1000))
    assert [each.description for each in gone.entries] == ["new"]


def test_with_what_was_built_its_results_go(bench, pruning):
    with bench.build(bench.effects()) as one:
        (outcome,) = one.solve(chain())
    results = Results(bench.metadata)
    now = Clock().now_ns()
    kept = results.add(Made("", "kept", written_ns=now))
    gone = [
        results.add(Made(outcome.tree.snapshot, outcome.identity, outcome.record, written_ns=now)),
        results.add(Made("", "old", written_ns=now - 31 * 24 * HOUR)),
    ]
    pruning.prune(Keep())
    assert results.get(kept)
    for each in gone:
        with pytest.raises(NotFound):
            results.get(each)


def test_what_a_build_needs_stays_until_it_ends(bench, pruning):
    build(bench, chain())
    with bench.build(bench.effects()) as one:
        one.solve(chain())
        assert {each.in_use for each in pruning.usage()} == {True}
        assert pruning.prune(Keep(all=True)).entries == ()
    assert len(pruning.prune(Keep()).entries) == 3


def test_what_a_build_has_just_made_is_in_use(bench, pruning):
    with bench.build(bench.effects()) as one:
        one.solve(chain())
        assert {each.in_use for each in pruning.usage()} == {True}


def test_what_an_image_has_frees_nothing(bench, pruning):
    build(bench, chain())
    for key in bench.snapshots.parents:
        bench.snapshots.aliases[key] = ("sha256:chain",)
    assert {each.shared for each in pruning.usage()} == {True}
    assert pruning.prune(Keep()).entries == ()
    gone = pruning.prune(Keep(all=True))
    assert (len(gone.entries), gone.reclaimed_bytes) == (3, 0)


def test_two_records_of_one_snapshot_go_one_after_the_other(bench, pruning):
    build(bench, chain())
    first = by_name(pruning)["third"]
    record = bench.records.get(first.id)
    bench.records.add(evolve(record, id="a-second-one", keys=("k",)))
    pruning.prune(Keep(filters={"id": ["a-second-one"]}))
    assert build(bench, chain()) == []
    pruning.prune(Keep(filters={"id": [first.id]}))
    assert record.snapshot not in bench.snapshots.parents


def test_what_is_kept_besides_is_listed_and_goes_too(bench, pruning, shelf):
    shelf.found = [entry("context", type="source.local"), entry("mount", type="exec.cachemount")]
    shelf.used = {"mount"}
    build(bench, run("step", source("base")))
    assert {each.type for each in pruning.usage()} == {"regular", "source.local", "exec.cachemount"}
    gone = pruning.prune(Keep(filters={"type": ["source.local", "exec.cachemount"]}))
    assert [each.id for each in gone.entries] == ["context"]
    assert len(pruning.usage()) == 2


def test_what_was_made_by_two_keys_is_forgotten_by_both(bench, pruning):
    node = copy("copy", source("base"), source("context"))
    build(bench, node, given={"context": {"/a": 1}})
    pruning.prune(Keep())
    assert sorted(build(bench, node, given={"context": {"/a": 1}})) == ["base", "context", "copy"]


def test_only_the_last_of_many_keys_are_kept(bench, pruning):
    node = run("make", copy("copy", source("base"), source("context")))
    for number in range(40):
        build(bench, node, given={"context": {"/a": 1, "/b": number}})
    assert len(bench.records.list()) == 2
    assert all(10 < len(each.keys) <= 19 for each in bench.records.list())
    assert bench.metadata.bucket("builder/keys").count() == sum(len(each.keys) for each in bench.records.list())
    assert build(bench, node, given={"context": {"/a": 1, "/b": 39}}) == []
    assert sorted(build(bench, node, given={"context": {"/a": 1, "/b": 9}})) == ["base", "context"]


def test_a_sweep_forgets_what_lost_its_files_and_removes_files_without_a_record(bench, pruning):
    build(bench, chain())
    lost = by_name(pruning)["third"]
    bench.snapshots.remove(bench.records.get(lost.id).snapshot)
    bench.snapshots.parents.update({"builder/below": "", "builder/on": "builder/below", "builder/cache/1": ""})
    bench.snapshots.parents["sha256:other"] = ""
    pruning.sweep()
    assert bench.records.get(lost.id) is None
    assert {key for key in bench.snapshots.parents if key.startswith("builder/0")} == {
        bench.records.get(each.id).snapshot for each in pruning.usage()
    }
    assert {"builder/cache/1", "sha256:other"} < set(bench.snapshots.parents)
    assert not {"builder/below", "builder/on"} & set(bench.snapshots.parents)


def test_results_are_known_by_what_they_are(bench):
    results = Results(bench.metadata)
    made = Made("builder/1", "identity", "record", {"config": {"Env": ["A=1"]}}, 5)
    reference = results.add(made)
    assert results.get(reference) == made
    assert results.add(evolve(made, snapshot="builder/2")) == reference
    assert results.get(reference).snapshot == "builder/2"
    assert results.add(evolve(made, identity="other")) != reference
    assert results.add(evolve(made, config={})) != reference
    results.keep(lambda each: each.snapshot != "builder/2")
    with pytest.raises(NotFound, match="no result of a build is known"):
        results.get(reference)
    with pytest.raises(NotFound):
        results.get("")


def test_repositories_are_kept_by_their_remotes_without_secrets(tmp_path):
    for name, url in {"one": "https://ann:token@example.com/a.git", "two": "git@example.com:b.git"}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "pack").write_bytes(b"x" * 1000)
        note(tmp_path / name, url)
    (tmp_path / "half").mkdir()
    repositories = Repositories(tmp_path)
    kept = KeptCheckouts(repositories)
    found = [(each.id, each.type, each.description) for each in kept.entries()]
    assert found == [
        ("one", "source.git.checkout", "git repository https://example.com/a.git"),
        ("two", "source.git.checkout", "git repository git@example.com:b.git"),
    ]
    assert all(each.size_bytes > 1000 and each.used_ns >= each.created_ns > 0 for each in kept.entries())
    with (tmp_path / "one.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert [each.in_use for each in kept.entries()] == [True, False]
        with pytest.raises(Conflict, match="one is in use"):
            kept.remove("one")
    kept.remove("one")
    assert [each.id for each in kept.entries()] == ["two"]


# Deaths

_KILLED = """
import os, signal, sys
sys.path[:0] = {path!r}
from pathlib import Path
from moby.values import evolve
from solver_parts import Bench, run, source
import solver_parts, moby_builder.dockerfile.solver.records as records

at = {at!r}
with Bench.at(Path({folder!r})) as bench:
    real = records.Records.add
    def add(self, record, *more):
        if record.description == at:
            with self._metadata.transaction():
                real(self, record, *more)
                os.kill(os.getpid(), signal.SIGKILL)
        real(self, record, *more)
    records.Records.add = add
    with bench.build(bench.effects()) as build:
        build.solve(run("third", run("second", run("first", source("base")))))
"""


@pytest.mark.parametrize(("at", "kept"), [("first", 0), ("second", 1), ("third", 2)])
def test_what_was_done_before_a_kill_is_found_and_nothing_half(tmp_path, at, kept):
    program = _KILLED.format(path=sys.path, at=at, folder=str(tmp_path))
    ended = subprocess.run([sys.executable, "-c", program], timeout=60, capture_output=True, check=False)
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
    with Bench.at(tmp_path) as bench:
        found = bench.records.list()
        assert len(found) == kept
        bench.snapshots.parents.update({each.snapshot: "" for each in found})
        assert not any(bench.leases.in_use(each.id) for each in found)
        done = build(bench, chain())
        assert [each for each in done if each != "base"] == ["first", "second", "third"][kept:]


_HOLDS = """
import signal, sys
sys.path[:0] = {path!r}
from pathlib import Path
from moby_builder.dockerfile.solver.leases import Leases
print(Leases(Path({folder!r})).open().hold("record"), flush=True)
signal.pause()
"""


def test_a_lease_ends_with_its_process(tmp_path):
    program = _HOLDS.format(path=sys.path, folder=str(tmp_path))
    leases = Leases(tmp_path)
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "True\n"
        assert leases.in_use("record")
        with leases.seized("record") as got:
            assert not got
        other.kill()
    assert not leases.in_use("record")
    with leases.seized("record") as got:
        assert got
        lease = leases.open()
        assert not lease.hold("record")
        lease.close()
