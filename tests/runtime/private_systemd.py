"""A systemd of a test's own: process 1 of new namespaces, with a bus, over a part of version 2 of control groups alone.

It runs wherever this project's tests do as root, whatever the machine's own init is.
"""

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from moby.host import namespaces
from moby.host.cgroups import Group, hierarchies
from moby.host.processes import set_child_subreaper, set_dumpable

PROGRAM = Path("/usr/lib/systemd/systemd")
_KINDS = ("mount", "pid", "uts", "ipc", "network")
_UNITS = {
    "box.target": "[Unit]\nDefaultDependencies=no\nAllowIsolate=yes\nRequires=dbus.service\nAfter=dbus.service\n",
    "dbus.socket": "[Unit]\nDefaultDependencies=no\n[Socket]\nListenStream=/run/dbus/system_bus_socket\n",
    "dbus.service": (
        "[Unit]\nDefaultDependencies=no\nRequires=dbus.socket\n[Service]\nType=notify\nNotifyAccess=main\n"
        "ExecStart=/usr/bin/dbus-daemon --system --address=systemd: --nofork --nopidfile --systemd-activation\n"
    ),
}
_MOUNTS = """
mount --make-rprivate /
writable=$1
shift
mkdir -p "$0/run"
mount --rbind /run "$0/run"
mount -t tmpfs tmpfs /run
for kept; do mkdir "/run/$kept"; mount --rbind "$0/run/$kept" "/run/$kept"; done
umount -R /sys/fs/cgroup
mount -t cgroup2 none /sys/fs/cgroup
mount -t proc proc /proc
mount --bind /proc/sys /proc/sys
mount -o remount,bind,ro /proc/sys
mkdir -p /run/systemd/system /run/dbus /run/proc
mount -t proc proc /run/proc
mount --bind "$writable" "$writable"
mount -o remount,bind,ro /
"""
"""Nothing of the machine's own files can be written, whatever its units would do.

An ordinary user may mount a proc only where one is seen whole (user_namespaces(7)), which /run/proc is.
"""


class PrivateSystemd:
    """A running one, by its first process."""

    def __init__(self, pid: int, group: Group) -> None:
        self.pid = pid
        self._group = group

    def inside(self, run: Callable[[], object]) -> None:
        """Run something in a process in its namespaces; fail the test if it raises."""
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(read)
            _guarded(write, lambda: self._enter(run, write))
        os.close(write)
        with os.fdopen(read, "rb") as file:
            told = file.read().decode(errors="replace")
        os.waitpid(pid, 0)
        if told:
            pytest.fail(f"with a systemd of its own:\n{told}")

    def _enter(self, run: Callable[[], object], write: int) -> None:
        # It moves only what is in its part of the tree (cgroups(7), nsdelegate).
        for folder in map(Path, self._group.folders):
            (folder / "tests").mkdir(exist_ok=True)
            (folder / "tests/cgroup.procs").write_text("0")
        first = os.pidfd_open(self.pid)
        namespaces.join(first, sum(namespaces.FLAGS[kind] for kind in (*_KINDS, "cgroup")))
        # What is cloned from here is in its PID namespace; tests look themselves up in /proc.
        pid = os.fork()
        if pid == 0:
            set_child_subreaper()
            _guarded(write, run)
        os.waitpid(pid, 0)


def _guarded(write: int, run: Callable[[], object]) -> None:
    try:
        run()
        os._exit(0)
    except BaseException:
        os.write(write, traceback.format_exc().encode()[-60000:])
    finally:
        os._exit(1)


@contextlib.contextmanager
def private_systemd(folder: Path, writable: Path) -> Iterator[PrivateSystemd]:
    """Boot one, for which just one folder can be written; at the end it and all that it started are gone."""
    trees = [tree for tree in hierarchies() if tree.version == 2 and tree.writable]
    if os.geteuid() or not trees or not PROGRAM.exists() or not shutil.which("dbus-daemon"):
        pytest.skip("needs root, systemd's package, dbus-daemon, and a tree of control groups of version 2")
    group = Group.create(trees, f"/moby-systemd-{secrets.token_hex(4)}", move_aside=True)
    read, write = os.pipe()
    outer = os.fork()
    if outer == 0:
        os.close(read)
        _guarded(write, lambda: _boot(group, folder, writable, write))
    os.close(write)
    try:
        with os.fdopen(read, "rb") as file:
            pid = int(file.readline() or b"0")
            failure = "" if pid else file.read().decode(errors="replace")
        assert pid, f"it doesn't boot: {failure}"
        _await(pid, folder)
        yield PrivateSystemd(pid, group)
    finally:
        group.kill(signal.SIGKILL)
        os.waitpid(outer, 0)
        group.remove()


def _boot(group: Group, folder: Path, writable: Path, write: int) -> None:
    """Fork process 1, and wait for it, so that it has a parent."""
    log = os.open(folder / "systemd.log", os.O_WRONLY | os.O_CREAT)
    namespaces.unshare(sum(namespaces.FLAGS[kind] for kind in _KINDS))
    pid = os.fork()
    if pid == 0:
        _guarded(log, lambda: _become(group, folder, writable, log))
    os.write(write, f"{pid}\n".encode())
    os.close(write)
    os.waitpid(pid, 0)


def _become(group: Group, folder: Path, writable: Path, log: int) -> None:
    for each in map(Path, group.folders):
        (each / "cgroup.procs").write_text("0")
    namespaces.unshare(namespaces.FLAGS["cgroup"])
    # What this test is made of may be in /run, as it is in guests.
    paths = [Path(each).parts for each in (*sys.path, sys.prefix, sys.base_prefix, __file__)]
    kept = sorted({parts[2] for parts in paths if parts[:2] == ("/", "run")})
    command = ["sh", "-e", "-c", _MOUNTS, str(folder), str(writable), *kept]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    for name, text in _UNITS.items():
        Path("/run/systemd/system", name).write_text(text)
    os.setsid()
    null = os.open("/dev/null", os.O_RDWR)
    for fd in range(3):
        os.dup2(null if fd == 0 else log, fd)
    set_dumpable(True)
    options = ["--system", "--unit=box.target", "--log-level=info", "--log-target=null", "--show-status=no"]
    os.execve(PROGRAM, [str(PROGRAM), *options], {"container": "moby", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})


def _await(pid: int, folder: Path) -> None:
    """Wait until it answers on its bus."""
    deadline = time.monotonic() + 60
    ask = ["nsenter", f"--target={pid}", "--mount", "--pid", "--cgroup", "busctl", "--timeout=5", "get-property"]
    ask += ["org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager", "SystemState"]
    while True:
        answer = subprocess.run(ask, capture_output=True, text=True, check=False)
        if "running" in answer.stdout or "degraded" in answer.stdout:
            return
        told = (folder / "systemd.log").read_text()
        assert time.monotonic() < deadline, f"it doesn't boot: {answer.stdout}{answer.stderr}{told}"
        time.sleep(0.05)
