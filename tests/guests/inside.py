"""The first process of a guest: mounts what a host has, runs the jobs that it is given, and powers off.

Started by the guest's kernel as `python -IS inside.py KIND FOLDER CHECKOUT`, with the standard library alone. It reads
`jobs.json` of the folder that it shares with the host, and leaves there, of each job, NAME.out and NAME.code.
"""

import ctypes
import fcntl
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import traceback
from pathlib import Path

SHARED = Path("/run/shared")
RESULTS = Path("/run/results")
"""Where jobs write, whoever they are; all of it is handed out."""
CHECKOUT = Path("/run/checkout")
USER = 4321
"""An ordinary user of the guest's own, with a range of further ids."""
SUBORDINATE = "guest:200000:65536\n"
CGROUPS = Path("/sys/fs/cgroup")
UP = 0x1


def mount(kind, source, target, options=""):
    target = Path(target)
    target.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-n", "-t", kind, *(["-o", options] if options else []), source, target], check=True)


def mounts(kind, folder, checkout):
    """Mount what every host has, pure control groups of version 2, the checkout, and what is shared with the host."""
    mount("proc", "proc", "/proc", "nosuid,nodev,noexec")
    mount("sysfs", "sysfs", "/sys", "nosuid,nodev,noexec")
    mount("tmpfs", "tmpfs", "/run", "mode=755")
    # Before /tmp, which it may be in.
    CHECKOUT.mkdir()
    subprocess.run(["mount", "-n", "--bind", checkout, CHECKOUT], check=True)
    for each in (
        ("tmpfs", "tmpfs", "/tmp", "mode=1777,nosuid,nodev"),
        ("tmpfs", "tmpfs", "/var/tmp", "mode=1777,nosuid,nodev"),
        ("devtmpfs", "devtmpfs", "/dev", "nosuid"),
        ("devpts", "devpts", "/dev/pts", "gid=5,mode=620,ptmxmode=666"),
        ("tmpfs", "tmpfs", "/dev/shm", "mode=1777,nosuid,nodev"),
        ("cgroup2", "cgroup2", CGROUPS, "nosuid,nodev,noexec,nsdelegate"),
        ("securityfs", "securityfs", "/sys/kernel/security", "nosuid,nodev,noexec"),
    ):
        mount(*each)
    if kind == "uml":
        mount("hostfs", "none", SHARED, f"hostfs={folder}")
    else:
        mount("virtiofs", "shared", SHARED)
    for name, target in (("fd", ""), ("stdin", "/0"), ("stdout", "/1"), ("stderr", "/2")):
        if not Path("/dev", name).exists():
            Path("/dev", name).symlink_to(f"/proc/self/fd{target}")


def network():
    """Let the loopback device work."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, 0x8914, struct.pack("16sH14x", b"lo", UP))  # SIOCSIFFLAGS


def users(programs):
    """Make an ordinary user with subordinate ids, and the set-user-ID programs that map them."""
    mount("tmpfs", "tmpfs", "/run/etc", "mode=755")
    for each in ("upper", "work"):
        Path("/run/etc", each).mkdir()
    mount("overlay", "overlay", "/etc", "lowerdir=/etc,upperdir=/run/etc/upper,workdir=/run/etc/work")
    for name, line in (("passwd", f"guest:x:{USER}:{USER}::/run/home:/bin/sh\n"), ("group", f"guest:x:{USER}:\n")):
        with Path("/etc", name).open("a") as file:
            file.write(line)
    for name in ("subuid", "subgid"):
        Path("/etc", name).write_text(SUBORDINATE)
    home, binaries = Path("/run/home"), Path("/run/bin")
    home.mkdir()
    os.chown(home, USER, USER)
    binaries.mkdir()
    for name in ("newuidmap", "newgidmap"):
        found = shutil.which(name, path=programs)
        if found:
            shutil.copy(found, binaries / name)
            (binaries / name).chmod(0o4755)


def enable(group):
    """Give all controllers of a group to those below it."""
    for name in (group / "cgroup.controllers").read_text().split():
        (group / "cgroup.subtree_control").write_text(f"+{name}")


def delegated():
    """Give the user a control group (cgroups(7), delegation), and return where its session is."""
    enable(CGROUPS)
    given = CGROUPS / "user"
    given.mkdir(exist_ok=True)
    enable(CGROUPS)
    # Else systemd doesn't run as the user's own (sd_booted(3)).
    Path("/run/systemd/system").mkdir(parents=True, exist_ok=True)
    session = given / "session"
    session.mkdir(exist_ok=True)
    for each in (given, session):
        os.chown(each, USER, USER)
        for name in ("cgroup.procs", "cgroup.subtree_control", "cgroup.threads"):
            os.chown(each / name, USER, USER)
    return session


def group_of(job):
    """Return the control group that a job starts in."""
    if job["delegated"]:
        return delegated()
    own = CGROUPS / job["name"]
    own.mkdir(exist_ok=True)
    return own


def become(job, group):
    """Be in the job's group, and its user."""
    (group / "cgroup.procs").write_text("0")
    if job["ordinary"]:
        os.setgroups([])
        os.setresgid(USER, USER, USER)
        os.setresuid(USER, USER, USER)


def run(job):
    """Run a job to its end, and reap meanwhile what comes to process 1."""
    group = group_of(job)
    with (SHARED / f"{job['name']}.out").open("wb") as out:
        child = subprocess.Popen(
            job["command"],
            cwd=CHECKOUT,
            env=job["environment"],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
            preexec_fn=lambda: become(job, group),  # noqa: PLW1509 - there are no threads
        )
        while True:
            pid, status = os.wait()
            if pid == child.pid:
                break
    for each in RESULTS.iterdir():
        shutil.copyfile(each, SHARED / each.name)
        each.unlink()
    (SHARED / f"{job['name']}.code").write_text(str(os.waitstatus_to_exitcode(status)))


def main(kind, folder, checkout):
    os.environ |= {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "NO_COLOR": "1"}
    mounts(kind, folder, checkout)
    asked = json.loads((SHARED / "jobs.json").read_text())
    environment = os.environ | {"PATH": asked["programs"], "LD_LIBRARY_PATH": asked["libraries"]}
    subprocess.run(["modprobe", "-d", asked["tree"], "-a", *asked["modules"]], check=True, env=environment)
    network()
    users(asked["programs"])
    RESULTS.mkdir()
    RESULTS.chmod(0o1777)
    for job in asked["jobs"]:
        run(job)


if __name__ == "__main__":
    try:
        # What user-mode Linux adds to its kernel's words comes last, and so to us.
        main(*sys.argv[1:4])
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    os.sync()
    # By system call: before it is mounted over, /proc is the host's.
    ctypes.CDLL(None).reboot(0x4321FEDC)
