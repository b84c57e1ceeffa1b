"""A plan as one self-contained HTML page, where a click on a component shows all about it."""

import json
from collections.abc import Mapping
from html import escape
from importlib.resources import files

from moby.graph.svg import svg
from moby.graph.text import data
from moby.plan import Plan

__all__ = ["html"]

POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
"""The page's own Content Security Policy: what stands in it, and nothing from anywhere."""


def html(plan: Plan, sizes_bytes: Mapping[str, int] | None = None) -> str:
    """Return the page; it loads nothing from anywhere."""
    facts = json.dumps(data(plan, sizes_bytes), sort_keys=True).replace("<", "\\u003c")
    title = escape(plan.name)
    style, script = ((files("moby.graph") / name).read_text("utf-8") for name in ("page.css", "page.js"))
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<main>
{svg(plan, sizes_bytes)}</main>
<aside>
<h1>{title}</h1>
<div id="panel"><p class="soft">Click on a component. A dashed one was filled in, not chosen.</p></div>
</aside>
<script type="application/json" id="graph">{facts}</script>
<script>{script}</script>
</body>
</html>
"""
