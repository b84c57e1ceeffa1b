"""Containers of the native runtime in a mount namespace that is not their own: one that a path names, the caller's."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from moby_runtime.native import shared_mounts
from moby_runtime.native.runtime import Native

from moby.errors import HostUnfit, Invalid
from moby.host import mounts, namespaces
from moby.testing.boxes import Boxes, MakeRuntime, run_inside
from moby.testing.runtime import RuntimeFixtures

NOT_MOUNTS = ("pid", "uts", "network", "ipc", "cgroup")


@pytest.fixture
def namespace() -> Iterator[Path]:
    """The mount namespace of a process that does nothing else."""
    with subprocess.Popen(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", "echo; exec sleep 1000"], stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        yield Path(f"/proc/{holder.pid}/ns/mnt")
        holder.kill()


def mounted(namespace: Path, folder: Path) -> list[str]:
    """Return the mounts at and below a folder, as a process of a namespace sees them."""
    lines = (namespace.parent.parent / "mountinfo").read_text().splitlines()
    points = [line.split()[4] for line in lines]
    return [point for point in points if f"{point}/".startswith(f"{folder}/")]


def sharing(boxes: Boxes, script: str, *mount: dict[str, str]) -> dict[str, Any]:
    data = boxes.config("sh", "-c", script)
    data["linux"]["namespaces"] = [*({"type": each} for each in NOT_MOUNTS), *mount]
    return data


def in_own_mounts(action: Callable[[], Any]) -> Any:
    """Do something in a copy of this process whose mounts are its own, as a caller in a sandbox; return what comes."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            namespaces.unshare(namespaces.FLAGS["mount"])
            mounts.set_propagation("/", "rprivate")
            os.write(write, json.dumps(action()).encode())
        except BaseException as error:
            os.write(write, json.dumps(f"{type(error).__name__}: {error}").encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as file:
        answer = file.read()
    os.waitpid(pid, 0)
    return json.loads(answer)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root joins a mount namespace of the host")
class TestSharedMounts(RuntimeFixtures):
    @pytest.fixture
    def make_runtime(self) -> MakeRuntime:
        return Native

    def test_a_namespace_by_its_path(self, boxes: Boxes, namespace: Path) -> None:
        script = "echo up; readlink /proc/self/ns/mnt; ls /proc/self/ns/mnt >/dev/null && exec sleep 1000"
        box = boxes.create(sharing(boxes, script, {"type": "mount", "path": str(namespace)}))
        root = boxes.bundles.rootfs
        boxes.runtime.start(box.id)
        box.until("up\n")
        assert Path(f"/proc/{box.process.pid}/ns/mnt").samefile(namespace)
        assert mounted(namespace, root.resolve())
        assert mounted(Path("/proc/self/ns/mnt"), root.resolve()) == []
        # A further program has the same root.
        _, out = run_inside(boxes, box.id, "sh", "-c", "ls -d /bin /etc/nonsense")
        assert out.split() == ["/bin", "/etc/nonsense"]
        boxes.runtime.delete(box.id, force=True)
        assert mounted(namespace, root.resolve()) == []

    def test_what_is_hidden_and_read_only_stays_so(self, boxes: Boxes, namespace: Path) -> None:
        tries = [f"(echo x > {path}) 2>/dev/null || echo no" for path in ("/new", "/proc/sys/kernel/hostname")]
        script = "; ".join([*tries, "cat /etc/nonsense", "echo done"])
        data = sharing(boxes, script, {"type": "mount", "path": str(namespace)})
        data["root"]["readonly"] = True
        data["linux"]["maskedPaths"] = ["/etc/nonsense"]
        code, out = boxes.run_config(data)
        assert (code, out) == (0, "no\nno\ndone\n")

    def test_a_mount_that_fails_leaves_nothing(self, boxes: Boxes, namespace: Path) -> None:
        data = sharing(boxes, "true", {"type": "mount", "path": str(namespace)})
        data["mounts"].append({"destination": "/mnt", "type": "nothing"})
        with pytest.raises((Invalid, HostUnfit), match=r"mounts\["):
            boxes.create(data)
        assert mounted(namespace, boxes.bundles.folder.resolve()) == []

    def test_a_root_that_the_namespace_lacks(self, boxes: Boxes, namespace: Path) -> None:
        data = sharing(boxes, "true", {"type": "mount", "path": str(namespace)})
        data["root"]["path"] = "absent"
        with pytest.raises(Invalid, match=r"root\.path"):
            boxes.create(data)

    def test_a_namespace_that_is_gone_at_the_end(self, boxes: Boxes, namespace: Path) -> None:
        shared_mounts.take_off(str(boxes.bundles.folder), "/proc/self/ns/absent")
        shared_mounts.take_off(str(boxes.bundles.folder), str(namespace))  # nothing is mounted there

    def test_the_caller_s_own(self, boxes: Boxes) -> None:
        """In a sandbox whose mounts are its own, since the container's are the caller's."""

        def inside() -> Any:
            box = boxes.create(sharing(boxes, "ls -d /etc/nonsense; exec sleep 1000"))
            root = boxes.bundles.rootfs.resolve()
            boxes.runtime.start(box.id)
            box.until("/etc/nonsense\n")
            while_it_runs = len(mounted(Path("/proc/self/ns/mnt"), root))
            same = Path(f"/proc/{box.process.pid}/ns/mnt").samefile("/proc/self/ns/mnt")
            boxes.runtime.kill(box.id, 9)
            box.code()
            boxes.runtime.delete(box.id)
            return [while_it_runs > 3, same, mounted(Path("/proc/self/ns/mnt"), root)]

        assert in_own_mounts(inside) == [True, True, []]

    def test_another_mount_at_the_same_place_stays(self, boxes: Boxes) -> None:
        """An engine's own, which shows something else than what lies under it."""
        root = boxes.bundles.folder / "root"
        root.mkdir()

        def inside() -> Any:
            mounts.mount("tmpfs", str(root), "tmpfs")
            shared_mounts.take_off(str(root), "")
            once = len(mounted(Path("/proc/self/ns/mnt"), root.resolve()))
            os.close(shared_mounts.bind_root(str(root)))
            twice = len(mounted(Path("/proc/self/ns/mnt"), root.resolve()))
            shared_mounts.take_off(str(root), "")
            return [once, twice, len(mounted(Path("/proc/self/ns/mnt"), root.resolve()))]

        assert in_own_mounts(inside) == [1, 2, 1]
