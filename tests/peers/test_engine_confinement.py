"""Podman and dockerd confine containers with our runtime: files, users, capabilities, system calls, namespaces."""

import json
import re
from pathlib import Path

import pytest
from peers.engines import choices
from peers.sandbox import TEMPORARY, until

pytestmark = [
    pytest.mark.usefixtures("tidy"),
    pytest.mark.parametrize("engine", choices("podman", "docker"), indirect=True, scope="module"),
]

NAMESPACES = ("mnt", "pid", "net", "ipc", "uts", "cgroup", "user")
_LINKS = "for each in " + " ".join(NAMESPACES) + "; do readlink /proc/self/ns/$each; done"


def namespaces(text):
    """The namespaces that `_LINKS` prints, by name."""
    return dict(zip(NAMESPACES, text.split(), strict=True))


@pytest.fixture
def outside(engine):
    """The namespaces of the engine itself."""
    return namespaces(engine.sandbox.run("sh", "-c", _LINKS).stdout)


@pytest.fixture
def folder(engine):
    """A folder of the engine's host, empty."""
    path = TEMPORARY / f"data-{engine.fresh()}"
    engine.sandbox.run("mkdir", path)
    return path


class TestFiles:
    def test_a_root_that_is_read_only(self, engine):
        script = "touch /file; touch /scratch/file && echo ok"
        done = engine.run("sh", "-c", script, options=["--read-only", "--tmpfs", "/scratch:size=1m,mode=1777"])
        assert done.stdout == "ok\n"
        assert "Read-only file system" in done.stderr

    def test_a_tmpfs_has_its_size(self, engine):
        script = "dd if=/dev/zero of=/scratch/x bs=1k count=2000 2>&1; df -k /scratch | tail -1"
        text = engine.run("sh", "-c", script, options=["--tmpfs", "/scratch:size=1m"]).stdout
        assert "No space left on device" in text
        assert re.search(r"\b1024\b", text.splitlines()[-1])

    def test_folders_of_the_host(self, engine, folder):
        options = ["-v", f"{folder}:/data", "-v", f"{folder}:/look:ro"]
        script = "echo text >/data/file; cat /look/file; touch /look/other"
        done = engine.run("sh", "-c", script, options=options)
        assert done.stdout == "text\n"
        assert "Read-only file system" in done.stderr
        assert engine.sandbox.run("cat", folder / "file").stdout == "text\n"

    def test_a_file_of_the_host(self, engine, folder):
        engine.sandbox.run("sh", "-c", f"echo one >{folder}/file")
        options = ["--mount", f"type=bind,source={folder}/file,target=/etc/deep/down/file"]
        assert engine.said("cat", "/etc/deep/down/file", options=options) == "one"

    def test_volumes_outlive_containers(self, engine):
        engine("volume", "create", "kept")
        engine.said("sh", "-c", "echo here >/data/file", options=["-v", "kept:/data"])
        assert engine.said("cat", "/data/file", options=["-v", "kept:/data"]) == "here"
        engine("volume", "rm", "kept")

    def test_what_is_mounted_later_is_seen_where_it_shall_be(self, engine, folder):
        engine.sandbox.run("mount", "--bind", folder, folder)
        engine.sandbox.run("mount", "--make-shared", folder)
        engine.sandbox.run("mkdir", folder / "later")
        options = ["-v", f"{folder}:/slave:rslave", "-v", f"{folder}:/private:rprivate"]
        name = engine.up(options=options)
        engine.sandbox.run("mount", "-t", "tmpfs", "tmpfs", folder / "later")
        engine.sandbox.run("touch", folder / "later" / "file")
        assert engine.out("exec", name, "ls", "/slave/later") == "file"
        assert engine.out("exec", name, "ls", "/private/later") == ""
        engine.remove(name)
        engine.sandbox.run("umount", folder / "later")
        engine.sandbox.run("umount", folder)

    def test_what_it_mounts_is_seen_outside_where_it_shall_be(self, engine, folder):
        engine.sandbox.run("mount", "--bind", folder, folder)
        engine.sandbox.run("mount", "--make-shared", folder)
        engine.sandbox.run("mkdir", folder / "later")
        script = "mount -t tmpfs tmpfs /shared/later && touch /shared/later/file && echo up; exec sleep 1000"
        name = engine.start("sh", "-c", script, options=["--privileged", "-v", f"{folder}:/shared:rshared"])
        until(lambda: engine.out("logs", name) == "up", "its output")
        assert engine.sandbox.run("ls", folder / "later").stdout == "file\n"
        engine.remove(name)
        engine.sandbox.run("umount", folder / "later")
        engine.sandbox.run("umount", folder)

    def test_shared_memory_has_its_size(self, engine):
        text = engine.said("df", "-k", "/dev/shm", options=["--shm-size", "2m"])
        assert re.search(r"\b2048\b", text.splitlines()[-1])


