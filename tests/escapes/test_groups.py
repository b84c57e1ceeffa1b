"""Control groups: a container sees and changes its own alone, and doesn't leave it."""

import os
from pathlib import Path
from typing import Any

import pytest
from escape_attacks import docker_like, tried, tried_inside

from moby.errors import MobyError
from moby.host import mounts, namespaces
from moby.host.cgroups import hierarchies
from moby.oci.spec import rootless
from moby.testing.boxes import Boxes

LEAVE = """
import glob
found = 0
for folder in glob.glob("/sys/fs/cgroup/**/", recursive=True):
    for name in ("release_agent", "notify_on_release", "cgroup.procs", "tasks", "devices.allow", "cgroup.kill",
                 "memory.limit_in_bytes", "memory.max", "pids.max", "cgroup.subtree_control"):
        if os.path.exists(folder + name):
            found += 1
            attempt(folder + name, lambda: os.close(os.open(folder + name, os.O_WRONLY)))
print("found", found, flush=True)
"""
MAKE = """
for folder in glob.glob("/sys/fs/cgroup/**/", recursive=True):
    attempt(folder + "new", os.mkdir, folder + "new")
"""


def test_release_agents(boxes: Boxes) -> None:
    """CVE-2022-0492: the kernel runs, as the host's root, what a container writes to release_agent."""
    found = tried(boxes, LEAVE + MAKE, docker_like(boxes))
    assert int(found.pop("found")) > 3
    assert not [name for name in found if name.endswith("release_agent")]
    assert set(found.values()) <= {"EROFS", "EPERM", "EACCES"}


def test_they_are_there_at_the_top(boxes: Boxes) -> None:
    """What is shown is what is looked at: with the host's trees there would be some."""
    tree = next((each.mount for each in hierarchies() if Path(each.mount, "release_agent").exists()), None)
    if tree is None:
        pytest.skip("no tree of version 1 here, which alone has release_agent; covered where there is one")
    data = docker_like(boxes)
    data["mounts"].append({"destination": "/sys/fs/cgroup/memory", "source": str(tree), "options": ["rbind", "ro"]})
    assert "/sys/fs/cgroup/memory/release_agent" in tried(boxes, LEAVE, data)


@pytest.mark.parametrize("powerful", [False, True], ids=["usual", "with-CAP_SYS_ADMIN"])
def test_mounting_them(boxes: Boxes, powerful: bool) -> None:
    """CVE-2022-0492: a tree of control groups is mounted anew, by root inside or by way of a user namespace."""
    code = """
    os.makedirs("/mnt", exist_ok=True)
    options = ("memory", "pids", "devices", "cpuset,cpu", "none,name=x", "rdma")
    for name in options:
        attempt(name, mount, "cgroup", "/mnt", "cgroup", name)
    attempt("two", mount, "cgroup2", "/mnt", "cgroup2")
    found = [os.path.join(folder, "release_agent") for folder, _, files in os.walk("/mnt") if "release_agent" in files]
    print("agents", len(found), flush=True)
    while os.path.ismount("/mnt"):
        c(libc.umount2, b"/mnt", 2)
    attempt("userns", lambda: c(libc.unshare, 0x10000000 | 0x02000000))
    attempt("again", mount, "cgroup", "/tmp", "cgroup", "memory")
    """
    found = tried(boxes, code, docker_like(boxes, cap_add=("SYS_ADMIN",) if powerful else ()))
    if powerful:  # which gives away much; but the cgroup namespace has no root group, so there is no agent
        assert found["agents"] == "0"
    else:
        assert set(found.values()) == {"EPERM", "0"}


def test_it_sees_its_own_alone(boxes: Boxes) -> None:
    """What /proc/self/cgroup and the mounts tell is the container's own group, as the root."""
    code = """
    print("paths", ",".join(sorted({line.rstrip().split(":", 2)[2] for line in open("/proc/self/cgroup")})), flush=True)
    print("roots", ",".join(sorted({line.split()[3] for line in open("/proc/self/mountinfo") if " - cgroup" in line})))
    """
    data = docker_like(boxes)
    found = tried(boxes, code, data)
    assert found["paths"] == "/"
    assert found["roots"] == "/"
    box = boxes.started(docker_like(boxes, "sleep", "1000"))
    assert tried_inside(boxes, box.id, code)["paths"] == "/"


