"""Real processes: parts that outlive their engine, a keeper that starts them again, and all that may be killed."""

import os
import random
import select
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from attrs import evolve
from served.conftest import Running, alive, eventually, own_kib, parent, pids_of

from moby.component import Arity
from moby.engine import start
from moby.engine.elsewhere import socket_of
from moby.engine.running import Status
from moby.errors import HostUnfit, Unavailable, Unsupported
from moby.placement import placed
from moby.plan import Binding, Instance, Plan
from moby.served import launching
from moby.served.launching import Launcher
from moby.surroundings import Surroundings

pytestmark = pytest.mark.slow

Plans = Callable[..., Plan]
SHELVES = pytest.mark.parametrize("shelf", ["threads", "loop"])


def keeper_of(around: Surroundings) -> int:
    talk = Launcher(around.roots.run, linger_s=0.2).reach()
    try:
        return talk.pid
    finally:
        talk.close()


@SHELVES
def test_each_has_a_process_and_they_call_each_other(plan: Plans, running: Running, shelf: str) -> None:
    with running(plan(shelf)) as engine:
        kept, reader = engine.instances[f"served-shelf/{shelf}"], engine.instances["served-reader/plain"]
        kept.put("a", {"b": [1]})
        assert reader.read("a") == {"b": [1]}
        own, other = reader.pids()
        assert other == kept.pid()
        assert len({own, other, os.getpid()}) == 3
        assert parent(own) == parent(other) != os.getpid()
        assert engine.states()[f"served-shelf/{shelf}"].status is Status.RUNNING
        assert engine.states()[f"served-shelf/{shelf}"].detail == f"well in {other}"


def test_they_end_when_nobody_uses_them(plan: Plans, running: Running, around: Surroundings) -> None:
    with running(plan()) as engine:
        own, other = engine.instances["served-reader/plain"].pids()
    eventually(lambda: not alive(own) and not alive(other))


def test_what_is_held_keeps_a_part_past_its_engine(plan: Plans, running: Running, around: Surroundings) -> None:
    with running(plan()) as engine:
        shelf = engine.instances["served-shelf/threads"]
        reader, pid = engine.instances["served-reader/plain"].pids()
        with Path(os.devnull).open() as file:
            shelf.hold("x", file.fileno())
    eventually(lambda: not alive(reader))
    assert alive(pid)
    with running(plan()) as engine:
        assert engine.instances["served-shelf/threads"].pid() == pid


@SHELVES
def test_a_killed_part_is_started_again_with_what_it_had(plan: Plans, running: Running, shelf: str) -> None:
    with running(plan(shelf)) as engine:
        kept = engine.instances[f"served-shelf/{shelf}"]
        reads, writes = os.pipe()
        kept.hold("pipe", reads)
        child = kept.child("task", 0.3)
        before = kept.pid()
        os.kill(before, signal.SIGKILL)
        assert kept.pid() != before
        assert kept.held() == {"pipe": 1, "task": 0}
        assert eventually(kept.reaped) == {child: 7}
        os.close(reads)
        os.write(writes, b"still somebody who reads")
        os.close(writes)


@SHELVES
def test_one_whose_socket_is_gone_is_started_again_with_what_it_had(
    plan: Plans, running: Running, around: Surroundings, shelf: str
) -> None:
    """By who comes next, as `down` does; who was there goes on with it."""
    key = f"served-shelf/{shelf}"
    with running(plan(shelf)) as engine:
        kept = engine.instances[key]
        with Path(os.devnull).open() as file:
            kept.hold("x", file.fileno())
        before = kept.pid()
        socket_of(around.roots, key).unlink()
        with running(plan(shelf)) as other:
            assert other.instances[key].pid() != before
            assert other.instances[key].held() == kept.held() == {"x": 1}
            assert other.instances[key].pid() == kept.pid()


def test_a_call_that_may_have_been_done_is_not_repeated(plan: Plans, running: Running) -> None:
    with running(plan()) as engine:
        shelf = engine.instances["served-shelf/threads"]
        before = shelf.pid()
        with pytest.raises(Unavailable, match="may have been done or not"):
            shelf.fail("die")
        assert shelf.pid() != before


