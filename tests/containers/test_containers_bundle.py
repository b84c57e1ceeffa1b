"""What a container's options come to inside it, on the real kernel."""

import os
import socket
from pathlib import Path

import pytest

from moby.contracts.containers import (
    Condition,
    ContainerConfig,
    ContainerUpdate,
    DeviceMapping,
    LogChoice,
    MountRequest,
    Resources,
    RestartPolicy,
    Ulimit,
)
from moby.contracts.supervisor import HealthCheck
from moby.contracts.types import Platform
from moby.errors import Conflict, HostUnfit, Invalid, NotFound
from moby.host import mounts as kernel


def lines(engine, script, **config):
    code, text = engine.run(script, **config)
    assert code == 0, text
    return text.splitlines()


def test_environment(engine):
    found = lines(engine, "env", environment=("OWN=1", "IMAGE=no"), hostname="named")
    for each in ("OWN=1", "IMAGE=no", "HOSTNAME=named", "PATH=/bin", "HOME=/root"):
        assert each in found
    assert not any(each.startswith("TERM=") for each in found)


def test_a_terminal_has_a_type(engine):
    assert "TERM=xterm" in lines(engine, "env", terminal=True)


@pytest.mark.parametrize(
    ("user", "groups", "told"),
    [
        ("", (), "uid=0 gid=0"),
        ("ann", (), "uid=1000 gid=1000 100"),
        ("1000:extra", (), "uid=1000 gid=200"),
        ("ann", ("extra", "77"), "uid=1000 gid=1000 77 100 200"),
        ("4321", (), "uid=4321 gid=0"),
    ],
)
def test_user(engine, user, groups, told):
    found = lines(engine, "echo uid=$(id -u) gid=$(id -g); id -G", user=user, group_add=groups)
    wanted = told.split()
    assert found[0].split() == wanted[:2]
    assert {*wanted[2:]} <= {*found[1].split()}


def test_unknown_user(engine):
    for asked, words in (
        ({"user": "bob"}, "unable to find user bob"),
        ({"user": "ann:none"}, "unable to find group none"),
        ({"group_add": ("none",)}, "Unable to find group none"),
    ):
        made = engine.create(":", **asked)
        with pytest.raises(Invalid, match=words):
            engine.containers.start(made)


def test_capabilities(engine):
    def effective(**config):
        return int(lines(engine, "grep CapEff /proc/self/status", **config)[0].split()[1], 16)

    net_admin = 1 << 12
    assert not effective() & net_admin
    assert effective(cap_add=("NET_ADMIN",)) & net_admin
    assert effective(cap_drop=("ALL",)) == 0
    assert effective(cap_drop=("ALL",), cap_add=("CHOWN",)) == 1
    assert effective(privileged=True) & net_admin
    assert effective(user="ann") == 0


def test_no_such_capability(engine):
    with pytest.raises(Invalid, match='invalid CapAdd: unknown capability: "CAP_NONSENSE"'):
        engine.create(":", cap_add=("NONSENSE",))


def test_security(engine):
    def status(name, **config):
        return lines(engine, f"grep {name}: /proc/self/status", **config)[0].split()[1]

    assert status("Seccomp") == "2"
    assert status("Seccomp", security_options=("seccomp=unconfined",)) == "0"
    assert status("Seccomp", privileged=True) == "0"
    assert status("NoNewPrivs") == "0"
    for value, told in (("", "1"), ("=true", "1"), (":1", "1"), ("=T", "1"), ("=False", "0"), ("=0", "0")):
        assert status("NoNewPrivs", security_options=(f"no-new-privileges{value}",)) == told


def test_a_seccomp_profile(engine):
    profile = '{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO"}]}'
    code, text = engine.run("mkdir /a", security_options=(f"seccomp={profile}",))
    assert code != 0
    assert "not permitted" in text
    with pytest.raises(Invalid, match="Decoding seccomp profile failed"):
        engine.create(":", security_options=("seccomp={",))


