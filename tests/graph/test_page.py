"""The graph page in a real browser: a click on a component shows its options, needs, users and bytes."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from test_graph import PLAN

from moby import graph

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed (apt install chromium)"),
]

CLICK = """
<script>
const wanted = document.querySelector('[data-key="supervisor/foreground"]');
wanted.dispatchEvent(new MouseEvent("click", {bubbles: true}));
document.body.dataset.clicked = document.getElementById("panel").innerText;
document.querySelector('[data-key="runtime/native"]').dispatchEvent(
  new KeyboardEvent("keydown", {key: "Enter", bubbles: true}));
document.body.dataset.entered = document.querySelector("#panel h2").textContent;
document.querySelector("#panel button").click();
document.body.dataset.followed = document.querySelector("#panel h2").textContent;
document.body.dataset.near = document.querySelectorAll(".arrow.near").length;
</script>
"""


def render(page: Path, home: Path) -> str:
    """Return the page's document after its scripts ran."""
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
             "--disable-background-networking", "--disable-component-update", "--disable-sync"]  # fmt: skip
    command = [str(CHROMIUM), *flags, f"--user-data-dir={home}", "--dump-dom", page.as_uri()]
    environment = {**os.environ, "HOME": str(home)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, env=environment, check=True)
    return done.stdout


def test_click_and_keyboard_show_a_component(tmp_path: Path) -> None:
    page = tmp_path / "graph.html"
    page.write_text(graph.html(PLAN, {"supervisor/foreground": 12_345}).replace("</body>", f"{CLICK}</body>"))
    document = render(page, tmp_path / "home")
    clicked = document[document.index('data-clicked="') :].split('"')[1]
    for expected in (
        "supervisor/foreground",
        "colour",
        "blue",
        "of the shed",
        "runtime/native",
        "command/run",
        "12.3 kB",
    ):
        assert expected in clicked.replace("&quot;", ""), clicked
    assert 'data-entered="runtime/native"' in document
    assert 'data-followed="supervisor/foreground"' in document
    assert 'data-near="3"' in document
