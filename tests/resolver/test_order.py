"""The order in which parts start, beside networkx's."""

import subprocess
import sys

import networkx as nx
from hypothesis import given
from hypothesis import strategies as st

from moby.resolver.order import cycles, start_order

NEEDS = st.dictionaries(st.sampled_from("abcdefgh"), st.frozensets(st.sampled_from("abcdefgh"), max_size=3))


@given(NEEDS)
def test_the_order_is_by_name_where_that_is_free(needs: dict[str, frozenset[str]]) -> None:
    graph: nx.DiGraph[str] = nx.DiGraph((each, key) for key, targets in needs.items() for each in targets)
    graph.add_nodes_from(needs)
    knots = list(nx.strongly_connected_components(graph))
    round_ = {key for each in knots for key in each if len(each) > 1 or graph.has_edge(key, key)}
    stuck = round_.union(*(nx.descendants(graph, each) for each in round_))
    graph.remove_nodes_from(stuck)
    assert start_order(needs) == tuple(nx.lexicographical_topological_sort(graph))
    assert bool(cycles(needs)) == bool(round_)
    assert {key for each in cycles(needs) for key in each} <= round_


def test_where_there_is_no_cycle_networkx_is_not_imported() -> None:
    """It takes longer than all else of resolving."""
    code = (
        "import sys; from moby.resolver.order import cycles; assert not cycles({'a': ['b']}); print(*sys.modules);"
        "assert cycles({'a': ['b'], 'b': ['a']}) == (('a', 'b'),)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "networkx" not in done.stdout.split()