def test_an_ordinary_users_control_groups(boxes: Boxes) -> None:
    """CVE-2023-25809: without a cgroup namespace the host's /sys/fs/cgroup is there, and was writable."""
    data = rootless(docker_like(boxes), uid=os.geteuid(), gid=os.getegid())
    for number in range(2):
        if number:
            data["linux"]["namespaces"] = [each for each in data["linux"]["namespaces"] if each["type"] != "cgroup"]
        found = tried(boxes, LEAVE + MAKE, data)
        found.pop("found")
        assert set(found.values()) <= {"EROFS", "EPERM", "EACCES", "ENOENT"}


def test_it_is_writable_without_care(boxes: Boxes, monkeypatch) -> None:
    data = rootless(docker_like(boxes), uid=os.geteuid(), gid=os.getegid())
    monkeypatch.setattr(mounts, "set_attributes", lambda *arguments, **more: None)
    found = tried(boxes, LEAVE, data)
    assert "done" in found.values()


LIMITED = {"pids": {"limit": 4}}
FORK = """
import time
children = []
try:
    for _ in range(30):
        children.append(os.fork())
        if not children[-1]:
            time.sleep(60)
            os._exit(0)
except OSError as error:
    print("fork", errno.errorcode[error.errno], flush=True)
for each in children:
    os.kill(each, 9)
    os.waitpid(each, 0)
"""


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({}, id="plain"),
        pytest.param({"user": True}, id="user-namespace"),
        pytest.param({"path": "/../../moby-limited"}, id="path"),
        pytest.param({"annotations": {"io.kubernetes.cri-o.cgroup2-mount-hierarchy-rw": "true"}}, id="annotation"),
        pytest.param({"no-namespace": True}, id="no-cgroup-namespace"),
    ],
)
def test_limits_hold(boxes: Boxes, change: dict[str, Any]) -> None:
    """CVE-2025-47291, CVE-2023-6476: by a user namespace or an annotation a container is out of its limits."""
    data = boxes.config()
    data["linux"]["resources"] = LIMITED
    data["annotations"] = change.get("annotations", {})
    if "path" in change:
        data["linux"]["cgroupsPath"] = change["path"]
    if "user" in change:
        mapping = {"containerID": 0, "hostID": 0, "size": 1000}
        data["linux"] |= {"uidMappings": [mapping], "gidMappings": [mapping]}
        data["linux"]["namespaces"].append({"type": "user"})
    if "no-namespace" in change:
        data["linux"]["namespaces"] = [each for each in data["linux"]["namespaces"] if each["type"] != "cgroup"]
    assert tried(boxes, FORK, data) == {"fork": "EAGAIN"}


@pytest.mark.parametrize("value", ["0-99999999999999999999", "0-2147483648", "9" * 100000, "0," * 40000, "x", "-1"])
def test_endless_lists_of_processors(boxes: Boxes, value: str) -> None:
    """CVE-2018-20699: a list of processors that never ends takes all memory and time."""
    data = boxes.config("true")
    data["linux"]["resources"] = {"cpu": {"cpus": value}}
    with pytest.raises(MobyError, match=r"linux\.resources\.cpu\.cpus"):
        boxes.create(data)


@pytest.mark.parametrize("name", ["", "private", "rprivate", "slave", "rslave", "shared", "rshared", "unbindable"])
def test_mounts_come_out_by_no_propagation(boxes: Boxes, name: str, tmp_path: Path) -> None:
    """A bundle's propagation would carry mounts of the container out to the host."""
    data = boxes.config("sh", "-c", "true")
    data["linux"]["rootfsPropagation"] = name
    data["mounts"].append({"destination": "/made", "type": "tmpfs", "source": "t"})
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            namespaces.unshare(namespaces.FLAGS["mount"])
            mounts.set_propagation("/", "rshared")
            before = Path("/proc/self/mountinfo").read_text()
            boxes.run_config(data)
            after = Path("/proc/self/mountinfo").read_text()
            os.write(write, b"same" if before == after else b"changed")
        except MobyError as error:
            os.write(write, f"refused {error}".encode())
        finally:
            os._exit(0)
    os.close(write)
    os.waitpid(pid, 0)
    with os.fdopen(read) as file:
        assert file.read() == "same"
