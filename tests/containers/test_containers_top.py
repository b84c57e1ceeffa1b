"""Whose processes ps(1) tells of, whatever a client has it print."""

import os
import shutil

import pytest
from moby_containers.engine.processes import table

from moby.errors import Invalid

pytestmark = pytest.mark.skipif(shutil.which("ps") is None, reason="needs procps")


@pytest.mark.parametrize("asked", ["", "-ef", "aux", "axf", "faux", "-o pid,comm", "-u root", "-t ? -C python"])
def test_the_processes_asked_for(asked):
    titles, rows = table((os.getpid(),), asked)
    assert all(row[titles.index("PID")] == str(os.getpid()) for row in rows)
    assert len(rows) <= 1


def test_no_program_takes_nul():
    with pytest.raises(Invalid, match="NUL can't be in an argument"):
        table((os.getpid(),), "a\0b")


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param('f -e -D "X {pid}" -o lstart,pid,args e', id="no-selection-goes-with-forests"),
        pytest.param('-e -D "X {pid}" -o lstart,pid,args -C', id="the-last-option-takes-what-follows"),
        pytest.param('-e -D "X {pid}" -o lstart,pid,args -p', id="and-picks-by-it"),
        pytest.param('-N -D "X {pid}" -o lstart,pid,args', id="all-others"),
        pytest.param('-C -u -D "X {pid}" -o lstart,pid,args -e', id="an-option-as-the-word-of-another"),
        pytest.param('-u root -D "X {pid}" -o lstart,pid,args', id="another-users"),
        pytest.param('-e -D "X {pid}" -o lstart,pid,args', id="all"),
    ],
)
def test_no_format_shows_the_hosts_processes(asked):
    """A date may be any text, and so put a container's process's id where another's is looked for."""
    try:
        _, rows = table((os.getpid(),), asked.format(pid=os.getpid()))
    except Invalid as error:
        assert error.message.startswith("error running ps: ")
    else:
        assert len(rows) <= 1
