"""The commands of the README, run in its order on a machine of their own: what a newcomer types must work."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from moby.registry import Catalog
from moby.scaffold import reference

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = [
    line.removeprefix("$ ")
    for block in re.findall(r"^```console\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    for line in block.splitlines()
    if line.startswith("$ ")
]
OWN_FOLDERS = "for each in /var/lib /run /var/cache; do mount -t tmpfs none $each; done"
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A command that runs another where the engine's usual folders are the test's own."""
    if os.geteuid() == 0:
        return ["unshare", "--mount", "sh", "-ec", f'{OWN_FOLDERS}; exec sh -ec "$0"']
    return ["sh", "-ec"]


def test_commands_of_the_readme(shell: list[str], tmp_path: Path) -> None:
    """All in one shell, since each builds on those before; `set -e` ends at the first that fails."""
    assert len(COMMANDS) > 8
    for name in ("assemblies", "plugins"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / ".venv").symlink_to(Path(sys.prefix))
    environment = {
        **os.environ,
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": str(tmp_path / "home"),
        **{f"XDG_{each}": str(tmp_path / each.lower()) for each in ("STATE_HOME", "CACHE_HOME", "RUNTIME_DIR")},
    }
    script = "\n".join(f"echo '## {number}'\n{command}" for number, command in enumerate(COMMANDS))
    done = subprocess.run(
        [*shell, script], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, f"after {done.stdout[-1500:]}\n{done.stderr[-1500:]}"
    number = next(number for number, command in enumerate(COMMANDS) if " run demo " in command)
    shown = done.stdout.split(f"## {number}\n")[1].split("\n")[0]
    assert re.fullmatch(r"I am process 1 on [0-9a-f]{12}", shown)


@pytest.mark.parametrize(
    "page", sorted(ROOT.glob("*.md")) + sorted((ROOT / "docs").glob("*.md")), ids=lambda page: page.name
)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text())
    drawn = {f"reference/{each}" for each in reference.pages(Catalog())}
    missing = [each for each in links if "://" not in each and each not in drawn and not (page.parent / each).exists()]
    assert not missing


@pytest.mark.parametrize("target", ["demo", "test", "lint", "bench", "docs", "fuzz", "test-fast", "test-long"])
def test_makefile_has_what_is_promised(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


@pytest.mark.parametrize("manifest", sorted((ROOT / "assemblies").glob("*.yaml")), ids=lambda manifest: manifest.stem)
def test_a_shipped_assembly_is_short_and_says_whom_it_is_for(manifest: Path) -> None:
    assert len(manifest.read_text().splitlines()) < 30
    page = (ROOT / "docs/assemblies.md").read_text()
    assert re.search(rf"^\| `{manifest.stem}` \| \w.+ \| .+ \|$", page, re.MULTILINE)
