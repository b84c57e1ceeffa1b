import os
import signal
import subprocess
import sys

import pytest

from moby.errors import Conflict
from moby.host.claims import abandoned, claim

HOLDER = """
import sys
from pathlib import Path
from moby.host.claims import claim
found = claim(Path(sys.argv[1]), "theirs")
(found.path / "file").touch()
print("ready", flush=True)
sys.stdin.read()
"""


def test_claim_is_a_folder_until_released(tmp_path):
    found = claim(tmp_path / "new", "mine")
    assert found.path.is_dir()
    assert abandoned(tmp_path / "new") == ()
    (found.path / "file").touch()
    found.release()
    assert not found.path.exists()


def test_taken(tmp_path):
    found = claim(tmp_path, "mine")
    with pytest.raises(Conflict, match="mine is in use"):
        claim(tmp_path, "mine")
    found.release()


def test_taken_over_in_between(tmp_path, monkeypatch):
    monkeypatch.setattr("moby.host.claims._locked", lambda path: None)
    with pytest.raises(Conflict, match="taken by another"):
        claim(tmp_path, "mine")


def test_nothing_there(tmp_path):
    assert abandoned(tmp_path / "absent") == ()


def test_abandoned_once_its_process_is_killed(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout.readline() == b"ready\n"
        assert abandoned(tmp_path) == ()
        holder.send_signal(signal.SIGKILL)
    (found,) = abandoned(tmp_path)
    assert found.path == tmp_path / "theirs"
    assert abandoned(tmp_path) == (), "it is ours now"
    found.release()


def test_released_by_closing(tmp_path):
    """Who can't clear one up closes it, and it counts as abandoned again."""
    os.close(claim(tmp_path, "mine").descriptor)
    (found,) = abandoned(tmp_path)
    found.release()
