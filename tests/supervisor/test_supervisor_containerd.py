"""The supervisor `containerd`, with Debian's containerd and runc, inside a sandbox."""

import sys
from pathlib import Path

import pytest
from peers.binaries import need
from peers.sandbox import TEMPORARY, Sandbox

INSIDE = Path(__file__).with_name("inside_containerd.py")
CHECKOUT = INSIDE.parents[2]


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory):
    for each in ("containerd", "runc"):
        need(each, "containerd")
    sandbox = Sandbox(tmp_path_factory.mktemp("sandbox"))
    sandbox.open()
    yield sandbox
    sandbox.close()


@pytest.mark.slow
def test_what_is_tried_inside(sandbox, pytestconfig):
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=short", "-rR"]
    words.append(f"--reruns={pytestconfig.getoption('reruns', 0) or 0}")  # of one test in there, not of all
    done = sandbox.run(
        "sh",
        "-c",
        f"cd {CHECKOUT} && exec {' '.join(words)} --basetemp={TEMPORARY}/t {INSIDE}",
        check=False,
        timeout=280,
    )
    print(done.stdout[-20000:])
    assert done.returncode == 0, done.stdout[-20000:] + done.stderr[-5000:]