def test_a_profile_of_apparmor_where_there_is_none(engine, monkeypatch):
    """As under Docker it is passed over, so that one command does on all hosts; but it is said."""
    monkeypatch.setattr("moby.host.apparmor.is_enabled", lambda: False)
    made = engine.containers.create(ContainerConfig("box", command=("true",), security_options=("apparmor=own",)))
    assert made.warnings[-1] == "This host has no AppArmor: the profile own is not applied."
    engine.containers.start(made.id)


@pytest.mark.parametrize("option", ["nonsense=1", "nonsense", "systempaths=x", "seccomp"])
def test_no_security_option(engine, option):
    with pytest.raises(Invalid, match="invalid --security-opt"):
        engine.create(":", security_options=(option,))


def test_system_paths(engine):
    assert engine.run("echo a > /proc/sys/kernel/domainname")[0] != 0
    assert engine.run("echo a > /proc/sys/kernel/domainname", security_options=("systempaths=unconfined",))[0] == 0
    masked = engine.create(":", masked_paths=("/etc",))
    assert engine.containers.get(masked).config.masked_paths == ("/etc",)
    assert lines(engine, "ls /etc", masked_paths=("/etc",)) == []


def test_devices(engine):
    asked = Resources(devices=(DeviceMapping("/dev/full", "/dev/mine", "r"),))
    found = lines(
        engine, "stat -c %t:%T /dev/mine; cat /dev/mine > /dev/null & (echo a > /dev/mine) 2>&1; :", resources=asked
    )
    assert found[0] == "1:7"
    made = engine.create(":", resources=Resources(devices=(DeviceMapping("/dev/none", "/dev/none"),)))
    with pytest.raises(
        Invalid, match='error gathering device information while adding custom device "/dev/none": no such'
    ):
        engine.containers.start(made)
    with pytest.raises(Invalid, match="invalid device cgroup rule format: 'x 1:1 r'"):
        engine.create(":", resources=Resources(device_cgroup_rules=("x 1:1 r",)))
    assert engine.run(":", resources=Resources(device_cgroup_rules=("c 10:* rwm",)))[0] == 0


def test_devices_of_a_privileged_one(engine):
    asked = tuple(DeviceMapping("/dev/full", path, "r") for path in ("/dev/mine", "/dev/full", "/dev/null"))
    script = ": > /dev/mine && stat -c %t:%T /dev/mine /dev/full /dev/null /dev/zero"
    found = lines(engine, script, privileged=True, resources=Resources(devices=asked))
    assert found == ["1:7", "1:7", "1:3", "1:5"], "where the host has one, it stays"
    none = engine.create(":", privileged=True, resources=Resources(devices=(DeviceMapping("/dev/none", "/dev/a"),)))
    with pytest.raises(Invalid, match='adding custom device "/dev/none": no such'):
        engine.containers.start(none)


def test_ulimits(engine):
    found = lines(engine, "ulimit -n; ulimit -Hn", resources=Resources(ulimits=(Ulimit("nofile", 77, 99),)))
    assert found == ["77", "99"]
    with pytest.raises(Invalid, match="ulimit soft limit"):
        engine.create(":", resources=Resources(ulimits=(Ulimit("nofile", 9, 1),)))


def test_sysctls(engine):
    script = "cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/net/ipv4/ip_default_ttl"
    assert lines(engine, script, sysctls={"net.ipv4.ip_default_ttl": "33"}) == ["0", "33"]
    made = engine.create(":", sysctls={"net.ipv4.ip_default_ttl": "33"}, network="host")
    with pytest.raises(Invalid, match="not allowed in host network namespace"):
        engine.containers.start(made)


def test_shared_memory(engine):
    script = "grep ' /dev/shm ' /proc/mounts"
    assert "size=65536k" in lines(engine, script)[0]
    assert "size=2048k" in lines(engine, script, shm_size_bytes=2 << 20)[0]
    assert engine.run(script, ipc_mode="none")[0] == 1


