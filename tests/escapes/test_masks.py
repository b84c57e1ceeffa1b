"""What of /proc and /sys a container may not read or write, and that the image has no say in it."""

import contextlib
import textwrap
from pathlib import Path
from typing import Any

import pytest
from escape_attacks import Victim, docker_like, run_bundle, tampered, tried

from moby.errors import Invalid, MobyError
from moby.host import mounts
from moby.oci.spec import MASKED_PATHS, READONLY_PATHS
from moby.testing.boxes import Boxes

LEAKY = """
for path in {paths!r}:
    if os.path.isdir(path):
        print(path, "empty" if not os.listdir(path) else "shown", flush=True)
    elif os.path.exists(path):
        with open(path, "rb") as file:
            print(path, "empty" if not file.read(1) else "shown", flush=True)
"""
WRITABLE = """
for path in {paths!r}:
    if os.path.exists(path):
        attempt(path, lambda: os.close(os.open(path, os.O_WRONLY)))
"""
SETTINGS = (
    "/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe", "/proc/sys/kernel/hotplug",
    "/proc/sys/vm/drop_caches",
    "/proc/sys/fs/binfmt_misc/register", "/proc/sys/kernel/printk", "/proc/sys/net/ipv4/ip_forward",
    "/proc/sysrq-trigger", "/proc/irq/default_smp_affinity", "/proc/fs/ext4", "/proc/bus/pci",
    "/sys/kernel/uevent_helper", "/sys/power/state", "/sys/kernel/mm/transparent_hugepage/enabled",
    "/sys/module/kernel/parameters/panic", "/sys/fs/cgroup/release_agent", "/sys/kernel/notes",
)  # fmt: skip


def test_what_is_masked(boxes: Boxes) -> None:
    """CVE-2015-3630, CVE-2017-16539, CVE-2018-10892, CVE-2020-8694: /proc and /sys tell of, or steer, the host."""
    wanted = {"/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/scsi"}
    wanted |= {"/proc/sched_debug", "/proc/timer_list", "/proc/timer_stats", "/sys/firmware"}
    wanted |= {"/sys/devices/virtual/powercap"}
    assert wanted <= set(MASKED_PATHS)
    found = tried(boxes, LEAKY.format(paths=MASKED_PATHS), docker_like(boxes))
    assert "/proc/keys" in found
    assert set(found.values()) == {"empty"}


def test_it_is_shown_without_masks(boxes: Boxes) -> None:
    data = docker_like(boxes)
    data["linux"]["maskedPaths"] = []
    found = tried(boxes, LEAKY.format(paths=["/proc/keys", "/proc/timer_list"]), data)
    assert "shown" in found.values()


