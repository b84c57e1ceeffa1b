"""What `moby new` writes works: it lints, types, passes its tests, installs and is found."""

import importlib
import inspect
import json
import shutil
import sys
import zipfile
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner

from moby.cli.new import command
from moby.contracts.kind import kind_of
from moby.errors import Conflict, HostUnfit, Invalid, NotFound, Unsupported
from moby.scaffold import contract, rendering


def new(*words):
    return CliRunner().invoke(command, [str(word) for word in words], standalone_mode=False)


KINDS = tuple(each for each in contract.kinds() if contract.has_suite(each))
_LATER = [pytest.param(each, marks=pytest.mark.long) for each in ("command", "log-driver", "orchestrator")]
WHOLE = ("packager", "supervisor", *_LATER)
"""Of which each is looked at by itself, as its author would: one that is written, one that isn't, and more of
each; of all others together."""


@pytest.fixture(scope="module")
def plugins(tmp_path_factory):
    """A new plugin of each kind: folders by kind."""
    folder = tmp_path_factory.mktemp("new")
    for kind in KINDS:
        done = new("plugin", f"fresh-{kind}", "--kind", kind, "-o", folder)
        assert done.exception is None, (kind, done.exception)
    return {kind: folder / f"fresh-{kind}" for kind in KINDS}


@pytest.fixture(scope="module")
def typed(tmp_path_factory):
    """What mypy found out about the framework, which is the same for all plugins."""
    return f"--cache-dir={tmp_path_factory.mktemp('typed')}"


@pytest.fixture(params=WHOLE)
def plugin(request, plugins):
    """A new plugin's folder and kind."""
    return plugins[request.param], request.param


