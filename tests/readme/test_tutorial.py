"""The commands of the tutorials, run in their order by one shell, as a stranger would type them."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OWN_FOLDERS = "for each in /var/lib /run /var/cache; do mount -t tmpfs none $each; done"
pytestmark = pytest.mark.slow


def commands(name):
    """Each block of a page's commands, with what they are given by the lines below them."""
    page = (ROOT / "docs" / name).read_text()
    for block in re.findall(r"^```console\n(.*?)^```", page, re.MULTILINE | re.DOTALL):
        yield re.sub(r"^\$ ", "", block, flags=re.MULTILINE)


@pytest.mark.skipif(os.geteuid() != 0, reason="its last section is root's; runs as root")
def test_a_strangers_day(tmp_path):
    blocks = list(commands("tutorial.md"))
    assert len(blocks) == 8
    said = typed(blocks, tmp_path, 280)
    assert "HELLO\n" in said
    assert "\nUP\n" in said
    assert "Logs in capitals" in said
    assert "log-driver/shout" in said
    assert "network-driver/lan" in said
    assert "FAILED" not in said


@pytest.mark.skipif(os.geteuid() != 0, reason="it has folders of its own in place of the host's; runs as root")
def test_a_runtime(tmp_path):
    """All but its suite, which takes minutes."""
    blocks = list(commands("tutorial-runtime.md"))
    quick = [each for each in blocks if "test-plugin" not in each]
    assert (len(blocks), len(quick)) == (4, 3)
    said = typed(quick, tmp_path, 200)
    assert "runtime/lean" in said
    assert re.search(r"^I am process 1 of a lean container$", said, re.MULTILINE)


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.skipif(os.geteuid() != 0, reason="it has folders of its own in place of the host's; runs as root")
def test_which_promises_a_runtime_keeps(tmp_path):
    blocks = [each for each in commands("tutorial-runtime.md") if "pip" not in each and "leaner" not in each]
    said = typed(blocks, tmp_path, 1100)
    assert "FAILED" not in said
    assert re.search(r"^  1[5-9]\d ok, 0 failed", said, re.MULTILINE)


def typed(blocks, folder, timeout_s):
    """Type blocks of commands in a folder that is like a checkout; return what is said."""
    for name in ("assemblies", "plugins"):
        (folder / name).symlink_to(ROOT / name)
    (folder / ".venv").symlink_to(Path(sys.prefix))
    environment = {**os.environ, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(folder / "home")}
    environment["PIP_DISABLE_PIP_VERSION_CHECK"] = environment["PIP_NO_INDEX"] = "1"
    own = f'ip link set lo up; {OWN_FOLDERS}; exec sh -ec "$0"'
    words = ["unshare", "--mount", "--net", "sh", "-ec", own, "\n".join(blocks)]
    done = subprocess.run(
        words, cwd=folder, env=environment, capture_output=True, text=True, timeout=timeout_s, check=False
    )
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout
