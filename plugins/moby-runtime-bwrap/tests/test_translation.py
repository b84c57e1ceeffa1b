"""What bubblewrap can't do is refused by the field's name, and what is wrong is said to be."""

import json
import os

import pytest
from moby.errors import HostUnfit, Invalid, Unsupported

from bwrap_runtime import bundle as bundles_module
from bwrap_runtime.translation import invocation


def changed(data, path, value):
    """Set a value in a nested configuration; a list is added to."""
    *parents, last = path
    inner = data
    for name in parents:
        inner = inner.setdefault(name, {})
    if isinstance(value, list) and isinstance(inner.get(last), list):
        inner[last] = [*inner[last], *value]
    else:
        inner[last] = value
    return data


def translated(bundles, data):
    return invocation(bundles_module.read(bundles.make("one", data)))


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        (("domainname",), "there", "domainname"),
        (("hooks",), {"poststop": [{"path": "/bin/true"}]}, "hooks"),
        (("process", "terminal"), True, "process.terminal"),
        (("process", "apparmorProfile"), "strict", "process.apparmorProfile"),
        (("linux", "cgroupsPath"), "/some", "linux.cgroupsPath"),
        (("linux", "seccomp"), {"defaultAction": "SCMP_ACT_ALLOW"}, "linux.seccomp"),
        (("linux", "sysctl"), {"net.ipv4.ip_forward": "1"}, "linux.sysctl"),
        (("linux", "resources"), {"memory": {"limit": 1}}, "linux.resources.memory"),
        (("linux", "namespaces"), [{"type": "time"}], "linux.namespaces"),
        (("linux", "namespaces"), [{"type": "user", "path": "/proc/1/ns/user"}], "linux.namespaces"),
        (("linux", "maskedPaths"), ["/dev/zero"], "linux.maskedPaths"),
        (("linux", "readonlyPaths"), ["/dev/shm"], "linux.readonlyPaths"),
        (("linux", "readonlyPaths"), ["/proc/self/attr"], "linux.readonlyPaths"),
        (("linux", "rootfsPropagation"), "shared", "linux.rootfsPropagation"),
        (("linux", "devices"), [{"path": "/dev/nowhere", "type": "c", "major": 1, "minor": 3}], "linux.devices"),
        (("linux", "devices"), [{"path": "/dev/kmsg", "type": "c", "major": 1, "minor": 3}], "linux.devices"),
        (("process", "capabilities", "effective"), ["CAP_SYS_ADMIN"], "process.capabilities.bounding"),
        (("mounts",), [{"destination": "/a", "type": "overlay"}], "overlay"),
        (("mounts",), [{"destination": "/a", "type": "sysfs"}], "sysfs"),
        (("mounts",), [{"destination": "/a", "type": "tmpfs", "options": ["size=half"]}], "size=half"),
        (("mounts",), [{"destination": "/a", "source": "/", "options": ["bind", "ro"]}], "rbind"),
        (("mounts",), [{"destination": "/a", "source": "/etc", "options": ["rbind", "shared"]}], "shared"),
    ],
)
def test_refused(bundles, data, path, value, named):
    with pytest.raises(Unsupported, match=named) as caught:
        translated(bundles, changed(data(), path, value))
    assert caught.value.hint


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        (("ociVersion",), "2.0", "ociVersion"),
        (("ociVersion",), 1, "ociVersion"),
        (("root", "path"), "", "root.path"),
        (("process", "args"), [""], None),
        (("process", "args"), ["a\0b"], r"process\.args\[1\]"),
        (("process", "env"), ["NAME"], r"process\.env"),
        (("process", "cwd"), "/absent", "process.cwd"),
        (("process", "capabilities", "bounding"), ["CAP_FLY"], "CAP_FLY"),
        (("process", "rlimits"), [{"type": "RLIMIT_FUN", "soft": 1, "hard": 1}], "RLIMIT_FUN"),
        (("process", "rlimits"), [{"type": "RLIMIT_NOFILE", "soft": 2, "hard": 1}], "soft"),
        (("process", "user", "uid"), True, "process.user.uid"),
        (("linux", "namespaces"), [{"type": "pid"}], "pid twice"),
        (("linux",), [], "linux"),
        (("mounts",), [{"destination": "/", "type": "tmpfs"}], "root itself"),
        (("mounts",), [{"destination": "/a", "source": "/no/such", "options": ["bind"]}], "/no/such"),
    ],
)
def test_wrong(bundles, data, path, value, named):
    config = data("") if named is None else changed(data(), path, value)
    with pytest.raises(Invalid, match=named):
        translated(bundles, config)


