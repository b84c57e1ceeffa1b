"""What `make test` tries again (--reruns) begins anew, whatever its module's fixtures keep."""

import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
MODULE = """
import pytest

SAID = []

@pytest.fixture(scope="session")
def image():
    SAID.append("image")

@pytest.fixture(scope="module")
def engine(image):
    SAID.append("begin")
    yield []
    SAID.append("end")

@pytest.fixture(scope="module")
def box(engine):
    SAID.append("box")
    yield engine
    SAID.append("no box")

def test_that_fails_once(box):
    box.append("left")
    assert SAID.count("begin") == 2
    assert box == ["left"]

def test_after_it(box):
    assert box == ["left"]
    assert SAID == ["image", "begin", "box", "no box", "end", "begin", "box"]
"""


def test_fixtures_of_its_module_begin_anew(tmp_path):
    (tmp_path / "test_engine.py").write_text(MODULE)
    words = ["-p", "again", "-p", "no:cacheprovider", "--reruns=1", "-q", "--rootdir", tmp_path, tmp_path]
    environ = {**os.environ, "PYTHONPATH": str(TESTS)}
    command = [sys.executable, "-m", "pytest", *words]
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout.splitlines()[-1].startswith("2 passed, 1 rerun"), done.stdout + done.stderr