@SHELVES
def test_a_killed_keeper_is_replaced_and_given_all(
    plan: Plans, running: Running, around: Surroundings, shelf: str
) -> None:
    with running(plan(shelf)) as engine:
        kept = engine.instances[f"served-shelf/{shelf}"]
        reads, writes = os.pipe()
        kept.hold("pipe", reads)
        os.close(reads)
        before, keeper = kept.pid(), keeper_of(around)
        os.kill(keeper, signal.SIGKILL)
        kept.hold("more", writes)
        assert kept.pid() == before, "the part itself goes on"
        assert keeper_of(around) != keeper
        os.kill(before, signal.SIGKILL)  # which the new keeper isn't the parent of
        assert kept.pid() != before
        assert kept.held() == {"pipe": 1, "more": 1}
        os.write(writes, b"x")
        os.close(writes)


def test_part_and_keeper_killed_at_once(plan: Plans, running: Running, around: Surroundings) -> None:
    with running(plan()) as engine:
        shelf = engine.instances["served-shelf/threads"]
        shelf.put("a", 1)
        before = shelf.pid()
        for pid in (keeper_of(around), before):
            os.kill(pid, signal.SIGKILL)
        assert shelf.get("a") == 1
        assert shelf.pid() != before


def test_a_part_that_a_killed_keeper_had_not_written_down_ends(
    plan: Plans, running: Running, around: Surroundings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next keeper doesn't know it, and starts another; they don't take the part's place from each other."""
    monkeypatch.setattr(launching, "_source", ends_before_it_notes(launching._source))
    with running(plan()) as engine:
        shelf = engine.instances["served-shelf/threads"]
        reader, before = engine.instances["served-reader/plain"].pids()
        ends = around.roots.run / "keeper/ends-soon"
        ends.touch()
        keeper = keeper_of(around)
        os.kill(before, signal.SIGKILL)
        eventually(lambda: not alive(keeper))
        ends.unlink()
        launcher = Launcher(around.roots.run, linger_s=0.2)
        eventually(lambda: {each.pid for each in launcher.parts()} == {shelf.pid(), reader})
        eventually(lambda: set(pids_of(around.roots.run)) == {shelf.pid(), reader, keeper_of(around)})


def ends_before_it_notes(source: Callable[[str], bytes]) -> Callable[[str], bytes]:
    """Have a keeper be killed once it has started a part, where a file of its folder says so."""
    note = b'        """Write down a part\'s command and process."""\n'
    end = b'        if os.path.exists("ends-soon"):\n            os.kill(os.getpid(), 9)\n'

    def changed(name: str) -> bytes:
        text = source(name)
        assert (note in text) == (name == "parts")
        return text.replace(note, note + end)

    return changed


def test_a_killed_engine_loses_nothing(plan: Plans, running: Running, around: Surroundings, tmp_path: Path) -> None:
    reads, writes = os.pipe()
    engine_pid = os.fork()
    if engine_pid == 0:
        with running(plan()) as engine:
            shelf = engine.instances["served-shelf/threads"]
            shelf.hold("pipe", writes)
            os.write(writes, str(shelf.pid()).encode())
            signal.pause()
        os._exit(0)
    os.close(writes)
    assert select.select([reads], [], [], 60)[0]
    pid = int(os.read(reads, 20))
    os.kill(engine_pid, signal.SIGKILL)
    os.waitpid(engine_pid, 0)
    with running(plan()) as engine:
        assert engine.instances["served-shelf/threads"].pid() == pid
        assert engine.instances["served-shelf/threads"].held() == {"pipe": 1}
    os.close(reads)


def test_ending_the_keeper_ends_all(plan: Plans, running: Running, around: Surroundings) -> None:
    with running(plan()) as engine:
        engine.instances["served-shelf/threads"].child("x", 0)
    Launcher(around.roots.run, linger_s=0.2).end()
    eventually(lambda: not pids_of(around.roots.run))


class TestStarting:
    def test_why_a_part_does_not_start_is_told(
        self, instance: Callable[..., Instance], running: Running, around: Surroundings
    ) -> None:
        plan = placed(Plan("toy", (instance("threads", config={"fail": "no disk"}),)))
        with pytest.raises(HostUnfit, match="no disk") as error, running(plan):
            pass
        assert error.value.hint == "do something"
        assert Launcher(around.roots.run, linger_s=0.2).parts() == (), "nothing goes on trying"

    def test_one_whose_process_dies_at_once_is_not_waited_for_long(
        self, plan: Plans, running: Running, around: Surroundings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("moby.engine.elsewhere.import_path", lambda roots, **_: [])
        with pytest.raises(Unavailable, match=r"its process doesn't start: .*No module named"), running(plan()):
            pass
        eventually(lambda: Launcher(around.roots.run, linger_s=0.2).parts() == ())

    def test_an_optional_one_is_left_out(self, instance: Callable[..., Instance], running: Running) -> None:
        plan = placed(Plan("toy", (instance("threads", config={"fail": "no disk"}, policy="optional"),)))
        with running(plan) as engine:
            assert engine.states()["served-shelf/threads"].status is Status.FAILED
            assert engine.instances == {}

    def test_settings_reach_it_and_a_change_replaces_it(
        self, instance: Callable[..., Instance], running: Running
    ) -> None:
        plan = placed(Plan("toy", (instance("threads", open=("fail",)),)))
        told = {"served-shelf/threads": {"fail": "told to"}}
        with running(plan) as engine, Path(os.devnull).open() as file:
            before = engine.instances["served-shelf/threads"].pid()
            engine.instances["served-shelf/threads"].hold("x", file.fileno())
        with running(plan, settings=told) as engine:
            assert engine.instances["served-shelf/threads"].pid() == before, "a command takes it as it is"
        with pytest.raises(HostUnfit, match="told to"), running(plan, settings=told, replace=True):
            pass
        with running(plan, replace=True) as engine:
            assert engine.instances["served-shelf/threads"].held() == {"x": 1}, "a start that failed has lost nothing"

    def test_what_lives_with_it_is_there_and_is_reclaimed_with_it(
        self, instance: Callable[..., Instance], running: Running, around: Surroundings
    ) -> None:
        inner = Binding(Arity.ONE, ("served-reader/inner",))
        shelf = evolve(instance("with-inner"), bindings={"inner": inner})
        with running(placed(Plan("toy", (instance("inner"), shelf)))) as engine:
            assert engine.instances.keys() == {"served-shelf/with-inner"}
            states = engine.states()
            assert states["served-reader/inner"].detail == "in the process of served-shelf/with-inner"
            engine.instances["served-shelf/with-inner"].reclaim()
        for key in ("served-reader/inner", "served-shelf/with-inner"):
            assert (around.roots.state / key / "reclaimed").exists()

    def test_it_imports_nothing_that_only_assembling_needs(self, plan: Plans, running: Running) -> None:
        with running(plan("loop")) as engine:
            pid = engine.instances["served-shelf/loop"].pid()
            maps = Path(f"/proc/{pid}/maps").read_text()
            assert "_ssl" not in maps
            assert "yaml" not in maps
            assert own_kib(pid) < 16 << 10


def test_a_keeper_is_only_for_what_outlives(instance: Callable[..., Instance], tmp_path: Path) -> None:
    plan = Plan("toy", (instance("threads"),))
    with pytest.raises(Unsupported, match="needs a keeper, which only a served process has"), start(plan, tmp_path):
        pass


@pytest.mark.slow
def test_killed_at_random_under_load(plan: Plans, running: Running, around: Surroundings) -> None:
    """Part, keeper, or both, again and again, while threads call: each read is answered, nothing held is lost."""
    chance = random.Random(os.environ.get("MOBY_SEED", "1"))
    with running(plan("loop")) as engine:
        shelf = engine.instances["served-shelf/loop"]
        shelf.put("a", 1)
        reads, writes = os.pipe()
        shelf.hold("pipe", reads)
        os.close(reads)
        answers: list[int] = []
        ending = threading.Event()

        def read() -> None:
            while not ending.is_set():
                answers.append(shelf.get("a"))

        threads = [threading.Thread(target=read) for _ in range(3)]
        for thread in threads:
            thread.start()
        for _ in range(12):
            victims = chance.choice([["part"], ["keeper"]])
            pids = {"part": shelf.pid(), "keeper": keeper_of(around)}
            for victim in victims:
                os.kill(pids[victim], signal.SIGKILL)
            assert shelf.held() == {"pipe": 1}
        ending.set()
        for thread in threads:
            thread.join()
        assert set(answers) == {1}
        os.write(writes, b"x")
        os.close(writes)
