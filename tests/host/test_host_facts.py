"""Facts of a host: each probe answers, and an unmet need says what to do."""

import errno
import json
import subprocess

import pytest

from moby.host import cgroups, facts, settings
from moby.host.facts import KERNEL, collect, probe, satisfies

FACTS = {
    "kernel": {"overlay": {"ok": False, "detail": "no overlay", "fix": "modprobe overlay"}},
    "cgroup": {"mode": "hybrid", "v1": ["cpu", "memory", "pids"], "v2": ["hugetlb"]},
    "privilege": {"root": False},
    "system": {"python": "3.11.2"},
    "binary": {"runc": {"path": "/usr/bin/runc", "version": "1.1.5"}, "odd": {"path": "/bin/odd", "version": ""}},
    "library": {"zstd": True},
}


@pytest.mark.parametrize(
    ("need", "ok", "said"),
    [
        pytest.param(("kernel", "overlay"), False, "modprobe overlay", id="kernel"),
        pytest.param(("kernel", "magic"), False, "collect them again", id="kernel-unknown"),
        pytest.param(("cgroup", "v1"), True, "memory", id="cgroup"),
        pytest.param(("cgroup", "v2"), False, "systemd.unified_cgroup_hierarchy=1", id="cgroup-hybrid"),
        pytest.param(("privilege", "root"), False, "sudo", id="root"),
        pytest.param(("privilege", "king"), False, "there is root", id="privilege-unknown"),
        pytest.param(("python", "python", ">=3.11"), True, "3.11.2", id="python"),
        pytest.param(("python", "python", ">=3.12"), False, "3.12", id="python-old"),
        pytest.param(("binary", "runc", ">=1.1,<2"), True, "1.1.5", id="binary"),
        pytest.param(("binary", "runc", ">=1.2"), False, "apt install runc", id="binary-old"),
        pytest.param(("binary", "runc", "~=1.1.0"), True, "1.1.5", id="binary-compatible"),
        pytest.param(("binary", "runc", "latest"), False, "latest", id="binary-odd-range"),
        pytest.param(("binary", "odd", ">=1"), False, "unknown version", id="binary-no-version"),
        pytest.param(("binary", "odd"), True, "/bin/odd", id="binary-any"),
        pytest.param(("binary", "crun"), False, "apt install crun", id="binary-absent"),
        pytest.param(("library", "zstd"), True, "zstd", id="library"),
        pytest.param(("library", "seccomp"), False, "apt install libseccomp", id="library-absent"),
        pytest.param(("weather", "sunny"), False, "binary", id="kind-unknown"),
    ],
)
def test_a_need_is_judged_by_stored_facts(need, ok, said) -> None:
    found = satisfies(FACTS, *need)
    assert found.ok is ok
    assert said in f"{found.detail} {found.fix}"


@pytest.mark.parametrize("name", sorted(KERNEL))
def test_every_probe_answers(name) -> None:
    found = probe("kernel", name)
    assert found.detail
    assert found.ok or found.fix


def test_facts_are_json_and_judge_as_probes_do() -> None:
    stored = json.loads(json.dumps(collect()))
    for name in KERNEL:
        assert satisfies(stored, "kernel", name).ok == probe("kernel", name).ok


def test_an_unknown_probe_is_not_met() -> None:
    assert not probe("kernel", "magic").ok


def test_a_binary_that_hangs_has_no_version(tmp_path, monkeypatch) -> None:
    slow = tmp_path / "slow"
    slow.write_text("#!/bin/sh\nexec sleep 60\n")
    slow.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(facts, "_VERSION_S", 0.2)
    assert not probe("binary", "slow", ">=1", package="slow").ok
    assert probe("binary", "slow").ok


