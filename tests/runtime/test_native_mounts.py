"""Mounts and devices on the native runtime, as the kernel shows them inside."""

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from moby_runtime.native import moved_root, root
from moby_runtime.native.runtime import Native

from moby.errors import HostUnfit, Invalid, MobyError
from moby.host import mounts, namespaces
from moby.testing.boxes import Boxes, MakeRuntime
from moby.testing.runtime import RuntimeFixtures
from moby.testing.runtime_offers import needs_root

IDS = [{"containerID": 0, "hostID": 100000, "size": 65536}]
Mount = dict[str, Any]


def bound(source: Path | str, destination: str, *options: str, **more: Any) -> Mount:
    return {"destination": destination, "source": str(source), "type": "none", "options": ["bind", *options], **more}


def tmpfs(destination: str, *options: str) -> Mount:
    return {"destination": destination, "type": "tmpfs", "source": "tmpfs", "options": list(options)}


def mounted(boxes: Boxes, *points: Mount, script: str = "true", **linux: Any) -> tuple[dict[str, str], str]:
    """Run a container with mounts; return what mountinfo says of each place, and what the script has said before."""
    data = boxes.config("sh", "-c", f"{script}; echo =; cat /proc/self/mountinfo")
    data["mounts"] += points
    data["linux"].update(linux)
    code, text = boxes.run_config(data)
    assert code == 0, text
    said, _, listed = text.partition("=\n")
    fields = [line.split(" ", 5) for line in listed.splitlines()]
    return {each[4]: each[5] for each in fields}, said


def mapped(boxes: Boxes, data: dict[str, Any]) -> dict[str, Any]:
    """Put a user namespace of many ids into a config.json."""
    data["linux"]["namespaces"].append({"type": "user"})
    data["linux"]["uidMappings"] = data["linux"]["gidMappings"] = IDS
    return data


def options_of(line: str) -> set[str]:
    """Return all options of a line of mountinfo: those of the mount, and those of its file system."""
    before, _, after = line.partition(" - ")
    return {*before.split()[0].split(","), *after.split()[2].split(",")}


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[Path]:
    """Lend a mount whose options a user namespace can't take back, in a mount namespace for this test alone."""
    if os.geteuid():
        pytest.skip("an ordinary user mounts nothing on the host; runs as root")
    folder = tmp_path / "locked"
    folder.mkdir()
    for each in (folder, *list(folder.parents)[:3]):
        if not each.stat().st_mode & stat.S_ISVTX:  # /tmp itself, in a short place for tests
            each.chmod(0o755)
    here = Path.cwd()
    with Path("/proc/self/ns/mnt").open() as before:
        namespaces.unshare(namespaces.FLAGS["mount"])
        try:
            mounts.set_propagation("/", "rprivate")
            flags = mounts.FLAGS["noatime"] | mounts.FLAGS["nosuid"] | mounts.FLAGS["nodev"]
            mounts.mount("locked", str(folder), "tmpfs", flags, "mode=755")
            yield folder
        finally:
            namespaces.join(before.fileno(), namespaces.FLAGS["mount"])
            os.chdir(here)


class TestLocked(RuntimeFixtures):
    """Mounts of another user namespace, whose options stay (mount_namespaces(7), Restrictions)."""

    @pytest.fixture
    def make_runtime(self) -> MakeRuntime:
        return Native

    def test_what_stays_and_what_can_be_added(self, boxes: Boxes, locked: Path) -> None:
        data = mapped(boxes, boxes.config("cat", "/proc/self/mountinfo"))
        data["mounts"].append(bound(locked, "/tmp/l", "rw", "relatime", "nosuid", "noexec"))
        line = next(each for each in boxes.run_config(data)[1].splitlines() if " /tmp/l " in each)
        assert {"rw", "noatime", "nosuid", "nodev", "noexec"} <= options_of(line.split(" ", 5)[5])

    @pytest.mark.parametrize("option", ["suid", "dev"])
    def test_what_cannot_be_taken_back(self, boxes: Boxes, locked: Path, option: str) -> None:
        data = mapped(boxes, boxes.config("true"))
        data["mounts"].append(bound(locked, "/tmp/l", option))
        with pytest.raises(
            HostUnfit, match=r"mount none on /tmp/l \(config.json: mounts\[4\]\): Operation not permitted"
        ):
            boxes.create(data)