def test_settings_of_the_host(boxes: Boxes) -> None:
    """CVE-2015-3630, CVE-2022-0492: root inside writes core_pattern, uevent_helper, sysrq-trigger, release_agent."""
    assert {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"} <= set(READONLY_PATHS)
    found = tried(boxes, WRITABLE.format(paths=SETTINGS), docker_like(boxes))
    assert "/proc/sys/kernel/core_pattern" in found
    assert set(found.values()) <= {"EROFS", "EACCES", "EPERM", "EISDIR"}


def test_settings_are_open_without_readonly_paths(boxes: Boxes) -> None:
    data = docker_like(boxes)
    data["linux"]["readonlyPaths"] = []
    assert tried(boxes, WRITABLE.format(paths=SETTINGS[:1]), data) == {SETTINGS[0]: "done"}


def test_what_is_hidden_is_not_remounted(boxes: Boxes) -> None:
    """CVE-2014-5206, CVE-2014-5207: what is read-only or masked is made writable, or taken away, from inside."""
    code = """
    attempt("remount", mount, None, "/proc/sys", None, None, 0x1020)
    attempt("umount", lambda: c(libc.umount2, b"/proc/keys", 2))
    attempt("proc", mount, "proc", "/mnt", "proc")
    attempt("bind", mount, "/proc", "/mnt", None, None, 0x1000)
    attempt("sysfs", mount, "sysfs", "/mnt", "sysfs")
    """
    assert set(
        tried(boxes, "os.makedirs('/mnt', exist_ok=True)\n" + textwrap.dedent(code), docker_like(boxes)).values()
    ) == {"EPERM"}


class TestNullOfTheImage:
    """A masked file is hidden behind /dev/null, which the image may have made something else."""

    def bundle(self, boxes: Boxes, name: str, target: object) -> Path:
        data = boxes.config("sh", "-c", "stat -c %t:%T /proc/keys; cat /proc/keys; echo taken > /proc/keys")
        data["mounts"] = [each for each in data["mounts"] if each["destination"] == "/proc"]
        data["linux"]["maskedPaths"] = ["/proc/keys"]
        bundle = tampered(boxes, name, data)
        (bundle / "rootfs/dev/null").symlink_to(str(target))
        return bundle

    @pytest.mark.parametrize("kind", ["link-to-the-host", "link-to-proc", "file"])
    def test_it_masks_nothing_else(self, boxes: Boxes, victim: Victim, kind: str) -> None:
        """CVE-2025-31133, CVE-2025-62161: /dev/null of the image is a link, say to core_pattern."""
        before = victim.seen()
        target = {"link-to-the-host": victim.secret, "link-to-proc": "/proc/sysrq-trigger", "file": "x"}[kind]
        bundle = self.bundle(boxes, "null", target)
        if kind == "file":
            (bundle / "rootfs/dev/null").unlink()
            (bundle / "rootfs/dev/null").write_text("of the image\n", encoding="ascii")
        with contextlib.suppress(MobyError):  # to refuse such an image is as good
            assert run_bundle(boxes, bundle, "null") == "1:3\n"
        assert victim.seen() == before

    def test_it_would_be_what_is_shown(self, boxes: Boxes, victim: Victim, monkeypatch) -> None:
        bundle = self.bundle(boxes, "null", victim.secret)
        clone = mounts.clone_tree

        def of_the_image(path: str, **more: Any) -> int:
            return clone(str(bundle / "rootfs/dev/null") if path == "/dev/null" else path, **more)

        monkeypatch.setattr(mounts, "clone_tree", of_the_image)
        assert Victim.SECRET in run_bundle(boxes, bundle, "null")


FAKE = (
    {"destination": "/proc/self", "type": "tmpfs", "source": "t"},
    {"destination": "/proc/1/attr", "type": "tmpfs", "source": "t"},
    {"destination": "/proc/self/attr/exec", "source": "/dev/null", "options": ["bind"]},
    {"destination": "/proc/thread-self/attr", "type": "tmpfs", "source": "t"},
    {"destination": "/proc/sys", "type": "tmpfs", "source": "t"},
    {"destination": "/proc/../proc/sys/kernel", "type": "tmpfs", "source": "t"},
    {"destination": "/link/sys", "type": "tmpfs", "source": "t"},
    {"destination": "/proc", "type": "tmpfs", "source": "t"},
    {"destination": "/proc", "source": "/dev", "options": ["rbind"]},
)


@pytest.mark.parametrize("point", FAKE, ids=lambda each: each["destination"].strip("/").replace("/", "-"))
def test_nothing_is_put_over_proc(boxes: Boxes, point: dict[str, Any]) -> None:
    """CVE-2015-3631, CVE-2019-16884, CVE-2025-52881, CVE-2025-62596, CVE-2015-1334: a false /proc.

    A volume over /proc/self/attr or /proc itself takes what the runtime writes there for confinement.
    """
    data = boxes.config("true")
    data["mounts"].append(point)
    bundle = tampered(boxes, "over", data)
    (bundle / "rootfs/link").symlink_to("proc")
    number = len(data["mounts"]) - 1
    with pytest.raises(Invalid, match=rf"mounts\[{number}\].*/proc"):
        boxes.create_in(bundle, "over")


@pytest.mark.parametrize("name", ["cpuinfo", "meminfo", "uptime", "loadavg", "stat", "swaps", "diskstats"])
def test_what_may_be_put_over_proc(boxes: Boxes, name: str, tmp_path: Path) -> None:
    """What lxcfs gives containers."""
    (tmp_path / name).write_text("given\n", encoding="ascii")
    data = boxes.config("cat", f"/proc/{name}")
    data["mounts"].append({"destination": f"/proc/{name}", "source": str(tmp_path / name), "options": ["bind"]})
    assert boxes.run_config(data) == (0, "given\n")


def test_proc_of_the_host_may_be_given(boxes: Boxes) -> None:
    data = boxes.config("cat", "/proc/self/comm")
    data["mounts"][0] = {"destination": "/proc", "source": "/proc", "options": ["rbind"]}
    data["linux"]["namespaces"] = [each for each in data["linux"]["namespaces"] if each["type"] != "pid"]
    assert boxes.run_config(data) == (0, "cat\n")


def test_root_stays_root_of_nothing_else(boxes: Boxes, victim: Victim) -> None:
    """CVE-2015-3627: the way to the root is followed by a descriptor of it; what is above isn't there."""
    code = f"""
    import ctypes
    attempt("dots", lambda: os.stat("/" + "../" * 30 + {str(victim.secret)!r}))
    attempt("root", lambda: os.stat("/proc/1/root" + {str(victim.secret)!r}))
    attempt("cwd", lambda: os.stat("/proc/1/cwd" + {str(victim.secret)!r}))
    root = os.open("/", os.O_RDONLY)
    os.makedirs("/jail", exist_ok=True)
    os.chroot("/jail")
    os.fchdir(root)
    for _ in range(100):
        os.chdir("..")
    os.chroot(".")
    attempt("chroot", lambda: os.stat({str(victim.secret)!r}))
    """
    assert set(tried(boxes, code, docker_like(boxes)).values()) == {"ENOENT"}
    assert victim.secret.exists()
