"""The fuzz target of manifests runs, and finds nothing in a short while."""

import subprocess
import sys
from pathlib import Path

import pytest
from fuzz_manifest import check, split

pytestmark = pytest.mark.fuzz

SEEDS = {
    "plain": b"\x00moby: 1\nname: a\ncomponents: {k: [a, {use: b, as: c, config: {x: {open: 1}}}]}\n",
    "flags": b"\x02moby: 1\nparameters: {p: 1}\ncomponents: {k: a}\nparameters.p=2\ncomponents.k.config.x=${p}",
    "extends": b"\x00moby: 1\nextends: [quickstart]\ncomponents: {runtime: {config: {a: null}}, images: null}\n",
    "distribution": b"\x00moby: 1\ndistribution: {formats: [pyz], budget: 20MiB, config: {pyz: {a: &x [1], b: *x}}}\n",
    "broken": b"\x00moby: 1\na: [\n",
}


@pytest.mark.parametrize("data", SEEDS.values(), ids=SEEDS)
def test_seeds(tmp_path: Path, data: bytes) -> None:
    check(data, tmp_path / "m.yaml")


def test_the_first_byte_says_how_many_flags_follow() -> None:
    assert split(b"\x01a\nb\nc") == (b"a\nb", ["c"])
    assert split(b"\x02a") == (b"", ["a"])
    assert split(b"") == (b"", [])


def test_a_short_run(tmp_path: Path) -> None:
    pytest.importorskip("atheris", reason="atheris isn't installed; hypothesis alone fuzzes manifests")
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for name, data in SEEDS.items():
        (corpus / name).write_bytes(data)
    target = Path(__file__).with_name("fuzz_manifest.py")
    run = subprocess.run(
        [sys.executable, target, "-runs=1000", "-seed=1", f"-artifact_prefix={tmp_path}/", corpus],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=tmp_path,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    assert "Done 1000 runs" in run.stderr
