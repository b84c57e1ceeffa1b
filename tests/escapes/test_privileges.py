"""What processes inside may: capabilities, groups, users, and the parts of the kernel that only privilege opens."""

import os
import shutil
import tempfile
import textwrap
from pathlib import Path

import pytest
from escape_attacks import docker_like, tampered, tried, tried_inside
from moby_runtime.native.cli import exec as exec_command
from moby_runtime.native.runtime import Native

from moby.errors import Corrupt, Invalid, NotFound
from moby.host import capabilities
from moby.oci.spec import DEFAULT_CAPABILITIES
from moby.oci.user import User, parse_user, resolve_user
from moby.testing.as_user import as_nobody
from moby.testing.boxes import Boxes, place_in
from moby.testing.bundles import Bundles

STATUS = """
for line in open("/proc/self/status"):
    name, _, value = line.partition(":")
    if name.startswith(("Cap", "NoNewPrivs", "Seccomp", "Uid", "Gid", "Groups")):
        print(name, ",".join(value.split()) or "none", flush=True)
"""
BOUNDING = sum(1 << number for number in capabilities.numbers(DEFAULT_CAPABILITIES))


def hexadecimal(found: dict[str, str], name: str) -> int:
    return int(found[name], 16)


class TestCapabilities:
    def test_none_is_inheritable(self, boxes: Boxes) -> None:
        """CVE-2022-24769, CVE-2022-27649, CVE-2022-27650, CVE-2022-27651, CVE-2022-27652, CVE-2022-29162,
        CVE-2025-27612: engines made a container's capabilities inheritable.

        With them a user inside gains by a file's inheritable capabilities what was root's.
        """
        data = docker_like(boxes, user=User(1000, 1000))
        box = boxes.started(docker_like(boxes, "sleep", "1000"))
        process = {**data["process"], "args": []}
        del process["args"]
        for found in (tried(boxes, STATUS, data), tried_inside(boxes, box.id, STATUS, **process)):
            assert hexadecimal(found, "CapInh") == hexadecimal(found, "CapAmb") == 0
            assert hexadecimal(found, "CapBnd") == BOUNDING

    def test_they_would_be_seen(self, boxes: Boxes) -> None:
        data = docker_like(boxes)
        data["process"]["capabilities"]["inheritable"] = ["CAP_CHOWN"]
        assert hexadecimal(tried(boxes, STATUS, data), "CapInh") == 1

    def test_another_user_has_none(self, boxes: Boxes) -> None:
        """CVE-2016-8867, CVE-2018-10856: who isn't root kept root's capabilities, by the ambient set or by no drop."""
        code = STATUS + textwrap.dedent("""
        attempt("shadow", open, "/etc/hidden")
        attempt("setuid", os.setuid, 0)
        attempt("chroot", os.chroot, "/tmp")
        attempt("mknod", os.mknod, "/tmp/null", 0o20666, os.makedev(1, 3))
        """)
        bundle_root = boxes.bundles.rootfs / "etc/hidden"
        bundle_root.touch(mode=0o600)
        found = tried(boxes, code, docker_like(boxes, user=User(1000, 1000)))
        assert {hexadecimal(found, name) for name in ("CapEff", "CapPrm", "CapAmb", "CapInh")} == {0}
        assert {found[name] for name in ("shadow", "setuid", "chroot", "mknod")} == {"EACCES", "EPERM"}
        root = tried(boxes, code, docker_like(boxes))
        assert (root["shadow"], hexadecimal(root, "CapEff")) == ("done", BOUNDING)

    def test_what_comes_in_is_confined_as_the_rest(self, boxes: Boxes) -> None:
        """CVE-2019-10144, CVE-2019-10145, CVE-2019-10147: exec gave all capabilities, no filter and no limits."""
        code = STATUS + "print('groups', open('/proc/self/cgroup').read().replace('\\n', ','))\n"
        data = docker_like(boxes)
        first = tried(boxes, code, data)
        box = boxes.started(docker_like(boxes, "sleep", "1000"))
        process = {name: each for name, each in data["process"].items() if name != "args"}
        second = tried_inside(boxes, box.id, code, **process)
        assert second == first
        assert second["Seccomp"] == "2"
        assert len(boxes.runtime.pids(box.id)) == 1

    def test_what_comes_in_is_limited_as_the_rest(self, boxes: Boxes) -> None:
        """CVE-2019-10147: what comes in counts among the processes of the container."""
        data = docker_like(boxes, "sleep", "1000")
        data["linux"]["resources"]["pids"] = {"limit": 3}
        box = boxes.started(data)
        code = """
        import time
        children = []
        try:
            for _ in range(20):
                children.append(os.fork())
                if not children[-1]:
                    time.sleep(60)
                    os._exit(0)
        except OSError as error:
            print("fork", errno.errorcode[error.errno], flush=True)
        print("children", len(children), flush=True)
        for each in children:
            os.kill(each, 9)
            os.waitpid(each, 0)
        """
        found = tried_inside(boxes, box.id, code)
        assert found == {"fork": "EAGAIN", "children": "1"}


