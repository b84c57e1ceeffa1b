"""What the command prints has the shape of runc's, which engines read; runc itself is asked."""

import json
import subprocess

import pytest
from moby_runtime.records.shape import Strings, mistakes
from peers.binaries import environment, need
from runtime_command.command import PATIENCE_S, Command, ended

pytestmark = pytest.mark.slow


class Runc(Command):
    def options(self, env=None, **more):
        return super().options(environment() | (env or {}), **more)


@pytest.fixture
def both(command):
    program = str(need("runc", "runc"))
    folder = command.folder / "runc"
    folder.mkdir()
    other = Runc(folder, command.bundles, program=(program,))
    yield command, other
    if other.root.exists():
        other.remove_all()


def shape(value):
    """Return the types of a JSON value, by their keys."""
    if isinstance(value, dict):
        return {key: shape(each) for key, each in value.items()}
    return type(value).__name__


def bundle_of(command, *args):
    """Return a bundle that both run; runc takes no root that is a link."""
    data = command.config(*args)
    data["root"]["path"] = str(command.bundles.rootfs)
    return command.bundle(data=data)


def plain(command):
    data = command.config("sleep", "1000")
    data["root"]["path"] = str(command.bundles.rootfs)
    data["annotations"] = {"a": "b"}
    return command.bundle(data=data)


def started(command, bundle):
    pid_file = command.folder / "pid"
    done = subprocess.run(
        command.argv("run", "-d", "-b", bundle, "--pid-file", pid_file, "box"), check=False, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, timeout=PATIENCE_S, **command.options(),
    )  # fmt: skip
    assert done.returncode == 0
    return int(pid_file.read_text())


def test_state_and_list(both):
    bundle = plain(both[0])
    for each in both:
        started(each, bundle)
    ours, theirs = (each.state("box") for each in both)
    assert list(ours) == list(theirs)
    assert shape(ours) == shape(theirs)
    same = ("id", "status", "bundle", "annotations", "owner")
    assert {key: ours[key] for key in same} == {key: theirs[key] for key in same}
    ours, theirs = (json.loads(each("list", "-f", "json").stdout) for each in both)
    assert [list(each) for each in ours] == [list(each) for each in theirs]
    ours, theirs = (each("list").stdout.splitlines()[0].split() for each in both)
    assert ours == theirs


def test_ps_kill_and_errors(both):
    bundle = plain(both[0])
    pids = [started(each, bundle) for each in both]
    for each, pid in zip(both, pids, strict=True):
        assert json.loads(each("ps", "--format", "json", "box").stdout) == [pid]
        assert each("exec", "box", "sh", "-c", "exit 9", check=False).returncode == 9
        each("kill", "box", "KILL")
        assert ended(pid) == 137
        assert each.status("box") == "stopped"
        assert "container not running" in each.error("kill", "box", "KILL")
        assert each("kill", "--all", "box", "KILL", check=False).returncode == 0
        each("delete", "box")
        assert "container does not exist" in each.error("state", "box")
        assert each("exec", "box", "true", check=False).returncode == 255
        each("delete", "--force", "box")


def test_words_of_what_can_t_run(both):
    for each in both:
        assert "executable file not found in $PATH" in each.error("run", "-b", bundle_of(both[0], "nosuch"), "box")
        assert "no such file or directory" in each.error("run", "-b", bundle_of(both[0], "/nosuch"), "box")
        assert "permission denied" in each.error("run", "-b", bundle_of(both[0], "/etc/passwd"), "box")


def test_statistics(both):
    bundle = plain(both[0])
    for each in both:
        started(each, bundle)
    ours, theirs = (json.loads(each("events", "--stats", "box").stdout) for each in both)
    assert (ours["type"], ours["id"]) == (theirs["type"], theirs["id"])
    assert set(theirs["data"]) - set(ours["data"]) == set()
    for part in ("memory", "pids"):
        assert set(theirs["data"][part]) - set(ours["data"][part]) <= {"kernelTCP", "kernel"}, part
    assert set(theirs["data"]["cpu"]["usage"]) >= set(ours["data"]["cpu"]["usage"])


def test_features(both):
    ours, theirs = (json.loads(each("features").stdout) for each in both)
    assert set(ours["hooks"]) == set(theirs["hooks"])
    for name in ("namespaces", "capabilities"):
        assert set(theirs["linux"][name]) <= set(ours["linux"][name])
    for name in ("actions", "operators", "archs"):
        assert set(theirs["linux"]["seccomp"][name]) <= set(ours["linux"]["seccomp"][name])
    assert set(theirs["mountOptions"]) <= set(ours["mountOptions"])


def test_spec_is_one_that_runc_runs(both):
    ours = both[0]
    bundle = ours.folder / "new"
    bundle.mkdir()
    ours("spec", "--bundle", bundle)
    data = json.loads((bundle / "config.json").read_text())
    data["root"]["path"] = str(ours.bundles.rootfs)
    data["process"] |= {"terminal": False, "args": ["echo", "well"], "env": ["PATH=/bin"]}
    (bundle / "config.json").write_text(json.dumps(data))
    assert [each("run", "-b", bundle, "box").stdout for each in both] == ["well\n", "well\n"]


def test_version(both):
    ours, theirs = (each("--version").stdout.splitlines() for each in both)
    assert ours[0].split()[1] == theirs[0].split()[1] == "version"
    assert ours[1].startswith("spec: ")
    assert any(line.startswith("spec: ") for line in theirs)


# features.md and features-linux.md of the runtime specification 1.3.0: every field, and what it is.
FEATURES = {
    "ociVersionMin": str, "ociVersionMax": str, "hooks": [str], "mountOptions": [str], "annotations": Strings,
    "potentiallyUnsafeConfigAnnotations": [str],
    "linux": {
        "namespaces": [str], "capabilities": [str],
        "cgroup": {"v1": bool, "v2": bool, "systemd": bool, "systemdUser": bool, "rdma": bool},
        "seccomp": {
            "enabled": bool, "actions": [str], "operators": [str], "archs": [str], "knownFlags": [str],
            "supportedFlags": [str],
        },
        "apparmor": {"enabled": bool},
        "selinux": {"enabled": bool},
        "intelRdt": {"enabled": bool, "schemata": bool, "monitoring": bool},
        "mountExtensions": {"idmap": {"enabled": bool}},
        "netDevices": {"enabled": bool},
    },
}  # fmt: skip


def unknown(value, known, path=""):
    """Return the fields that the specification doesn't have."""
    if not isinstance(known, dict):
        return []
    found = [f"{path}.{key}" for key in value if key not in known]
    return found + [each for key in value if key in known for each in unknown(value[key], known[key], f"{path}.{key}")]


def test_features_are_fields_of_the_specification(command):
    told = json.loads(command("features").stdout)
    assert list(mistakes(told, FEATURES)) == []
    assert unknown(told, FEATURES) == []
    assert told["linux"]["intelRdt"] == {"enabled": True, "schemata": True, "monitoring": True}
    assert all(each["enabled"] for each in (told["linux"][name] for name in ("seccomp", "apparmor", "netDevices")))
    assert told["potentiallyUnsafeConfigAnnotations"] == []
