"""Draws what many steps took, one after another, as SVG."""

import statistics
from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

__all__ = ["plot", "smoothed"]

_WIDTH, _HEIGHT, _LEFT, _TOP, _RIGHT, _BOTTOM = 680, 300, 56, 34, 14, 40
_COLOURS = ("#0b6e99", "#c4462d", "#3c7a3c", "#7a4a9e")
_STEPS = (1, 2, 5, 10)
_POINTS = 250
"""Of a curve, at most."""


def smoothed(values: Sequence[float], around: int) -> list[float]:
    """Return, for each value, the median of those around it: what else the machine does is no part of a curve."""
    return [statistics.median(values[max(0, at - around) : at + around + 1]) for at in range(len(values))]


def _ticks(most: float) -> list[float]:
    """Return some five round numbers from 0 to one that isn't less than `most`."""
    size: float = 10.0 ** len(str(int(most * 1000))) / 1000 / 100
    step = next((size * each for each in (*_STEPS, *(10 * each for each in _STEPS)) if size * each * 5 >= most), most)
    return [step * at for at in range(6)]


def plot(title: str, steps: str, curves: Mapping[str, Sequence[float]]) -> str:
    """Return a drawing of curves of milliseconds by the number of a step, from 0 on both axes."""
    ticks = _ticks(max(max(each) for each in curves.values()))
    count = max(len(each) for each in curves.values())
    wide, high = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM

    def place(at: float, value: float) -> tuple[float, float]:
        return _LEFT + wide * at / max(count - 1, 1), _TOP + high * (1 - value / ticks[-1])

    what = f'viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(title)}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {what} font-family="sans-serif" font-size="12">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>',
        f'<text x="{_LEFT}" y="18" font-size="14">{escape(title)}</text>',
    ]
    for value in ticks:
        _, y = place(0, value)
        parts.append(f'<path d="M{_LEFT} {y:.1f}h{wide}" stroke="#ddd"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>')
    for at in range(0, count + 1, max(count // 5, 1)):
        x, _ = place(min(at, count - 1), 0)
        parts.append(f'<text x="{x:.1f}" y="{_HEIGHT - 22}" text-anchor="middle">{at}</text>')
    parts.append(f'<text x="{_LEFT + wide}" y="{_HEIGHT - 6}" text-anchor="end">{escape(steps)}; ms each</text>')
    for number, (name, values) in enumerate(curves.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        shown = (place(at, values[at]) for at in range(0, len(values), max(count // _POINTS, 1)))
        points = " ".join(f"{x:.0f},{y:.1f}" for x, y in shown)
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        parts.append(f'<text x="{_LEFT + 8}" y="{_TOP + 14 + 15 * number}" fill="{colour}">{escape(name)}</text>')
    return "\n".join([*parts, "</svg>", ""])
