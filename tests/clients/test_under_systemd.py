"""The verbs `install` and `uninstall` beside a systemd that runs, process 1 of namespaces within a sandbox's."""

import shutil
import stat
import sys
from pathlib import Path

import pytest
from attrs import define
from peers.binaries import need
from peers.box import NAME
from peers.sandbox import Sandbox, until

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]
PYTHON = str(Path(sys.executable).resolve())
"""As an environment of Python's own may lie where a sandbox has something else."""
SYSTEMD = "/usr/lib/systemd/systemd"
ROOT = "/var/lib/docker/engine"
SOCKET = "/run/moby/docker.sock"
UNITS = ("moby-docker.service", "moby-docker.socket")
PATHS = "/etc/systemd/system:/run/systemd/system:/run/units"
TARGETS = ("basic", "sysinit", "sockets", "multi-user", "shutdown", "network", "network-online")
# It has control groups of version 2 alone, and no units but these: not the machine's, which would change that.
BOOT = f"""
group=/sys/fs/cgroup/unified
test -d $group || group=/sys/fs/cgroup
mkdir $group/booted
echo $$ >$group/booted/cgroup.procs
exec unshare --mount --pid --cgroup --ipc --uts --fork --kill-child sh -ec '
umount --recursive --lazy /sys/fs/cgroup
mount -t cgroup2 none /sys/fs/cgroup
mount -t proc proc /proc
mount --bind /proc/sys /proc/sys
mount -o remount,bind,ro /proc/sys
rm -rf /etc/systemd/system
mkdir -p /etc/systemd/system /run/systemd/system /run/units/moby-docker.service.d
for each in {" ".join(TARGETS)}; do ln -s /usr/lib/systemd/system/$each.target /run/units/; done
printf "[Unit]\\nDefaultDependencies=no\\n" >/run/units/box.target
printf "[Service]\\nStandardError=append:/run/engine.log\\n" >/run/units/moby-docker.service.d/log.conf
export SYSTEMD_UNIT_PATH={PATHS} container=moby
exec {SYSTEMD} --system --unit=box.target --log-level=notice --log-target=console --show-status=no
'
"""


@define
class Booted:
    """That systemd, and what is run where it is process 1."""

    sandbox: Sandbox
    pid: int

    def run(self, *words, **more):
        enter = ["nsenter", f"--target={self.pid}", "--mount", "--pid", "--cgroup", "--ipc", "--uts"]
        return self.sandbox.run(*enter, *words, env={"SYSTEMD_UNIT_PATH": PATHS}, **more)

    def out(self, *words):
        return self.run(*words).stdout.rstrip("\n")

    def docker(self, *words):
        return self.out("docker", "-H", f"unix://{SOCKET}", *words)

    def verb(self, *words):
        return self.out(PYTHON, "/var/lib/docker/docker.pyz", "--root", ROOT, *words)

    def shown(self, unit, name):
        return self.out("systemctl", "show", "--value", f"--property={name}", unit)

    def is_(self, question, unit):
        return self.run("systemctl", question, unit, check=False).stdout.strip()

    def programs(self):
        """Return the command lines of what runs there besides systemd itself."""
        found = {pid: words for pid, words in self.sandbox.processes().items() if pid > self.pid}
        return [words for words in found.values() if not words.startswith((SYSTEMD, "(sd-"))]


@pytest.fixture
def booted(tmp_path, image, docker_pyz):
    need("docker", "docker")
    if not Path(SYSTEMD).exists():
        pytest.skip("systemd's package isn't there")
    (tmp_path / "memory").mkdir()
    sandbox = Sandbox(tmp_path / "memory")
    sandbox.open()
    try:
        shutil.copy(docker_pyz, sandbox.seen("/var/lib/docker/docker.pyz"))
        shutil.copy(image, sandbox.seen("/var/lib/docker/image.tar"))
        boot = sandbox.start("sh", "-ec", BOOT, log=tmp_path / "systemd.log")
        until(lambda: first_of(sandbox) or boot.poll() is not None, "a systemd")
        assert boot.poll() is None, (tmp_path / "systemd.log").read_text()
        booted = Booted(sandbox, first_of(sandbox))
        until(lambda: booted.is_("is-active", "box.target") == "active", "its target")
        booted.run("umount", "/proc/sys")  # which it alone wasn't to write
        yield booted
    finally:
        sandbox.close()
        boot.wait(60)


def first_of(sandbox):
    return next((pid for pid, words in sandbox.processes().items() if words.startswith(SYSTEMD)), 0)


