"""`moby test-plugin` says which promises hold, and fails a part that breaks one."""

import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from moby.cli import test_plugin as verb
from moby.errors import HostUnfit, Invalid, NotFound
from moby.registry import Broken, Catalog
from moby.scaffold import rendering

pytestmark = pytest.mark.slow

MOBY = [sys.executable, "-c", "from moby.cli.main import main; main()"]


def written(folder, kind="command"):
    for path, text in rendering.plugin("spoken", kind, "0.1").items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    return folder


def test_a_broken_promise_is_named(run_program, tmp_path):
    folder = written(tmp_path / "spoken")
    source = folder / "src/spoken/verb.py"
    source.write_text(source.read_text().replace("int(ended.code or 0)", "0"), encoding="utf-8")
    done = run_program(*MOBY, "test-plugin", folder, "--json", cwd=tmp_path)
    assert done.returncode == 1
    (component,) = json.loads(done.stdout)["components"]
    outcomes = {each["promise"].partition(":")[0]: each for each in component["promises"]}
    assert {name: each["outcome"] for name, each in outcomes.items()} == {
        "help": "ok", "wrong usage": "failed", "arguments are left alone": "ok",
    }  # fmt: skip
    assert outcomes["wrong usage"]["reason"]


def test_what_a_part_lacks_by_name_is_no_broken_promise(run_program, tmp_path):
    folder = written(tmp_path / "spoken")
    source = folder / "src/spoken/verb.py"
    text = source.read_text(encoding="utf-8").replace("import sys", "import sys\nfrom moby.errors import Unsupported")
    text = text.replace(
        "        parser = ",
        '        if arguments == ["--no-such-option"]:\n            raise Unsupported("nope")\n        parser = ',
    )
    source.write_text(text, encoding="utf-8")
    done = run_program(*MOBY, "test-plugin", folder, "--json", cwd=tmp_path)
    promises = json.loads(done.stdout)["components"][0]["promises"]
    assert [each["outcome"] for each in promises] == ["ok", "refused", "ok"]
    assert "nope" in promises[1]["reason"]
    assert done.returncode == 0


