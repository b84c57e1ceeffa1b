"""Shares of caches and memory bandwidth: what is made, written and removed, in a folder that stands for resctrl.

A kernel and a processor that have it can't be had by these tests; what it does to a new group is done here.
"""

import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from moby_runtime.native.runtime import Native

from moby.errors import Conflict, HostUnfit, Invalid, Unsupported
from moby.host import resctrl
from moby.host.mount_table import mount_table
from moby.testing.boxes import Boxes, MakeRuntime, run_inside
from moby.testing.runtime import RuntimeFixtures

ALL = "    L3:0=7ff;1=7ff\n    MB:0=100;1=100\n"


@pytest.fixture
def tree(monkeypatch, tmp_path):
    """A folder with the files that the kernel makes in each group."""

    def fill(folder):
        (folder / "schemata").write_text(ALL)
        (folder / "tasks").write_text("")
        (folder / "mon_groups").mkdir()

    def make(folder):
        Path(folder).mkdir()
        fill(Path(folder))

    fill(tmp_path)
    monkeypatch.setattr(resctrl, "mounted", lambda: str(tmp_path))
    monkeypatch.setattr(resctrl, "make", make)
    monkeypatch.setattr(resctrl, "remove", lambda folder: shutil.rmtree(folder, ignore_errors=True))
    monkeypatch.setattr(resctrl, "write", lambda folder, line: add(Path(folder, "schemata"), line))
    monkeypatch.setattr(resctrl, "enter", lambda folder, pid: add(Path(folder, "tasks"), str(pid)))
    return tmp_path


def add(path, line):
    """Add a line to a file that must be there, as what the kernel is told one after the other."""
    path.write_text(f"{path.read_text()}{line}\n")


