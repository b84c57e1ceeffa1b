"""A plan as an SVG picture, readable on light and dark ground."""

from collections.abc import Mapping
from html import escape

from moby.graph.layout import Box, Layout, arrange
from moby.plan import Instance, Plan

__all__ = ["STYLE", "human_bytes", "svg"]

STYLE = """
.moby { --ink: #1c2733; --soft: #5b6b7b; --line: #9aa9b8; --box: #ffffff; --edge: #c4ced8; --mark: #1d63ed; }
@media (prefers-color-scheme: dark) {
  .moby { --ink: #e8eef4; --soft: #9fb0c0; --line: #6d7f90; --box: #1b2733; --edge: #3a4b5b; --mark: #6ea2ff; }
}
.moby text { font-family: system-ui, sans-serif; fill: var(--ink); }
.moby .box rect { fill: var(--box); stroke: var(--edge); stroke-width: 1.5; }
.moby .box .kind { font-size: 11px; fill: var(--soft); letter-spacing: .04em; }
.moby .box .name { font-size: 15px; font-weight: 600; }
.moby .box .facts { font-size: 11px; fill: var(--soft); }
.moby .box.filled rect { stroke-dasharray: 5 3; }
.moby .arrow { fill: none; stroke: var(--line); stroke-width: 1.5; }
.moby marker path { fill: var(--line); }
""".strip()


def svg(plan: Plan, sizes_bytes: Mapping[str, int] | None = None) -> str:
    """Return a picture of the plan; a dashed box was filled in, not chosen."""
    layout = arrange(plan)
    boxes = {box.key: box for box in layout.boxes}
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" class="moby" role="img" aria-label="{escape(plan.name)}" '
            f'width="{layout.width:g}" height="{layout.height:g}" viewBox="0 0 {layout.width:g} {layout.height:g}">'
        ),
        f"<style>{STYLE}</style>",
        (
            '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
            'orient="auto">'
            '<path d="M0 0 8 4 0 8z"/></marker></defs>'
        ),
        *_paths(layout, boxes),
        *(_box(boxes[each.key], each, (sizes_bytes or {}).get(each.facts.id)) for each in plan.instances),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _paths(layout: Layout, boxes: Mapping[str, Box]) -> list[str]:
    lines = []
    for arrow in layout.arrows:
        source, target = boxes[arrow.source], boxes[arrow.target]
        x1, y1 = source.x + source.width / 2, source.y + source.height
        x2, y2 = target.x + target.width / 2, target.y - 2
        bend = (y2 - y1) / 2
        label = escape(f"{arrow.source} needs {arrow.target} as {', '.join(arrow.parameters)}")
        lines.append(
            f'<path class="arrow" data-from="{escape(arrow.source)}" data-to="{escape(arrow.target)}" '
            f'marker-end="url(#head)" d="M{x1:g} {y1:g}C{x1:g} {y1 + bend:g} {x2:g} {y2 - bend:g} {x2:g} {y2:g}">'
            f"<title>{label}</title></path>"
        )
    return lines


def _box(box: Box, instance: Instance, size: int | None) -> str:
    filled = "" if instance.reason.startswith("chosen") else " filled"
    facts = instance.facts.version if size is None else f"{instance.facts.version} · {human_bytes(size)}"
    middle = box.x + box.width / 2
    texts = (("kind", 18, instance.kind), ("name", 37, instance.name), ("facts", 54, facts))
    lines = "".join(
        f'<text class="{name}" x="{middle:g}" y="{box.y + down:g}" text-anchor="middle">{escape(text)}</text>'
        for name, down, text in texts
    )
    title = f"{instance.key}: {instance.facts.summary}\n{instance.reason}"
    return (
        f'<g class="box{filled}" data-key="{escape(instance.key)}" tabindex="0" role="button">'
        f"<title>{escape(title)}</title>"
        f'<rect x="{box.x:g}" y="{box.y:g}" width="{box.width:g}" height="{box.height:g}" rx="10"/>{lines}</g>'
    )


def human_bytes(size: int) -> str:
    """Return a size as people read it, in powers of 1000."""
    amount = float(size)
    for unit in ("B", "kB", "MB"):
        if amount < 1000:
            return f"{amount:.3g} {unit}"
        amount /= 1000
    return f"{amount:.3g} GB"
