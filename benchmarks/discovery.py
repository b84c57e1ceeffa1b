"""How long listing takes among hundreds of plugins: those with facts in their wheel, and those that were inspected."""

import sys
import tempfile
from pathlib import Path

from benchmarks.measure import PASS, Row, Timed, in_turn
from moby.component import Facts, Option
from moby.registry import facts_file

__all__ = ["install", "rows"]

COUNT = 500
TARGET = 1_000 / 12.3
"""One second, where the interpreter's own start took 12.3 ms."""
MODULE = """
from attrs import frozen

from moby.component import Component
from moby.contracts.runtime import Runtime
from moby.hookspecs import hookimpl


@frozen
class Config:
    binary: str = "x"


def make(config: Config) -> Runtime:
    \"\"\"A part.\"\"\"


@hookimpl
def moby_components():
    return [Component(name="NAME", factory=make)]
"""


def install(site: Path, name: str, *, facts: bool, editable: bool = False) -> None:
    """Put a distribution with one part into a folder of the import path."""
    info = site / f"{name}-1.0.dist-info"
    files = {f"{name}/__init__.py": "", f"{name}/plugin.py": MODULE.replace("NAME", name)}
    files.update({f"{name}/module_{number}.py": "" for number in range(20)})
    files[f"{info.name}/METADATA"] = f"Metadata-Version: 2.4\nName: {name}\nVersion: 1.0\n" + "Keywords: x\n" * 50
    files[f"{info.name}/entry_points.txt"] = f"[moby.components]\nruntime.{name} = {name}.plugin\n"
    if editable:
        files[f"{info.name}/direct_url.json"] = '{"url": "file:///x", "dir_info": {"editable": true}}'
    if facts:
        options = (Option("binary", {"type": "string"}, "x"),)
        said = Facts(
            f"runtime/{name}", "runtime", name, "1.0", 1, f"{name} 1.0", f"{name}.plugin", options=options, many=True
        )
        files[f"{info.name}/{facts_file.IN_DIST_INFO}"] = facts_file.text_of([said])
    for path, text in files.items():
        (site / path).parent.mkdir(parents=True, exist_ok=True)
        (site / path).write_text(text)
    (info / "RECORD").write_text("".join(f"{path},sha256={'x' * 43},{len(text)}\n" for path, text in files.items()))


def rows() -> list[Row]:
    """Time `moby components` among plugins of each sort; the first run, which inspects, isn't counted."""
    found = []
    for sort in ("with facts in the wheel", "inspected and cached", "editable and cached"):
        with tempfile.TemporaryDirectory() as folder:
            site = Path(folder, "site")
            for number in range(COUNT):
                install(site, f"p{number}", facts=sort.startswith("with"), editable=sort.startswith("editable"))
            environment = {"PYTHONPATH": str(site), "XDG_CACHE_HOME": folder}
            moby = str(Path(sys.executable).with_name("moby"))
            listed = Timed((moby, "components"), f"runtime/p{COUNT - 1}\t", environment=environment)
            mine, peer = in_turn(listed, Timed(PASS), runs=5)
        what = f"moby components, {COUNT} plugins {sort}"
        found.append(Row(what, mine * 1000, "python -c pass", peer * 1000, TARGET))
    return found