class TestUsers:
    @pytest.mark.parametrize(
        ("text", "uid"),
        [("1000", 0), ("1001", 1001), ("00", 0), ("0", 0), ("2147483647", 2147483647)],
        ids=["named-1000", "number", "zeros", "zero", "biggest"],
    )
    def test_names_of_digits(self, boxes: Boxes, text: str, uid: int) -> None:
        """CVE-2016-3697, CVE-2026-30892: a user name of digits in the image's passwd stands for root.

        As Docker has it the name wins over the number, so who asks by number for an image that isn't trusted gets what
        the image says, within the container; never is it what a later part of the text says.
        """
        passwd = "root:x:0:0::/root:/bin/sh\n1000:x:0:0::/:/bin/sh\n"
        assert parse_user(text, passwd, "").uid == uid

    @pytest.mark.parametrize(
        "text",
        ["4294967296", "2147483648", "-1", "+0", "0x0", "\uff11", "4294967296:0", "0:4294967296", "9" * 5000, "1000:-1",
         "99999999999999999999:0", "\u0661"],
    )  # fmt: skip
    def test_numbers_that_run_over(self, text: str) -> None:
        """CVE-2024-40635, CVE-2026-46680: a number beyond 32 bits came to be root."""
        with pytest.raises(NotFound):
            parse_user(text, "root:x:0:0::/root:/bin/sh\n", "")

    @pytest.mark.parametrize("text", ["", "-1", "+1", " 1", "1 ", "0x1", "1:2", "root", "\uff11", "9" * 5000, "1e1"])
    def test_numbers_of_a_command_line(self, text: str) -> None:
        """CVE-2026-30892: what `exec --user` was given came to be another user."""
        with pytest.raises(Invalid, match="--user"):
            exec_command._id(text, "--user")

    @pytest.mark.parametrize("name", ["uid", "gid"])
    @pytest.mark.parametrize("number", [2**32, 2**32 - 1, 2**31 * 2, 2**64, -1])
    def test_numbers_of_a_bundle_that_run_over(self, boxes: Boxes, name: str, number: int) -> None:
        """CVE-2024-40635: and so in a bundle."""
        data = boxes.config("true")
        data["process"]["user"][name] = number
        with pytest.raises(Invalid, match=rf"process\.user\.{name}"):
            boxes.create(data)

    def test_the_primary_group_is_kept(self, boxes: Boxes) -> None:
        """CVE-2022-36109, CVE-2022-2989, CVE-2022-2990, CVE-2022-2995, CVE-2023-25173: a group denied by a file's mode.

        A program that sets its group leaves the primary one, and what that one may not do; so it is among the others.
        """
        code = """
        os.setgid(2000)
        attempt("denied", os.listdir, "/tmp/denied")
        """
        data = docker_like(boxes, user=User(1000, 1000, (3000,)))
        caps = data["process"]["capabilities"]
        caps["ambient"] = caps["inheritable"] = ["CAP_SETGID"]
        bundle = tampered(boxes, "denied", data)
        data["root"]["path"] = str(bundle / "rootfs")
        (bundle / "rootfs/tmp/denied").mkdir()
        os.chown(bundle / "rootfs/tmp/denied", 0, 1000)
        (bundle / "rootfs/tmp/denied").chmod(0o707)
        assert tried(boxes, code, data) == {"denied": "EACCES"}
        data["process"]["user"]["additionalGids"] = [3000]
        assert tried(boxes, code, data) == {"denied": "done"}

    def test_groups_are_not_dropped_in_a_user_namespace(self, boxes: Boxes) -> None:
        """CVE-2014-8989, CVE-2018-7169: an ordinary user leaves a group by a user namespace of its own."""
        rootfs = boxes.bundles.rootfs

        def run() -> None:
            folder = Path(tempfile.mkdtemp())
            own = Boxes(Native(place_in(folder / "place")), place_in(folder / "other"), Bundles(folder / "b", rootfs))
            code = "attempt('groups', os.setgroups, [])\nattempt('map', write, '/proc/self/setgroups', 'allow')"
            try:
                assert set(tried(own, code).values()) <= {"EPERM", "EACCES"}
            finally:
                own.close()
                shutil.rmtree(folder)

        as_nobody(run)

    @pytest.mark.parametrize("kind", ["fifo", "link", "device", "folder", "huge"])
    def test_odd_passwd(self, boxes: Boxes, kind: str) -> None:
        """CVE-2024-9676, CVE-2026-47262: the image's passwd or group is a pipe, a link to the host's, or endless."""
        root = tampered(boxes, "odd", boxes.config("true")) / "rootfs"
        path = root / "etc/passwd"
        path.unlink()
        if kind == "fifo":
            os.mkfifo(path)
        elif kind == "link":
            path.symlink_to("/../../../../../../etc/passwd")
        elif kind == "device":
            os.mknod(path, 0o20666, os.makedev(1, 5))
        elif kind == "folder":
            path.mkdir()
        else:
            with path.open("wb") as file:
                file.truncate(1 << 40)
        try:
            assert resolve_user(root, "1000") == User(1000)
        except Corrupt:
            assert kind == "huge"


