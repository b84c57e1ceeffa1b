"""Settings of a hostile bundle: none reaches a kernel setting, a control group or a file that is the host's."""

import contextlib
import os
from pathlib import Path
from typing import Any

import pytest
from escape_attacks import Victim, run_bundle

from moby.errors import HostUnfit, Invalid, MobyError
from moby.host.cgroups import hierarchies
from moby.testing.boxes import Boxes

HARMLESS = "net.ipv4.ip_default_ttl"


def setting(name: str) -> str:
    return Path("/proc/sys", name.replace(".", "/")).read_text(encoding="ascii")


@pytest.mark.parametrize(
    "key",
    [
        "kernel.core_pattern",
        "kernel/core_pattern",
        "net/../kernel/core_pattern",
        "net.ipv4/../../kernel/core_pattern",
        "net.core.+kernel.core_pattern",
        "kernel.shm_rmid_forced+kernel.core_pattern",
        "/kernel/core_pattern",
        "//kernel/core_pattern",
        "./kernel/core_pattern",
        "fs.mqueue/../../kernel/core_pattern",
        "vm.overcommit_memory",
        "kernel.modprobe",
        "kernel.hostname\n",
        "..",
        "",
        "net",
        "net.",
        "net.ipv4",
    ],
)
def test_names_of_settings(boxes: Boxes, key: str) -> None:
    """CVE-2022-0811: a setting's name or value brings another setting along, one of the host's."""
    before = setting("kernel.core_pattern")
    data = boxes.config("true")
    data["linux"]["sysctl"] = {key: "|/bin/sh -c true"}
    with pytest.raises(Invalid, match=r"linux\.sysctl"):
        boxes.create(data)
    assert setting("kernel.core_pattern") == before


@pytest.mark.parametrize(
    "value", ["1+kernel.core_pattern=|/x", "1\nkernel.core_pattern=|/x", "1 kernel.core_pattern=x"]
)
def test_values_of_settings(boxes: Boxes, value: str) -> None:
    """CVE-2022-0811: a `+` in the value of a harmless setting began the next one."""
    before = setting("kernel.core_pattern")
    data = boxes.config("cat", "/proc/sys/kernel/core_pattern")
    data["linux"]["sysctl"] = {"kernel.shm_rmid_forced": value}
    try:
        assert boxes.run_config(data) == (0, before)
    except Invalid as error:
        assert "kernel.shm_rmid_forced" in str(error)
    assert setting("kernel.core_pattern") == before


@pytest.mark.parametrize(
    ("kind", "key"), [("network", HARMLESS), ("ipc", "kernel.shmmni"), ("uts", "kernel.domainname")]
)
@pytest.mark.parametrize("how", ["left-out", "by-path"])
def test_settings_of_a_shared_namespace(boxes: Boxes, kind: str, key: str, how: str) -> None:
    """CVE-2022-0811: who shares the host's namespace, if only by its path, sets nothing in it."""
    before = setting(key)
    data = boxes.config("true")
    del data["hostname"]
    entries = [each for each in data["linux"]["namespaces"] if each["type"] != kind]
    if how == "by-path":
        name = {"network": "net"}.get(kind, kind)
        entries.append({"type": kind, "path": f"/proc/{os.getpid()}/ns/{name}"})
    data["linux"] |= {"namespaces": entries, "sysctl": {key: before.strip()}}
    with pytest.raises(Invalid, match="would change the host"):
        boxes.create(data)


def test_the_host_name_of_a_shared_namespace(boxes: Boxes) -> None:
    data = boxes.config("true")
    for each in data["linux"]["namespaces"]:
        if each["type"] == "uts":
            each["path"] = "/proc/self/ns/uts"
    with pytest.raises(Invalid, match="hostname would change the host's"):
        boxes.create(data)


def test_they_are_set_in_a_namespace_of_ones_own(boxes: Boxes) -> None:
    before = setting(HARMLESS)
    data = boxes.config("cat", "/proc/sys/" + HARMLESS.replace(".", "/"))
    data["linux"]["sysctl"] = {HARMLESS: "33"}
    assert boxes.run_config(data) == (0, "33\n")
    assert setting(HARMLESS) == before