def test_the_report_can_be_read(run_program, tmp_path):
    done = run_program(*MOBY, "test-plugin", written(tmp_path / "spoken"), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    first, *promises, last = done.stdout.splitlines()
    assert first == "command/spoken"
    assert all(line.startswith("  ok ") for line in promises)
    assert last == "  3 ok, 0 failed, 0 refused, 0 skipped"


def test_an_installed_distribution(run_program, tmp_path):
    done = run_program(*MOBY, "test-plugin", "moby-framework", "--kind", "ipam", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    found = {each["component"]: each["promises"] for each in json.loads(done.stdout)["components"]}
    assert {each["outcome"] for each in found["ipam/default"]} == {"ok"}
    assert {each["reason"] for each in found["ipam/null"]} == {"this part hands out nothing"}


@pytest.mark.long
@pytest.mark.parametrize("kind", ["containers", "orchestrator"])
def test_parts_that_are_tried_in_a_whole_engine(run_program, tmp_path, kind):
    done = run_program(*MOBY, "test-plugin", "moby-framework", "--kind", kind, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    for each in json.loads(done.stdout)["components"]:
        assert sum(promise["outcome"] == "ok" for promise in each["promises"]) > 50


@pytest.mark.parametrize(("served", "where"), [([], "here"), (["--served"], "elsewhere")], ids=["within", "served"])
def test_a_part_in_a_process_of_its_own(run_program, tmp_path, served, where):
    folder = written(tmp_path / "spoken", "ipam")
    look = "'here' if 'pytest' in __import__('sys').modules else 'elsewhere'"
    replaced(folder, '_unwritten("take")', f'Unsupported("its tests run " + ({look}))', "ipam.py")
    done = run_program(*MOBY, "test-plugin", folder, *served, "--json", cwd=tmp_path)
    promises = json.loads(done.stdout)["components"][0]["promises"]
    refused = [each["reason"] for each in promises if each["outcome"] == "refused"]
    assert any(f"its tests run {where}" in each for each in refused)


def test_a_part_that_hangs_is_given_up(run_program, tmp_path):
    folder = written(tmp_path / "spoken")
    source = folder / "src/spoken/verb.py"
    source.write_text("import time\ntime.sleep(1000)\n", encoding="utf-8")
    done = run_program(*MOBY, "test-plugin", folder, "--time-limit", "3", "--json", cwd=tmp_path)
    assert done.returncode == 1
    (promise,) = json.loads(done.stdout)["components"][0]["promises"]
    assert promise["reason"] == "it took longer than 3 s"


def error_of(name, *options):
    return CliRunner().invoke(verb.command, [str(name), *options], standalone_mode=False).exception


@pytest.mark.parametrize(
    ("text", "error"),
    [
        pytest.param(None, NotFound, id="no-project"),
        pytest.param("[project", Invalid, id="no-toml"),
        pytest.param('[project]\nname = "empty"\n', Invalid, id="no-components"),
        pytest.param('[project.entry-points."moby.components"]\nx = "absent_module"\n', Invalid, id="no-module"),
    ],
)
def test_a_folder_that_is_no_plugin(tmp_path, text, error):
    if text is not None:
        (tmp_path / "pyproject.toml").write_text(text, encoding="utf-8")
    assert isinstance(error_of(tmp_path), error)


def test_a_distribution_that_is_not_installed():
    error = error_of("no-such-plugin")
    assert isinstance(error, NotFound)
    assert "moby-framework" in error.message


def test_without_pytest(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    error = error_of("moby-framework")
    assert isinstance(error, HostUnfit)
    assert "moby-framework[testing]" in error.hint


def test_a_kind_of_which_there_is_no_component(tmp_path):
    error = error_of(written(tmp_path / "spoken"), "--kind", "runtime")
    assert isinstance(error, NotFound)
    assert error.message.endswith("brings no component of the kind 'runtime'")
    assert error.hint == "it brings command/spoken"


def test_an_installed_distribution_that_is_broken(monkeypatch):
    broken = Broken("sad-parts 1.0", "sad_parts.plugin", "importing it raised OSError: no")
    monkeypatch.setattr("moby.cli.session.catalog", lambda: Catalog(broken=(broken,)))
    error = error_of("Sad_Parts")
    assert isinstance(error, NotFound)
    assert error.message == "sad-parts 1.0: sad_parts.plugin: importing it raised OSError: no"
    assert error.hint == "mend that first"


def test_where_nothing_is_installed(monkeypatch):
    monkeypatch.setattr("moby.cli.session.catalog", Catalog)
    assert error_of("sad-parts").message == "no folder and no installed plugin 'sad-parts'; installed: none"


def replaced(folder, old, new, file="plugin.py"):
    source = folder / "src/spoken" / file
    text = source.read_text(encoding="utf-8")
    assert old in text
    source.write_text(text.replace(old, new), encoding="utf-8")
    return folder


UNKNOWN_KIND = '''
from typing import Protocol
from moby.contracts.kind import contract

@contract("kettle", version=1)
class Command(Protocol):
    """Boils water."""

@frozen
class Config:'''
KIND = "from moby.contracts.command import Command\n"


@pytest.mark.parametrize(
    ("edits", "reason"),
    [
        pytest.param(
            [(KIND, ""), ("\n@frozen\nclass Config:", UNKNOWN_KIND)], "there is no suite for kettle", id="kind"
        ),
        pytest.param(
            [
                (KIND, KIND + "from moby.contracts.images import Images\n"),
                ("make(config: Config)", "make(config: Config, *, images: Images)"),
                ("factory=make", 'factory=make, features={"images": ("time-travel",)}'),
            ],
            "an engine with it can't be resolved: ",
            id="need",
        ),
    ],
)
def test_what_cannot_be_tested_is_skipped(run_program, tmp_path, edits, reason):
    folder = written(tmp_path / "spoken")
    for old, new in edits:
        replaced(folder, old, new)
    done = run_program(*MOBY, "test-plugin", folder, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (promise,) = json.loads(done.stdout)["components"][0]["promises"]
    assert promise["outcome"] == "skipped"
    assert promise["reason"].startswith(reason)


@pytest.mark.parametrize("ending", [pytest.param("", id="ends"), pytest.param("    time.sleep(1000)\n", id="hangs")])
def test_what_a_part_started_ends_with_its_suite(run_program, tmp_path, ending):
    folder = written(tmp_path / "spoken")
    pids = tmp_path / "pids"
    sleeper = f"import os, time; open({str(pids)!r}, 'a').write(f'{{os.getpid()}}\\n'); time.sleep(1000)"
    start = f"subprocess.Popen([sys.executable, '-c', {sleeper!r}], start_new_session=True)"
    wait = f"while not os.path.exists({str(pids)!r}): time.sleep(0.01)"
    verb_py = folder / "src/spoken/verb.py"
    source = verb_py.read_text(encoding="utf-8")
    head = f"import os, subprocess, time\n{source}\n\nif not os.path.exists({str(pids)!r}):\n    {start}\n    {wait}\n"
    verb_py.write_text(head + ending, encoding="utf-8")
    limit = "10" if "sleep" in ending else "200"
    done = run_program(*MOBY, "test-plugin", folder, "--json", "--time-limit", limit, cwd=tmp_path)
    assert json.loads(done.stdout)["ok"] is (ending == "")
    for pid in map(int, pids.read_text().split()):
        stat = Path(f"/proc/{pid}/stat")
        assert not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] in "ZX"


def test_a_suite_that_the_part_ends(run_program, tmp_path):
    folder = written(tmp_path / "spoken")
    (folder / "src/spoken/verb.py").write_text("import os\nos._exit(9)\n", encoding="utf-8")
    done = run_program(*MOBY, "test-plugin", folder, "--json", cwd=tmp_path)
    assert done.returncode == 1
    (promise,) = json.loads(done.stdout)["components"][0]["promises"]
    assert (promise["outcome"], promise["reason"]) == ("failed", "it ended with 9")
