"""The command as an ordinary user calls it: containers in user namespaces, state in a folder of the user's."""

import json
import os
import stat
import subprocess
import tempfile
from pathlib import Path

import pytest
from runtime_command.command import Terminal, ended


@pytest.mark.slow
def test_from_create_to_delete(ordinary):
    pid = ordinary.created("box", "sh", "-c", "exit 7")
    assert ordinary.state("box")["status"] == "created"
    ordinary("start", "box")
    assert ended(pid) == 7
    ordinary("delete", "box")


def test_run_and_exec(ordinary):
    done = ordinary("run", "-b", ordinary.bundle("sh", "-c", "id; exit 3"), "box", check=False)
    assert done.returncode == 3
    assert done.stdout.startswith("uid=0")
    ordinary.sleeping()
    assert ordinary("exec", "box", "cat", "/proc/self/uid_map").stdout.split() == [
        "0",
        str(ordinary.user or os.geteuid()),
        "1",
    ]
    assert len(json.loads(ordinary("ps", "-f", "json", "box").stdout)) == 1
    first = ordinary("list").stdout.splitlines()[1].split()
    assert first[0] == "box"
    assert first[5] != "root"


def test_a_terminal(ordinary):
    terminal = Terminal(ordinary, "run", "-b", ordinary.bundle("sh", "-c", "tty; exit 4", terminal=True), "box")
    terminal.until("/dev/pts/0")
    assert terminal.code() == 4


def test_the_usual_spec(ordinary):
    bundle = ordinary.folder / "new"
    bundle.mkdir()
    bundle.chmod(0o777)
    (bundle / "rootfs").symlink_to(ordinary.bundles.rootfs)
    ordinary("spec", "--rootless", "--bundle", bundle)
    data = json.loads((bundle / "config.json").read_text())
    data["process"] |= {"terminal": False, "args": ["echo", "well"], "env": ["PATH=/bin"]}
    (bundle / "config.json").unlink()
    (bundle / "config.json").write_text(json.dumps(data))
    assert ordinary("run", "-b", bundle, "box").stdout == "well\n"


def test_without_a_user_namespace(ordinary):
    data = ordinary.config("true")
    data["linux"]["namespaces"] = [each for each in data["linux"]["namespaces"] if each["type"] != "user"]
    del data["linux"]["uidMappings"], data["linux"]["gidMappings"]
    told = ordinary.error("run", "-b", ordinary.bundle(data=data), "box")
    assert "linux.namespaces has no user namespace" in told
    assert ordinary.ids() == []


def test_a_root_of_another_user(ordinary):
    ordinary.root.mkdir(mode=0o755)
    try:
        told = ordinary.error("create", "-b", ordinary.bundle("true"), "box")
        assert "permission denied" in told
    finally:
        ordinary.root.rmdir()


def test_the_usual_folder_is_the_user_s_own(ordinary):
    """It is where XDG_RUNTIME_DIR says, and kept from being cleaned away by its sticky bit."""
    with tempfile.TemporaryDirectory() as folder:
        own = Path(folder)
        if ordinary.user:
            os.chown(own, ordinary.user, ordinary.user)
        done = subprocess.run(
            [*ordinary.program, "list", "-q"], capture_output=True, text=True, check=True,
            **ordinary.options({"XDG_RUNTIME_DIR": folder}),
        )  # fmt: skip
        assert done.stdout == ""
        assert stat.S_IMODE((own / "moby-runtime").stat().st_mode) == 0o1700


@pytest.mark.skipif(os.geteuid() != 0, reason="asks what root is told; runs as root")
def test_root_has_the_machine_s_folder(command):
    help_text = command("--help").stdout
    assert "--root" in help_text
    done = subprocess.run(
        [*command.program, "state", "no-such-container"], capture_output=True, text=True, check=False,
        **command.options({"XDG_RUNTIME_DIR": str(command.folder)}),
    )  # fmt: skip
    assert "container does not exist" in done.stderr
    assert not (command.folder / "moby-runtime").exists()
