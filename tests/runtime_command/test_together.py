"""The command's modules in one file: made by the first call, true to its sources, and never needed."""

import compileall
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from attrs import frozen
from moby_runtime.native.cli.verbs import VERBS
from moby_runtime.together import VERBS as TOLD

CHECKOUT = Path(__file__).resolve().parents[2]
SCRIPT = CHECKOUT / "tools/moby-runtime"
FOUND = "by the import system"


@frozen
class Installed:
    """The command in a place of its own, whose sources may be changed."""

    site: Path
    root: Path
    looked_for: list[str]
    """Modules of the last call that were not run at once."""

    @property
    def kept(self) -> list[Path]:
        return sorted((self.site / "moby_runtime/__pycache__").glob("*.together"))

    def settle(self, *words: str, **environment: str) -> None:
        """Call it until what is run at once is known: the second call says that."""
        self(*words, **environment)
        self(*words, **environment)

    def __call__(self, *words: str, code: int = 0, **environment: str) -> str:
        """Call it; return its output, and the modules of ours that were looked for."""
        inherited = {name: each for name, each in os.environ.items() if not name.startswith("PYTHON")}
        done = subprocess.run(
            [sys.executable, "-X", "importtime", SCRIPT, "--root", self.root, *words],
            env=inherited | {"PYTHONPATH": str(self.site)} | environment,
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert done.returncode == code, done.stderr
        names = [line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time")]
        # What isn't run at once is imported in a module that is looked for.
        looked_for = "moby_runtime.native.cli.flags" in names
        self.looked_for[:] = names
        return f"{done.stdout}{FOUND if looked_for else ''}"


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("together")
    ignored = shutil.ignore_patterns("__pycache__")
    for name in ("moby/host", "moby/contracts", "components/moby_runtime"):
        shutil.copytree(CHECKOUT / name, folder / name.removeprefix("components/"), ignore=ignored)
    for name in ("__init__", "errors", "values"):
        shutil.copy(CHECKOUT / f"moby/{name}.py", folder / "moby")
    return folder


@pytest.fixture
def installed(sources: Path, tmp_path: Path) -> Installed:
    shutil.copytree(sources, tmp_path / "site")
    return Installed(tmp_path / "site", tmp_path / "root", [])


def test_the_third_call_looks_for_no_module(installed) -> None:
    first = installed("list", "--quiet")
    assert FOUND in first
    assert [each.name.partition(".")[0] for each in installed.kept] == ["moby-runtime-list"]
    shutil.rmtree(installed.site / "moby_runtime/native/cli/__pycache__")
    assert installed("list", "--quiet") == first
    assert not (installed.site / "moby_runtime/native/cli/__pycache__").exists(), "they were aside"
    assert installed("list", "--quiet") == first.removesuffix(FOUND)


def test_what_the_first_call_alone_needs_is_not_run_at_once(installed) -> None:
    kill = "moby_runtime.native.cli.containers"
    calls = (("nobody", kill), ("--help", None), ("--help", None), ("nobody", kill), ("nobody", kill))
    for word, imported in calls:
        installed("kill", word, code=word != "--help")
        assert (kill in installed.looked_for) == (imported is not None)


def test_a_changed_source_is_what_runs(installed) -> None:
    installed.settle("list")
    source = installed.site / "moby_runtime/native/cli/state.py"
    source.write_text(source.read_text() + "\ndef list_all(call):\n    print('changed')\n    return 0\n")
    assert installed("list") == f"changed\n{FOUND}"
    assert installed("list") == f"changed\n{FOUND}"
    assert installed("list") == "changed\n"
    source.write_text(source.read_text() + "\ndef list_all(call):\n    print('again')\n    return 0\n")
    assert installed("list") == f"again\n{FOUND}"


def test_a_source_that_is_gone_is_not_run(installed) -> None:
    installed("list")
    (installed.site / "moby_runtime/native/cli/state.py").unlink()
    assert "No module named" in subprocess.run(
        [sys.executable, SCRIPT, "--root", installed.root, "list"],
        env=os.environ | {"PYTHONPATH": str(installed.site)}, capture_output=True, text=True, check=False,
    ).stderr  # fmt: skip


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda data: data[: len(data) // 2], id="cut off"),
        pytest.param(lambda data: b"", id="empty"),
        pytest.param(lambda data: b"\0" * 64, id="zeros"),
        pytest.param(lambda data: b"i\1\0\0\0", id="a number"),
    ],
)
def test_a_damaged_file_is_made_anew(installed, damage) -> None:
    installed.settle("list")
    (file,) = installed.kept
    whole = file.read_bytes()
    file.write_bytes(damage(whole))
    assert FOUND in installed("list")
    assert FOUND in installed("list")
    assert FOUND not in installed("list")


def test_what_another_call_imports_besides_is_added(installed) -> None:
    helped = installed("kill", "--help")
    installed("kill", "--help")
    (file,) = installed.kept
    before = file.stat().st_size
    installed("kill", "nobody", code=1)
    after = file.stat().st_size
    assert after > before
    assert installed("kill", "--help") == helped.removesuffix(FOUND)
    installed("kill", "nobody", code=1)
    assert file.stat().st_size == after


def test_it_counts_for_one_import_path(installed, tmp_path) -> None:
    installed.settle("list")
    (tmp_path / "other").mkdir()
    path = f"{tmp_path / 'other'}:{installed.site}"
    installed.settle("list", PYTHONPATH=path)
    assert FOUND not in installed("list", PYTHONPATH=path)


def test_nothing_is_written_where_no_bytecode_is(installed) -> None:
    assert FOUND in installed("list", PYTHONDONTWRITEBYTECODE="1")
    assert installed.kept == []


def test_where_it_cannot_be_written_all_is_as_ever(installed) -> None:
    shutil.rmtree(installed.site / "moby_runtime/__pycache__", ignore_errors=True)
    (installed.site / "moby_runtime/__pycache__").touch()
    assert FOUND in installed("list")
    assert FOUND in installed("list")
    assert installed.kept == []


@pytest.mark.parametrize("room", [pytest.param(0, id="none"), pytest.param(4096, id="some")])
def test_where_there_is_no_room_nothing_is_left(installed, room) -> None:
    run_after(installed, f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({room}, {room}))")
    assert not list((installed.site / "moby_runtime/__pycache__").glob("*.together*"))


def test_what_others_have_in_the_import_path_does_no_harm(installed) -> None:
    run_after(installed, "import pathlib; sys.path.append(pathlib.Path('/nowhere'))")
    assert len(installed.kept) == 1


def run_after(installed, code) -> None:
    """Run `list` after something else in its process."""
    code = f"import runpy, sys; sys.argv = sys.argv[2:]; {code}; runpy.run_path(sys.argv[0])"
    words = [sys.executable, "-c", code, "-", SCRIPT, "--root", installed.root, "list"]
    inherited = {name: each for name, each in os.environ.items() if not name.startswith("PYTHON")}
    environment = inherited | {"PYTHONPATH": str(installed.site)}
    done = subprocess.run(words, env=environment, check=True, stdout=subprocess.PIPE, timeout=60)
    assert done.stdout.startswith(b"ID")


def test_nobody_else_may_write_it(installed) -> None:
    """Also where the caller lets others write what it makes."""
    before = os.umask(0)
    try:
        installed("list")
    finally:
        os.umask(before)
    (file,) = installed.kept
    assert stat.S_IMODE(file.stat().st_mode) == 0o644


def test_optimized_bytecode_is_kept_apart(installed) -> None:
    installed("list")
    assert FOUND in installed("list", PYTHONOPTIMIZE="1")
    assert len(installed.kept) == 2


def test_errors_are_the_same(installed) -> None:
    first = installed("kill", "nobody", code=1)
    assert FOUND in first
    assert installed("kill", "nobody", code=1) == first
    assert installed("kill", "nobody", code=1) == first.removesuffix(FOUND)
    assert FOUND in installed("nonsense", code=1)


def test_each_verb_has_a_file() -> None:
    assert VERBS.keys() == TOLD


WORK = """
import sys
from moby_runtime.together import Together

def work():
    print("worked")
    return {{"a": b"1", "b": (None, frozenset("c"))}}

together = Together(sys.argv[1], "work")
together.load()
{first}
from moby_runtime.records.remembered import remembered
for key in sys.argv[2:]:
    assert remembered(key.encode(), work) == {{"a": b"1", "b": (None, frozenset("c"))}}
together.keep()
"""


def works(installed: Installed, *keys: str, more: str = "", first: str = "") -> int:
    """Ask for results in a process, after some code of its own; return how many were worked out."""
    given = {name: each for name, each in os.environ.items() if not name.startswith("PYTHON")}
    folder = installed.root / "__pycache__"
    folder.mkdir(parents=True, exist_ok=True)
    words = [sys.executable, "-c", WORK.format(first=first), installed.root, *keys]
    path = f"{installed.site}{more}"
    done = subprocess.run(words, env=given | {"PYTHONPATH": path}, capture_output=True, text=True, check=True)
    return done.stdout.count("worked")


def test_what_was_worked_out_is_kept(installed) -> None:
    assert works(installed, "a", "a") == 1
    assert works(installed, "a", "b") == 1
    assert works(installed, "a", "b") == 0
    assert works(installed, *"abcdefghijk") == 9
    assert works(installed, *"abcdefghijk") == 3, "those that aren't among the first few"
    assert works(installed, "a", "b", more=":/nowhere") == 2, "by another import path, of which other sources may be"


def test_by_changed_sources_it_is_worked_out_anew(installed) -> None:
    assert works(installed, "a") == 1
    source = installed.site / "moby_runtime/records/remembered.py"
    source.write_text(f"{source.read_text()}#\n")
    assert works(installed, "a") == 1
    assert works(installed, "a") == 0


def test_what_is_not_run_at_once_counts_too(installed) -> None:
    """Results may be of modules that nobody has needed since."""
    assert works(installed, "a", first="import moby_runtime.records.offers") == 1
    assert works(installed, "a") == works(installed, "a") == 0
    source = installed.site / "moby_runtime/records/offers.py"
    source.write_text(f"{source.read_text()}#\n")
    assert works(installed, "a") == 1


def test_without_sources_nothing_is_kept(installed) -> None:
    compileall.compile_dir(installed.site, quiet=1, legacy=True)
    for source in installed.site.rglob("*.py"):
        source.unlink()
    assert works(installed, "a") == 1
    assert works(installed, "a") == 1