@pytest.mark.slow
@pytest.mark.parametrize("check", [["check"], ["format", "--check"]], ids=["lint", "format"])
def test_new_plugins_are_clean(plugins, run_program, check):
    done = run_program(sys.executable, "-m", "ruff", *check, "--no-cache", *plugins.values(), cwd="/")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_new_plugins_are_typed(plugins, run_program):
    sources = [str(each / "src") for each in plugins.values()]
    done = run_program(
        "env", f"MYPYPATH={':'.join(sources)}", sys.executable, "-m", "mypy", "--strict", "--cache-dir=/dev/null",
        "--config-file=", *sources, cwd="/",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_a_new_plugin_is_typed_by_its_own_settings(plugin, run_program, typed):
    folder, _ = plugin
    done = run_program(sys.executable, "-m", "mypy", typed, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_all_new_plugins_pass_their_tests_or_say_that_they_are_not_written(plugins, run_program, tmp_path):
    sources = ":".join(str(each / "src") for each in plugins.values())
    tests = [each / "tests/test_contract.py" for each in plugins.values()]
    report = tmp_path / "report.xml"
    done = run_program(
        "env", f"PYTHONPATH={sources}", sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c/dev/null",
        "--import-mode=importlib", f"--rootdir={plugins[KINDS[0]].parent}", f"--junitxml={report}", *tests,
        cwd=tmp_path,
    )  # fmt: skip
    outcomes = {kind: Counter() for kind in KINDS}
    assert done.returncode == 1, done.stdout + done.stderr
    for case in ElementTree.parse(report).iter("testcase"):
        kind = next(each for each in KINDS if case.get("classname", "").startswith(f"fresh-{each}.tests."))
        for outcome in list(case) or [None]:
            text = "" if outcome is None else (outcome.text or "")
            tag = "passed" if outcome is None else outcome.tag
            outcomes[kind]["refused" if "errors.Unsupported" in text else tag] += 1
    for kind, found in outcomes.items():
        written = kind in rendering.KINDS
        assert found["error"] == 0, (kind, found, "fixtures work from the start")
        assert (found["refused"] > 0) is not written, (kind, found)
        assert not written or found["failure"] == 0, (kind, found)
        text = (plugins[kind] / "README.md").read_text(encoding="utf-8")
        assert ("Not written yet" in text) is not written


@pytest.mark.slow
def test_a_new_plugin_passes_its_tests_or_says_that_it_is_not_written(plugin, run_program):
    folder, kind = plugin
    done = run_program(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=folder)
    written = kind in rendering.KINDS
    assert done.returncode == (0 if written else 1), done.stdout + done.stderr
    assert ("errors.Unsupported" in done.stdout) is not written


@pytest.mark.slow
def test_a_new_plugin_keeps_its_contract_or_refuses(plugin, run_program, tmp_path):
    folder, kind = plugin
    moby = [sys.executable, "-c", "from moby.cli.main import main; main()"]
    done = run_program(*moby, "test-plugin", folder, "--json", cwd=tmp_path)
    report = json.loads(done.stdout)
    (component,) = report["components"]
    assert component["component"] == f"{kind}/fresh-{kind}"
    outcomes = [each["outcome"] for each in component["promises"]]
    if kind in rendering.KINDS:
        assert (done.returncode, report["ok"]) == (0, True), report
        assert "ok" in outcomes
    else:
        assert outcomes.count("refused") > (len(outcomes) - outcomes.count("skipped")) / 2
        assert any(f"{kind}/fresh-{kind} doesn't do " in each["reason"] for each in component["promises"])


@pytest.mark.parametrize("kind", [each for each in KINDS if each not in rendering.KINDS])
def test_a_part_to_be_written_has_every_method_and_refuses_it_by_name(kind, tmp_path, monkeypatch):
    assert new("plugin", f"skeletal-{kind}", "--kind", kind, "-o", tmp_path).exception is None
    monkeypatch.syspath_prepend(tmp_path / f"skeletal-{kind}/src")
    word = kind.replace("-", "_")
    klass = "Skeletal" + "".join(each.capitalize() for each in kind.split("-"))
    found = getattr(importlib.import_module(f"skeletal_{word}.{word}"), klass)
    (protocol,) = [each for each in vars(sys.modules[contract.contract_of(kind).module]).values() if kind_of(each)]
    part = found(*[None] * (len(inspect.signature(found).parameters)))
    methods = [name for name, each in vars(protocol).items() if inspect.isfunction(each) and name[0] != "_"]
    assert methods
    for name in methods:
        signature = inspect.signature(getattr(found, name))
        assert signature == inspect.signature(getattr(protocol, name))
        needed = [each for each in signature.parameters.values() if each.default is each.empty][1:]
        named = {each.name: None for each in needed if each.kind is each.KEYWORD_ONLY}
        with pytest.raises(Unsupported, match=f"^{kind}/skeletal-{kind} doesn't do {name} yet") as caught:
            getattr(part, name)(*[None] * (len(needed) - len(named)), **named)
        assert caught.value.hint == f"write {klass}.{name}"
        said, (asked, *_) = getattr(found, name).__doc__, getattr(protocol, name).__doc__.splitlines()
        assert asked.startswith(said.rstrip("."))
    assert "features" in methods or getattr(part, "features", frozenset()) == frozenset()


def test_a_part_to_be_written_says_what_its_attributes_are(tmp_path):
    new("plugin", "shelf", "--kind", "volume-driver", "-o", tmp_path)
    text = (tmp_path / "shelf/src/shelf/volume_driver.py").read_text()
    told = '    """`local`, or `global` where every host sees the same volumes."""'
    assert f'    scope: str = ""\n{told}\n\n    def __init__' in text


@pytest.mark.parametrize(
    ("kind", "message", "hint"),
    [
        pytest.param(
            "commnd",
            "there is no kind 'commnd'",
            "did you mean command? kinds: builder, command, containers,",
            id="near",
        ),
        pytest.param("kettle", "there is no kind 'kettle'", "kinds: builder, command, containers,", id="no kind"),
        pytest.param("images", "nothing holds a part of the kind 'images'", "after moby.contracts.images", id="bare"),
    ],
)
def test_kinds_that_cannot_be_begun(kind, message, hint, tmp_path, monkeypatch):
    monkeypatch.setattr(rendering, "has_suite", lambda kind: kind != "images")
    error = new("plugin", "fine", "--kind", kind, "-o", tmp_path).exception
    assert isinstance(error, Unsupported if kind == "images" else NotFound)
    assert error.message.startswith(message)
    assert hint in error.hint
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "kind"),
    [
        pytest.param("process", "runtime", id="a value of the contract"),
        pytest.param("runtime", "runtime", id="the contract"),
        pytest.param("config", "supervisor", id="the options"),
        pytest.param("image", "images", id="an image"),
        pytest.param("command", "command", id="a verb"),
        pytest.param("path", "packager", id="of the standard library"),
        pytest.param("a" + "-very-long-name" * 3, "supervisor", id="long"),
    ],
)
def test_names_that_the_files_use_already(name, kind, run_program, typed, tmp_path):
    assert new("plugin", name, "--kind", kind, "-o", tmp_path).exception is None
    for check in (("ruff", "check", "--no-cache", "."), ("mypy", typed)):
        done = run_program(sys.executable, "-m", *check, cwd=tmp_path / name)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_a_new_plugin_installs_and_is_found(plugin, build_wheel, install, run_program, tmp_path):
    folder, kind = plugin
    wheel = build_wheel(folder)
    with zipfile.ZipFile(wheel) as archive:
        assert [name for name in archive.namelist() if name.endswith("moby-components.json")]
    done = run_program(install(wheel) / "moby", "components", "--json", cwd=tmp_path)
    assert f"{kind}/fresh-{kind}" in {each["id"] for each in json.loads(done.stdout)["components"]}, done.stderr