KERNEL = """
    attempt("userns", lambda: c(libc.unshare, 0x10000000))
    attempt("mountns", lambda: c(libc.unshare, 0x00020000))
    attempt("clone", lambda: c(libc.syscall, {clone}, 0x10000011, 0, 0, 0, 0))
    attempt("mount", mount, "tmpfs", "/tmp", "tmpfs")
    attempt("fsopen", lambda: c(libc.syscall, 430, b"ext4", 0))
    attempt("open_tree", lambda: c(libc.syscall, 428, -100, b"/", 1))
    attempt("bpf", lambda: c(libc.syscall, {bpf}, 0, 0, 0))
    attempt("keyctl", lambda: c(libc.syscall, {keyctl}, 0, -3, 0))
    attempt("add_key", lambda: c(libc.syscall, {add_key}, b"user", b"x", b"x", 1, -4))
    attempt("io_uring", lambda: c(libc.syscall, 425, 8, 0))
    attempt("userfaultfd", lambda: c(libc.syscall, {userfaultfd}, 1))
    attempt("perf", lambda: c(libc.syscall, {perf}, 0, 0, -1, -1, 0))
    attempt("reboot", lambda: c(libc.reboot, 0x89ABCDEF))
    attempt("module", lambda: c(libc.syscall, {init_module}, 0, 0, b""))
    attempt("kexec", lambda: c(libc.syscall, {kexec}, 0, 0, 0, 0))
    attempt("settime", lambda: __import__("time").clock_settime(0, 0))
"""
X86 = {"clone": 56, "bpf": 321, "keyctl": 250, "add_key": 248, "userfaultfd": 323, "perf": 298, "init_module": 175,
       "kexec": 246}  # fmt: skip
ARM = {"clone": 220, "bpf": 280, "keyctl": 219, "add_key": 217, "userfaultfd": 282, "perf": 241, "init_module": 105,
       "kexec": 104}  # fmt: skip
CODE = textwrap.dedent(KERNEL.format(**(X86 if os.uname().machine == "x86_64" else ARM)))


def test_parts_of_the_kernel(boxes: Boxes) -> None:
    """CVE-2022-0185, CVE-2015-1328, CVE-2015-8660, CVE-2016-0728, CVE-2016-2383, CVE-2017-1000112, CVE-2021-3490,
    CVE-2023-0386, CVE-2022-29582: bugs of the kernel in what a container is refused.

    Each was reached by a user namespace, mount, BPF, keys or io_uring.
    """
    found = tried(boxes, CODE, docker_like(boxes))
    assert len(found) == 16
    assert {name: said for name, said in found.items() if said not in ("EPERM", "ENOSYS")} == {}


def test_they_are_reached_without_a_filter(boxes: Boxes) -> None:
    """Some are open to root without capabilities, so that it is the profile that refuses them."""
    data = docker_like(boxes)
    del data["linux"]["seccomp"]
    found = tried(boxes, CODE, data)
    assert (found["userns"], found["keyctl"]) == ("done", "done")