def test_ipc_of_the_host(engine):
    """What is shared has the flags that the host mounts it with; queues are there where the host mounts none, too."""

    def flags(mount):
        return set(mount.split()[3].split(","))

    script = "grep -E ' /dev/(shm|mqueue) ' /proc/mounts"
    queues, memory = sorted(lines(engine, script, ipc_mode="host"))
    assert queues.split()[2] == "mqueue"
    assert {"nosuid", "nodev", "noexec"} <= flags(queues)
    host = [each for each in Path("/proc/mounts").read_text().splitlines() if " /dev/shm " in each]
    assert ("noexec" in flags(memory)) == ("noexec" in flags(host[-1]))


def test_shared_ipc(engine):
    donor = engine.create("echo mine > /dev/shm/f; echo up; cat", open_stdin=True, ipc_mode="shareable")
    streams = engine.containers.attach(donor)
    engine.containers.start(donor)
    assert os.read(streams.stdout, 10) == b"up\n"
    assert lines(engine, "cat /dev/shm/f", ipc_mode=f"container:{donor}") == ["mine"]
    private = engine.create("cat", open_stdin=True)
    engine.containers.start(private)
    made = engine.create(":", ipc_mode=f"container:{private}")
    with pytest.raises(Invalid, match="non-shareable IPC"):
        engine.containers.start(made)
    for each in {streams.stdin, streams.stdout, streams.stderr}:
        os.close(each)


def test_namespaces(engine):
    other = engine.create("sleep 1000")
    engine.containers.start(other)
    pid = engine.containers.get(other).state.pid

    def inside(kind, **config):
        return lines(engine, f"readlink /proc/self/ns/{kind}", **config)[0]

    for kind in ("pid", "ipc", "uts", "net", "mnt", "cgroup"):
        assert inside(kind) != str(Path(f"/proc/self/ns/{kind}").readlink())
    for kind, config in (
        ("pid", {"pid_mode": "host"}),
        ("ipc", {"ipc_mode": "host"}),
        ("uts", {"uts_mode": "host"}),
        ("net", {"network": "host"}),
        ("cgroup", {"cgroupns_mode": "host"}),
    ):
        assert inside(kind, **config) == str(Path(f"/proc/self/ns/{kind}").readlink())
    for kind, config in (("pid", {"pid_mode": f"container:{other}"}), ("net", {"network": f"container:{other}"})):
        assert inside(kind, **config) == str(Path(f"/proc/{pid}/ns/{kind}").readlink())


def test_joining_one_that_does_not_run(engine):
    other = engine.create(":")
    for config, words in (
        ({"pid_mode": f"container:{other}"}, "PID namespace"), ({"network": f"container:{other}"}, "network"),
    ):  # fmt: skip
        made = engine.create(":", **config)
        with pytest.raises(Conflict, match=f"cannot join {words} of a non running container: {other}"):
            engine.containers.start(made)
    with pytest.raises(NotFound, match="No such container: none"):
        engine.create(":", pid_mode="container:none")


@pytest.mark.parametrize(
    ("field", "kind"),
    [
        ("pid_mode", "PID"),
        ("ipc_mode", "IPC"),
        ("uts_mode", "UTS"),
        ("userns_mode", "user namespace"),
        ("cgroupns_mode", "cgroup namespace"),
    ],
)
def test_no_namespace_mode(engine, field, kind):
    with pytest.raises(Invalid, match=f"invalid {kind} mode: x"):
        engine.create(":", **{field: "x"})


def test_names_and_files(engine):
    found = lines(
        engine, "cat /etc/hostname /etc/hosts /etc/resolv.conf", hostname="me", domainname="home",
        extra_hosts=("db:10.0.0.9",), dns=("9.9.9.9",), dns_search=("lan",), dns_options=("ndots:2",),
    )  # fmt: skip
    assert found[0] == "me"
    for each in ("127.0.0.1\tlocalhost", "10.0.0.9\tdb", "nameserver 9.9.9.9", "search lan", "options ndots:2"):
        assert each in found
    assert lines(engine, "cat /proc/sys/kernel/hostname")[0] == engine.last[:12]
    assert lines(engine, "cat /etc/hostname", network="host") == [socket.gethostname()]
    made = engine.create(":", extra_hosts=("g:host-gateway",))
    with pytest.raises(Invalid, match="unable to derive the IP value for host-gateway"):
        engine.containers.start(made)


