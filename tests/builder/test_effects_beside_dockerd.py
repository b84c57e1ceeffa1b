"""What BuildKit makes of copies, in Debian's dockerd: that it still is what our own tests are measured by."""

import json
import os
from pathlib import Path

import pytest
from copies import CASES, TIME_S, context, described, line, settled
from peers.box import archive
from peers.engines import opened

ANSWERS = Path(__file__).parent / "answers/copies.json"
PLACE = "/var/lib/peers"

pytestmark = pytest.mark.slow


def answers_of(engine):
    """Return what comes of each case, or what is said of it."""
    outside = engine.sandbox.seen(PLACE)
    (outside / "context").mkdir()
    context(outside / "context")
    found = {}
    for name, node in CASES.items():
        (outside / "Dockerfile").write_text(f"FROM scratch AS base\nADD base.tar /\nFROM base\n{line(node)}\n")
        os.utime(outside / "context", (TIME_S, TIME_S))
        done = engine(
            "build", "-q", "-o", f"type=tar,dest={PLACE}/out.tar", "-f", f"{PLACE}/Dockerfile", f"{PLACE}/context",
            check=False,
        )  # fmt: skip
        failed = done.stderr.strip().splitlines()[-1:] if done.returncode else []
        found[name] = settled(name, failed[0] if failed else described((outside / "out.tar").read_bytes()))
    return found


def test_buildkit_copies_as_was_recorded(tmp_path):
    (tmp_path / "docker").mkdir()
    with opened("docker", "runc", tmp_path / "docker", archive(tmp_path / "image.tar", tmp_path / "rootfs")) as engine:
        found = answers_of(engine)
    if "RECORD" in os.environ:
        ANSWERS.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
    assert found == json.loads(ANSWERS.read_text())
