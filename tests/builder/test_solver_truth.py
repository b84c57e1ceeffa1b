"""Whatever was built, changed, pruned and lost before: what a build gives is what doing all of it would give."""

from attrs import define, field
from hypothesis import given, settings
from hypothesis import strategies as st
from moby_builder.dockerfile.operations import Copy
from moby_builder.dockerfile.solver.keys import SOURCES
from moby_builder.dockerfile.solver.pruning import Pruning, Stores
from moby_builder.dockerfile.solver.results import Results
from solver_parts import Bench, Clock, Effects, copy, run, source

from moby.contracts.builder import Keep

SOURCES_GIVEN = ("base", "context", "other")


def made(node, given, below):
    """What a node makes, of what its inputs hold."""
    if isinstance(node.operation, SOURCES):
        return ("source", tuple(sorted(given[node.name].items())))
    if isinstance(node.operation, Copy):
        (part,) = node.operation.sources
        held = dict(below[1][1]) if below[1][0] == "source" else {}
        return ("copy", below[0], held.get(part.path, below[1]), node.operation.target)
    return ("run", node.operation.arguments, node.operation.environment, tuple(below))


def truth(node, given):
    return made(node, given, [truth(each, given) for each in node.inputs])


@define
class Honest(Effects):
    """Snapshots hold what was made of what their inputs held."""

    held: dict = field(factory=dict)

    def perform(self, node, inputs, watch):
        tree = super().perform(node, inputs, watch)
        with self.lock:
            key = tree.snapshot if node.inputs else f"sha256:{next(self.snapshots.numbers)}"
            self.held[key] = made(node, self.given, [self.held[each.snapshot] for each in inputs])
        return type(tree)(key)


@st.composite
def graphs(draw):
    nodes = [source(each) for each in SOURCES_GIVEN]
    for _ in range(draw(st.integers(1, 6))):
        root, read = draw(st.sampled_from(nodes)), draw(st.sampled_from(nodes))
        word = draw(st.sampled_from("xyz"))
        if draw(st.booleans()):
            nodes.append(copy(f"copy {word}", root, read, path=f"/{draw(st.sampled_from('ab'))}", target=f"/{word}"))
        else:
            nodes.append(run(f"run {word}", root, *draw(st.sampled_from([(), (read,)]))))
    return nodes[-1]


files = st.fixed_dictionaries({"/a": st.integers(0, 1), "/b": st.integers(0, 1)})
worlds = st.fixed_dictionaries(dict.fromkeys(SOURCES_GIVEN, files))
moves = st.one_of(
    st.tuples(st.just("build"), graphs(), worlds),
    st.tuples(st.just("prune"), st.sampled_from([0, 1000, 3000]), st.none()),
    st.tuples(st.just("lose"), st.integers(0, 20), st.none()),
)


@given(st.lists(graphs(), min_size=2, max_size=3), st.lists(moves, min_size=2, max_size=12), st.data())
@settings(deadline=None, max_examples=40)
def test_the_cache_tells_no_lies(tmp_path_factory, known, steps, data):
    with Bench.at(tmp_path_factory.mktemp("bench")) as bench:
        held = {}
        results = Results(bench.metadata)
        stores = Stores(bench.records, bench.leases, bench.snapshots, _NoImages(), (), results, bench.folder)
        pruning = Pruning(stores, Clock())
        for what, first, second in steps:
            if what == "build":
                _build(bench, data.draw(st.sampled_from([first, *known])), second, held)
            elif what == "prune":
                pruning.prune(Keep(reserved_bytes=first))
            else:
                _lose(bench, first)
        pruning.sweep()
        for node in known:
            _build(bench, node, {each: {"/a": 0, "/b": 0} for each in SOURCES_GIVEN}, held)


class _NoImages:
    def collect(self):
        return 0


def _build(bench, node, world, held):
    effects = Honest(bench.snapshots, given=world, held=held)
    with bench.build(effects) as build:
        (outcome,) = build.solve(node)
    assert held[outcome.tree.snapshot] == truth(node, world)


def _lose(bench, number):
    parents = set(bench.snapshots.parents.values())
    leaves = sorted(key for key in bench.snapshots.parents if key not in parents)
    if leaves:
        bench.snapshots.remove(leaves[number % len(leaves)])
