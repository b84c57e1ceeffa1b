"""The tool that unpacks other engines: what it says where it can't, and that it does nothing twice."""

import os
import subprocess
import sys

import pytest
from peers.binaries import CHECKOUT, find

TOOL = CHECKOUT / "tools" / "peers"


def unpack(*args, **environment):
    return subprocess.run(
        [sys.executable, TOOL, *args], env=os.environ | environment, capture_output=True, text=True, check=False
    )


def test_an_unknown_set_is_told_with_those_that_are():
    done = unpack("runk")
    assert done.returncode == 2
    assert done.stderr.startswith("no such set: runk; there are: runc crun ")


def test_without_apt_each_set_is_told(tmp_path):
    done = unpack("--where", str(tmp_path), "runc", "crun", PATH=str(tmp_path))
    assert done.returncode == 1
    assert done.stderr == (
        "could not unpack runc: apt-get is not there: this needs Debian or a relative of it\n"
        "could not unpack crun: apt-get is not there: this needs Debian or a relative of it\n"
    )


def test_a_folder_that_cannot_be_is_told(tmp_path):
    (tmp_path / "file").touch()
    done = unpack("--where", str(tmp_path / "file"), "runc")
    assert done.returncode == 1
    assert done.stderr == f"could not unpack into {tmp_path}/file: File exists ({tmp_path}/file)\n"


def test_what_is_there_is_left_alone():
    if not (CHECKOUT / ".cache" / "peers" / "sets" / "runc.json").exists():
        pytest.skip("runc is not there; `tools/peers runc` unpacks it")
    done = unpack("runc", PATH="/nowhere")
    assert (done.returncode, done.stderr) == (0, "")
    assert find("runc")
