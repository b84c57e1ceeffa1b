"""Pictures of a plan: SVG, one self-contained HTML page, and text for other tools to draw."""

from moby.graph.page import html
from moby.graph.svg import svg
from moby.graph.text import data, dot, mermaid

__all__ = ["data", "dot", "html", "mermaid", "svg"]
