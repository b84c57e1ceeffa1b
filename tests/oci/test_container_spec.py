from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moby.contracts.images import ImageConfig
from moby.contracts.types import Limits, Mount
from moby.errors import Invalid, Unsupported
from moby.host.capabilities import NAMES
from moby.oci.spec import (
    DEFAULT_CAPABILITIES,
    DEFAULT_PATH,
    Request,
    arguments,
    capabilities,
    container_spec,
    environment,
    rootless,
)
from moby.oci.user import User

IMAGE = ImageConfig(entrypoint=("entry",), command=("command", "x"), environment=("A=image", "B=image"))


def spec(image=IMAGE, user=User(), **asked):  # noqa: B008  # a frozen value
    return container_spec(image, Request(**{"hostname": "box", **asked}), user=user, rootfs=Path("/made/fs"))


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        pytest.param({}, ("entry", "command", "x"), id="image's"),
        pytest.param({"command": ("y",)}, ("entry", "y"), id="command"),
        pytest.param({"entrypoint": ("other",)}, ("other",), id="entrypoint takes the image's command away"),
        pytest.param({"entrypoint": ("other",), "command": ("y",)}, ("other", "y"), id="both"),
        pytest.param({"entrypoint": (), "command": ("y",)}, ("y",), id="no entrypoint"),
    ],
)
def test_arguments(asked, found):
    assert arguments(IMAGE, Request(hostname="", **asked)) == found


@pytest.mark.parametrize("asked", [{"entrypoint": ()}, {"entrypoint": ("",)}], ids=["none", "empty"])
def test_no_command(asked):
    with pytest.raises(Invalid, match="there is no command"):
        arguments(IMAGE, Request(hostname="", **asked))


@pytest.mark.parametrize(
    ("layers", "found"),
    [
        pytest.param([["A=1"], ["A=2"]], ("A=2",), id="later wins, in place"),
        pytest.param([["A=1", "B=2"], ["A"]], ("B=2",), id="bare takes away"),
        pytest.param([["A=b=c"]], ("A=b=c",), id="equals in value"),
        pytest.param([["A="]], ("A=",), id="empty value"),
    ],
)
def test_environment(layers, found):
    assert environment(*layers) == found


@pytest.mark.parametrize("entry", ["=x", "", "A=\0"])
def test_environment_refuses(entry):
    with pytest.raises(Invalid, match="no environment variable"):
        environment([entry])


@pytest.mark.parametrize(
    ("add", "drop", "found"),
    [
        pytest.param((), (), set(DEFAULT_CAPABILITIES), id="default"),
        pytest.param(("NET_ADMIN",), (), {*DEFAULT_CAPABILITIES, "CAP_NET_ADMIN"}, id="add"),
        pytest.param((), ("cap_chown",), {*DEFAULT_CAPABILITIES} - {"CAP_CHOWN"}, id="drop, any case"),
        pytest.param(("ALL",), (), set(NAMES), id="add all"),
        pytest.param((), ("ALL",), set(), id="drop all"),
        pytest.param(("CHOWN",), ("all",), {"CAP_CHOWN"}, id="drop all but one"),
        pytest.param(("ALL",), ("SYS_ADMIN",), set(NAMES) - {"CAP_SYS_ADMIN"}, id="add all but one"),
        pytest.param(("CHOWN",), ("CHOWN",), {*DEFAULT_CAPABILITIES}, id="add wins over drop"),
        pytest.param(("ALL",), ("ALL",), set(NAMES), id="add all wins over drop all"),
        pytest.param(("ALL", "CHOWN"), ("CHOWN",), set(NAMES) - {"CAP_CHOWN"}, id="drop wins over add all"),
        pytest.param(("ALL",), ("ALL", "NET_RAW"), set(NAMES) - {"CAP_NET_RAW"}, id="all, but for one"),
    ],
)
def test_capabilities(add, drop, found):
    assert set(capabilities(add, drop)) == found


def test_unknown_capability():
    with pytest.raises(Invalid, match="no capability"):
        capabilities(["NET_EVERYTHING"])


SOME = st.lists(st.sampled_from([*NAMES, "ALL"]), max_size=6)


@given(SOME, SOME)
def test_what_is_dropped_by_name_is_gone_unless_it_is_added_by_name_alone(add, drop):
    kept = set() if "ALL" in add else set(add)
    assert set(capabilities(add, drop)) & set(drop) == set(drop) & kept


@given(SOME, SOME)
def test_capabilities_come_by_number(add, drop):
    found = [NAMES.index(each) for each in capabilities(add, drop)]
    assert found == sorted(set(found))


