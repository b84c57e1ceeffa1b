"""Limits of an ordinary user's engine where a group of version 2 is delegated to it: in a guest that has just that."""

import shutil
import tempfile
from pathlib import Path

import pytest
from guests.machine import CACHE, CHECKOUT, IN_GUEST, Job
from guests.uml import uml
from peers.assembled import assembled

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(400)]
MANIFEST = """
moby: 1
name: limited
extends: [rootless]
components:
  enclosure: unlinked
  network-driver: [none]
"""
"""Of what a user-mode kernel has, which is no nftables."""
SCRIPT = """
exec 2>&1
export HOME=/run/home XDG_RUNTIME_DIR=/tmp/own
mkdir -m 700 $XDG_RUNTIME_DIR
run() { $ENGINE run --rm --network none "$@"; }
$ENGINE image from-host --tag demo >/dev/null
run -m 24m --pids-limit 7 demo cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max
run --pids-limit 5 demo sh -c 'for each in 1 2 3 4 5 6 7 8; do sleep 5 & done; echo forked'
echo "forks: $?"
run -m 24m demo sh -c 'x=0123456789abcdef; for each in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23; do x=$x$x; done; echo grown'
echo "memory: $?"
$ENGINE down --purge
echo "left: $(find /sys/fs/cgroup/user -mindepth 1 -type d ! -name session)"
"""  # noqa: E501


def test_an_ordinary_users_limits(tmp_path):
    guest = uml()
    pyz = assembled(tmp_path, "limited", MANIFEST)
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as name:  # in the checkout, which a guest shows its users
        seen = Path(name)
        seen.chmod(0o755)
        shutil.copy(pyz, seen)
        python = IN_GUEST / ".venv/bin/python"
        engine = f"{python} {IN_GUEST / seen.relative_to(CHECKOUT)}/limited.pyz"
        places = {"PATH": "/run/bin:/usr/sbin:/usr/bin:/sbin:/bin", "ENGINE": engine}
        job = Job("limits", ["sh", "-c", SCRIPT], places, ordinary=True, delegated=True)
        ended = guest.run(tmp_path, [job], 300)["limits"]
    lines = ended.output.splitlines()
    assert ended.code == 0, ended.output
    assert lines[:2] == [str(24 << 20), "7"], ended.output
    assert "forks: 2" in lines
    assert "forked" not in lines
    assert "memory: 137" in lines
    assert "grown" not in lines
    assert lines[-1] == "left: "
