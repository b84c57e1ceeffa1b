"""How long the command line and a distribution take to start."""

import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.measure import PASS, Row, Timed, in_turn, row

ROOT = Path(__file__).resolve().parents[1]
MOBY = str(Path(sys.executable).with_name("moby"))
IMPORTS = "import click, yaml, attrs, pluggy, networkx"


def largest() -> str:
    """Return the name of the shipped assembly with the most text."""
    return max((ROOT / "assemblies").glob("*.yaml"), key=lambda path: path.stat().st_size).stem


def rows() -> list[Row]:
    """Time check, help and a distribution's version."""
    name = largest()
    imports, _ = in_turn(Timed((sys.executable, "-c", IMPORTS)), Timed(PASS))
    share = f"{IMPORTS.removeprefix('import ')} alone: {imports * 1000:.0f} ms"
    found = [
        row(f"moby check {name}", [MOBY, "check", name], output="no problem", target_ms=300, note=share),
        row("moby --help", [MOBY, "--help"], output="Commands", target_ms=150),
    ]
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([MOBY, "assemble", "quickstart", "-o", folder], capture_output=True, check=True, timeout=60)
        engine = f"{folder}/quickstart/quickstart.pyz"
        mine, peer = in_turn(Timed((sys.executable, engine, "version"), "quickstart (moby"), Timed(PASS))
        found.append(Row("quickstart.pyz version", mine * 1000, "python -c pass", peer * 1000, 2.0))
    return found
