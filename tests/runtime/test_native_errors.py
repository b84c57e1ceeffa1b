"""The native runtime's errors: records that are damaged, ids that can't be mapped, and streams that don't fit."""

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest
from attrs import evolve
from moby_runtime.native import launch, making, members
from moby_runtime.native.records import Record, Records
from moby_runtime.native.runtime import Native
from moby_runtime.native.values import IdMapping, ProcessSpec
from moby_runtime.records.first import boot_id

from moby.contracts.runtime import RuntimeFeature
from moby.contracts.types import Stdio
from moby.errors import Conflict, Corrupt, HostUnfit, Invalid, NotFound, Unavailable
from moby.host.cgroups import Group
from moby.host.processes import process_stat
from moby.testing.boxes import Boxes, MakeRuntime
from moby.testing.runtime import RuntimeFixtures

MANY = (IdMapping(0, 100000, 65536),)


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        pytest.param("{", "can't be read", "remove", id="no-json"),
        pytest.param("[]", "can't be read", "remove", id="no-object"),
        pytest.param("{}", "can't be read", "remove", id="no-format"),
        pytest.param('{"format": 1, "id": "a"}', "can't be read", "remove", id="fields-missing"),
        pytest.param('{"format": 2}', "another version", "use the version", id="format"),
        pytest.param("\udcff", "can't be read", "remove", id="bytes"),
    ],
)
def test_a_damaged_record(tmp_path: Path, text: str, message: str, hint: str) -> None:
    records = Records(tmp_path)
    records.reserve(Record(id="a", bundle="/b", boot="c"))
    (tmp_path / "a/state.json").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(Corrupt, match=message) as caught:
        records.read("a")
    assert hint in caught.value.hint


def test_a_record_is_reserved_once_and_removed_as_often_as_wanted(tmp_path: Path) -> None:
    records = Records(tmp_path / "run")
    record = Record(id="a", bundle="/b", boot="c", cgroups=("/x",), annotations={"k": "v"})
    assert records.ids() == ()
    records.reserve(record)
    assert (records.read("a"), records.ids()) == (record, ("a",))
    with pytest.raises(Conflict, match="already"):
        records.reserve(record)
    for _ in range(2):
        records.remove("a")
    with pytest.raises(NotFound, match="no container 'a'"):
        records.read("a")


@pytest.mark.parametrize("begun", [1, 0], ids=["earlier", "of-this-boot"])
def test_a_process_that_has_the_number_of_one_that_ended_is_none_of_it(begun: int) -> None:
    other = subprocess.Popen(["sleep", "1000"])
    try:
        stat = process_stat(other.pid)
        assert stat is not None
        boot = boot_id() if begun else "another"
        gone = Record(id="a", bundle="/b", boot=boot, pid=other.pid, start_ticks=stat.start_ticks - begun)
        assert members.pids_of(gone) == ()
        members.kill_all(gone, signal.SIGKILL)
        members.end(gone)
        assert other.poll() is None
        own = Record(id="a", bundle="/b", boot=boot_id(), pid=other.pid, start_ticks=stat.start_ticks)
        assert members.pids_of(own) == (other.pid,)
    finally:
        other.kill()
        other.wait()


def test_a_record_that_cannot_be_written_leaves_nothing(tmp_path: Path, monkeypatch) -> None:
    def full(self: Records, record: Record) -> None:
        raise OSError("full")

    monkeypatch.setattr(Records, "write", full)
    with pytest.raises(OSError, match="full"):
        Records(tmp_path).reserve(Record(id="a", bundle="/b", boot="c"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "-a", "a b", "a" * 256, "é", "a\n"])
def test_what_cannot_be_an_id(tmp_path: Path, name: str) -> None:
    with pytest.raises(Invalid, match="can't be the id"):
        Records(str(tmp_path)).path(name)


def test_a_process_of_another_boot_has_ended() -> None:
    assert not Record(id="a", bundle="/b", boot="another", pid=os.getpid()).alive()
    assert not Record(id="a", bundle="/b", boot=boot_id(), pid=os.getpid(), start_ticks=1).alive()


@pytest.mark.parametrize(
    ("script", "message", "hint"),
    [
        pytest.param(None, "needs newuidmap, which isn't on PATH", "uidmap", id="absent"),
        pytest.param("#!/bin/sh\necho no range >&2; exit 1\n", "newuidmap refuses: no range", "subuid", id="refuses"),
    ],
)
def test_ids_that_the_host_does_not_map(tmp_path: Path, script, message, hint, monkeypatch) -> None:
    if script:
        (tmp_path / "newuidmap").write_text(script)
        (tmp_path / "newuidmap").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(launch.os, "geteuid", lambda: 1000)
    with pytest.raises(HostUnfit, match=message) as caught:
        launch.map_ids(os.getpid(), MANY, MANY)
    assert hint in caught.value.hint


@pytest.mark.parametrize("terminal", [True, False])
def test_a_terminal_for_one_side_alone(terminal: bool) -> None:
    with pytest.raises(Invalid, match=r"process\.terminal must be true if the streams are a terminal"):
        making._check_terminal(ProcessSpec(("a",), "/", terminal=terminal), Stdio(0, 1, 2, not terminal))


class TestErrors(RuntimeFixtures):
    @pytest.fixture
    def make_runtime(self) -> MakeRuntime:
        return Native

    def test_a_group_that_does_not_freeze(self, boxes: Boxes, monkeypatch) -> None:
        def refuse(self: Group) -> None:
            raise TimeoutError(110, "it takes too long")

        box = boxes.sleeping()
        if not json.loads((boxes.place.run / box.id / "state.json").read_text())["cgroups"]:
            pytest.skip("there are no control groups here")
        monkeypatch.setattr(Group, "freeze", refuse)
        with pytest.raises(Unavailable, match="doesn't freeze: it takes too long"):
            boxes.runtime.pause(box.id)

    def test_a_group_that_is_still_in_use(self, boxes: Boxes, monkeypatch) -> None:
        def refuse(self: Group) -> None:
            raise OSError(16, "busy")

        box = boxes.sleeping()
        with monkeypatch.context() as patch:
            patch.setattr(Group, "remove", refuse)
            with pytest.raises(Unavailable, match="still in use"):
                boxes.runtime.delete(box.id, force=True)

    def test_a_process_that_does_not_end(self, boxes: Boxes, monkeypatch) -> None:
        box = boxes.sleeping()
        with monkeypatch.context() as patch:
            patch.setattr(members, "_KILL_S", 0.05)
            patch.setattr(members, "_is_over", lambda record: False)
            with pytest.raises(Unavailable, match="doesn't end"):
                boxes.runtime.delete(box.id, force=True)

    def test_limits_of_what_is_no_group(self, boxes: Boxes, monkeypatch) -> None:
        box = boxes.sleeping()
        monkeypatch.setattr(Records, "read", without_groups)
        with pytest.raises(HostUnfit, match="has no control group") as caught:
            boxes.runtime.update(box.id, {"pids": {"limit": 5}})
        assert "delegated" in caught.value.hint
        monkeypatch.undo()

    def test_what_an_update_cannot_do(self, boxes: Boxes) -> None:
        box = boxes.sleeping()
        boxes.runtime.kill(box.id, 9)
        box.code()
        with pytest.raises(Conflict, match="has stopped"):
            boxes.runtime.update(box.id, {"pids": {"limit": 5}})
        assert RuntimeFeature.UPDATE in boxes.runtime.features


READ = Records.read


def without_groups(records: Records, name: str) -> Record:
    return evolve(READ(records, name), cgroups=())