@pytest.mark.parametrize(
    "path", ["/../../../../{victim}/made", "../../../../../{victim}/made", "/..", "/", "/../..", "."]
)
def test_paths_of_control_groups(boxes: Boxes, victim: Victim, path: str) -> None:
    """A path of a control group with `..` in it would make folders, and write files, anywhere as root."""
    before = victim.seen()
    data = boxes.config("true")
    data["linux"]["cgroupsPath"] = path.format(victim=victim.folder)
    try:
        boxes.run_config(data)
    except (Invalid, HostUnfit) as error:
        assert "cgroupsPath" in str(error)
    assert victim.seen() == before
    forget_parents(victim.folder)


def forget_parents(folder: Path) -> None:
    """Remove the groups above one that a bundle named by an absolute path, which are not the runtime's to remove."""
    for tree in hierarchies():
        for above in (folder, *folder.parents[:-1]):
            with contextlib.suppress(FileNotFoundError):
                Path(tree.folder(str(above))).rmdir()


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"hostname": "a\nb"}, id="hostname"),
        pytest.param({"domainname": "a\nb"}, id="domainname"),
        pytest.param({"annotations": {"a\nb": "c\n\0"}}, id="annotation"),
        pytest.param({"annotations": {"org.systemd.property.ExecStopPost": "'/bin/touch /x'"}}, id="systemd"),
        pytest.param({"linux.cgroupsPath": "/moby-a\nb"}, id="cgroup"),
        pytest.param({"linux.resources": {"cpu": {"cpus": "0\n1"}}}, id="cpus"),
        pytest.param({"linux.resources": {"unified": {"../cgroup.procs": "1"}}}, id="unified-up"),
        pytest.param({"linux.resources": {"unified": {"/etc/passwd": "1"}}}, id="unified-path"),
        pytest.param({"linux.resources": {"unified": {"memory.max\n": "1"}}}, id="unified-line"),
        pytest.param({"linux.resources": {"hugepageLimits": [{"pageSize": "../2MB", "limit": 1}]}}, id="page-size"),
        pytest.param({"linux.resources": {"rdma": {"mlx\n../x": {"hcaHandles": 1}}}}, id="rdma"),
        pytest.param({"process.env": ["A=1\nB=2", "C"]}, id="environment"),
        pytest.param({"process.user": {"uid": 0, "gid": 0, "username": "a\nroot:x:0:0"}}, id="user-name"),
        pytest.param({"linux.rootfsPropagation": "slave\nshared"}, id="propagation"),
    ],
)
def test_lines_and_paths_in_fields(boxes: Boxes, victim: Victim, change: dict[str, Any]) -> None:
    """CVE-2022-4318, CVE-2024-3154, CVE-2021-43784: a field's value becomes a line, a path or a message of its own."""
    before = victim.seen()
    data = boxes.config("sh", "-c", "cat /etc/passwd")
    for path, value in change.items():
        *above, name = path.split(".")
        target = data
        for each in above:
            target = target[each]
        target[name] = value
    bundle = boxes.bundles.make("lines", data)
    passwd = (boxes.bundles.rootfs / "etc/passwd").read_text(encoding="ascii")
    try:
        assert run_bundle(boxes, bundle, "lines") == passwd
    except MobyError as error:
        assert next(iter(change)).rpartition(".")[2] in str(error)
    assert victim.seen() == before


@pytest.mark.slow
@pytest.mark.parametrize("count", [5, 200, 341, 5000, 70000])
def test_many_mappings(boxes: Boxes, count: int) -> None:
    """CVE-2021-43784: so many mappings that a 16-bit length of their message runs over."""
    entries = [{"containerID": n, "hostID": 100000 + n, "size": 1} for n in range(count)]
    data = boxes.config("cat", "/proc/self/uid_map")
    data["linux"]["namespaces"].append({"type": "user"})
    data["linux"] |= {"uidMappings": [{"containerID": 0, "hostID": 0, "size": 1}], "gidMappings": entries}
    data["linux"]["uidMappings"] = entries
    os.chmod(boxes.bundles.rootfs, 0o755)  # noqa: PTH101
    try:
        code, text = boxes.run_config(data)
    except Invalid as error:
        assert count > 340
        assert "linux.uidMappings" in str(error)
    else:
        assert code == 0
        assert [line.split() for line in text.splitlines()] == [[str(n), str(100000 + n), "1"] for n in range(count)]