class TestRights:
    @pytest.mark.parametrize(
        ("options", "wanted"),
        [
            (["--cap-drop", "ALL"], 0),
            (["--cap-drop", "ALL", "--cap-add", "CHOWN"], 1 << 0),
            (["--cap-drop", "ALL", "--cap-add", "NET_ADMIN", "--cap-add", "SYS_TIME"], 1 << 12 | 1 << 25),
        ],
        ids=["none", "one", "two"],
    )
    def test_capabilities(self, engine, options, wanted):
        status = engine.said("cat", "/proc/self/status", options=options)
        for name in ("CapPrm", "CapEff", "CapBnd"):
            assert int(re.search(f"^{name}:\t(.*)$", status, re.MULTILINE)[1], 16) == wanted
        assert int(re.search("^CapAmb:\t(.*)$", status, re.MULTILINE)[1], 16) == 0

    def test_capabilities_of_a_user(self, engine):
        status = engine.said("cat", "/proc/self/status", options=["--user", "1000"])
        assert re.search("^CapEff:\t0{16}$", status, re.MULTILINE)
        assert re.search("^CapPrm:\t0{16}$", status, re.MULTILINE)

    def test_as_by_default(self, engine):
        status = engine.said("cat", "/proc/self/status")
        default = {"docker": "00000000a80425fb", "podman": "00000000800405fb"}[engine.name]
        assert re.search(f"^CapEff:\t{default}$", status, re.MULTILINE)
        assert re.search("^NoNewPrivs:\t0$", status, re.MULTILINE)
        assert re.search("^Seccomp:\t2$", status, re.MULTILINE)

    def test_privileged(self, engine):
        full = engine.sandbox.run("grep", "CapEff", "/proc/self/status").stdout.split()[1]
        script = "cat /proc/self/status; mount -t tmpfs tmpfs /tmp && touch /sys/kernel/mm/none 2>/dev/null; ls /dev"
        status = engine.said("sh", "-c", script, options=["--privileged"])
        assert re.search(f"^CapEff:\t{full}$", status, re.MULTILINE)
        assert re.search("^Seccomp:\t0$", status, re.MULTILINE)
        assert "kmsg" in status.split()

    def test_no_new_privileges(self, engine):
        options = ["--security-opt", "no-new-privileges"]
        assert "NoNewPrivs:\t1\n" in engine.said("cat", "/proc/self/status", options=options)

    def test_masked_and_read_only_paths(self, engine):
        script = (
            "cat /proc/kcore | head -c 1 | wc -c; ls /proc/scsi /sys/firmware | wc -w; echo 1 >/proc/sys/kernel/panic"
        )
        done = engine.run("sh", "-c", script)
        assert done.stdout.split()[:1] == ["0"]
        assert "Read-only file system" in done.stderr

    def test_system_calls_by_default(self, engine):
        done = engine.run("unshare", "--user", "true", options=["--user", "1000"])
        allowed = {"docker": False, "podman": True}[engine.name]
        assert (done.returncode == 0) is allowed, done.stderr
        assert ("Operation not permitted" not in done.stderr) is allowed

    def test_system_calls_unconfined(self, engine):
        options = ["--security-opt", "seccomp=unconfined"]
        assert "Seccomp:\t0\n" in engine.said("cat", "/proc/self/status", options=options)

    def test_system_calls_by_a_profile(self, engine, folder):
        profile = {
            "defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28}],
        }
        engine.sandbox.run("tee", folder / "profile.json", input=json.dumps(profile))
        options = ["--security-opt", f"seccomp={folder}/profile.json"]
        done = engine.run("sh", "-c", "mkdir /tmp/x; touch /tmp/y && echo ok", options=options)
        assert done.stdout == "ok\n"
        assert "No space left on device" in done.stderr


