"""Run all benchmarks, print them, and write docs/benchmarks.md."""

import importlib
import platform
import sys
from pathlib import Path

from benchmarks.measure import Row

ROOT = Path(__file__).resolve().parents[1]
MODULES = (
    "startup", "resolver", "orchestrator", "services", "compose", "assemble", "machines", "discovery", "runtime",
    "logs", "network", "networks", "bridges", "names", "engine", "images", "builder", "served", "matrix",
)  # fmt: skip


def met(row: Row) -> bool:
    """Return whether a row is within its target, if it has one."""
    return row.target is None or row.ratio <= row.target


def line(row: Row) -> str:
    """Return one row of the table."""
    target = f"{row.target:.2g}" if row.target else ""
    reached = "" if row.target is None else ("yes" if met(row) else "**no**")
    cells = (
        row.what,
        f"{row.ours_ms:.1f}",
        row.peer,
        f"{row.peer_ms:.1f}",
        f"{row.ratio:.2f}",
        target,
        reached,
        row.note,
    )
    return "| " + " | ".join(cells) + " |"


def main() -> int:
    """Measure each module's rows in turn; 1 where one misses its target."""
    wanted = sys.argv[1:] or [name for name in MODULES if (ROOT / "benchmarks" / f"{name}.py").exists()]
    head = [
        "| what | ms | peer | ms | ratio | target | met | |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines = list(head)
    missed = False
    print("\n".join(head))  # noqa: T201
    for name in wanted:
        for row in importlib.import_module(f"benchmarks.{name}").rows():
            lines.append(line(row))
            missed = missed or not met(row)
            print(lines[-1], flush=True)  # noqa: T201
    if not sys.argv[1:]:
        text = f"""# Benchmarks

Written by `make bench`: medians of runs in turn with the peer, each run's output and exit code checked. A target is a
ratio to the peer. Python {platform.python_version()}, {platform.machine()}, Linux {platform.release().split("-")[0]}.

"""
        (ROOT / "docs" / "benchmarks.md").write_text(text + "\n".join(lines) + "\n")
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
