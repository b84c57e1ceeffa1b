"""`moby test-plugin` over a third party's parts of kinds whose suites need more than a factory."""

import json
import os
import sys
import tempfile
from pathlib import Path

import pytest
from peers.binaries import ROOT, need

from moby.contracts.types import Mount
from moby.host.overlay import mount_root
from moby.scaffold import rendering
from moby.testing.mounted import own_mounts

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.geteuid() != 0, reason="namespaces are made; runs as root")]
MOBY = [sys.executable, "-c", "from moby.cli.main import main; main()"]
PLUGIN = """
from functools import wraps

from moby.component import Component
from moby.hookspecs import hookimpl
from {module} import make as theirs


@wraps(theirs)
def make(config, **given):
    part = theirs(config, **given)
    {change}
    return part


@hookimpl
def moby_components():
    return [Component(name="spoken", factory=make, {facts})]
"""
ALL_ARE_INTERNAL = "span = part.span; part.span = lambda name, *, kind=1, origin=None: span(name, origin=origin)"
NOBODY_LEAVES = "part.leave = lambda sandbox: None"
ELSEWHERE = "enter = part.enter; part.enter = lambda: (enter(), __import__('os').chdir('/'))[0]"
TELLS_OF_NOTHING = "part.usage = lambda: ()"
TRACER = ("tracer", "moby_tracer.otlp.plugin", "offers=('otlp',)")
DISCOVERY = ("discovery", "moby_discovery.dns.plugin", "served='outlives'")
ENCLOSURE = ("enclosure", "moby_enclosure.unlinked.plugin", "served='copied'")
BUILDER = ("builder", "moby_builder.dockerfile.plugin", "")


@pytest.fixture
def installed():
    """Have newuidmap where it would be if it were installed."""
    need("newuidmap", "uidmap")
    with own_mounts():
        mount_root((Mount("/usr", "overlay", "overlay", (f"lowerdir={ROOT}/usr:/usr",)),), "/usr")
        yield


@pytest.fixture
def readable():
    """A folder that everybody may read, as ordinary users do what they run."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.mark.parametrize(
    ("part", "change", "broken"),
    [
        pytest.param(TRACER, "", set(), id="tracer"),
        pytest.param(TRACER, ALL_ARE_INTERNAL, {"spans in each other"}, id="tracer-broken"),
        pytest.param(DISCOVERY, "", set(), id="discovery", marks=pytest.mark.long),
        pytest.param(
            DISCOVERY, NOBODY_LEAVES, {"a port is held", "who moves and leaves"},
            id="discovery-broken", marks=pytest.mark.long,
        ),
        pytest.param(ENCLOSURE, "", set(), id="enclosure"),
        pytest.param(ENCLOSURE, ELSEWHERE, {"files are the hosts"}, id="enclosure-broken"),
        pytest.param(BUILDER, "", set(), id="builder", marks=pytest.mark.long),
        pytest.param(BUILDER, TELLS_OF_NOTHING, {"what is kept"}, id="builder-broken", marks=pytest.mark.long),
    ],
)  # fmt: skip
def test_a_third_partys(run_program, tmp_path, readable, installed, part, change, broken):
    kind, module, facts = part
    folder = readable / "spoken"
    for path, text in rendering.plugin("spoken", kind, "0.1").items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    plugin = PLUGIN.format(module=module, change=change or "pass", facts=facts)
    (folder / "src/spoken/plugin.py").write_text(plugin, encoding="utf-8")
    done = run_program(*MOBY, "test-plugin", folder, "--json", cwd=tmp_path)
    (component,) = json.loads(done.stdout)["components"]
    outcomes = {each["promise"].partition(":")[0]: each["outcome"] for each in component["promises"]}
    failed = {name for name, outcome in outcomes.items() if outcome == "failed"}
    assert broken <= failed
    assert bool(failed) == bool(broken), component["promises"]
    assert "ok" in outcomes.values()
    assert done.returncode == bool(broken)


def test_a_tracer_that_tells_in_its_own_way(run_program, tmp_path):
    """What can be seen without looking at spans is; for the rest it says what to do."""
    folder = tmp_path / "spoken"
    for path, text in rendering.plugin("spoken", "tracer", "0.1").items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    plugin = PLUGIN.format(module=TRACER[1], change="pass", facts="")
    (folder / "src/spoken/plugin.py").write_text(plugin, encoding="utf-8")
    done = run_program(*MOBY, "test-plugin", folder, "--json", cwd=tmp_path)
    promises = json.loads(done.stdout)["components"][0]["promises"]
    assert {each["outcome"] for each in promises} == {"skipped"}
    assert all("subclass TracerSuite" in each["reason"] for each in promises)