class TestDevices:
    def test_one_that_is_given(self, engine):
        script = "stat -c '%F %t:%T' /dev/given; head -c 0 </dev/given && echo opened"
        options = ["--device", "/dev/null:/dev/given:r"]
        assert engine.said("sh", "-c", script, options=options) == "character special file 1:3\nopened"

    @pytest.fixture
    def number(self):
        """The number of a device of this machine's that no container gets by itself: /dev/loop-control."""
        found = re.search(r"(\d+) loop-control", Path("/proc/misc").read_text())
        if not found:
            pytest.skip("this kernel has no /dev/loop-control")
        return found[1]

    def test_one_that_is_not(self, engine, number):
        options = ["--cap-add", "MKNOD"]
        done = engine.run("sh", "-c", f"mknod /device c 10 {number} && head -c 0 </device", options=options)
        assert done.returncode != 0
        assert "Operation not permitted" in done.stderr

    def test_by_a_rule(self, engine, number):
        options = ["--cap-add", "MKNOD", "--device-cgroup-rule", f"c 10:{number} rm"]
        script = f"mknod /device c 10 {number} && head -c 0 </device && echo opened; echo x >/device"
        done = engine.run("sh", "-c", script, options=options)
        assert done.stdout == "opened\n"
        assert "Operation not permitted" in done.stderr


class TestNamespaces:
    @pytest.mark.parametrize(
        ("options", "shared"),
        [
            ([], {"user"}),
            (["--pid", "host"], {"user", "pid"}),
            (["--ipc", "host"], {"user", "ipc"}),
            (["--uts", "host"], {"user", "uts"}),
            (["--cgroupns", "host"], {"user", "cgroup"}),
            (["--cgroupns", "private"], {"user"}),
            (["--network", "host"], {"user", "net"}),
        ],
        ids=lambda value: "-".join(value).replace("--", "") if isinstance(value, list) else "",
    )
    def test_of_the_host(self, engine, outside, options, shared):
        # Both share the group namespace where control groups are of version 1.
        options = options if "--cgroupns" in options else ["--cgroupns", "private", *options]
        network = options if "--network" in options else ["--network=none", *options]
        inside = namespaces(engine.out("run", "--rm", *network, "localhost/box", "sh", "-c", _LINKS))
        assert {name for name in NAMESPACES if inside[name] == outside[name]} == shared

    @pytest.mark.parametrize(("option", "name"), [("pid", "pid"), ("ipc", "ipc"), ("network", "net")])
    def test_of_another_container(self, engine, option, name):
        first = engine.up(options=["--ipc", "shareable"])
        inside = namespaces(engine.out("exec", first, "sh", "-c", _LINKS))
        options = [] if option == "network" else ["--network=none"]
        command = ("run", "--rm", *options, f"--{option}=container:{first}", "localhost/box", "sh", "-c", _LINKS)
        second = namespaces(engine.out(*command))
        assert second[name] == inside[name]
        assert {each for each in NAMESPACES if second[each] == inside[each]} <= {name, "user", "cgroup"}

    def test_processes_of_the_host_are_seen(self, engine):
        assert "inside.py" in engine.said("cat", "/proc/1/cmdline", options=["--pid", "host"])
        assert engine.said("cat", "/proc/1/comm") == "cat"
