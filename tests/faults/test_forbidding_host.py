"""Hosts that forbid what a container needs: the error names what it is, and how to change it."""

import os
import shutil
from pathlib import Path

import pytest
from fault_engine import NOBODY, Engine, call

from moby.host import settings

pytestmark = pytest.mark.slow

needs_root = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("unshare") is None, reason="needs root, and unshare(1) of util-linux"
)

SETTING = """
echo 0 >/proc/sys/user/$1 || exit 99
shift
exec "$@"
"""
CHROOT = """
root=$1; shift
mount -t tmpfs -o mode=755 tmpfs "$root" && mkdir "$root/in" || exit 99
for name in /*; do
    if [ -L "$name" ]; then cp -P "$name" "$root/in/"
    elif [ -d "$name" ]; then mkdir "$root/in$name" && mount --rbind "$name" "$root/in$name"
    fi
done
chroot "$root/in" "$@"
"""


def hand_over(engine: Engine) -> None:
    """Give an engine's folders to an ordinary user."""
    call(["chown", "-R", "65534:65534", str(engine.folder)])


@needs_root
@pytest.mark.parametrize(
    ("setting", "before", "fix"),
    [
        pytest.param(
            "max_user_namespaces", NOBODY, "fix: sysctl -w user.max_user_namespaces=15000", id="user-namespaces"
        ),
        pytest.param("max_uts_namespaces", [], "fix: sysctl -w user.max_uts_namespaces=15000", id="root"),
    ],
)
def test_a_setting_that_forbids_namespaces(stocked: Engine, setting: str, before: list[str], fix: str) -> None:
    if before:
        hand_over(stocked)
    entering = ["unshare", "--user", "--map-users=0,0,65536", "--map-groups=0,0,65536", "sh", "-c", SETTING, "sh"]
    done = call([*entering, setting, *before, *stocked.command("run", "demo")], env=stocked.env)
    assert (done.returncode, done.stdout) == (125, "")
    assert "cannot make the namespaces: No space left on device" in done.stderr
    assert fix in done.stderr
    stocked.check_clean()


@needs_root
@pytest.mark.parametrize(
    ("before", "message"),
    [
        pytest.param([], "cannot set the propagation of mounts", id="root"),
        pytest.param(NOBODY, "cannot make the namespaces: Operation not permitted", id="ordinary-user"),
    ],
)
def test_a_chroot(stocked: Engine, before: list[str], message: str) -> None:
    hand_over(stocked)
    inside = stocked.folder / "inside"
    inside.mkdir()
    command = [*before, *stocked.command("run", "demo")]
    done = call(["unshare", "--mount", "sh", "-c", CHROOT, "sh", str(inside), *command], env=stocked.env, cwd="/")
    assert (done.returncode, done.stdout) == (125, "")
    assert message in done.stderr
    assert "fix: this process is in a chroot, whose / is no mount point; run this outside of it" in done.stderr
    stocked.check_clean()


@needs_root
def test_a_root_without_power(stocked: Engine) -> None:
    less = ["setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin"]
    done = call([*less, *stocked.command("run", "demo")], env=stocked.env)
    assert (done.returncode, done.stdout) == (125, "")
    assert "fix: this root lacks the capability CAP_SYS_ADMIN" in done.stderr
    stocked.check_clean()


@pytest.mark.parametrize(
    ("limits", "fix"),
    [
        pytest.param({"mnt": 10, "net": 0}, "sysctl -w user.max_net_namespaces=15000", id="zero"),
        pytest.param({"mnt": 10}, "raise the limits user.max_*_namespaces with sysctl", id="none-is-zero"),
        pytest.param({}, "raise the limits user.max_*_namespaces with sysctl", id="none"),
    ],
)
def test_the_limit_on_namespaces_is_named(tmp_path: Path, limits: dict[str, int], fix: str) -> None:
    (tmp_path / "user").mkdir()
    for name, value in limits.items():
        (tmp_path / f"user/max_{name}_namespaces").write_text(f"{value}\n")
    assert settings.namespace_limit(tmp_path).startswith(fix)


@pytest.mark.parametrize(
    ("text", "bare"),
    [
        pytest.param("21 1 8:1 / / rw - ext4 /dev/sda1 rw\n22 21 0:5 / /dev rw - devtmpfs x rw\n", False, id="root"),
        pytest.param("22 21 0:5 / /dev rw - devtmpfs x rw\n", True, id="chroot"),
        pytest.param("", False, id="nothing-to-be-seen"),
        pytest.param("garbage\n", False, id="garbage"),
    ],
)
def test_a_chroot_is_told(tmp_path: Path, text: str, bare: bool) -> None:
    file = tmp_path / "mountinfo"
    file.write_text(text)
    assert settings.in_bare_chroot(file) is bare
    assert ("chroot, whose / is no mount point" in settings.confinement(file)) is bare


def test_no_proc(tmp_path: Path) -> None:
    assert not settings.in_bare_chroot(tmp_path / "none")
