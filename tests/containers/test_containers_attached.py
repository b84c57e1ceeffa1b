"""Who attaches before a start to what can't be made just then sees an end, whatever comes of the start."""

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
