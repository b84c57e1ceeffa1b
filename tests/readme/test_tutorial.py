"""The commands of docs/tutorial.md, run in its order by one shell, as a stranger would type them."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OWN_FOLDERS = "for each in /var/lib /run /var/cache; do mount -t tmpfs none $each; done"
pytestmark = pytest.mark.slow


def commands():
    """Each block of commands, with what they are given by the lines below them."""
    page = (ROOT / "docs/tutorial.md").read_text()
    for block in re.findall(r"^```console\n(.*?)^```", page, re.MULTILINE | re.DOTALL):
        yield re.sub(r"^\$ ", "", block, flags=re.MULTILINE)


@pytest.mark.skipif(os.geteuid() != 0, reason="its last section is root's; runs as root")
def test_a_strangers_day(tmp_path):
    assert len(list(commands())) == 8
    for name in ("assemblies", "plugins"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / ".venv").symlink_to(Path(sys.prefix))
    environment = {**os.environ, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(tmp_path / "home")}
    environment["PIP_DISABLE_PIP_VERSION_CHECK"] = environment["PIP_NO_INDEX"] = "1"
    own = f'ip link set lo up; {OWN_FOLDERS}; exec sh -ec "$0"'
    words = ["unshare", "--mount", "--net", "sh", "-ec", own, "\n".join(commands())]
    done = subprocess.run(
        words, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    assert "HELLO\n" in done.stdout
    assert "\nUP\n" in done.stdout
    assert "log-driver/shout" in done.stdout
    assert "network-driver/lan" in done.stdout
    assert "FAILED" not in done.stdout
