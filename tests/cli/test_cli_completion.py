"""What a shell completes: verbs, options, manifests, parts, kinds, formats, paths."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import BashComplete

from moby.cli import main

pytestmark = pytest.mark.usefixtures("installed")


def completed(*words: str) -> list[str]:
    """Return what is offered for the last word, given those before; FILES where the shell completes files itself."""
    *before, last = words
    found = BashComplete(main.cli, {}, "moby", "_MOBY_COMPLETE").get_completions(before, last)
    return [each.value if each.type == "plain" else f"FILES {each.value}".strip() for each in found]


@pytest.fixture(autouse=True)
def files(folder: Path, engine: Path) -> None:
    for name in ("other.yml", "notes.txt", ".hidden.yaml", "engine.lock.json", "facts.json", "sub/one.yaml", "sub/a.c"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("")


FILES = "FILES"
SHIPPED = sorted(each.stem for each in (Path(__file__).parents[2] / "assemblies").glob("*.yaml"))
MANIFESTS = [*SHIPPED, "engine.yaml", "other.yml", "sub/one.yaml"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        pytest.param(["che"], ["check"], id="verb"),
        pytest.param(["ve"], [], id="no-verb"),
        pytest.param(["--v"], ["--version"], id="flag-of-moby"),
        pytest.param(["check", ""], MANIFESTS, id="manifest"),
        pytest.param(["graph", "q"], ["quickstart"], id="shipped-assembly"),
        pytest.param(["doctor", "e"], ["edge", "engine.yaml"], id="manifest-in-this-folder"),
        pytest.param(["explain", "sub/"], ["sub/one.yaml"], id="manifest-in-a-folder"),
        pytest.param(["assemble", "su"], ["sub/one.yaml"], id="manifest-in-a-folder-begun"),
        pytest.param(["lock", ".h"], [".hidden.yaml"], id="hidden-manifest-asked-for"),
        pytest.param(["run", "none"], [FILES], id="files-where-nothing-fits"),
        pytest.param(["check", "nowhere/x"], [FILES], id="a-folder-that-is-not-there"),
        pytest.param(["diff", "engine.yaml", "en"], ["engine.lock.json", "engine.yaml"], id="manifest-or-lock"),
        pytest.param(["check", "--ta"], ["--target"], id="option"),
        pytest.param(["check", "--target", ""], ["any", "host", "engine.lock.json", "facts.json"], id="host"),
        pytest.param(["graph", "--format", "s"], ["svg"], id="format-of-a-picture"),
        pytest.param(["assemble", "--format", ""], ["pyz"], id="format-of-a-distribution"),
        pytest.param(["lock", "--format", "x"], [], id="no-such-format"),
        pytest.param(["graph", "-o", ""], [FILES], id="file-to-write"),
        pytest.param(["components", "--kind", "ru"], ["runtime"], id="kind"),
        pytest.param(["show", "ru"], ["runtime/native", "runtime/runc"], id="part"),
        pytest.param(["why", "engine.yaml", "components.r"], None, id="path"),
        pytest.param(["why", "none.yaml", ""], [], id="path-of-no-manifest"),
    ],
)
def test_completions(words: list[str], expected: list[str] | None) -> None:
    found = completed(*words)
    if expected is None:
        assert "components.runtime.runc.use" in found
        assert all(each.startswith("components.r") for each in found)
    else:
        assert found == expected


def test_a_folder_that_cannot_be_read_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Path) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "iterdir", refuse)
    assert completed("check", "sub/o") == [FILES]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_a_shell(shell: str) -> None:
    """Where the shell is installed, it reads the script too."""
    environment = {**os.environ, "_MOBY_COMPLETE": f"{shell}_source"}
    command = [sys.executable, "-c", "from moby.cli.main import main; main()"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "_MOBY_COMPLETE" in done.stdout
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=done.stdout, text=True, timeout=120, check=True)


ASK = """
eval "$(_MOBY_COMPLETE=bash_source moby)"
COMP_WORDS=(moby check q) COMP_CWORD=2
_moby_completion moby
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.mark.skipif(not shutil.which("bash"), reason="there is no bash")
def test_bash_completes(folder: Path) -> None:
    script = folder / "bin/moby"
    script.parent.mkdir()
    script.write_text(f"#!{sys.executable}\nfrom moby.cli.main import main\nmain()\n")
    script.chmod(0o755)
    environment = {**os.environ, "PATH": f"{script.parent}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", ASK], env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("quickstart\n", "")
