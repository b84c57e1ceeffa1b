"""Images of processes that the native runtime has CRIU write, and containers that it makes of them."""

import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from moby_runtime.native import criu, dumping, outside
from moby_runtime.native.runtime import Native
from moby_runtime.native.values import MountPoint, ProcessSpec, Spec
from peers import binaries
from runtime.commands import with_criu
from runtime.test_native_killed import await_end, killed_at, steps_of

from moby.contracts.runtime import CheckpointOptions
from moby.contracts.types import Stdio, TaskStatus
from moby.errors import Conflict, Corrupt, HostUnfit, Invalid, Unavailable, Unsupported
from moby.testing.as_user import as_nobody
from moby.testing.boxes import Box, Boxes, MakeRuntime, children, exit_code, readable, run_inside
from moby.testing.runtime import RuntimeFixtures

PLAIN = CheckpointOptions()
POINTS = 20
COUNTING = "i=0; while :; do i=$((i+1)); echo at $i.; sleep 0.02; done"
WHAT = "cat /proc/1/status /proc/1/limits /proc/1/cgroup /proc/1/oom_score_adj; ls -l /proc/1/fd"
WHERE = "while read -r n p d root at more; do echo $root $at ${more%% - *}; done < /proc/1/mountinfo"
MAPPING = [{"containerID": 0, "hostID": 100000, "size": 65536}]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user writes no images; runs as root"),
]


def numbers(text: str) -> list[int]:
    """Return what a counting container has told."""
    return [int(each) for each in text.replace("at ", "").replace("\r", "").split(".\n") if each.isdigit()]


def told(text: str) -> list[str]:
    """Return what must be as it was: all but pids outside and what the kernel counts."""
    changing = ("Pid:", "PPid:", "Tgid:", "NStgid:", "NSpid:", "NSpgid:", "NSsid:", "Vm", "Rss", "Hugetlb", "total ",
                "voluntary", "nonvoluntary", "State:", "SigQ:", "Threads:", "HugetlbPages", "Ngid", "untag_mask",
                "FDSize:", "Speculation", "SigPnd", "ShdPnd", "SigBlk", "l-wx", "lr-x", "lrwx")  # fmt: skip
    return sorted(line for line in text.splitlines() if not line.startswith(changing))


class Images(RuntimeFixtures):
    @pytest.fixture
    def make_runtime(self, shared_rootfs, monkeypatch) -> MakeRuntime:
        binaries.need("criu", "criu")
        return with_criu(Native, shared_rootfs.parent, monkeypatch, in_guests=True)

    def counting(self, boxes: Boxes, more: dict[str, Any] | None = None, **process: Any) -> Box:
        data = boxes.config("sh", "-c", COUNTING, **process)
        for key, value in (more or {}).items():
            data[key] = {**data[key], **value} if isinstance(value, dict) and key in data else value
        box = boxes.started(data, terminal=bool(process.get("terminal")))
        box.until("at 3.")
        return box

    def written(self, boxes: Boxes, box: Box) -> Path:
        image = boxes.bundles.folder / "image"
        boxes.runtime.checkpoint(box.id, image, PLAIN)
        box.code()
        boxes.runtime.delete(box.id)
        return image

    def restored(self, boxes: Boxes, bundle: Path, image: Path, *, terminal: bool = False) -> Box:
        if terminal:
            process = boxes.runtime.restore("again", bundle, image, Stdio(terminal=True), PLAIN)
            return boxes.keep(Box("again", bundle, process, process.terminal_fd, process.terminal_fd))
        output, out = os.pipe()
        null = os.open(os.devnull, os.O_RDONLY)
        try:
            process = boxes.runtime.restore("again", bundle, image, Stdio(null, out, out), PLAIN)
        except BaseException:
            os.close(output)
            raise
        finally:
            os.close(out)
            os.close(null)
        return boxes.keep(Box("again", bundle, process, output))