def in_unit(booted, pid):
    """Whether a process is in the control group of the engine's unit, by whose limits and ends it would be met."""
    groups = booted.out("cat", f"/proc/{pid}/cgroup").splitlines()
    [own] = [each.removeprefix("0::") for each in groups if each.startswith("0::")]
    unit = booted.shown(UNITS[0], "ControlGroup")
    assert unit.endswith(UNITS[0])
    return own == unit or own.startswith(f"{unit}/")


def test_an_engine_lives_with_systemd(booted):
    before = booted.programs()
    booted.verb("install")
    assert [booted.is_("is-active", each) for each in UNITS] == ["inactive", "active"]
    assert [booted.is_("is-enabled", each) for each in UNITS] == ["enabled", "enabled"]
    assert stat.S_IMODE(booted.sandbox.seen(SOCKET).stat().st_mode) == 0o660

    assert booted.docker("ps", "--quiet") == ""  # the first call starts it
    assert booted.is_("is-active", UNITS[0]) == "active"
    assert "answers" in booted.shown(UNITS[0], "StatusText")
    booted.docker("load", "--input", "/var/lib/docker/image.tar")
    script = "trap 'echo told; exit 3' TERM; n=0; while :; do n=$((n+1)); echo $n; sleep 0.05; done"
    booted.docker("run", "-d", "--name=stays", "--network=none", NAME, "sh", "-c", script)
    pid = booted.docker("inspect", "--format={{.State.Pid}}", "stays")
    assert not in_unit(booted, pid)
    assert in_unit(booted, booted.shown(UNITS[0], "MainPID"))

    for change in (
        ("systemctl", "restart", UNITS[0]),
        ("systemctl", "stop", UNITS[0]),
        ("systemctl", "kill", "--signal=KILL", "--kill-whom=main", UNITS[0]),
    ):
        engine = booted.shown(UNITS[0], "MainPID")
        booted.run(*change)
        until(lambda: booted.shown(UNITS[0], "MainPID") != engine, "that it has ended")  # noqa: B023 - called at once
        assert booted.docker("inspect", "--format={{.State.Pid}} {{.State.Running}}", "stays") == f"{pid} true"
        assert booted.docker("exec", "stays", "echo", "in") == "in"
    lines = booted.docker("logs", "stays").split()
    assert lines == [str(number + 1) for number in range(len(lines))] and len(lines) > 1
    engine = booted.shown(UNITS[0], "MainPID")
    booted.run("systemctl", "kill", "--signal=KILL", "--kill-whom=all", UNITS[0])
    until(lambda: booted.shown(UNITS[0], "MainPID") not in {engine, "0"}, "another engine")
    assert booted.docker("inspect", "--format={{.State.Pid}} {{.State.Running}}", "stays") == f"{pid} true"

    booted.run("systemctl", "reload", UNITS[0])
    booted.verb("install")  # once more, as after an upgrade
    assert booted.docker("ps", "--format={{.Names}}") == "stays"

    booted.verb("uninstall")
    assert [booted.is_("is-active", each) for each in UNITS] == ["inactive", "inactive"]
    assert list(booted.sandbox.seen("/etc/systemd/system").rglob("moby*")) == []
    assert not booted.sandbox.seen(SOCKET).exists()
    assert any(script in words for words in booted.programs()), "containers go on"
    assert booted.verb("uninstall") == "", "twice is fine"

    booted.verb("down", "--purge")
    until(lambda: booted.programs() == before, "that all has ended")
    assert booted.out("systemctl", "list-units", "--all", "--plain", "--no-legend", "moby-*") == ""
    assert not [each for each in booted.sandbox.control_groups() if "moby" in each]
    assert list(booted.sandbox.seen(ROOT).iterdir()) == []


def test_an_engine_is_there_after_a_boot(booted):
    """Without a call: somebody's containers are to start again."""
    booted.verb("install")
    booted.run("systemctl", "start", "multi-user.target")
    assert booted.is_("is-active", UNITS[0]) == "active"
    booted.docker("load", "--input", "/var/lib/docker/image.tar")
    booted.docker("run", "-d", "--name=stays", "--network=none", "--restart=always", NAME, "sleep", "100000")
    booted.run("systemctl", "stop", *UNITS)
    booted.verb("down")
    booted.run("systemctl", "start", "multi-user.target", *UNITS)
    until(lambda: booted.docker("ps", "--format={{.Names}}") == "stays", "its container")
