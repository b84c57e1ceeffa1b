"""Descriptors, memory and files of the runtime: nothing of them comes into a container with its processes."""

import fcntl
import json
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from escape_attacks import Victim, code, docker_like, outcome, run_bundle, tampered, tried, tried_inside

from moby.errors import Invalid
from moby.host import mounts, processes, syscalls
from moby.testing.boxes import Boxes

OPEN = """
for name in sorted(os.listdir("/proc/self/fd"), key=int):
    try:
        print(name, os.readlink("/proc/self/fd/" + name).replace(" ", "_"), flush=True)
    except FileNotFoundError:
        pass
"""


@pytest.fixture
def careless_caller(victim: Victim) -> Iterator[None]:
    """A caller that has the host's folders open, at low and high numbers, without close-on-exec."""
    folder = os.open(victim.folder, os.O_RDONLY)
    high = fcntl.fcntl(folder, fcntl.F_DUPFD, 900)
    secret = os.open(victim.secret, os.O_RDWR)
    for fd in (folder, high, secret):
        os.set_inheritable(fd, True)
    yield
    for fd in (folder, high, secret):
        os.close(fd)


@pytest.mark.usefixtures("careless_caller")
class TestWhatIsOpen:
    def test_of_the_first_process(self, boxes: Boxes) -> None:
        """CVE-2024-21626, CVE-2015-3627: what the runtime or its caller has open is the host's."""
        assert tried(boxes, OPEN).keys() == {"0", "1", "2"}

    def test_of_one_that_comes_in(self, boxes: Boxes) -> None:
        """CVE-2016-8649, CVE-2016-9962: and so it is by exec."""
        box = boxes.sleeping()
        assert tried_inside(boxes, box.id, OPEN).keys() == {"0", "1", "2"}

    @pytest.mark.parametrize("name", ["createRuntime", "createContainer", "startContainer", "poststart"])
    def test_of_a_hook(self, boxes: Boxes, victim: Victim, name: str, tmp_path: Path) -> None:
        """CVE-2024-21626: hooks of a bundle, too, are other people's programs."""
        told = tmp_path / "told" if name != "startContainer" else Path("/told")
        script = f'for fd in /proc/self/fd/*; do readlink "$fd"; done > {told}; :'
        bundle = tampered(boxes, "hooked", boxes.config("true"))
        data = boxes.config("sleep", "1000")
        data["hooks"] = {name: [{"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin:/usr/bin"]}]}
        (bundle / "config.json").write_text(json.dumps(data), encoding="utf-8")
        box = boxes.create_in(bundle, "hooked")
        boxes.runtime.start(box.id)
        found = Path(str(bundle / "rootfs") + str(told) if name == "startContainer" else told).read_text().splitlines()
        assert found
        assert not [line for line in found if str(victim.folder) in line or str(boxes.place.run) in line]

    def test_they_are_seen_without_care(self, boxes: Boxes, victim: Victim, monkeypatch) -> None:
        monkeypatch.setattr(processes, "close_other_descriptors", lambda keep: None)
        monkeypatch.setattr(processes, "set_dumpable", lambda on: None)
        assert str(victim.secret) in tried(boxes, OPEN).values()

    @pytest.mark.slow
    @pytest.mark.parametrize("how", ["create", "exec", "link", "deep-link"])
    def test_as_a_working_folder(self, boxes: Boxes, victim: Victim, how: str) -> None:
        """CVE-2024-21626, CVE-2026-55686: process.cwd goes by /proc/self/fd, or by a link of the image, to the host."""
        look = "import os\nos.chdir('../../../../../../..')\nprint('up', os.path.exists('usr/bin/python3'))\n"
        bundle = tampered(boxes, "cwd", boxes.config("sleep", "1000"))
        for number in (*range(3, 24), 900):
            path = f"/proc/self/fd/{number}"
            if how.endswith("link"):
                (bundle / "rootfs/link").unlink(missing_ok=True)
                (bundle / "rootfs/link").symlink_to(path if how == "link" else f"{path}/../..")
                path = "/link"
            with pytest.raises(Invalid, match=r"process\.cwd"):
                if how == "exec":
                    box = boxes.sleeping()
                    try:
                        tried_inside(boxes, box.id, look, cwd=path)
                    finally:
                        boxes.runtime.delete(box.id, force=True)
                else:
                    data = boxes.config("sleep", "1000")
                    data["process"]["cwd"] = path
                    (bundle / "config.json").write_text(json.dumps(data), encoding="utf-8")
                    boxes.create_in(bundle, f"cwd{number}")

    @pytest.mark.slow
    def test_a_working_folder_is_the_hosts_without_care(self, boxes: Boxes, victim: Victim, monkeypatch) -> None:
        def careless(root_fd: int, path: str, flags: int = os.O_PATH, mode: int = 0) -> int:
            return os.open(path if path.startswith("/proc/self/fd/") else f"/{path}".replace("//", "/"), flags)

        from moby_runtime.programs import program

        monkeypatch.setattr(processes, "close_other_descriptors", lambda keep: None)
        monkeypatch.setattr(program.mounts, "open_in_root", self.only_for_cwd(mounts.open_in_root, careless))
        monkeypatch.setattr(program, "current_folder", lambda: "/")
        found = {}
        for number in (*range(3, 24), 900):
            data = boxes.config(*code("attempt('read', lambda: print('got', open('secret').read().replace(' ', '_')))"))
            data["process"]["cwd"] = f"/proc/self/fd/{number}"
            try:
                found |= outcome(boxes.run_config(data)[1])
            except Exception:
                continue
        assert found["got"] == Victim.SECRET.replace(" ", "_")

    @staticmethod
    def only_for_cwd(usual: Any, careless: Any) -> Any:
        def opened(root_fd: int, path: str, *rest: Any) -> int:
            return (careless if path.startswith("/proc/self/fd") else usual)(root_fd, path, *rest)

        return opened


