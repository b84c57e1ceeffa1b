"""The part `content/containerd`, with Debian's containerd, inside a sandbox."""

import sys
from pathlib import Path

import pytest
from peers.binaries import need
from peers.sandbox import TEMPORARY, Sandbox

INSIDE = Path(__file__).with_name("inside_containerd_content.py")
CHECKOUT = INSIDE.parents[2]


@pytest.mark.slow
def test_what_is_tried_inside(tmp_path):
    need("containerd", "containerd")
    sandbox = Sandbox(tmp_path)
    sandbox.open()
    try:
        words = f"{sys.executable} -m pytest -q -p no:cacheprovider --tb=short --basetemp={TEMPORARY}/t {INSIDE}"
        done = sandbox.run("sh", "-c", f"cd {CHECKOUT} && exec {words}", check=False, timeout=280)
    finally:
        sandbox.close()
    print(done.stdout[-20000:])
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-5000:]
