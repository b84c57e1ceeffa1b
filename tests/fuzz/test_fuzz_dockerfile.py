"""The fuzz target of Dockerfiles runs, and finds nothing in a short while."""

import subprocess
import sys
from pathlib import Path

import pytest
from fuzz_dockerfile import IGNORE_SEEDS, SEEDS

pytestmark = pytest.mark.fuzz


def test_a_short_run(tmp_path: Path) -> None:
    pytest.importorskip("atheris", reason="atheris isn't installed; random changes alone fuzz Dockerfiles")
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for number, data in enumerate((*SEEDS, *IGNORE_SEEDS)):
        (corpus / str(number)).write_bytes(data)
    target = Path(__file__).with_name("fuzz_dockerfile.py")
    run = subprocess.run(
        [sys.executable, target, "-runs=2000", "-seed=1", f"-artifact_prefix={tmp_path}/", corpus],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=tmp_path,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    assert "Done 2000 runs" in run.stderr
