"""Terminals: a container types nothing into its caller's, and puts nothing over the one that it is given."""

import os
import pty
import stat
from pathlib import Path
from typing import Any

import pytest
from escape_attacks import Victim, code, outcome, run_bundle, tampered

from moby.contracts.types import Stdio
from moby.errors import MobyError
from moby.testing.boxes import Boxes, exit_code, read_all

TYPE = """
import fcntl, termios
attempt("own", lambda: os.close(os.open("/dev/tty", os.O_RDWR)))
attempt("type", lambda: fcntl.ioctl(0, termios.TIOCSTI, b"x"))
attempt("steal", lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 1))
"""


def from_a_terminal(boxes: Boxes, how: str) -> str:
    """Run an attack with streams that are the caller's controlling terminal; return what it says there."""
    data = boxes.config(*code(TYPE))
    bundle = boxes.bundles.make("typed", data)
    box = boxes.sleeping() if how == "exec" else None
    pid, master = pty.fork()
    if pid == 0:
        try:
            if box:
                process = boxes.runtime.exec(box.id, data["process"], Stdio(0, 1, 2))
            else:
                process = boxes.runtime.create("typed", bundle, Stdio(0, 1, 2))
                boxes.runtime.start("typed")
            exit_code(process)
        finally:
            os._exit(0)
    text = read_all(master)
    os.close(master)
    os.waitpid(pid, 0)
    if not box:
        boxes.runtime.delete("typed", force=True)
    return text.replace("\r", "")


@pytest.mark.parametrize("how", ["create", "exec"])
def test_of_the_caller(boxes: Boxes, how: str) -> None:
    """CVE-2016-10124, CVE-2017-5226: input is put into the caller's terminal, for its shell to run (TIOCSTI)."""
    found = outcome(from_a_terminal(boxes, how))
    assert found.keys() == {"own", "type", "steal"}
    assert found["own"] == "ENXIO"
    assert {found["type"], found["steal"]} <= {"EPERM", "EIO"}


def test_of_the_caller_without_a_session(boxes: Boxes, monkeypatch) -> None:
    """Only the session stands between a container and its caller's terminal."""
    monkeypatch.setattr(os, "setsid", lambda: None)
    assert outcome(from_a_terminal(boxes, "create"))["own"] == "done"


class TestConsole:
    def config(self, boxes: Boxes, *args: str) -> dict[str, Any]:
        data = boxes.config(*args, terminal=True)
        data["mounts"] = [each for each in data["mounts"] if each["destination"] not in ("/dev", "/tmp")]
        return data

    @pytest.mark.parametrize("kind", ["link", "link-to-proc", "folder", "fifo", "file", "device"])
    def test_it_is_put_over_nothing_else(self, boxes: Boxes, victim: Victim, kind: str) -> None:
        """CVE-2025-52565, CVE-2026-88264: /dev/console of the image leads to the host, or is no file."""
        before = victim.seen()
        bundle = tampered(boxes, "console", self.config(boxes, "tty"))
        console = bundle / "rootfs/dev/console"
        if kind == "link":
            console.symlink_to(victim.secret)
        elif kind == "link-to-proc":
            console.symlink_to("/proc/sysrq-trigger")
        elif kind == "folder":
            console.mkdir()
        elif kind == "fifo":
            os.mkfifo(console)
        elif kind == "file":
            console.touch()
        else:
            os.mknod(console, 0o60666, os.makedev(8, 0))
        try:
            text = run_bundle(boxes, bundle, "console", terminal=True)
        except MobyError as error:
            assert "terminal" in str(error)
        else:
            assert text.startswith("/dev/")
        assert victim.seen() == before

    @pytest.mark.parametrize("kind", ["fifo", "file", "device", "link", "absent"])
    def test_a_devpts_of_the_image(self, boxes: Boxes, victim: Victim, kind: str) -> None:
        """CVE-2025-52565, CVE-2024-21626: /dev/pts and /dev/ptmx of the image are no multiplexer of the kernel's."""
        before = victim.seen()
        data = self.config(boxes, "true")
        data["mounts"] = [each for each in data["mounts"] if each["destination"] != "/dev/pts"]
        bundle = tampered(boxes, "pts", data)
        folder = bundle / "rootfs/dev/pts"
        folder.mkdir()
        ptmx = folder / "ptmx"
        if kind == "fifo":
            os.mkfifo(ptmx)
        elif kind == "file":
            ptmx.touch()
        elif kind == "device":
            os.mknod(ptmx, 0o20666 | stat.S_IFCHR, os.makedev(1, 5))
        elif kind == "link":
            ptmx.symlink_to(victim.secret)
        with pytest.raises(MobyError, match=r"process\.terminal"):
            run_bundle(boxes, bundle, "pts", terminal=True)
        assert victim.seen() == before

    def test_the_terminal_is_its_own(self, boxes: Boxes) -> None:
        """The terminals of the host, and of others, aren't in the container's /dev/pts."""
        master, slave = os.openpty()
        try:
            bundle = boxes.bundles.make("own", boxes.config("ls", "/dev/pts", terminal=True))
            assert set(run_bundle(boxes, bundle, "own", terminal=True).split()) <= {"ptmx", "0"}
            assert Path(os.ttyname(slave)).exists()
        finally:
            os.close(master)
            os.close(slave)