def test_process():
    process = spec(user=User(5, 6, (7,), "/home/x"), environment=("B=mine",), terminal=True)["process"]
    assert process["user"] == {"uid": 5, "gid": 6, "umask": 0o022, "additionalGids": [6, 7]}
    assert process["cwd"] == "/"
    assert process["terminal"] is True
    assert process["env"] == [
        f"PATH={DEFAULT_PATH}", "HOSTNAME=box", "HOME=/home/x", "TERM=xterm", "A=image", "B=mine",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        pytest.param({"working_directory": "x"}, "not absolute", id="relative folder"),
        pytest.param({"network": "bridge"}, "no network", id="network"),
        pytest.param({"mounts": (Mount("x"),)}, "no place for a mount", id="relative mount"),
        pytest.param({"mounts": (Mount("/"),)}, "no place for a mount", id="mount on the root"),
        pytest.param({"seccomp": "mine"}, "no seccomp profile 'mine'", id="seccomp"),
    ],
)
def test_refused(asked, message):
    with pytest.raises(Invalid, match=message):
        spec(**asked)


@pytest.mark.parametrize("asked", [False, True])
def test_no_new_privileges(asked):
    assert spec(no_new_privileges=asked)["process"]["noNewPrivileges"] is asked
    assert spec()["process"]["noNewPrivileges"] is False


def test_seccomp():
    def allowed(found):
        return {name for rule in found["linux"]["seccomp"]["syscalls"] if "args" not in rule for name in rule["names"]}

    assert "seccomp" not in spec(seccomp="unconfined")["linux"]
    assert "mount" not in allowed(spec())
    assert "mount" in allowed(spec(cap_add=("SYS_ADMIN",)))
    assert "chroot" in allowed(spec())
    assert "chroot" not in allowed(spec(cap_drop=("SYS_CHROOT",)))


def namespaces(found):
    return {each["type"] for each in found["linux"]["namespaces"]}


def test_default_is_closed():
    found = spec()
    assert namespaces(found) == {"pid", "ipc", "uts", "mount", "cgroup", "network"}
    assert "/proc/kcore" in found["linux"]["maskedPaths"]
    assert "/proc/sys" in found["linux"]["readonlyPaths"]
    assert found["linux"]["resources"]["devices"][0] == {"allow": False, "type": "a", "access": "rwm"}
    assert found["root"] == {"path": "/made/fs", "readonly": False}


def test_network_of_the_host():
    assert "network" not in namespaces(spec(network="host"))


def test_limits_of_swap_and_of_busy_processors():
    found = spec(limits=Limits(1 << 20, 0, 0, -1, 7, "0-1", "0"))["linux"]["resources"]
    assert found["memory"] == {"limit": 1 << 20, "swap": -1}
    assert found["cpu"] == {"shares": 7, "cpus": "0-1", "mems": "0"}
    assert "pids" not in found


def test_limits():
    found = spec(limits=Limits(1 << 20, 1.5, 7))["linux"]["resources"]
    del found["devices"]
    assert found == {
        "memory": {"limit": 1 << 20}, "cpu": {"quota": 150_000, "period": 100_000}, "pids": {"limit": 7},
    }  # fmt: skip


def test_mount_replaces_the_default_at_its_place():
    found = [each for each in spec(mounts=(Mount("/dev/shm", "/x"),))["mounts"] if each["destination"] == "/dev/shm"]
    assert found == [{"destination": "/dev/shm", "type": "bind", "source": "/x", "options": []}]


def test_rootless():
    found = rootless(spec(user=User(0, 0, (7,)), cgroup="/x"), uid=1000, gid=1001)
    assert "user" in namespaces(found)
    assert found["linux"]["uidMappings"] == [{"containerID": 0, "hostID": 1000, "size": 1}]
    assert found["linux"]["gidMappings"] == [{"containerID": 0, "hostID": 1001, "size": 1}]
    assert not {"resources", "cgroupsPath"} & set(found["linux"])
    assert found["process"]["user"] == {"uid": 0, "gid": 0, "umask": 0o022}
    mounts = {each["destination"]: each for each in found["mounts"]}
    assert not [each for mount in mounts.values() for each in mount["options"] if each.startswith("gid=")]
    assert (mounts["/sys"]["source"], mounts["/sys"]["options"][0]) == ("/sys", "rbind")
    assert {"rro", "rnosuid", "rnodev", "rnoexec"} < set(mounts["/sys"]["options"])
    assert "/sys/fs/cgroup" not in mounts


@pytest.mark.parametrize("place", ["/sys", "/sys/fs/cgroup"])
def test_rootless_keeps_mounts_that_were_asked_for(place):
    found = rootless(spec(mounts=(Mount(place, "/x", "bind", ("rbind",)),)), uid=1, gid=1)["mounts"]
    assert [each["source"] for each in found if each["destination"] == place] == ["/x"]


def test_rootless_keeps_limits_that_were_asked_for():
    found = rootless(spec(limits=Limits(pids=7), cgroup="/x"), uid=1, gid=1)["linux"]
    assert (found["resources"], found["cgroupsPath"]) == ({"pids": {"limit": 7}}, "/x")


def test_rootless_leaves_its_input_alone():
    before = spec()
    rootless(before, uid=1, gid=1)
    assert before == spec()


def test_rootless_is_root_alone():
    with pytest.raises(Unsupported, match="5:0"):
        rootless(spec(user=User(5)), uid=1, gid=1)