class TestContainers(RuntimeFixtures):
    @pytest.fixture
    def make_runtime(self) -> MakeRuntime:
        return Native

    def started(self, boxes: Boxes, **asked):
        data = boxes.config("sleep", "1000")
        data["linux"]["intelRdt"] = asked
        return boxes.started(data)

    def test_a_group_of_its_own(self, boxes: Boxes, tree) -> None:
        box = self.started(
            boxes, schemata=["L2:0=f"], memBwSchema="MB:0=20", l3CacheSchema="L3:0=f0", enableMonitoring=True
        )
        group = tree / box.id
        assert (group / "schemata").read_text() == f"{ALL}L3:0=f0\nMB:0=20\nL2:0=f\n"
        _, pid = run_inside(boxes, box.id, "sh", "-c", "echo $$")
        for each in (group, group / "mon_groups" / box.id):
            entered = (each / "tasks").read_text().split()
            assert entered[0] == str(box.process.pid)
            assert len(entered) == 2, f"also {pid}, by its number outside"
        boxes.runtime.update_rdt(box.id, [("linux.intelRdt.l3CacheSchema", "L3:0=ff")])
        assert (group / "schemata").read_text().endswith("L3:0=ff\n")
        boxes.runtime.delete(box.id, force=True)
        assert not group.exists()
        assert (tree / "tasks").read_text() == ""

    def test_a_group_that_is_there_stays(self, boxes: Boxes, tree) -> None:
        resctrl.make(str(tree / "gold"))
        for asked in ({}, {"l3CacheSchema": "L3:1=7FF"}, {"schemata": ["MB:0=0100"]}):
            box = self.started(boxes, closID="gold", **asked)
            assert str(box.process.pid) in (tree / "gold/tasks").read_text().split()
            boxes.runtime.delete(box.id, force=True)
        assert (tree / "gold/schemata").read_text() == ALL

    def test_the_group_of_all(self, boxes: Boxes, tree) -> None:
        box = self.started(boxes, closID="/", enableMonitoring=True)
        assert (tree / "tasks").read_text().split() == [str(box.process.pid)]
        assert (tree / "mon_groups" / box.id).is_dir()
        boxes.runtime.delete(box.id, force=True)
        assert list((tree / "mon_groups").iterdir()) == []

    def test_a_named_group_that_is_made_stays(self, boxes: Boxes, tree) -> None:
        box = self.started(boxes, closID="silver", schemata=["L3:0=f"])
        boxes.runtime.delete(box.id, force=True)
        assert (tree / "silver/schemata").read_text() == f"{ALL}L3:0=f\n"

    def test_a_group_that_has_other_shares(self, boxes: Boxes, tree) -> None:
        resctrl.make(str(tree / "gold"))
        told = r"linux\.intelRdt\.l3CacheSchema\).*gold is there, and has L3:0=7ff;1=7ff"
        with pytest.raises(Invalid, match=told):
            self.started(boxes, closID="gold", l3CacheSchema="L3:0=f")
        with pytest.raises(Invalid, match=r"linux\.intelRdt\.schemata\[0\].*has L2:"):
            self.started(boxes, closID="gold", schemata=["L2:0=f"])
        assert boxes.runtime.list() == ()
        assert (tree / "gold/tasks").read_text() == ""

    def test_a_group_that_is_not_there(self, boxes: Boxes, tree) -> None:
        with pytest.raises(Invalid, match=r"find the group lead \(config\.json: linux\.intelRdt\.closID\)"):
            self.started(boxes, closID="lead")
        assert sorted(each.name for each in tree.iterdir()) == ["mon_groups", "schemata", "tasks"]

    def test_a_group_of_anothers(self, boxes: Boxes, tree) -> None:
        resctrl.make(str(tree / "box1"))
        with pytest.raises(HostUnfit, match=r"linux\.intelRdt\.closID\): File exists"):
            self.started(boxes)
        assert (tree / "box1").exists()
        assert boxes.runtime.list() == ()

    def test_a_group_that_can_not_be_monitored(self, boxes: Boxes, tree) -> None:
        shutil.rmtree(tree / "mon_groups")
        with pytest.raises(Invalid, match=r"linux\.intelRdt\.enableMonitoring"):
            self.started(boxes, closID="/", enableMonitoring=True)

    def test_what_no_process_can_enter(self, boxes: Boxes, tree, monkeypatch) -> None:
        def refuse(folder, pid):
            raise PermissionError(1, "Operation not permitted", folder)

        monkeypatch.setattr(resctrl, "enter", refuse)
        with pytest.raises(HostUnfit, match=r"enter the groups of caches \(config\.json: linux\.intelRdt\)"):
            self.started(boxes)
        assert not (tree / "box1").exists()

    def test_nothing_is_asked_for(self, boxes: Boxes, tree) -> None:
        box = boxes.sleeping()
        with pytest.raises(Conflict, match="no resctrl group"):
            boxes.runtime.update_rdt(box.id, [("linux.intelRdt.memBwSchema", "MB:0=10")])
        assert (tree / "tasks").read_text() == ""

    def test_where_it_is_not_mounted(self, boxes: Boxes) -> None:
        if any(each.kind == "resctrl" for each in mount_table()):
            pytest.skip("it is mounted here")
        with pytest.raises(HostUnfit, match=r"linux\.intelRdt\).*no resctrl file system is mounted"):
            self.started(boxes, closID="/")
        assert boxes.runtime.list() == ()

    @pytest.mark.parametrize(
        ("asked", "told"),
        [
            ({"closID": "a/b"}, r"closID is 'a/b'"),
            ({"closID": "info"}, r"closID is 'info'"),
            ({"closID": ".."}, r"closID is '\.\.'"),
            ({"closID": ""}, r"closID is ''"),
            ({"l3CacheSchema": "MB:0=3"}, "l3CacheSchema is of MB"),
            ({"memBwSchema": "L3:0=3"}, "memBwSchema is of L3"),
            ({"schemata": ["L3:0=3\nMB:0=1"]}, r"schemata\[0\] has more lines"),
            ({"schemata": ["L3:0=3", "half"]}, r"schemata\[1\] is 'half', and no line"),
            ({"schemata": "L3:0=3"}, "schemata must be an array"),
        ],
    )
    def test_what_is_wrong_says_where(self, boxes: Boxes, tree, asked, told) -> None:
        with pytest.raises(Invalid, match=told):
            self.started(boxes, **asked)

    def test_fields_of_older_versions(self, boxes: Boxes, tree) -> None:
        with pytest.raises(Unsupported, match=r"linux\.intelRdt\.enableCMT"):
            self.started(boxes, enableCMT=True)


class TestFiles:
    def test_the_kernels_word_for_what_it_refuses(self, tmp_path) -> None:
        (tmp_path / "info").mkdir()
        (tmp_path / "info/last_cmd_status").write_text("mask out of range\n")
        with pytest.raises(FileNotFoundError) as caught:
            resctrl.write(str(tmp_path / "absent"), "L3:0=fffff")
        assert caught.value.filename == "mask out of range"

    def test_groups(self, tmp_path) -> None:
        group = str(tmp_path / "group")
        resctrl.make(group)
        with pytest.raises(FileExistsError):
            resctrl.make(group)
        (tmp_path / "group/tasks").touch()
        resctrl.enter(group, 7)
        assert (tmp_path / "group/tasks").read_text() == "7"
        (tmp_path / "group/tasks").unlink()
        resctrl.remove(group)
        resctrl.remove(group)
        assert not Path(group).exists()

    @given(st.text(max_size=30))
    def test_any_line_is_read_or_refused(self, line: str) -> None:
        try:
            name, shares = resctrl.parsed(line)
        except ValueError:
            return
        assert name
        assert shares

    def test_spellings(self) -> None:
        assert resctrl.parsed(" L3:0=07F0;1=0 ") == ("L3", {"0": "7f0", "1": "0"})