def test_the_callers_environment_stays_outside(boxes: Boxes, monkeypatch) -> None:
    """CVE-2021-3602: variables of the host, such as passwords, were in a container's environment."""
    monkeypatch.setenv("PASSWORD", Victim.SECRET)
    code = """
    lines = open("/proc/1/environ").read().split("\\0")
    print("init", sorted(line.partition("=")[0] for line in lines if line), flush=True)
    print("own", sorted(os.environ), flush=True)
    """
    names = "['HOME', 'PATH']"
    assert tried(boxes, code) == {"init": names, "own": names}
    box = boxes.started(boxes.config("sleep", "1000"))
    assert tried_inside(boxes, box.id, code) == {"init": names, "own": names}


class TestCodeOfTheImage:
    """What sets a container up runs nothing, and imports nothing, that the container or its image brought."""

    def poison(self, root: Path) -> Path:
        """Lay modules, encodings and libraries where a runtime inside would look for them."""
        mark = root / "mark"
        text = "open('/mark', 'a').write('run\\n')\n"
        folders = {Path(each) for each in sys.path if each} | {Path(os.__file__).parent, Path("/")}
        names = ("encodings/idna.py", "encodings/utf_8.py", "traceback.py", "json/decoder.py", "linecache.py",
                 "pwd.py", "moby/__init__.py", "moby_runtime/programs/executable.py", "resource.py",
                 "sitecustomize.py")  # fmt: skip
        for folder in folders:
            for name in names:
                target = root / str(folder).lstrip("/") / name
                if "python3" in str(folder) or folder == Path("/"):
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.unlink(missing_ok=True)
                    target.write_text(text, encoding="ascii")
        for name in ("libnss_files.so.2", "libnss_dns.so.2", "libgcc_s.so.1"):
            (root / "lib").mkdir(exist_ok=True)
            (root / "lib" / name).unlink(missing_ok=True)
            (root / "lib" / name).write_bytes(b"no library")
        for name in ("nsenter", "mount", "newuidmap", "modprobe", "crun", "runc", "ps", "python3"):
            target = root / "bin" / name
            target.unlink(missing_ok=True)
            target.write_text(f"#!/bin/sh\necho {name} >> /mark\n", encoding="ascii")
            target.chmod(0o755)
        return mark

    @pytest.mark.parametrize("args", [["true"], ["absent"], ["/tmp"]], ids=["runs", "not-found", "no-program"])
    def test_nothing_of_it_is_run(self, boxes: Boxes, args: list[str]) -> None:
        """CVE-2019-14271, CVE-2022-1227, CVE-2026-41567: libraries or programs of the image, as the host's root."""
        bundle = tampered(boxes, "poison", boxes.config(*args, user={"uid": 0, "gid": 0, "username": "héro"}))
        mark = self.poison(bundle / "rootfs")
        try:
            run_bundle(boxes, bundle, "poison")
        except Invalid:
            assert args != ["true"]
        assert not mark.exists()

    def test_nothing_of_it_is_run_to_look_at_it(self, boxes: Boxes) -> None:
        """CVE-2022-1227: listing a container's processes ran nsenter of its image."""
        bundle = tampered(boxes, "looked", boxes.config("sleep", "1000"))
        mark = self.poison(bundle / "rootfs")
        box = boxes.create_in(bundle, "looked")
        boxes.runtime.start(box.id)
        assert boxes.runtime.pids(box.id) == (box.process.pid,)
        assert boxes.runtime.state(box.id).pid == box.process.pid
        boxes.runtime.kill(box.id, 9)
        assert not mark.exists()


