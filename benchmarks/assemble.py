"""How long assembling takes: from nothing, when nothing changed, and building again to compare."""

import sys
import tempfile
from pathlib import Path

from benchmarks.measure import PASS, Row, Timed, in_turn

__all__ = ["rows"]

MOBY = str(Path(sys.executable).with_name("moby"))
BASE_MS = 12.3
"""What the interpreter's own start took where the targets in milliseconds were set."""


def rows() -> list[Row]:
    """Time assembling the quickstart cold and unchanged, and `moby reproduce` of what came out."""
    with tempfile.TemporaryDirectory() as folder:
        out, cache = f"{folder}/dist", f"{folder}/cache"
        quickstart = [MOBY, "assemble", "quickstart", "-o", out, "--json"]
        cold = Timed(("sh", "-c", f'rm -rf {out} {cache}; exec "$@"', "sh", *quickstart), '"changed": true',
                     environment={"XDG_CACHE_HOME": cache})  # fmt: skip
        again = Timed(tuple(quickstart), '"changed": false')
        reproduce = Timed((MOBY, "reproduce", f"{out}/quickstart/quickstart.pyz"), "the same, byte for byte")
        times = in_turn(cold, again, reproduce, Timed(PASS))
    cold_ms, again_ms, reproduce_ms, peer_ms = (each * 1000 for each in times)
    peer = "python -c pass"
    return [
        Row("moby assemble quickstart, cold", cold_ms, peer, peer_ms, 5000 / BASE_MS, "no output, no cache"),
        Row("moby assemble quickstart, nothing changed", again_ms, peer, peer_ms, 1000 / BASE_MS),
        Row("moby reproduce quickstart.pyz", reproduce_ms, peer, peer_ms),
    ]