def test_a_host_name_wants_a_namespace(bundles, data):
    config = data()
    config["linux"]["namespaces"] = [each for each in config["linux"]["namespaces"] if each["type"] != "uts"]
    with pytest.raises(Invalid, match="hostname"):
        translated(bundles, config)


@pytest.mark.parametrize("kind", ["pid", "mount"])
def test_namespaces_that_it_always_makes(bundles, data, kind):
    config = data()
    config["linux"]["namespaces"] = [each for each in config["linux"]["namespaces"] if each["type"] != kind]
    with pytest.raises(Unsupported, match=kind):
        translated(bundles, config)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("mounts",), [{"destination": "/loop/a", "type": "tmpfs"}]),
        (("process", "cwd"), "/loop"),
        (("linux", "maskedPaths"), ["/loop"]),
        (("linux", "readonlyPaths"), ["/loop"]),
    ],
)
def test_a_loop_of_links_leads_nowhere(bundles, data, path, value):
    config = changed(data(), path, value)
    bundle = bundles.make("loop", config, shared=False)
    (bundle / "rootfs/loop").symlink_to("loop")
    with pytest.raises(Invalid, match="/loop"):
        invocation(bundles_module.read(bundle))


def test_more_capabilities_than_the_caller_has(bundles, data, monkeypatch):
    if os.geteuid() != 0:
        pytest.skip("in a user namespace all can be had; runs as root")
    monkeypatch.setattr("bwrap_runtime.capabilities.held", lambda: ("CAP_KILL",))
    with pytest.raises(HostUnfit, match="CAP_CHOWN"):
        translated(bundles, data())


def test_secrets_are_not_on_the_command_line(bundles, data, runtime, null):
    bundle = bundles.make("secret", data("sleep", "9", env=["PATH=/bin", "KEY=hunter2"]))
    process = runtime.create("secret", bundle, null)
    try:
        runtime.start("secret")
        lines = [path.read_bytes() for path in _monitors(process.pid)]
        assert lines
        assert not any(b"hunter2" in line for line in lines)
    finally:
        runtime.delete("secret", force=True)
        os.waitid(os.P_PIDFD, process.exit_fd, os.WEXITED)
        os.close(process.exit_fd)


def _monitors(pid):
    from pathlib import Path

    parent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]
    return [Path(f"/proc/{parent}/cmdline")]


def test_what_is_only_nearly_so_is_said(bundles, data, runtime, null, log):
    bundle = bundles.make("nearly", data(noNewPrivileges=False))
    process = runtime.create("nearly", bundle, null)
    runtime.delete("nearly", force=True)
    os.waitid(os.P_PIDFD, process.exit_fd, os.WEXITED)
    os.close(process.exit_fd)
    assert log.lines == ["only nearly as asked: process.noNewPrivileges: bubblewrap always sets it"]


def test_no_bundle_is_read_twice(bundles, data):
    """What `start` needs is kept, so that a changed config.json changes nothing."""
    bundle = bundles.make("one", data())
    read = bundles_module.read(bundle)
    (bundle / "config.json").write_text(json.dumps({}), encoding="utf-8")
    assert invocation(read).program == ("true",)
