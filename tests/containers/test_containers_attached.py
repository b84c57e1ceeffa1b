"""Who attaches before a start to what can't be made just then sees an end, whatever comes of the start."""

import os

import pytest
from containers_engine import Engine

from moby.contracts.containers import Status
from moby.errors import Unavailable
from moby.testing.boxes import read_all
from moby.testing.containers import close


@pytest.fixture
def engine(tmp_path, rootfs):
    with Engine(tmp_path, rootfs) as opened:
        yield opened


def refuses(config):
    raise Unavailable("there are too many processes")


@pytest.mark.parametrize("fails", [True, False])
@pytest.mark.parametrize("terminal", [True, False])
def test_its_streams_end(engine, monkeypatch, fails, terminal):
    made = engine.create("read a", open_stdin=True, terminal=terminal)
    with monkeypatch.context() as patched:
        patched.setattr(engine.supervisor, "create", refuses)
        streams = engine.containers.attach(made)
        if fails:
            with pytest.raises(Unavailable, match="too many"):
                engine.containers.start(made)
    if not fails:
        engine.containers.start(made)
        assert engine.containers.get(made).state.status is Status.RUNNING
    assert read_all(streams.stdout) == ""
    assert terminal or read_all(streams.stderr) == ""
    close(streams)
    engine.containers.remove(made, force=True)


def test_who_can_go_on_is_told_once_just_the_supervisor_is_left(engine, monkeypatch):
    made = engine.create("read a", open_stdin=True)
    said, create = [], engine.supervisor.create
    monkeypatch.setattr(engine.supervisor, "create", lambda config: (said.append("create"), create(config))[1])

    def certain():
        assert os.path.ismount(engine.containers.get(made).rootfs)
        said.append("certain")

    streams = engine.containers.attach(made, certain)
    assert said == ["certain", "create"]
    close(streams)
    engine.containers.remove(made, force=True)


@pytest.mark.parametrize("error", [BrokenPipeError(), Unavailable("nobody there")])
def test_who_is_gone_by_then_leaves_nothing_made(engine, error):
    made = engine.create("echo said")

    def certain():
        raise error

    with pytest.raises(type(error)):
        engine.containers.attach(made, certain)
    assert not os.path.ismount(engine.containers.get(made).rootfs)
    assert engine.supervisor.list() == ()
    assert engine.finish(made) == (0, "said\n")
