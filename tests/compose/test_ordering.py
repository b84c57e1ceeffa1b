"""The order of what is done, and how it is shown."""

import io
import threading
from pathlib import Path

import pytest
from moby_orchestrator.compose import progress
from moby_orchestrator.compose.converging import HEALTHY, wait_for
from moby_orchestrator.compose.files.reading import Asked, read
from moby_orchestrator.compose.observed import Container
from moby_orchestrator.compose.ordering import in_order, together

from moby.errors import Conflict

TEXT = """
services:
  db: {image: x}
  cache: {image: x}
  api: {image: x, depends_on: [db, cache]}
  web: {image: x, depends_on: [api]}
"""


@pytest.fixture
def project(tmp_path):
    (tmp_path / "compose.yaml").write_text(TEXT)
    return read(Asked(files=(str(tmp_path / "compose.yaml"),)), {})


@pytest.mark.parametrize("reverse", [False, True])
def test_after_what_they_depend_on(project, reverse):
    done = []
    in_order(project, done.append, reverse=reverse)
    if reverse:
        done.reverse()
    assert set(done[:2]) == {"db", "cache"}
    assert done[2:] == ["api", "web"]


def test_what_depends_on_nothing_common_is_done_at_once(project):
    met = threading.Barrier(2, timeout=30)
    in_order(project, lambda name: name in ("db", "cache") and met.wait())


def test_nothing_begins_after_an_error(project):
    done = []

    def do(name):
        done.append(name)
        if name == "api":
            raise ValueError(name)

    with pytest.raises(ValueError, match="api"):
        in_order(project, do)
    assert "web" not in done


def test_all_of_several_are_done_before_an_error_is_raised():
    done = []

    def do(number):
        done.append(number)
        if number == 0:
            raise ValueError(number)

    with pytest.raises(ValueError, match="0"):
        together([0, 1, 2], do)
    assert sorted(done) == [0, 1, 2]


@pytest.mark.parametrize(
    ("mode", "said"),
    [
        ("plain", " Container a  Creating\n Container a  Created\n"),
        ("quiet", ""),
        (
            "tty",
            """\r\x1b[2K[+] Running 0/1
\r\x1b[2K ⠿ Container a  Creating
\x1b[2A\r\x1b[2K[+] Running 1/1
\r\x1b[2K ✔ Container a  Created
""",
        ),
    ],
)
def test_progress(monkeypatch, mode, said):
    out = io.StringIO()
    monkeypatch.setattr(progress.sys, "stderr", out)
    with progress.Progress(mode) as shown:
        shown.tell("Container a", "Creating")
        shown.tell("Container a", "Created")
    assert out.getvalue() == said


def test_what_belongs_to_what_is_selected(project):
    assert sorted(project.selected(["api"]).services) == ["api", "cache", "db"]
    alone = project.selected(["api"], dependencies=False)
    assert list(alone.services) == ["api"]
    assert "depends_on" not in alone.services["api"]
    assert project.folder == Path(project.files[0]).parent


class Answering:
    """An engine whose containers are one after another as given, each at a look."""

    def __init__(self, *states):
        self.states = list(states)

    def get(self, *path):
        status, health = self.states.pop(0)
        return {"State": {"Status": status, "ExitCode": 1, "Health": {"Status": health}}}


def test_a_dependency_that_begins_anew_may_become_well():
    """Though what has ended is told to be unhealthy."""
    db = Container("1", "p-db-1", "db", 1, "running", {}, {})
    engine = Answering(
        ("running", "starting"), ("restarting", "unhealthy"), ("running", "starting"), ("running", "healthy")
    )
    shown = progress.Progress("quiet")
    wait_for(engine, "db", {"condition": HEALTHY}, [db], shown)
    assert engine.states == []
    with pytest.raises(Conflict, match="container p-db-1 is unhealthy"):
        wait_for(Answering(("running", "unhealthy")), "db", {"condition": HEALTHY}, [db], shown)