def test_a_new_assembly_can_be_assembled(run_program, tmp_path):
    assert new("assembly", "mine", "-o", tmp_path).exception is None
    moby = [sys.executable, "-c", "from moby.cli.main import main; main()"]
    done = run_program(*moby, "check", tmp_path / "mine.yaml", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_new_component_stands_where_its_kind_is(tmp_path):
    (tmp_path / "components").mkdir()
    done = new("component", "command/say-hello", "-o", tmp_path)
    assert done.exception is None
    assert '"command.say-hello" = "moby_command.say_hello.plugin"' in done.output
    found = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    home = "components/moby_command"
    inner = {f"{home}/say_hello/{name}" for name in ("__init__.py", "plugin.py", "verb.py", "README.md")}
    assert found == {f"{home}/__init__.py", f"{home}/py.typed", "tests/command/test_say_hello_suite.py", *inner}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_new_component_is_formatted_as_the_tree_is(kind, run_program, tmp_path):
    (tmp_path / "components").mkdir()
    shutil.copy(Path(__file__).parents[2] / "pyproject.toml", tmp_path)
    (tmp_path / "moby").symlink_to(Path(rendering.__file__).parents[1])
    assert new("component", f"{kind}/trial-part", "-o", tmp_path).exception is None
    for check in (["check"], ["format", "--check"]):
        done = run_program(sys.executable, "-m", "ruff", *check, "--no-cache", "components", "tests", cwd=tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("words", "error"),
    [
        pytest.param(("plugin", "Wrong"), Invalid, id="capital"),
        pytest.param(("plugin", "x-"), Invalid, id="dash"),
        pytest.param(("plugin", "json"), Invalid, id="of-the-standard-library"),
        pytest.param(("plugin", "class"), Invalid, id="keyword"),
        pytest.param(("plugin", "moby"), Invalid, id="ours"),
        pytest.param(("plugin", "moby-moby"), Invalid, id="ours-behind-a-prefix"),
        pytest.param(("plugin", "moby-moby-runtime"), Invalid, id="a-folder-of-ours"),
        pytest.param(("plugin", "fine", "--kind", "comand"), NotFound, id="no-kind"),
        pytest.param(("component", "comand/fine"), NotFound, id="no-kind-of-component"),
        pytest.param(("component", "hello"), Invalid, id="no-name-of-component"),
        pytest.param(("component", "command/He"), Invalid, id="component-name"),
        pytest.param(("component", "command/he"), Invalid, id="outside-the-tree"),
        pytest.param(("assembly", "a/b"), Invalid, id="assembly-name"),
    ],
)
def test_refused(words, error, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = new(*words)
    assert isinstance(done.exception, error), done.exception
    assert done.exception.hint
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(tmp_path):
    (tmp_path / "mine.yaml").write_text("precious", encoding="ascii")
    assert isinstance(new("assembly", "mine", "-o", tmp_path).exception, Conflict)
    assert (tmp_path / "mine.yaml").read_text(encoding="ascii") == "precious"


def test_a_folder_that_cannot_be_written_leaves_nothing(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/src").write_text("a file", encoding="ascii")
    assert isinstance(new("plugin", "mine", "-o", tmp_path).exception, HostUnfit)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["src"]


@pytest.mark.parametrize("out", [pytest.param((), id="here"), pytest.param(("-o", "deep/build"), id="elsewhere")])
def test_a_plugin_gets_a_folder_of_its_name(out, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = new("plugin", "hello", *out)
    assert done.exception is None
    folder = "/".join([*out[1:], "hello"])
    assert done.output == f"{folder}: try `moby test-plugin {folder}`, then `pip install ./{folder}`\n"
    assert (tmp_path / folder / "pyproject.toml").is_file()