class TestFilesOfTheHost:
    def test_the_runtimes_interpreter_is_not_left_writable(self, boxes: Boxes) -> None:
        """CVE-2019-5736, CVE-2020-14298: /proc/self/exe, and its links in the image, never are the host's program."""
        host = Path("/proc/self/exe").stat()
        code = """
        for path in ("/proc/self/exe", "/proc/1/exe", "/proc/thread-self/exe"):
            found = os.stat(path)
            print(path, f"{found.st_dev}:{found.st_ino}", flush=True)
        """
        for found in (tried(boxes, code), tried_inside(boxes, boxes.sleeping().id, code)):
            assert f"{host.st_dev}:{host.st_ino}" not in found.values()

    def test_handles_of_files(self, boxes: Boxes, victim: Victim) -> None:
        """CVE-2014-3519: open_by_handle_at(2) opens any file of a file system ("shocker")."""
        handle = self.handle_of(victim.secret)
        code = f"""
        raw = bytes.fromhex({handle!r})
        root = os.open("/", os.O_RDONLY)
        buffer = ctypes.create_string_buffer(raw, len(raw))
        attempt("open", lambda: c(libc.open_by_handle_at, root, buffer, os.O_RDONLY))
        """
        assert tried(boxes, code, docker_like(boxes)) == {"open": "EPERM"}
        powerful = docker_like(boxes, cap_add=("DAC_READ_SEARCH",))
        powerful["linux"].pop("seccomp", None)
        assert tried(boxes, code, powerful) == {"open": "done"}

    @staticmethod
    def handle_of(path: Path) -> str:
        import ctypes
        import struct

        buffer = ctypes.create_string_buffer(struct.pack("Ii", 128, 0), 136)
        mount = ctypes.c_int()
        syscalls.call(syscalls.libc.name_to_handle_at, -100, os.fsencode(path), buffer, ctypes.byref(mount), 0)
        size = struct.unpack_from("I", buffer)[0]
        return buffer.raw[: 8 + size].hex()

    def test_devices(self, boxes: Boxes) -> None:
        """CVE-2022-0492: nodes of the host's disks, memory and kernel are made; none opens."""
        code = """
        for name, kind, number in (("disk", 0o60000, os.makedev(8, 0)), ("loop", 0o60000, os.makedev(7, 0)),
                                   ("mem", 0o20000, os.makedev(1, 1)), ("kmsg", 0o20000, os.makedev(1, 11)),
                                   ("vda", 0o60000, os.makedev(254, 0)), ("port", 0o20000, os.makedev(1, 4)),
                                   ("fuse", 0o20000, os.makedev(10, 229)), ("tun", 0o20000, os.makedev(10, 200))):
            os.mknod("/" + name, kind | 0o666, number)
            attempt(name, lambda: os.close(os.open("/" + name, os.O_RDWR | os.O_NONBLOCK)))
            os.unlink("/" + name)
        """
        found = tried(boxes, code, docker_like(boxes))
        assert len(found) == 8
        assert set(found.values()) == {"EPERM"}
        free = docker_like(boxes)
        free["linux"]["resources"]["devices"] = [{"allow": True, "access": "rwm"}]
        assert tried(boxes, code, free)["disk"] in ("done", "ENXIO")

    def test_devices_are_refused_unless_allowed(self, boxes: Boxes) -> None:
        """GHSA-g54h-m393-cpwq: rules that only allow are the whole list, and no exceptions to "all"."""
        code = "os.mknod('/disk', 0o60666, os.makedev(8, 0))\n"
        code += "attempt('disk', open, '/disk')\nattempt('null', open, '/dev/null')\nos.unlink('/disk')"
        data = docker_like(boxes)
        data["linux"]["resources"]["devices"] = [
            {"allow": True, "type": "c", "major": 1, "minor": 5, "access": "rwm"},
            {"allow": True, "type": "b", "access": "m"},
        ]
        assert tried(boxes, code, data) == {"disk": "EPERM", "null": "done"}


