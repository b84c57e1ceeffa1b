"""Streams that come with what was made, where its terminal has its size only by a call that takes a while."""

import os
from contextlib import suppress
from pathlib import Path

import pytest
from ambient import ListLog, RealClock
from engine import place
from holding import LinesDriver
from moby_runtime.native.runtime import Native
from moby_supervisor.local.local import Local
from moby_supervisor.local.making import Maker
from test_local import bundle, keeper  # noqa: F401 - fixtures
from test_local_logs import eventually

from moby.contracts.supervisor import TaskConfig
from moby.errors import Unavailable
from moby.testing.bundles import config
from moby.testing.supervisor import read_all


class Sizing(Maker):
    """Sizes execs until they have ended, and containers at once; or fails, as asked."""

    fails = ""

    async def size(self, task):
        if task.id == self.fails:
            raise Unavailable("who has its terminal doesn't answer")
        if not task.is_container:
            await task.stopped


@pytest.fixture
def maker(monkeypatch):
    made = type("Made", (Sizing,), {})
    monkeypatch.setattr(Local, "maker", made)
    return made


@pytest.fixture
def sizing(tmp_path, keeper, maker):  # noqa: F811
    log, natives = ListLog(), {"native": Native(place(tmp_path, "native"))}
    with Local(natives, {"lines": LinesDriver()}, keeper, place(tmp_path, "supervisor"), RealClock(), log) as made:
        yield made
        made.reclaim()
    assert [each for each in log.lines if each[0] == "error"] == []
    assert keeper.copies == {}


def process(script):
    return config(["sh", "-c", script])["process"]


@pytest.mark.parametrize("terminal", [True, False])
def test_what_is_said_meanwhile_is_kept(sizing, bundle, terminal):  # noqa: F811
    sizing.create(TaskConfig("a", bundle("sh", "-c", "read x"), stdin=True))
    sizing.start("a")
    state = sizing.exec("a", "b", process("echo said"), TaskConfig("b", Path(), terminal=terminal, attach=True))
    assert state.exit.code == 0
    assert read_all(state.streams.stdout).split() == [b"said"]
    if not terminal:
        assert read_all(state.streams.stderr) == b""


def test_what_cannot_be_sized_is_not_there(sizing, maker, bundle):  # noqa: F811
    before = pipes()
    maker.fails = "a"
    for attach in (True, False):
        with pytest.raises(Unavailable, match="doesn't answer"):
            sizing.create(TaskConfig("a", bundle("sh", "-c", "read x"), stdin=True, attach=attach))
        assert sizing.list() == ()
    eventually(lambda: pipes() <= before, "they are closed")
    maker.fails = "b"
    streams = sizing.create(TaskConfig("a", bundle("sh", "-c", "read x"), stdin=True, attach=True)).streams
    sizing.start("a")
    held = pipes()
    with pytest.raises(Unavailable, match="doesn't answer"):
        sizing.exec("a", "b", process("read x"), TaskConfig("b", Path(), stdin=True, attach=True))
    assert [each.id for each in sizing.list()] == ["a"]
    eventually(lambda: pipes() <= held, "they are closed")
    for fd in (streams.stdin, streams.stdout, streams.stderr):
        os.close(fd)


def pipes():
    """Return which pipes this process has open, of which others' may be closed at any time."""
    found = set()
    for each in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            found.add(f"{each.name} {os.readlink(each)}")  # noqa: PTH115 - text
    return {each for each in found if " pipe:" in each}
