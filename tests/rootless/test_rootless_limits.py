"""An ordinary user's containers are limited where a control group is delegated: a foreground call with an enclosure.

Run as such a user, as in the guest `uml`; no sandbox, since the distribution has namespaces of its own.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from guests.cover import needs
from peers.images import NAME
from rootless.limited import GIVEN, assembled

from moby.host.facts import probe

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def call(tmp_path_factory, image):
    """Call a distribution, as the user that runs this."""
    needs(os.geteuid() != 0 and probe("user", "delegated-group").ok, "ordinary user with a group of version 2", "uml")
    needs(probe("user", "subordinate-ids").ok and shutil.which("newuidmap"), "subordinate ids", "uml")
    folder = tmp_path_factory.mktemp("limited")
    given = GIVEN if GIVEN.exists() else assembled(folder)
    words = [sys.executable, given, "--root", folder / "root"]

    def called(*more, check=True):
        done = subprocess.run([*words, *more], capture_output=True, text=True, timeout=900, check=False)
        assert not check or done.returncode == 0, done.stderr
        return done

    called("load", "-i", str(image))
    yield called
    called("down", "--purge")
    assert list((folder / "root").iterdir()) == []


def test_a_container_has_its_limits(call):
    script = "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max /sys/fs/cgroup/cpu.max"
    found = call("run", "--rm", "-m", "50m", "--pids-limit", "33", "--cpus", "0.5", NAME, "sh", "-c", script).stdout
    assert found.split() == [str(50 << 20), "33", "50000", "100000"]


def test_it_is_frozen(call):
    name = call("run", "-d", NAME, "sleep", "1000").stdout.strip()
    call("pause", name)
    assert "Paused" in call("ps").stdout
    call("unpause", name)
    call("update", "-m", "60m", "--memory-swap", "60m", name)
    assert call("exec", name, "cat", "/sys/fs/cgroup/memory.max").stdout.strip() == str(60 << 20)
    call("rm", "-f", name)


def test_what_takes_too_much_is_killed(call):
    script = "x=x; while :; do x=$x$x$x$x; done"
    done = call("run", "--name", "greedy", "-m", "30m", "--memory-swap", "30m", NAME, "sh", "-c", script, check=False)
    assert done.returncode == 137
    assert call("inspect", "-f", "{{.State.OOMKilled}}", "greedy").stdout.strip() == "true"
    call("rm", "greedy")


def test_users_are_subordinate(call):
    assert call("run", "--rm", NAME, "cat", "/proc/self/uid_map").stdout.split()[:3] == ["0", str(os.geteuid()), "1"]
    maps = Path("/etc/subuid").read_text("utf-8")
    first = maps.partition(":")[2].partition(":")[0]
    assert call("run", "--rm", NAME, "cat", "/proc/self/uid_map").stdout.split()[4] == first