class TestMounts(RuntimeFixtures):
    @pytest.fixture
    def make_runtime(self) -> MakeRuntime:
        return Native

    def test_options(self, boxes: Boxes) -> None:
        """Each with what it shows, and its opposite with what it shows no more."""
        shown = {
            "ro": "rw", "nosuid": "suid", "nodev": "dev", "noexec": "exec", "noatime": "atime",
            "nodiratime": "diratime", "nosymfollow": "symfollow", "sync": "async",
            "lazytime": "nolazytime", "dirsync": "defaults", "relatime": "norelatime",
        }  # fmt: skip
        points = []
        for option, opposite in shown.items():
            points += [tmpfs(f"/tmp/t-{option}", option), tmpfs(f"/tmp/o-{option}", option, opposite, "mode=700")]
        folder = boxes.bundles.folder / "source"
        folder.mkdir()
        of_mounts = ("ro", "nosuid", "nodev", "noexec", "nosymfollow")
        if not boxes.rootless:  # a user namespace can't change when access is noted (mount_namespaces(7))
            of_mounts += ("noatime", "nodiratime", "relatime")
        points += [bound(folder, f"/tmp/b-{option}", option) for option in of_mounts]
        points += [tmpfs("/tmp/plain", "defaults", "loud", "silent", "nomand", "iversion", "noiversion", "rw")]
        points += [tmpfs("/tmp/strict", "strictatime"), tmpfs("/tmp/size", "size=64k", "nr_inodes=50")]
        found, _ = mounted(boxes, *points)
        for option in shown:
            assert option in options_of(found[f"/tmp/t-{option}"]), option
            if option not in ("relatime", "dirsync"):
                assert option not in options_of(found[f"/tmp/o-{option}"]), option
        for option in of_mounts:
            assert option in options_of(found[f"/tmp/b-{option}"]), option
        assert not options_of(found["/tmp/strict"]) & {"relatime", "noatime"}
        assert {"size=64k", "nr_inodes=50"} <= options_of(found["/tmp/size"])
        assert options_of(found["/tmp/plain"]) & {"ro", "nosuid"} == set()

    def test_recursive_options(self, boxes: Boxes) -> None:
        below = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
        below = [each for each in below if each.startswith("/sys/")]
        assert below, "this host has nothing mounted below /sys"
        wanted = ("rro", "rnosuid", "rnodev", "rnoexec", "rnosymfollow")
        if not boxes.rootless:
            wanted += ("rnoatime",)
        data = {"destination": "/tmp/sys", "source": "/sys", "options": ["rbind", *wanted]}
        found, _ = mounted(boxes, data)
        lines = [line for place, line in found.items() if place == "/tmp/sys" or place.startswith("/tmp/sys/")]
        assert len(lines) > len(below)
        for line in lines:
            assert {each[1:] for each in wanted} <= options_of(line)
        plain, _ = mounted(boxes, {"destination": "/tmp/sys", "source": "/sys", "options": ["rbind", "ro"]})
        assert "ro" in options_of(plain["/tmp/sys"])
        assert "ro" not in options_of(plain[next(f"/tmp{each}" for each in below if "cgroup" in each)])

    @pytest.mark.parametrize(
        ("option", "mark"), [("shared", "shared:"), ("slave", ""), ("private", ""), ("unbindable", "unbindable")]
    )
    @pytest.mark.parametrize("recursive", ["", "r"])
    def test_propagation(self, boxes: Boxes, option: str, mark: str, recursive: str) -> None:
        found, _ = mounted(
            boxes, bound("/etc", "/tmp/e", f"{recursive}{option}"), tmpfs("/tmp/t", f"{recursive}{option}")
        )
        for place in ("/tmp/e", "/tmp/t"):
            tags = found[place].partition(" - ")[0].split()[1:]
            assert [each for each in tags if each.startswith(mark or "shared")] == tags, (place, tags)
            assert bool(tags) == bool(mark)

    @pytest.mark.parametrize(
        ("propagation", "mark"),
        [("shared", "shared:"), ("slave", None), ("private", ""), ("unbindable", "unbindable"), ("rshared", "shared:")],
    )
    def test_propagation_of_the_root(self, boxes: Boxes, propagation: str, mark: str | None) -> None:
        found, _ = mounted(boxes, rootfsPropagation=propagation)
        tags = found["/"].partition(" - ")[0].split()[1:]
        if mark is not None:
            assert [each for each in tags if each.startswith(mark)] == tags
            assert bool(tags) == bool(mark)
        else:
            assert not any(each.startswith("shared") for each in tags)

    def test_a_remount(self, boxes: Boxes) -> None:
        folder = boxes.bundles.folder / "source"
        folder.mkdir()
        found, said = mounted(
            boxes,
            bound(folder, "/tmp/b"),
            {"destination": "/tmp/b", "options": ["remount", "bind", "ro", "noexec"]},
            tmpfs("/tmp/t", "size=1m", "mode=711"),
            {"destination": "/tmp/t", "type": "tmpfs", "options": ["remount", "size=2m", "nosuid", "private"]},
            script="echo x > /tmp/b/x || echo refused; stat -c %a /tmp/t",
        )
        assert {"ro", "noexec"} <= options_of(found["/tmp/b"])
        assert {"size=2048k", "nosuid"} <= options_of(found["/tmp/t"])
        assert said.splitlines()[-2:] == ["refused", "711"]

    def test_a_remount_has_the_last_word(self, boxes: Boxes) -> None:
        _, said = mounted(
            boxes,
            tmpfs("/tmp/open", "ro"),
            tmpfs("/tmp/shut", "ro"),
            {"destination": "/tmp/open", "options": ["remount", "bind", "rw"]},
            script="echo x > /tmp/open/x; cat /tmp/open/x; echo x > /tmp/shut/x || echo refused",
        )
        assert [line for line in said.splitlines() if not line.startswith("sh:")][-2:] == ["x", "refused"]

    def test_a_tmpfs_is_as_open_as_what_it_covers(self, boxes: Boxes) -> None:
        data = boxes.config("stat", "-c", "%a", "/etc/open", "/etc/told", "/etc/fresh")
        data["mounts"] += [tmpfs("/etc/open"), tmpfs("/etc/told", "mode=700"), tmpfs("/etc/fresh")]
        bundle = boxes.bundles.make("modes", data, shared=False)
        for name in ("open", "told"):
            (bundle / "rootfs/etc" / name).mkdir()
            (bundle / "rootfs/etc" / name).chmod(0o1757)
        box = boxes.create_in(bundle, "modes")
        boxes.runtime.start("modes")
        assert box.text().split() == ["1757", "700", "1777"]

    def test_a_tmpfs_that_begins_with_what_it_covers(self, boxes: Boxes) -> None:
        needs_root(boxes, "an ordinary user makes no devices")
        names = "file deep deep/er/file link pipe node ."
        script = f"cd /etc/many; stat -c '%n %a %u:%g %Y %t:%T' {names}; cat file link; echo new > file; cat file"
        data = boxes.config("sh", "-c", script)
        # Several in one word, and an empty one, which podman writes, are as mount(2) takes them.
        data["mounts"].append(tmpfs("/etc/many", "tmpcopyup", "", "size=1m,nr_inodes=99"))
        bundle = boxes.bundles.make("copied", data, shared=False)
        folder = bundle / "rootfs/etc/many"
        (folder / "deep/er").mkdir(parents=True)
        (folder / "file").write_text("one\n")
        (folder / "deep/er/file").write_text("two\n")
        (folder / "link").symlink_to("deep/er/file")
        os.mkfifo(folder / "pipe")
        os.mknod(folder / "node", stat.S_IFCHR | 0o640, os.makedev(1, 3))
        os.chown(folder / "file", 7, 8)
        (folder / "file").chmod(0o4751)
        (folder / "deep").chmod(0o2700)
        for each, mode in ((folder, 0o755), (folder / "pipe", 0o644), (folder / "deep/er/file", 0o644)):
            each.chmod(mode)
        for each in (*folder.rglob("*"), folder):
            os.utime(each, (1000, 2000), follow_symlinks=False)
        box = boxes.create_in(bundle, "copied")
        boxes.runtime.start("copied")
        assert box.text().splitlines() == [
            "file 4751 7:8 2000 0:0",
            "deep 2700 0:0 2000 0:0",
            "deep/er/file 644 0:0 2000 0:0",
            "link 777 0:0 2000 0:0",
            "pipe 644 0:0 2000 0:0",
            "node 640 0:0 2000 1:3",
            ". 755 0:0 2000 0:0",
            "one",
            "two",
            "new",
        ]
        assert (folder / "file").read_text() == "one\n"

    def test_a_read_only_tmpfs_is_filled_first(self, boxes: Boxes) -> None:
        data = boxes.config("sh", "-c", "cat /etc/one/file; echo x > /etc/one/file || echo refused")
        data["mounts"].append(tmpfs("/etc/one", "tmpcopyup", "ro"))
        bundle = boxes.bundles.make("filled", data, shared=False)
        (bundle / "rootfs/etc/one").mkdir()
        (bundle / "rootfs/etc/one/file").write_text("here\n")
        box = boxes.create_in(bundle, "filled")
        boxes.runtime.start("filled")
        lines = box.text().splitlines()
        assert (lines[0], lines[-1]) == ("here", "refused")

    def test_a_destination_without_a_slash(self, boxes: Boxes) -> None:
        found, _ = mounted(boxes, tmpfs("tmp/relative", "size=4k"))
        assert "size=4k" in options_of(found["/tmp/relative"])

    def test_an_overlay(self, boxes: Boxes) -> None:
        if "overlay" not in Path("/proc/filesystems").read_text():
            pytest.skip("this kernel has no overlay; the guests uml and qemu have")
        folder = boxes.bundles.folder
        for name in ("lower", "upper", "work"):
            (folder / name).mkdir()
        (folder / "lower/file").write_text("below\n")
        options = [f"{name}dir={folder / name}" for name in ("lower", "upper", "work")]
        point = {"destination": "/tmp/o", "type": "overlay", "source": "overlay", "options": options}
        _, said = mounted(boxes, point, script="cat /tmp/o/file; echo above > /tmp/o/file")
        assert said == "below\n"
        (folder / "work/work").chmod(0o700)  # else an ordinary user can't remove it
        assert ((folder / "upper/file").read_text(), (folder / "lower/file").read_text()) == ("above\n", "below\n")

    @pytest.mark.parametrize("option", ["idmap", "ridmap", None])
    def test_ids_of_a_mount(self, boxes: Boxes, option: str | None) -> None:
        needs_root(boxes, "an ordinary user gives no file away")
        folder = boxes.bundles.folder / "owned"
        folder.mkdir()
        os.chown(folder, 1000, 2000)
        more = {
            "uidMappings": [{"containerID": 1000, "hostID": 7000, "size": 10}],
            "gidMappings": [
                {"containerID": 2000, "hostID": 8000, "size": 10},
                {"containerID": 0, "hostID": 0, "size": 5},
            ],
        }
        point = bound(folder, "/tmp/o", *filter(None, [option]), **more)
        _, said = mounted(boxes, point, bound(folder, "/tmp/p"), script="stat -c %u:%g /tmp/o /tmp/p")
        assert said.split() == ["7000:8000", "1000:2000"]

    def test_ids_of_a_mount_are_those_of_the_user_namespace(self, boxes: Boxes) -> None:
        needs_root(boxes, "an ordinary user gives no file away")
        folder = boxes.bundles.folder / "owned"
        folder.mkdir()
        (folder / "file").write_text("x")
        os.chown(folder / "file", 5, 6)
        data = mapped(boxes, boxes.config("sh", "-c", "stat -c %u:%g /tmp/o/file /tmp/p/file; touch /tmp/o/made"))
        data["mounts"] += [bound(folder, "/tmp/o", "idmap"), bound(folder, "/tmp/p")]
        assert boxes.run_config(data) == (0, "5:6\n65534:65534\n")
        assert (folder / "made").stat().st_uid == 0

    def test_sources_that_only_the_host_s_root_may_see(self, boxes: Boxes) -> None:
        needs_root(boxes, "an ordinary user maps one id by itself")
        closed = boxes.bundles.folder / "closed"
        closed.mkdir(mode=0o700)
        (closed / "file").write_text("seen\n")
        (closed / "file").chmod(0o644)
        data = mapped(boxes, boxes.config("cat", "/tmp/file"))
        data["mounts"].append(bound(closed / "file", "/tmp/file"))
        bundle = boxes.bundles.make("inner", data, shared=False)
        bundle.rename(closed / "bundle")
        box = boxes.create_in(closed / "bundle", "inner")
        boxes.runtime.start("inner")
        assert box.text() == "seen\n"

    @pytest.mark.parametrize(
        ("point", "message"),
        [
            (bound("/etc", "/e", "idmap"), "needs uidMappings and gidMappings"),
            (bound("/etc", "/e", uidMappings=IDS), "just one of uidMappings and gidMappings"),
            (tmpfs("/e", "idmap"), "only bind mounts"),
            (bound("/etc", "/e", "tmpcopyup"), "for tmpfs alone"),
            (tmpfs("//"), "a path below /"),
            (bound("/etc", "/e", uidMappings=[{}], gidMappings=IDS), r"mounts\[4\]\.uidMappings\[0\]\.containerID"),
            ({"destination": "/nowhere", "options": ["remount", "bind", "ro"]}, r"mounts\[4\].*No such file"),
            (bound("/no/such", "/e", "idmap", uidMappings=IDS, gidMappings=IDS), r"mounts\[4\].*No such file"),
            ({"destination": "/proc", "type": "none", "source": "/etc", "options": ["bind"]}, "cover /proc"),
        ],
    )
    def test_what_cannot_be_mounted(self, boxes: Boxes, point: Mount, message: str) -> None:
        if point.get("type") == "none" and "idmap" in point["options"]:
            needs_root(boxes, "an ordinary user maps one id by itself")
        data = boxes.config("true")
        data["mounts"].append(point)
        with pytest.raises(Invalid, match=message):
            boxes.create(data)

    def test_a_root_that_cannot_be_pivoted_to(self, boxes: Boxes, monkeypatch) -> None:
        """As on a ramdisk: the root is moved, and the host's proc and sysfs are gone from below it."""
        needs_root(boxes, "an ordinary user can't take single mounts of the host away")

        def refuse(new_root: str, put_old: str) -> None:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), new_root)

        monkeypatch.setattr(mounts, "pivot_root", refuse)
        with pytest.raises(MobyError, match="change the root"):
            boxes.create(boxes.config("true"))
        monkeypatch.setattr(root, "on_first_root", lambda: True)
        found, said = mounted(boxes, script="ls -d /bin /proc/1; ls /")
        assert "boot" not in said.split()
        assert not any(" - sysfs" in line for line in found.values())
        assert sum(" - proc " in line and "/" in place for place, line in found.items()) >= 1

    def test_which_root_is_the_first(self, tmp_path: Path, monkeypatch) -> None:
        assert not moved_root.on_first_root()
        (tmp_path / "mountinfo").write_text("1 1 0:2 / / rw - rootfs rootfs rw\n")
        monkeypatch.setattr(moved_root, "read_text", lambda path: (tmp_path / "mountinfo").read_text())
        assert moved_root.on_first_root()


