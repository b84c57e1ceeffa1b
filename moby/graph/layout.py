"""Where each instance of a plan stands in a picture: in layers, whoever needs above what it needs."""

from collections.abc import Mapping, Sequence

from attrs import frozen

from moby.plan import Plan

__all__ = ["Arrow", "Box", "Layout", "arrange"]

WIDTH, HEIGHT, GAP_X, GAP_Y, MARGIN = 188, 64, 36, 68, 24
SWEEPS = 8
"""Passes that move each box towards its neighbours; crossings stop falling well before."""


@frozen
class Box:
    """One instance: its key and the upper left corner, in pixels."""

    key: str
    x: float
    y: float
    width: float = WIDTH
    height: float = HEIGHT


@frozen(order=True)
class Arrow:
    """One need: from who needs to who provides, for which parameters."""

    source: str
    target: str
    parameters: tuple[str, ...]


@frozen
class Layout:
    """A whole picture, in pixels."""

    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]
    width: float
    height: float


def arrange(plan: Plan) -> Layout:
    """Place a plan's instances; the same plan always gives the same picture."""
    arrows = _arrows(plan)
    layers = _layers(plan, arrows)
    _untangle(layers, arrows)
    widest = max((len(layer) for layer in layers), default=0)
    width = 2 * MARGIN + max(widest * (WIDTH + GAP_X) - GAP_X, WIDTH)
    boxes = []
    for row, layer in enumerate(layers):
        left = (width - len(layer) * (WIDTH + GAP_X) + GAP_X) / 2
        for column, key in enumerate(layer):
            boxes.append(Box(key, left + column * (WIDTH + GAP_X), MARGIN + row * (HEIGHT + GAP_Y)))
    height = 2 * MARGIN + max(len(layers) * (HEIGHT + GAP_Y) - GAP_Y, HEIGHT)
    return Layout(tuple(sorted(boxes, key=lambda box: box.key)), arrows, width, height)


def _arrows(plan: Plan) -> tuple[Arrow, ...]:
    named: dict[tuple[str, str], list[str]] = {}
    for instance in plan.instances:
        for parameter, binding in instance.bindings.items():
            for target in binding.targets:
                named.setdefault((instance.key, target), []).append(parameter)
    return tuple(sorted(Arrow(*ends, tuple(sorted(parameters))) for ends, parameters in named.items()))


def _layers(plan: Plan, arrows: Sequence[Arrow]) -> list[list[str]]:
    """Put each instance one layer below the lowest that needs it; a plan's order makes one pass enough."""
    users: dict[str, list[str]] = {}
    for arrow in arrows:
        users.setdefault(arrow.target, []).append(arrow.source)
    depth: dict[str, int] = {}
    for instance in reversed(plan.instances):
        depth[instance.key] = max((depth[user] + 1 for user in users.get(instance.key, ())), default=0)
    layers: list[list[str]] = [[] for _ in range(max(depth.values(), default=-1) + 1)]
    for key in sorted(depth):
        layers[depth[key]].append(key)
    return layers


def _untangle(layers: list[list[str]], arrows: Sequence[Arrow]) -> None:
    """Order each layer by the mean place of its neighbours (the barycentre method of Sugiyama)."""
    near: dict[str, list[str]] = {}
    for arrow in arrows:
        near.setdefault(arrow.source, []).append(arrow.target)
        near.setdefault(arrow.target, []).append(arrow.source)
    for _ in range(SWEEPS):
        for layer in layers:
            place = _places(layers)
            layer.sort(key=lambda key: (_mean([place[each] for each in near.get(key, ())], place[key]), key))


def _places(layers: Sequence[Sequence[str]]) -> Mapping[str, float]:
    return {key: column - (len(layer) - 1) / 2 for layer in layers for column, key in enumerate(layer)}


def _mean(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise
