"""`install --user`: an ordinary user's engine as a service of that user's own systemd, which the host's has started."""

import shutil
import sys
from pathlib import Path

import pytest
from clients.test_under_systemd import BOOT, SYSTEMD, Booted, first_of
from peers.binaries import need
from peers.box import NAME
from peers.sandbox import Sandbox, until
from rootless_engine import HOME, PYZ, RUNTIME, SOCKET, UID, as_user, prepare

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]
UNITS = ("moby-rootless.service", "moby-rootless.socket")
TARGETS = ("default", "basic", "sockets", "shutdown", "paths", "timers")
USERS = "/run/users-units"
OWN = f"{HOME}/.config/systemd/user:{RUNTIME}/systemd/user:{USERS}"
"""Where the user's systemd finds units: not the machine's, which would start what isn't tested here."""
FOLDERS = (f"{HOME}/.config", f"{HOME}/.local", f"{HOME}/.cache", RUNTIME)
# As Debian's user@.service has it, but for PAM, which would ask a login manager.
MANAGER = f"""
[Unit]
DefaultDependencies=no
[Service]
User={UID}
Group={UID}
Slice=user-{UID}.slice
Type=notify-reload
Delegate=yes
KillMode=mixed
Environment=HOME={HOME} XDG_RUNTIME_DIR={RUNTIME} USER=peer SYSTEMD_UNIT_PATH={OWN}
ExecStart={SYSTEMD} --user --log-level=notice --log-target=console
"""
PREPARE = f"""
mkdir {USERS}
for each in {" ".join(TARGETS)}; do ln -s /usr/lib/systemd/user/$each.target {USERS}/; done
cat >/run/units/user@{UID}.service
systemctl daemon-reload
"""


class User(Booted):
    """The host with its systemd, and what the user runs there."""

    def log_in(self):
        """Begin as the login manager does, with an empty folder for what runs."""
        self.run("sh", "-ec", f"find {RUNTIME} -mindepth 1 -delete; systemctl start user@{UID}.service")
        until(lambda: self.is_("is-active", "default.target") == "active", "the user's target")

    def own(self, *words, check=True):
        done = self.run(*as_user(*words, SYSTEMD_UNIT_PATH=OWN), check=check)
        return done.stdout.rstrip("\n")

    def verb(self, *words):
        return self.own(sys.executable, PYZ, *words)

    def docker(self, *words):
        return self.own("docker", *words)

    def shown(self, unit, name):
        return self.own("systemctl", "--user", "show", "--value", f"--property={name}", unit)

    def is_(self, question, unit):
        return self.own("systemctl", "--user", question, unit, check=False)

    def files(self):
        """Return the files that there are in the user's folders, without folders."""
        found = (each for folder in FOLDERS for each in self.sandbox.seen(folder).rglob("*"))
        return sorted(str(each) for each in found if each.is_symlink() or not each.is_dir())


@pytest.fixture
def user(tmp_path, image, rootless_pyz):
    for program, what in (("docker", "docker"), ("newuidmap", "uidmap"), ("pasta", "passt")):
        need(program, what)
    if not Path(SYSTEMD).exists():
        pytest.skip("systemd's package isn't there")
    (tmp_path / "memory").mkdir()
    sandbox = Sandbox(tmp_path / "memory")
    sandbox.open()
    log = tmp_path / "systemd.log"
    try:
        prepare(sandbox)
        for source, target in ((rootless_pyz, PYZ), (image, f"{HOME}/image.tar")):
            shutil.copy(source, sandbox.seen(target))
            sandbox.seen(target).chmod(0o644)
        boot = sandbox.start("sh", "-ec", BOOT, log=log)
        until(lambda: first_of(sandbox) or boot.poll() is not None, "a systemd")
        assert boot.poll() is None, log.read_text()
        user = User(sandbox, first_of(sandbox))
        until(lambda: Booted.is_(user, "is-active", "box.target") == "active", "its target")
        user.run("umount", "/proc/sys")
        user.run("sh", "-ec", PREPARE, input=MANAGER)
        user.log_in()
        yield user
    finally:
        sandbox.close()
        boot.wait(60)


