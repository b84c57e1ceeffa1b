"""The fuzz target of compose files runs, and finds nothing in a short while."""

import subprocess
import sys
from pathlib import Path

import pytest
from fuzz_compose import ENV_SEEDS, SEEDS, check, check_variables

pytestmark = pytest.mark.fuzz


@pytest.mark.parametrize("data", SEEDS)
def test_seeds(data: bytes) -> None:
    check(data)


@pytest.mark.parametrize("data", ENV_SEEDS)
def test_seeds_of_variables(data: bytes) -> None:
    check_variables(data)


def test_a_short_run(tmp_path: Path) -> None:
    pytest.importorskip("atheris", reason="atheris isn't installed; hypothesis alone fuzzes compose files")
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for index, data in enumerate(SEEDS):
        (corpus / str(index)).write_bytes(data)
    target = Path(__file__).with_name("fuzz_compose.py")
    command = [sys.executable, target, "-runs=1000", "-seed=1", f"-artifact_prefix={tmp_path}/", corpus]
    run = subprocess.run(command, capture_output=True, text=True, timeout=250, check=False)
    assert run.returncode == 0, run.stderr[-4000:]
