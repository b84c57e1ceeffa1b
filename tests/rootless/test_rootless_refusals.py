"""What a host, or a user, lacks: said by its name, with what helps; nothing is left."""

import json
import shutil
import sys

import pytest
from peers.sandbox import Sandbox
from rootless_engine import HOME, PYZ, RUNTIME, as_user, prepare

pytestmark = pytest.mark.slow
NO_TUN = "chmod 600 /dev/net/tun"
NO_PASTA = "mount --bind /dev/null /usr/bin/pasta"
NO_MAPS = "mount --bind /dev/null /usr/bin/newuidmap"
NO_RIGHT = "mount --bind /usr/bin /usr/bin; mount -o remount,bind,nosuid /usr/bin"
NO_IDS = "mount --bind /dev/null /etc/subuid"
NO_GROUP_IDS = "mount --bind /dev/null /etc/subgid"


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory, rootless_pyz):
    folder = tmp_path_factory.mktemp("refusing")
    found = Sandbox(folder)
    found.open()
    try:
        prepare(found)
        shutil.copy(rootless_pyz, found.seen(PYZ))
        found.seen(PYZ).chmod(0o644)
        yield found
    finally:
        found.close()


@pytest.fixture
def call(sandbox):
    """Call the distribution after a script, whose mounts this call alone sees."""

    def made(script, *words):
        argv = as_user(sys.executable, PYZ, *words)
        return sandbox.run("unshare", "-m", "sh", "-c", f'{script}\nexec "$@"', "sh", *argv, check=False)

    return made


@pytest.mark.parametrize(
    ("script", "said", "fix"),
    [
        pytest.param(NO_PASTA, "the host's, isn't on PATH", "apt install passt", id="no-uplink"),
        pytest.param(NO_MAPS, "newuidmap isn't on PATH", "apt install uidmap", id="no-newuidmap"),
        pytest.param(NO_RIGHT, "newuidmap refuses this user's subordinate ids", "set-uid root", id="no-set-uid"),
        pytest.param(NO_IDS, "/etc/subuid gives peer no subordinate ids", "usermod --add-subuids", id="no-uids"),
        pytest.param(NO_GROUP_IDS, "/etc/subgid gives peer no subordinate ids", "usermod", id="no-gids"),
        pytest.param(NO_TUN, "pasta can't join the engine's network", "chmod 666", id="no-tun"),
    ],
)
def test_what_is_missing(sandbox, call, script, said, fix):
    restore = "chmod 666 /dev/net/tun" if script == NO_TUN else "true"
    try:
        for verb in (["serve"], ["ps"]):
            done = call(script, *verb)
            assert done.returncode == 3, done.stderr
            assert said in done.stderr
            assert fix in done.stderr
        checks = json.loads(call(script, "doctor", "--json").stdout)["checks"]
        unmet = [each["need"] for each in checks if not each["ok"] and each["policy"] == "required"]
        assert unmet or script == NO_RIGHT
    finally:
        sandbox.run("sh", "-c", restore)
    assert [words for words in sandbox.processes().values() if "gate" in words] == []
    assert "socket" not in {each.suffix for each in sandbox.seen(RUNTIME).rglob("*")}


def test_doctor_where_all_is_well(call):
    done = call("true", "doctor", "--json")
    assert done.returncode == 0
    found = {each["need"]: each for each in json.loads(done.stdout)["checks"] if each["component"] == "enclosure/pasta"}
    assert found["user subordinate-ids"]["detail"] == "peer has 65536 of them"
    assert found["user delegated-group"]["policy"] == "recommended"
    assert found["kernel tun"]["ok"]
    assert found["binary newuidmap"]["ok"]


def test_no_runtime_folder(sandbox):
    """Verbs do without; who serves is told."""
    words = as_user(sys.executable, PYZ, "--root", f"{HOME}/bare")
    at = words.index("env") + 1
    words[at:at] = ["-u", "XDG_RUNTIME_DIR"]
    words.remove(f"XDG_RUNTIME_DIR={RUNTIME}")
    assert sandbox.run(*words, "ps", "-q").stdout == ""
    done = sandbox.run(*words, "serve", check=False)
    assert done.returncode == 3
    assert "XDG_RUNTIME_DIR isn't set" in done.stderr
    sandbox.run(*words, "down", "--purge")


def test_root(sandbox):
    done = sandbox.run(sys.executable, PYZ, "--root", f"{HOME}/other", "serve", check=False)
    assert done.returncode == 3
    assert "for an ordinary user, and you are root" in done.stderr
    assert "the assembly docker" in done.stderr
    assert sandbox.run(sys.executable, PYZ, "version").stdout.startswith("rootless ")


def test_a_user_namespace_of_somebody_elses(sandbox):
    """Root of one is inside already, as in a container; it has no gate, and needs none."""
    words = as_user("unshare", "-U", "-r", "-m", "-n", sys.executable, PYZ, "--root", f"{HOME}/nested")
    assert sandbox.run(*words, "images", "-q").stdout == ""
    sandbox.run(*words, "down", "--purge")