def test_a_users_engine_lives_with_the_users_systemd(user):
    before, files = user.programs(), user.files()
    user.verb("install", "--user", "--host", f"unix://{SOCKET}")
    assert [user.is_("is-active", each) for each in UNITS] == ["inactive", "active"]
    assert [user.is_("is-enabled", each) for each in UNITS] == ["enabled", "enabled"]

    assert user.docker("ps", "--quiet") == ""  # the first call starts it
    assert user.is_("is-active", UNITS[0]) == "active"
    assert "answers" in user.shown(UNITS[0], "StatusText")
    assert "rootless" in user.docker("info", "--format={{.SecurityOptions}}")
    user.docker("load", "--input", f"{HOME}/image.tar")
    script = "trap 'echo told; exit 3' TERM; n=0; while :; do n=$((n+1)); echo $n; sleep 0.05; done"
    user.docker("run", "-d", "--name=stays", NAME, "sh", "-c", script)
    pid = user.docker("inspect", "--format={{.State.Pid}}", "stays")

    for change in (
        ("systemctl", "--user", "restart", UNITS[0]),
        ("systemctl", "--user", "stop", UNITS[0]),
        ("systemctl", "--user", "kill", "--signal=KILL", "--kill-whom=main", UNITS[0]),
    ):
        engine = user.shown(UNITS[0], "MainPID")
        user.own(*change)
        until(lambda: user.shown(UNITS[0], "MainPID") != engine, "that it has ended")  # noqa: B023 - called at once
        assert user.docker("inspect", "--format={{.State.Pid}} {{.State.Running}}", "stays") == f"{pid} true"
        assert user.docker("exec", "stays", "echo", "in") == "in"
    lines = user.docker("logs", "stays").split()
    assert lines == [str(number + 1) for number in range(len(lines))] and len(lines) > 1

    user.own("systemctl", "--user", "reload", UNITS[0])
    user.verb("install", "--user", "--host", f"unix://{SOCKET}")  # once more, as after an upgrade
    assert user.docker("ps", "--format={{.Names}}") == "stays"

    user.verb("uninstall", "--user")
    assert [user.is_("is-active", each) for each in UNITS] == ["inactive", "inactive"]
    assert [each for each in user.files() if "systemd/user" in each and "moby" in each] == []
    assert not user.sandbox.seen(SOCKET).exists()
    assert any(script in words for words in user.programs()), "containers go on"
    assert user.verb("uninstall", "--user") == "", "twice is fine"

    user.verb("down", "--purge")
    until(lambda: user.programs() == before, "that all has ended")
    assert user.own("systemctl", "--user", "list-units", "--all", "--plain", "--no-legend", "moby-*") == ""
    assert not [each for each in user.sandbox.control_groups() if "moby" in each]
    assert [each for each in user.files() if each not in files] == []


def test_a_users_engine_is_there_after_a_login(user):
    """Without a call: somebody's containers are to start again. And it goes with the login, its containers too."""
    before = user.programs()
    user.verb("install", "--user", "--host", f"unix://{SOCKET}")
    user.docker("load", "--input", f"{HOME}/image.tar")
    user.docker("run", "-d", "--name=stays", "--restart=always", NAME, "sleep", "100000")
    user.run("systemctl", "stop", f"user@{UID}.service")
    until(lambda: user.programs() == before, "the end of all that was there by that login")
    user.log_in()
    until(lambda: user.is_("is-active", UNITS[0]) == "active", "the engine")
    until(lambda: user.docker("ps", "--format={{.Names}}") == "stays", "its container")
    user.docker("rm", "-f", "stays")
    user.verb("uninstall", "--user")
    user.verb("down", "--purge")