class TestImages(Images):
    @pytest.mark.parametrize("users", [False, True])
    def test_all_of_a_container_is_as_it_was(self, boxes: Boxes, users: bool) -> None:
        volume = boxes.bundles.folder / "volume"
        (volume / "inner").mkdir(parents=True)
        (volume / "file").write_text("shown\n")
        volume.chmod(0o755)
        data = boxes.config("true")
        mounts = [
            *data["mounts"],
            {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["ro", "nosuid"]},
            {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["ro"]},
            {"destination": "/vol", "type": "bind", "source": str(volume), "options": ["rbind", "ro"]},
            {"destination": "/etc/one", "type": "bind", "source": "../volume/file", "options": ["bind"]},
            {"destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": ["size=1m"]},
            {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue"},
        ]
        calls = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["kexec_load"], "action": "SCMP_ACT_ERRNO"}]}
        linux: dict[str, Any] = {"seccomp": calls, "resources": {"pids": {"limit": 30}, "memory": {"limit": 1 << 28}}}
        if users:
            linux |= {"uidMappings": MAPPING, "gidMappings": MAPPING}
            linux["namespaces"] = [*data["linux"]["namespaces"], {"type": "user"}]
        limits = [{"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200}]
        box = self.counting(boxes, {"mounts": mounts, "linux": linux}, rlimits=limits, oomScoreAdj=300)
        before = [run_inside(boxes, box.id, "sh", "-c", words)[1] for words in (WHAT, WHERE)]
        assert "Seccomp:\t2" in before[0]
        image = self.written(boxes, box)
        again = self.restored(boxes, box.bundle, image)
        after = [run_inside(boxes, again.id, "sh", "-c", words)[1] for words in (WHAT, WHERE)]
        assert told(after[0]) == told(before[0].replace(f"/{box.id}\n", f"/{again.id}\n"))
        assert len(after[0].split("/proc/1/fd")) == len(before[0].split("/proc/1/fd"))
        assert [line.split()[:2] for line in sorted(after[1].splitlines())] == [
            line.replace(f"/{box.id}", f"/{again.id}").split()[:2] for line in sorted(before[1].splitlines())
        ]
        assert run_inside(boxes, again.id, "cat", "/etc/one", "/vol/file") == (0, "shown\nshown\n")
        assert run_inside(boxes, again.id, "touch", "/vol/x")[0] != 0
        assert run_inside(boxes, again.id, "sh", "-c", "read x < /sys/class/net/lo/flags; echo $x")[1] == "0x9\n"
        figures = boxes.runtime.stats(again.id)
        assert (figures.pids_limit, figures.memory_limit_bytes) in ((30, 1 << 28), (30, None), (None, None))

    def test_a_terminal(self, boxes: Boxes) -> None:
        box = self.counting(boxes, terminal=True)
        image = self.written(boxes, box)
        again = self.restored(boxes, box.bundle, image, terminal=True)
        assert numbers(again.until(".\r\n"))[0] >= 3
        code, shown = run_inside(boxes, again.id, "readlink", "/proc/1/fd/1")
        assert (code, shown) == (0, "/dev/pts/0\n")

    def test_without_a_terminal_in_the_image(self, boxes: Boxes) -> None:
        box = self.counting(boxes)
        image = self.written(boxes, box)
        config = box.bundle / "config.json"
        data = json.loads(config.read_text())
        data["process"]["terminal"] = True
        config.write_text(json.dumps(data))
        with pytest.raises(HostUnfit, match=r"process\.terminal.*the image has none"):
            self.restored(boxes, box.bundle, image, terminal=True)
        assert boxes.runtime.list() == ()

    def test_files_of_the_host_as_streams(self, boxes: Boxes) -> None:
        bundle = boxes.bundles.make("files", boxes.config("sh", "-c", COUNTING))
        first, second = (boxes.bundles.folder / name for name in ("first", "second"))
        for name, made in (("files", first), ("again", second)):
            null = os.open(os.devnull, os.O_RDONLY)
            log = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            if name == "files":
                box = boxes.keep(Box(name, bundle, boxes.runtime.create(name, bundle, Stdio(null, log, log))))
                boxes.runtime.start(name)
                while len(numbers(made.read_text())) < 3:
                    assert not readable(box.process.exit_fd, 0.01)
                image = self.written(boxes, box)
            else:
                process = boxes.runtime.restore(name, bundle, image, Stdio(null, log, log), PLAIN)
                box = boxes.keep(Box(name, bundle, process))
                while len(numbers(made.read_text())) < 3:
                    assert not readable(box.process.exit_fd, 0.01)
            os.close(null)
            os.close(log)
        assert numbers(second.read_text())[0] - numbers(first.read_text())[-1] in (0, 1)

    def test_hooks(self, boxes: Boxes) -> None:
        log = boxes.bundles.folder / "hooked"
        names = ("prestart", "createRuntime", "createContainer", "poststart", "poststop")
        hooks = {
            name: [{"path": "/bin/sh", "args": ["sh", "-c", f"cat >/dev/null; echo {name} >> {log}"]}] for name in names
        }
        box = self.counting(boxes, {"hooks": hooks})
        image = self.written(boxes, box)
        log.unlink()
        again = self.restored(boxes, box.bundle, image)
        boxes.runtime.delete(again.id, force=True)
        assert log.read_text().split() == ["prestart", "createRuntime", "poststop"]

    def test_a_hook_that_fails(self, boxes: Boxes) -> None:
        box = self.counting(boxes)
        image = self.written(boxes, box)
        config = box.bundle / "config.json"
        hooks = {"prestart": [{"path": "/bin/sh", "args": ["sh", "-c", "echo no >&2; exit 3"]}]}
        config.write_text(json.dumps({**json.loads(config.read_text()), "hooks": hooks}))
        with pytest.raises(Invalid, match=r"hooks\.prestart\[0\]"):
            self.restored(boxes, box.bundle, image)
        assert boxes.runtime.list() == ()

    @pytest.mark.parametrize(
        ("change", "named"),
        [
            ({"namespaces": [{"type": "user", "path": "/proc/self/ns/user"}, {"type": "mount"}]}, "user namespace"),
            ({"namespaces": [{"type": "pid"}]}, "mount namespace"),
            ({"mounts": {"options": ["rbind", "idmap"]}}, r"mounts\[4\]"),
            ({"seccomp": "notify"}, r"linux\.seccomp\.listenerPath"),
        ],
        ids=["user", "mount", "idmap", "notify"],
    )
    def test_what_no_image_holds(self, boxes: Boxes, change: dict[str, Any], named: str) -> None:
        box = self.counting(boxes)
        config = box.bundle / "config.json"
        data = json.loads(config.read_text())
        if "mounts" in change:
            data["mounts"].append(
                {
                    "destination": "/vol", "source": "/etc", **change["mounts"],
                    "uidMappings": MAPPING, "gidMappings": MAPPING,
                }
            )  # fmt: skip
        elif "seccomp" in change:
            rule = {"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}
            data["linux"]["seccomp"] = {
                "defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/nowhere", "syscalls": [rule],
            }  # fmt: skip
        else:
            data["linux"] |= change
            data.pop("hostname")
        config.write_text(json.dumps(data))
        image = boxes.bundles.folder / "image"
        with pytest.raises(Unsupported, match=named):
            boxes.runtime.checkpoint(box.id, image, PLAIN)
        assert boxes.runtime.state(box.id).status is TaskStatus.RUNNING
        assert not image.exists()

    def test_a_program_that_came_by_exec(self, boxes: Boxes) -> None:
        box = self.counting(boxes)
        null = os.open(os.devnull, os.O_RDWR)
        process = boxes.runtime.exec(box.id, boxes.config("sleep", "1000")["process"], Stdio(null, null, null))
        os.close(null)
        image = boxes.bundles.folder / "image"
        with pytest.raises(Conflict, match=f"process {process.pid} was started in container"):
            boxes.runtime.checkpoint(box.id, image, PLAIN)
        assert not image.exists()
        os.kill(process.pid, signal.SIGKILL)
        assert exit_code(process) == 137
        self.restored(boxes, box.bundle, self.written(boxes, box))

    def test_an_image_that_is_damaged(self, boxes: Boxes) -> None:
        box = self.counting(boxes)
        image = self.written(boxes, box)
        for each in image.glob("core-*.img"):
            each.write_bytes(each.read_bytes()[:20])
        with pytest.raises(HostUnfit, match="cannot make the container of ") as caught:
            self.restored(boxes, box.bundle, image)
        assert "doesn't say why" not in str(caught.value)
        assert boxes.runtime.list() == ()

    @pytest.mark.parametrize(
        "text",
        ["", "[]", '{"mounts": {}}', '{"mounts": {"/x": 3}, "streams": {}}', '{"mounts": 1, "streams": {}}'],
    )
    def test_a_list_that_is_none(self, boxes: Boxes, text: str) -> None:
        image = boxes.bundles.folder / "image"
        image.mkdir()
        (image / "inventory.img").write_bytes((0x58313116).to_bytes(4, "little"))
        if text:
            (image / "moby.json").write_text(text)
        bundle = boxes.bundles.make("again", boxes.config("true"))
        with pytest.raises(Corrupt, match=r"moby\.json"):
            self.restored(boxes, bundle, image)
        assert boxes.runtime.list() == ()

    @pytest.mark.parametrize(
        "name", ["device:/../etc", "root:/../../../../etc", "mount:0:/../../etc", "cgroup:/etc", "etc"]
    )
    def test_an_image_shows_no_folder_of_the_host(self, boxes: Boxes, name: str) -> None:
        """CVE-2024-8676: what a restored container sees of the host was what the image said, not the bundle."""
        volume = boxes.bundles.folder / "volume"
        volume.mkdir()
        more = {"destination": "/vol", "source": str(volume), "options": ["bind"]}
        box = self.counting(boxes, {"mounts": [*boxes.config("true")["mounts"], more]})
        image = self.written(boxes, box)
        listed = image / "moby.json"
        data = json.loads(listed.read_text())
        data["mounts"]["/vol"] = name
        listed.write_text(json.dumps(data))
        with pytest.raises(Corrupt, match="which the bundle lacks"):
            self.restored(boxes, box.bundle, image)
        del data["mounts"]["/vol"]
        data["mounts"]["/other"] = "device:/null"
        listed.write_text(json.dumps(data))
        with pytest.raises(HostUnfit, match="mnt: "):
            self.restored(boxes, box.bundle, image)
        assert boxes.runtime.list() == ()

    def test_it_needs_criu(self, boxes: Boxes, monkeypatch: pytest.MonkeyPatch) -> None:
        box = boxes.sleeping()
        monkeypatch.setenv("PATH", "/nowhere")
        for act in (
            lambda: boxes.runtime.checkpoint(box.id, boxes.bundles.folder / "image", PLAIN),
            lambda: self.restored(boxes, box.bundle, boxes.bundles.folder / "image"),
        ):
            with pytest.raises(HostUnfit, match="criu") as caught:
                act()
            assert caught.value.hint == "apt install criu"

    def test_criu_that_says_nothing(self, boxes: Boxes, monkeypatch: pytest.MonkeyPatch) -> None:
        box = self.counting(boxes)
        image = self.written(boxes, box)
        other = self.counting(boxes)
        programs = boxes.bundles.folder / "bin"
        programs.mkdir()
        (programs / "criu").write_text("#!/bin/sh\nexec sleep 1000\n")
        (programs / "criu").chmod(0o755)
        monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
        monkeypatch.setattr(criu, "LIMIT_S", 0.5)
        with pytest.raises(Unavailable, match=r"criu said nothing for 0\.5 s, and was killed"):
            boxes.runtime.checkpoint(other.id, boxes.bundles.folder / "other", PLAIN)
        assert not (boxes.bundles.folder / "other").exists()
        with pytest.raises(Unavailable, match="criu said nothing"):
            self.restored(boxes, box.bundle, image)
        assert [each.id for each in boxes.runtime.list()] == [other.id]
        assert boxes.runtime.state(other.id).status is TaskStatus.RUNNING

    def test_criu_that_ends_at_once(self, boxes: Boxes, monkeypatch: pytest.MonkeyPatch) -> None:
        box = self.counting(boxes)
        image = self.written(boxes, box)
        other = self.counting(boxes)
        programs = boxes.bundles.folder / "bin"
        programs.mkdir()
        (programs / "criu").write_text("#!/bin/sh\nexit 3\n")
        (programs / "criu").chmod(0o755)
        monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
        with pytest.raises(HostUnfit, match="criu doesn't say why"):
            boxes.runtime.checkpoint(other.id, boxes.bundles.folder / "other", PLAIN)
        with pytest.raises(HostUnfit, match="criu doesn't say why"):
            self.restored(boxes, box.bundle, image)
        (programs / "criu").write_text("no program\n")
        with pytest.raises(HostUnfit, match="cannot start criu: Exec format error"):
            self.restored(boxes, box.bundle, image)
        assert [each.id for each in boxes.runtime.list()] == [other.id]


@pytest.mark.slow
class TestKilled(Images):
    def test_while_it_restores(self, boxes: Boxes) -> None:
        box, before = self.counting(boxes), children()
        image = self.written(boxes, box)

        def restore() -> None:
            self.restored(boxes, box.bundle, image)

        total = steps_of(restore)
        boxes.runtime.delete("again", force=True)
        await_end(boxes, before)
        ends = set()
        for step in range(1, total, max(1, total // POINTS)):
            ends.add(killed_at(step, restore))
            Native(boxes.place).delete("again", force=True)
            await_end(boxes, before)
            assert boxes.runtime.list() == ()
        assert -signal.SIGKILL in ends
        again = self.restored(boxes, box.bundle, image)
        assert numbers(again.until(".\n"))[0] >= 3

    def test_while_it_writes(self, boxes: Boxes) -> None:
        box = self.counting(boxes)
        image = boxes.bundles.folder / "image"

        def write() -> None:
            boxes.runtime.checkpoint(box.id, image, PLAIN, leave_running=True)

        total = steps_of(write)
        for step in range(1, total, max(1, total // 10)):
            shutil.rmtree(image, ignore_errors=True)
            killed_at(step, write)
            seen = numbers(box.until(".\n"))[-1]
            box.until(f"at {seen + 3}.")
        shutil.rmtree(image, ignore_errors=True)
        again = self.restored(boxes, box.bundle, self.written(boxes, box))
        assert numbers(again.until(".\n"))[0] >= 3


def test_an_ordinary_user_writes_none(monkeypatch):
    monkeypatch.setattr(dumping.folders, "find_criu", lambda: "criu")

    def run():
        with pytest.raises(HostUnfit, match="ordinary user"):
            dumping.fit()

    as_nobody(run)


@pytest.mark.parametrize(
    "name",
    ["mount:7", "mount:-1", "mount:x", "mount:0:/../x", "mount:0:x", "device:/../etc/shadow", "device:x", "root:/../x",
     "cgroup:/etc", "", "host:/etc", "root:"],
)  # fmt: skip
def test_names_that_lead_elsewhere(name):
    spec = Spec("/b", "/b/rootfs", False, ProcessSpec((), "/"), {}, mounts=(MountPoint("/x", source="/vol"),))
    with pytest.raises(Corrupt):
        outside.source_of(name, spec, ())


def test_names_of_mounts():
    spec = Spec("/b", "/b/rootfs", False, ProcessSpec((), "/"), {}, mounts=(MountPoint("/x", source="vol"),))
    assert outside.source_of("mount:0", spec, ()) == "/b/vol"
    assert outside.source_of("mount:0:/y", spec, ()) == "/b/vol/y"
    assert outside.source_of("device:/null", spec, ()) == "/dev/null"
    assert outside.source_of("root:/y", spec, ()) == "/b/rootfs/y"


class TestMessages:
    @given(st.integers(0, 2**63), st.text(st.characters(codec="ascii"), max_size=300), st.booleans())
    def test_what_is_written_is_read(self, number, text, flag):
        data = criu.message((1, number), (2, text), (300, flag))
        assert criu._decoded(data) == {1: number, 2: text.encode(), 300: int(flag)}

    @given(st.binary(max_size=60))
    def test_any_bytes_are_read_or_refused(self, data):
        try:
            found = criu._decoded(data)
        except ValueError:
            return
        assert all(isinstance(each, (int, bytes)) for each in found.values())

    def test_options(self):
        data = criu.options(pid=300, leave_running=False, external=["a", "b"], timeout=120)
        assert data == b"\x10\xac\x02\x18\x00\xaa\x02\x01a\xaa\x02\x01b\xe8\x02\x78"


def test_an_image_may_be_moved(tmp_path):
    """What an image leaves out names no folder of the host but trees of control groups and devices."""
    left_out = outside.Outside({"/vol": "mount:3"}, {"0": "pipe:[7]", "1": "file[1:2]"})
    outside.write(left_out, tmp_path)
    shutil.copytree(tmp_path, tmp_path / "moved")
    assert outside.read(tmp_path / "moved") == left_out
    assert left_out.files == ("file[1:2]",)
