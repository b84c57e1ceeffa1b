"""The part `snapshotter/containerd`, with Debian's containerd, inside a sandbox."""

from pathlib import Path

import pytest
from peers.binaries import need
from peers.tried import try_inside


@pytest.mark.slow
def test_what_is_tried_inside(tmp_path):
    need("containerd", "containerd")
    try_inside(tmp_path, Path(__file__).with_name("inside_containerd_snapshots.py"))