def test_a_binary_s_version_is_read(tmp_path, monkeypatch) -> None:
    tool = tmp_path / "tool"
    tool.write_text("#!/bin/sh\necho tool version 2.34.1-rc1\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert probe("binary", "tool", ">=2.34").ok
    assert not probe("binary", "tool", ">=3", package="toolkit").ok
    assert "toolkit" in probe("binary", "tool", ">=3", package="toolkit").fix


@pytest.mark.parametrize(
    ("name", "value", "fix"),
    [
        ("kernel/unprivileged_userns_clone", "0", "sysctl -w kernel.unprivileged_userns_clone=1"),
        ("user/max_user_namespaces", "0", "sysctl -w user.max_user_namespaces=15000"),
        (
            "kernel/apparmor_restrict_unprivileged_userns",
            "1",
            "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
        ),
        ("user/max_user_namespaces", "100", ""),
    ],
)
def test_the_setting_that_forbids_user_namespaces_is_named(name, value, fix, tmp_path) -> None:
    (tmp_path / name).parent.mkdir()
    (tmp_path / name).write_text(value + "\n")
    assert settings.forbidding_setting(tmp_path) == fix


@pytest.mark.parametrize(
    ("mounts", "membership", "mode"),
    [
        pytest.param(
            "31 23 0:26 / /sys/fs/cgroup rw shared:9 - cgroup2 cgroup2 rw,nsdelegate\n", "0::/a\n", "v2", id="v2"
        ),
        pytest.param(
            "31 23 0:26 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n", "4:memory:/a\n", "v1", id="v1"
        ),
        pytest.param(
            "31 23 0:26 / /c/cpu rw - cgroup cgroup rw,cpu,cpuacct\n32 23 0:27 / /c/u rw - cgroup2 none rw\n",
            "4:cpu,cpuacct:/a\n0::/b\n", "hybrid", id="hybrid",
        ),
        pytest.param("22 27 0:21 / /proc rw - proc proc rw\n", "", "", id="none"),
    ],
)  # fmt: skip
def test_control_groups_are_told_apart(mounts, membership, mode) -> None:
    assert cgroups.version(cgroups.hierarchies(mounts, membership)) == mode


def test_no_probe_needs_a_tool(monkeypatch) -> None:
    def none(*arguments, **options):
        raise AssertionError("started a program")

    monkeypatch.setattr(subprocess, "run", none)
    for name in KERNEL:
        probe("kernel", name)


USER = {"user": {"subordinate-ids": {"ok": False, "detail": "none", "fix": "usermod"}}}


@pytest.mark.parametrize(
    ("name", "ok", "said"),
    [("subordinate-ids", False, "usermod"), ("magic", False, "collect them again")],
)
def test_what_a_user_has_is_judged_by_stored_facts(name, ok, said) -> None:
    found = satisfies(USER, "user", name)
    assert found.ok is ok
    assert said in f"{found.detail} {found.fix}"


@pytest.mark.parametrize("name", sorted(facts.USER))
def test_every_probe_of_a_user_answers(name) -> None:
    found = probe("user", name)
    assert found.detail
    assert found.ok or found.fix
    assert satisfies(json.loads(json.dumps(collect())), "user", name).ok == found.ok


def test_an_unknown_probe_of_a_user_is_not_met() -> None:
    assert not probe("user", "magic").ok


@pytest.mark.parametrize("given", ["", "me:1:5\n"])
def test_subordinate_ids_of_both_kinds(tmp_path, monkeypatch, given) -> None:
    files = {kind: tmp_path / kind for kind in ("uid", "gid")}
    files["uid"].write_text("me:1:70000\n")
    files["gid"].write_text(given)
    monkeypatch.setattr(facts.subordinate_ids, "FILES", files)
    monkeypatch.setattr(facts.subordinate_ids, "names_of", lambda uid: ("me",))
    found = probe("user", "subordinate-ids")
    assert found.ok is bool(given)
    assert ("me has 5 of them" if given else "usermod --add-subuids") in f"{found.detail} {found.fix}"


@pytest.mark.parametrize(("number", "fix"), [(errno.EACCES, "chmod 666"), (errno.ENOENT, "modprobe tun")])
def test_no_device_for_a_way_out(monkeypatch, number, fix) -> None:
    def refuse(*args: object) -> int:
        raise OSError(number, "no")

    monkeypatch.setattr(facts.os, "open", refuse)
    found = probe("kernel", "tun")
    assert (found.ok, fix in found.fix) == (False, True)