class TestDevices(RuntimeFixtures):
    @pytest.fixture
    def make_runtime(self) -> MakeRuntime:
        return Native

    def made(self, boxes: Boxes, *devices: dict[str, Any], script: str) -> list[str]:
        data = boxes.config("sh", "-c", script)
        data["linux"]["devices"] = list(devices)
        return boxes.run_config(data)[1].splitlines()

    def test_kinds_modes_and_owners(self, boxes: Boxes) -> None:
        needs_root(boxes, "an ordinary user makes no devices")
        kinds = [
            {"path": "/dev/one", "type": "c", "major": 1, "minor": 5, "fileMode": 0o20640, "uid": 3, "gid": 4},
            {"path": "/dev/two", "type": "b", "major": 7, "minor": 200, "fileMode": 0o600},
            {"path": "/tmp/three", "type": "p", "fileMode": 0o622},
            {"path": "/dev/four", "type": "u", "major": 1, "minor": 8},
            {"path": "/dev/null", "type": "c", "major": 1, "minor": 3, "fileMode": 0o660},
        ]
        names = " ".join(each["path"] for each in kinds)
        assert self.made(boxes, *kinds, script=f"stat -c '%F %a %u:%g %t:%T' {names}") == [
            "character special file 640 3:4 1:5",
            "block special file 600 0:0 7:c8",
            "fifo 622 0:0 0:0",
            "character special file 666 0:0 1:8",
            "character special file 660 0:0 1:3",
        ]

    def test_another_file_in_its_place(self, boxes: Boxes) -> None:
        needs_root(boxes, "an ordinary user makes no devices")
        data = boxes.config("true")
        data["linux"]["devices"] = [{"path": "/etc/passwd", "type": "c", "major": 1, "minor": 3}]
        with pytest.raises(MobyError, match=r"linux\.devices\[0\].*File exists: /etc/passwd"):
            boxes.create(data)

    def test_in_a_user_namespace_they_are_the_host_s(self, boxes: Boxes) -> None:
        needs_root(boxes, "an ordinary user maps one id by itself")
        data = mapped(boxes, boxes.config("sh", "-c", "stat -c %t:%T /dev/null /dev/zero; stat -c %F /tmp/pipe"))
        data["linux"]["devices"] = [
            {"path": "/dev/zero", "type": "c", "major": 1, "minor": 5},
            {"path": "/tmp/pipe", "type": "p"},
        ]
        assert boxes.run_config(data) == (0, "1:3\n1:5\nfifo\n")
        data["linux"]["devices"] = [{"path": "/dev/zero", "type": "c", "major": 1, "minor": 3}]
        with pytest.raises(MobyError, match=r"linux\.devices\[0\].*No such device or address"):
            boxes.create(data)

    def test_a_file_of_the_image_is_covered(self, boxes: Boxes) -> None:
        data = boxes.config("sh", "-c", "cat /dev/null; echo gone > /dev/full || echo full; stat -c %t:%T /dev/null")
        data["mounts"] = [each for each in data["mounts"] if not each["destination"].startswith("/dev")]
        bundle = boxes.bundles.make("nodes", data, shared=False)
        (bundle / "rootfs/dev/null").write_text("of the image\n")
        box = boxes.create_in(bundle, "nodes")
        boxes.runtime.start("nodes")
        lines = box.text().splitlines()
        assert (lines[-2:], "of the image" in lines) == (["full", "1:3"], False)