@pytest.mark.parametrize("false_proc", [True, False])
def test_a_false_proc_when_a_program_is_pinned(boxes: Boxes, false_proc: bool) -> None:
    """CVE-2019-5736: where a profile refuses execveat the program is run by /proc, which must be the kernel's.

    Links of the image in its place would be the program when it is looked at, and the host's a moment later.
    """
    data = boxes.config("/bin/echo", "ran")
    refusal = {"names": ["execveat"], "action": "SCMP_ACT_ERRNO"}
    data["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [refusal]}
    if false_proc:
        data["mounts"] = [{"destination": "/real", "type": "proc", "source": "proc"}]
        data["linux"] |= {"maskedPaths": [], "readonlyPaths": []}
    bundle = tampered(boxes, "pinned", data)
    links = bundle / "rootfs/proc/self/fd"
    links.mkdir(parents=True)
    for number in range(40):
        (links / str(number)).symlink_to("/bin/echo")
    box = boxes.create_in(bundle, "pinned")
    if not false_proc:
        boxes.runtime.start(box.id)
        assert box.text() == "ran\n"
        return
    with pytest.raises(Invalid, match=r"linux\.seccomp"):
        boxes.runtime.start(box.id)


def test_modes_of_what_is_kept(boxes: Boxes) -> None:
    """CVE-2021-41091, CVE-2021-41103, CVE-2024-25621: who is no root of the host gets into no container's folder."""
    box = boxes.sleeping()
    folder = boxes.place.run / box.id
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    from moby.testing.as_user import as_nobody

    def look() -> None:
        for path in (folder / "state.json", folder / "start.sock"):
            with pytest.raises(PermissionError):
                path.stat()
        with pytest.raises(PermissionError):
            Path(f"/proc/{box.process.pid}/root").readlink()

    as_nobody(look)


def test_planted_folders(boxes: Boxes, victim: Victim) -> None:
    """CVE-2015-1331: a link lies where the runtime would make a container's folder."""
    before = victim.seen()
    for target in (victim.folder, victim.folder / "fresh"):
        (boxes.place.run / "planted").symlink_to(target)
        with pytest.raises(Exception, match="planted"):
            boxes.create(boxes.config("true"), "planted")
        assert victim.seen() == before
        (boxes.place.run / "planted").unlink()
