"""The order in which parts start: a topological order that depends on nothing but the graph and its names."""

from collections.abc import Iterable, Mapping
from heapq import heappop, heappush
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import networkx

    Graph = networkx.DiGraph[str]

__all__ = ["cycles", "start_order"]


def start_order(needs: Mapping[str, Iterable[str]]) -> tuple[str, ...]:
    """Return keys so that each comes after all that it needs, by name where that is free.

    Those in cycles, and those that need them, are left out.
    """
    lacking = {key: set(targets) for key, targets in needs.items()}
    needed_by: dict[str, list[str]] = {}
    for key, targets in lacking.items():
        for each in targets:
            needed_by.setdefault(each, []).append(key)
    free = sorted({*lacking, *needed_by} - {key for key, targets in lacking.items() if targets})
    order = []
    while free:
        order.append(heappop(free))
        for key in needed_by.get(order[-1], ()):
            lacking[key].discard(order[-1])
            if not lacking[key]:
                heappush(free, key)
    return tuple(order)


def cycles(needs: Mapping[str, Iterable[str]]) -> tuple[tuple[str, ...], ...]:
    """Return one cycle for each knot of keys that need each other, from its first name on; disjoint, sorted."""
    if len(start_order(needs)) == len({*needs, *(each for targets in needs.values() for each in targets)}):
        return ()  # as usual, for which networkx isn't imported
    import networkx as nx

    graph = _graph(needs).reverse(copy=False)
    found = []
    for knot in _knots(graph):
        inside = graph.subgraph(sorted(knot))
        edges = nx.find_cycle(inside, source=min(knot))
        found.append(_turned([edge[0] for edge in edges]))
    return tuple(sorted(found))


def _graph(needs: Mapping[str, Iterable[str]]) -> "Graph":
    """Return the graph whose edges lead from what is needed to who needs it, built in the order of names."""
    import networkx as nx

    graph: Graph = nx.DiGraph()
    graph.add_nodes_from(sorted(needs))
    graph.add_edges_from((target, key) for key in sorted(needs) for target in sorted(needs[key]))
    return graph


def _knots(graph: "Graph") -> list[set[str]]:
    """Return the sets of keys that need each other, or themselves."""
    import networkx as nx

    components = nx.strongly_connected_components(graph)
    return [each for each in components if len(each) > 1 or any(graph.has_edge(key, key) for key in each)]


def _turned(cycle: list[str]) -> tuple[str, ...]:
    """Turn a cycle so that it begins with its first name."""
    first = cycle.index(min(cycle))
    return tuple(cycle[first:] + cycle[:first])
