"""The first process of a sandbox: lays out what its programs see, says `ready`, and reaps until it is killed.

With `ready` it says which mounts came along from outside, by id and place.

    inside.py FOLDER PEERS [HIDDEN ...]

It has namespaces of its own (mount, PID, network, cgroup, IPC). FOLDER gets a file system in memory for all that
engines write; PEERS are the unpacked packages, which are seen as if they were installed. HIDDEN are cgroup hierarchies
that are left out, `unified` for one.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")


def mount(kind, target, options="", source=""):
    args = ["mount", "-t", kind, *(["-o", options] if options else []), source or kind, str(target)]
    subprocess.run(args, check=True)


def installed(folder, peers):
    """Show unpacked packages over the machine's own files; /etc may be written to, and nobody else sees it."""
    for each in ("etc", "work"):
        (folder / each).mkdir()
    mount("overlay", "/usr", f"ro,lowerdir={peers}/usr:/usr")
    below = f"{peers}/etc:/etc" if (peers / "etc").is_dir() else "/etc"
    mount("overlay", "/etc", f"lowerdir={below},upperdir={folder}/etc,workdir={folder}/work")


def private(folder):
    """Give engines their usual places, all in memory."""
    for each in ("var", "varwork", "home"):
        (folder / each).mkdir()
    mount("overlay", "/var", f"lowerdir=/var,upperdir={folder}/var,workdir={folder}/varwork")
    for each in ("containers", "containerd", "docker", "peers"):
        store = folder / each  # not in the overlay, since an overlay can't lie on one
        target = Path("/var/lib", each)
        store.mkdir()
        target.mkdir(exist_ok=True)
        subprocess.run(["mount", "--bind", str(store), str(target)], check=True)
    Path("/var/lib/peers").chmod(0o1777)
    mount("tmpfs", "/run", "mode=755,nosuid,nodev")
    mount("tmpfs", "/dev/shm", "mode=1777,nosuid,nodev")


def hierarchies():
    """Names of this machine's cgroup mounts with the options that mount them; of cgroup v2 alone, none."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        where, (kind, _, options) = Path(before.split()[4]), after.split()
        if where.parent == CGROUPS and kind in ("cgroup", "cgroup2"):
            yield where.name, kind, ",".join({"rw", "ro", *options.split(",")} - {"rw", "ro"} or {"rw"})


def cgroups(hidden):
    """Mount the cgroup hierarchies anew, so that each one's root is this sandbox's group."""
    wanted = [each for each in hierarchies() if each[0] not in hidden]
    subprocess.run(["umount", "--recursive", "--lazy", "/sys"], check=True)
    mount("sysfs", "/sys", "nosuid,nodev,noexec")
    if not wanted:
        mount("cgroup2", CGROUPS)
        return
    mount("tmpfs", CGROUPS, "mode=755")
    for name, kind, options in wanted:
        (CGROUPS / name).mkdir()
        mount(kind, CGROUPS / name, options)
    group = CGROUPS / "cpuset"
    if group.is_dir():
        (group / "cgroup.clone_children").write_text("1")


def came_along():
    """Return the mounts that there are as `ID:PLACE`."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return [f"{number}:{place}" for number, _, _, _, place, *_ in map(str.split, lines)]


def main(folder, peers, *hidden):
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    foreign = came_along()
    mount("tmpfs", folder, "mode=755")
    mount("proc", "/proc", "nosuid,nodev,noexec")
    installed(Path(folder), Path(peers))
    cgroups(hidden)
    private(Path(folder))
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    sys.stdout.write(f"{' '.join(['ready', *foreign])}\n")
    sys.stdout.flush()
    while True:
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            signal.sigwait({signal.SIGCHLD})


if __name__ == "__main__":
    main(*sys.argv[1:])