def test_the_default_network_is_told(engine):
    assert "no bridge network" in engine.containers.create(ContainerConfig("box", ("true",))).warnings[0]
    assert engine.containers.create(ContainerConfig("box", ("true",), network="none")).warnings == ()
    made = engine.create(":", network="absent")
    with pytest.raises(NotFound, match="network absent not found"):
        engine.containers.start(made)


def test_an_image_of_another_processor_is_told(engine, monkeypatch):
    monkeypatch.setattr(engine.images, "platform", Platform("linux", "nonesuch"))
    (told,) = engine.containers.create(ContainerConfig("box", ("true",), network="none")).warnings
    assert told.startswith("The requested image's platform (linux/nonesuch) does not match the detected host platform")
    assert (
        engine.containers.create(ContainerConfig("box", ("true",), network="none", platform="linux/nonesuch")).warnings
        == ()
    )


def test_no_loopback_is_promised_where_there_is_no_network_for_it(engine, monkeypatch):
    monkeypatch.setattr(type(engine.networks), "drivers", lambda self: ("lan",))
    monkeypatch.setattr(type(engine.networks), "default", lambda self: "none")
    assert engine.containers.create(ContainerConfig("box", ("true",))).warnings == ()


def test_binds(engine, tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    (source / "f").write_text("from the host\n")
    bind = MountRequest("bind", "/in", str(source))
    assert lines(engine, "cat /in/f; echo back > /in/g", mounts=(bind,)) == ["from the host"]
    assert (source / "g").read_text() == "back\n"
    read_only = MountRequest("bind", "/in", str(source), read_only=True)
    assert engine.run("echo a > /in/h", mounts=(read_only,))[0] != 0
    made = MountRequest("bind", "/in", str(tmp_path / "new/folder"), create_source=True)
    assert engine.run("ls /in", mounts=(made,)) == (0, "")
    with pytest.raises(Invalid, match=f"bind source path does not exist: {tmp_path}/absent"):
        engine.create(":", mounts=(MountRequest("bind", "/in", str(tmp_path / "absent")),))


def test_propagation(engine, tmp_path):
    (tmp_path / "shared").mkdir()
    asked = MountRequest("bind", "/in", str(tmp_path / "shared"), propagation="rslave")
    assert "master:" in lines(engine, "grep ' /in ' /proc/self/mountinfo", mounts=(asked,))[0]


@pytest.mark.parametrize(("asked", "kinds"), [("rshared", "shared"), ("slave", "shared or slave")])
def test_propagation_from_what_is_private(engine, tmp_path, asked, kinds):
    """Nothing would go on; who asks for it is told which mount keeps it."""
    place = tmp_path / "private"
    place.mkdir()
    kernel.mount("tmpfs", str(place), "tmpfs")
    kernel.set_propagation(str(place), "private")
    source = str(place / "inner")
    made = engine.create(":", mounts=(MountRequest("bind", "/in", source, propagation=asked, create_source=True),))
    with pytest.raises(HostUnfit, match=f"path {source} is mounted on {place} but it is not a {kinds} mount"):
        engine.containers.start(made)
    kernel.unmount(str(place), detach=True)


@pytest.mark.parametrize(
    ("mount", "words"),
    [
        (MountRequest("other", "/a"), "mount type unknown"),
        (MountRequest("bind", "a", "/etc"), "mount path must be absolute"),
        (MountRequest("bind", "", "/etc"), "field Target must not be empty"),
        (MountRequest("bind", "/", "/etc"), "destination can't be '/'"),
        (MountRequest("bind", "/a", ""), "field Source must not be empty"),
        (MountRequest("bind", "/a", "b"), "mount path must be absolute"),
        (MountRequest("bind", "/a", "/etc", propagation="x"), "invalid propagation mode: x"),
        (MountRequest("tmpfs", "/a", "/b"), "field Source must not be specified"),
        (MountRequest("tmpfs", "/a", size_bytes=-1), "invalid tmpfs size"),
        (MountRequest("volume", "/a", "v", subpath="../x"), "subpath must be a relative path"),
        (MountRequest("volume", "/a", subpath="x"), "must not set Subpath when using anonymous volumes"),
        (MountRequest("volume", "/a", read_only=True), "must not set ReadOnly mode when using anonymous volumes"),
    ],
)
def test_no_mount(engine, mount, words):
    with pytest.raises(Invalid, match=words):
        engine.create(":", mounts=(mount,))


@pytest.mark.parametrize(
    ("source", "target"), [("/etc", "/etc/passwd"), ("/proc/version", "/etc"), ("/etc", "/etc/passwd/x")]
)
def test_a_folder_is_mounted_on_a_folder_alone(engine, source, target):
    """What people meet who mount a file that isn't there, for which a folder was made: so it is said."""
    made = engine.create(":", mounts=(MountRequest("bind", target, source),))
    with pytest.raises(Invalid, match=r"Not a directory: Are you trying to mount a directory onto a file \(or vice"):
        engine.containers.start(made)


def test_two_mounts_at_one_place(engine):
    mounts = (MountRequest("tmpfs", "/a"), MountRequest("tmpfs", "/a/"))
    with pytest.raises(Invalid, match="Duplicate mount point: /a"):
        engine.create(":", mounts=mounts)


def test_tmpfs(engine):
    asked = (MountRequest("tmpfs", "/t", options=("exec", "size=1m")), MountRequest("tmpfs", "/u", mode=0o700))
    first, second = sorted(lines(engine, "grep -E ' /[tu] ' /proc/mounts", mounts=asked))
    assert "size=1024k" in first
    assert "noexec" not in first
    assert "noexec" in second
    assert "mode=700" in second


def test_read_only_root(engine):
    assert engine.run("echo a > /a", read_only_root=True)[0] != 0
    assert engine.run("echo a > /t/a", read_only_root=True, mounts=(MountRequest("tmpfs", "/t"),))[0] == 0


def test_volumes(engine):
    engine.volumes.create("kept")
    mount = MountRequest("volume", "/data", "kept")
    assert engine.run("echo once > /data/f", mounts=(mount,))[0] == 0
    first = engine.last
    assert lines(engine, "cat /data/f", mounts=(mount,)) == ["once"]
    assert engine.volumes.get("kept").users
    shown = engine.containers.get(first).mounts[0]
    assert (shown.type, shown.name, shown.destination, shown.driver) == ("volume", "kept", "/data", "local")
    for each in engine.containers.list():
        engine.containers.remove(each.id, volumes=True)
    assert engine.volumes.get("kept").users == ()


def test_a_volume_begins_with_what_the_image_has(engine):
    assert lines(engine, "ls /etc | grep passwd; stat -c %a /etc", volumes=("/etc",))[0] == "passwd"
    assert engine.run("ls /v", mounts=(MountRequest("volume", "/bin/../etc", "none", no_copy=True),))[0] != 0
    assert list((Path(engine.volumes.get("none").mountpoint)).glob("passwd")) == []


def test_a_volume_that_is_not_absolute_lies_below_the_root(engine):
    assert lines(engine, "grep -c ' /data/sub ' /proc/self/mounts; pwd", volumes=("data/sub",)) == ["1", "/"]
    for each in ("", ".", "..", "/"):
        with pytest.raises(Invalid, match="invalid volume specification"):
            engine.create(":", volumes=(each,))


def test_anonymous_volumes_go_with_their_container(engine):
    made = engine.create(":", volumes=("/a",), mounts=(MountRequest("volume", "/b", "named"),))
    name = next(each.name for each in engine.containers.get(made).mounts if each.destination == "/a")
    engine.containers.remove(made, volumes=True)
    with pytest.raises(NotFound):
        engine.volumes.get(name)
    assert engine.volumes.get("named").users == ()


def test_modes_are_shown_as_they_are_spelled(engine, tmp_path):
    bind, volume = f"{tmp_path}:/b:ro,rslave", "vol:/c:nocopy"
    donor = engine.create(":", volumes=("/a",), mounts=(
        MountRequest("bind", "/b", str(tmp_path), read_only=True, propagation="rslave", spelled=bind),
        MountRequest("volume", "/c", "vol", no_copy=True, spelled=volume),
        MountRequest("volume", "/d", "vol", spelled="vol:/d"),
        MountRequest("volume", "/e", "vol"),
    ))  # fmt: skip
    heir = engine.create(":", volumes_from=(donor,))

    def modes(name):
        return {each.destination: each.mode for each in engine.containers.get(name).mounts}

    assert modes(donor) == {"/a": "", "/b": "ro,rslave", "/c": "nocopy", "/d": "z", "/e": "z"}
    assert modes(heir) == dict.fromkeys(modes(donor), "")
    assert {each.propagation for each in engine.containers.get(heir).mounts} == {"", "rslave"}


def test_volumes_from(engine):
    donor = engine.create("echo mine > /a/f", volumes=("/a",))
    engine.finish(donor)
    assert lines(engine, "cat /a/f", volumes_from=(donor,)) == ["mine"]
    assert engine.run("echo b > /a/f", volumes_from=(f"{donor}:ro",))[0] != 0
    with pytest.raises(Invalid, match="invalid mode for volumes-from"):
        engine.create(":", volumes_from=(f"{donor}:nonsense",))
    with pytest.raises(NotFound, match="No such container: none"):
        engine.create(":", volumes_from=("none",))


def test_subpaths(engine):
    engine.run(
        "mkdir -p /v/deep/er; echo in > /v/deep/er/f; ln -s /../../../.. /v/up",
        mounts=(MountRequest("volume", "/v", "whole"),),
    )
    part = MountRequest("volume", "/p", "whole", subpath="deep/er")
    assert lines(engine, "cat /p/f", mounts=(part,)) == ["in"]
    led = MountRequest("volume", "/p", "whole", subpath="up/etc")
    made = engine.create(":", mounts=(led,))
    with pytest.raises(Invalid, match="failed to access subpath up/etc"):
        engine.containers.start(made)


@pytest.mark.parametrize(
    ("test", "words"),
    [(("HTTP", "ftp://x/"), "'ftp://x/' is not a URL that can be probed"), (("TCP", "http"), "'http' is no port")],
)
def test_what_can_not_be_probed_is_not_the_program_s_fault(engine, test, words):
    made = engine.create(":", health=HealthCheck(test))
    with pytest.raises(Invalid) as failed:
        engine.containers.start(made)
    assert failed.value.message == words


def test_the_working_folder_is_made(engine):
    assert lines(engine, "pwd", working_directory="/not/there/yet") == ["/not/there/yet"]
    with pytest.raises(Invalid, match="it needs to be an absolute path"):
        engine.create(":", working_directory="here")


def test_limits(engine):
    asked = Resources(memory_bytes=64 << 20, nano_cpus=500_000_000, pids_limit=50, cpu_shares=512)
    made = engine.create("sleep 1000", resources=asked)
    assert engine.containers.get(made).config.resources.memory_swap_bytes == 128 << 20
    engine.containers.start(made)
    found = engine.containers.stats(made)
    assert (found.memory_limit_bytes, found.pids_limit) == (64 << 20, 50)


@pytest.mark.parametrize("memory", [1 << 62, (1 << 63) - 1])
def test_a_limit_that_is_as_good_as_none(engine, memory):
    made = engine.create("true", resources=Resources(memory_bytes=memory))
    assert engine.containers.get(made).config.resources.memory_swap_bytes == (1 << 63) - 1
    assert engine.finish(made)[0] == 0


def test_running_out_of_memory(engine):
    asked = Resources(memory_bytes=16 << 20, memory_swap_bytes=16 << 20)
    made = engine.create("dd if=/dev/zero of=/dev/null bs=200M count=1", resources=asked)
    code, _ = engine.finish(made)
    assert code == 137
    assert engine.containers.get(made).state.oom_killed
    assert "oom" in engine.actions()


@pytest.mark.parametrize(
    ("there", "change", "error", "words"),
    [
        ({"nano_cpus": 10**9}, {"cpu_quota_us": 5000}, Conflict, "CPU Quota cannot be updated as NanoCPUs"),
        ({"nano_cpus": 10**9}, {"cpu_period_us": 5}, Invalid, "^CPU cfs period can not be less than 1ms"),
        ({"nano_cpus": 10**9}, {"nano_cpus": 10**9, "cpu_quota_us": 5000}, Invalid, "^Conflicting options: Nano CPUs"),
        ({"cpu_quota_us": 5000}, {"nano_cpus": 10**9}, Conflict, "Nano CPUs cannot be updated as CPU Quota"),
        ({"memory_bytes": 8 << 20, "memory_swap_bytes": 9 << 20}, {"memory_bytes": 10 << 20}, Conflict, "same time$"),
    ],
)
def test_limits_that_do_not_go_together(engine, there, change, error, words):
    made = engine.create(":", resources=Resources(**there))
    with pytest.raises(error, match=words) as caught:
        engine.containers.update(made, ContainerUpdate(change))
    assert caught.value.message.startswith(f"Cannot update container {made}: ") is (error is Conflict)
    assert engine.containers.get(made).config.resources.nano_cpus == there.get("nano_cpus", 0)


def test_a_restart_policy_of_what_goes_at_its_end(engine):
    made = engine.create(":", auto_remove=True)
    engine.containers.update(made, ContainerUpdate({}, RestartPolicy("no")))
    with pytest.raises(Conflict, match="Restart policy cannot be updated because AutoRemove is enabled"):
        engine.containers.update(made, ContainerUpdate({}, RestartPolicy("always")))


def test_annotations_and_score(engine):
    assert lines(engine, "cat /proc/self/oom_score_adj", oom_score_adjust=321, annotations={"a": "b"}) == ["321"]
    with pytest.raises(Invalid, match="range for oom score adj"):
        engine.create(":", oom_score_adjust=2000)


def test_runtime(engine):
    assert engine.run(":", runtime="native")[0] == 0
    with pytest.raises(Invalid, match="unknown or invalid runtime name: absent"):
        engine.create(":", runtime="absent")


def test_log_driver(engine):
    with pytest.raises(NotFound):
        engine.create(":", log=LogChoice("absent"))


def test_an_init(engine, monkeypatch):
    monkeypatch.setattr("moby_containers.engine.starting._INITS", ("absent",))
    made = engine.create(":", init=True)
    with pytest.raises(HostUnfit, match="this host has none of absent") as caught:
        engine.containers.start(made)
    assert "package tini" in caught.value.hint
    # Which, like an init, runs what comes after its two dashes.
    monkeypatch.setattr("moby_containers.engine.starting._INITS", ("env",))
    assert lines(engine, "grep -c docker-init /proc/mounts; echo ran", init=True) == ["1", "ran"]


def test_a_start_that_fails_removes_what_is_to_go(engine):
    made = engine.containers.create(ContainerConfig("box", ("nothing",), auto_remove=True)).id
    waiter = engine.containers.wait(made, Condition.REMOVED)
    with pytest.raises(Invalid):
        engine.containers.start(made)
    assert waiter.result().exit_code == 127
    waiter.close()


def test_a_log_of_its_own(engine):
    made = engine.create("echo in the log", log=LogChoice("json-file", {"max-size": "1m"}))
    engine.finish(made)
    assert "in the log" in Path(engine.containers.get(made).log_path).read_text()
