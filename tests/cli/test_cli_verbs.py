"""The verbs check and graph."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from moby.errors import NotFound
from moby.manifest import shipped

BROKEN = """\
moby: 1
name: Broken
components:
  runtime: {use: natvie, version: ">=9"}
  command: [run, rnu]
  superviser: foreground
distribution:
  formats: [pzy]
  budget: lots
colour: blue
"""
FACTS = json.dumps({"schema": 1, "binary": {}})


@pytest.fixture
def broken(folder: Path) -> Path:
    path = folder / "broken.yaml"
    path.write_text(BROKEN)
    return path


@pytest.mark.usefixtures("installed")
class TestCheck:
    def test_one_that_assembles(self, moby, engine: Path) -> None:
        done = moby("check", engine)
        assert (done.code, done.out, done.err) == (0, "engine: 3 components, no problem\n", "")

    def test_its_parts_as_json_in_start_order(self, moby, engine: Path) -> None:
        data = json.loads(moby("check", engine, "--json").out)
        assert data == {
            "schema": 1,
            "ok": True,
            "name": "engine",
            "instances": ["runtime/runc", "supervisor/foreground", "command/run"],
            "notes": [],
        }

    def test_a_part_that_nobody_needs_is_noted(self, moby, folder: Path) -> None:
        (folder / "idle.yaml").write_text("moby: 1\ncomponents:\n  supervisor: foreground\n")
        done = moby("check", "idle.yaml")
        where = "supervisor/foreground is chosen at idle.yaml:3:15"
        note = f"{where}, and no part needs it: leave it out, or choose one that does"
        assert (done.code, done.out, done.err) == (0, "idle: 2 components, no problem\n", f"note: {note}\n")
        assert json.loads(moby("check", "idle.yaml", "--json").out)["notes"] == [note]

    def test_every_problem_at_once_with_its_place_reason_and_fix(self, moby, broken: Path) -> None:
        done = moby("check", "broken.yaml")
        assert (done.code, done.out) == (1, "")
        heads = [line for line in done.err.splitlines() if line.startswith("broken.yaml:")]
        lines = [int(head.split(":")[1]) for head in heads]
        assert lines == sorted(lines)
        for place, words in [
            ("2:7", "name 'Broken' must be lower-case"),
            ("4:12", "no runtime 'natvie' is installed"),
            ("5:18", "no command 'rnu' is installed"),
            ("6:3", "no kind 'superviser'"),
            ("8:12", "no packager 'pzy' is installed"),
            ("9:11", "budget must be a size"),
            ("10:1", "unknown key 'colour'"),
        ]:
            assert any(head.startswith(f"broken.yaml:{place}: {words}") for head in heads), (place, heads)
        assert "  because command/rnu is chosen at broken.yaml:5:18\n" in done.err
        assert "  fix: write `run` instead of" not in done.err  # it is there already, so that would be no fix
        assert "  fix: write `pyz` instead of `pzy` at broken.yaml:8:12\n" in done.err
        assert done.err.endswith(f"{len(heads)} problems\n")

    def test_problems_as_json(self, moby, broken: Path) -> None:
        done = moby("check", broken, "--json")
        data = json.loads(done.out)
        assert (done.code, done.err, data["ok"]) == (1, "", False)
        place = {"source": str(broken), "line": 8, "column": 12}
        (found,) = [each for each in data["problems"] if each["where"] == place]
        assert found.keys() == {"message", "where", "because", "fixes", "conflict"}

    def test_a_name_that_is_no_text(self, moby, engine: Path) -> None:
        """It is legible, and so can stand in a lock or a picture."""
        engine.rename("\udcff.yaml")
        done = moby("graph", "\udcff.yaml", "--json", "-o", "graph.json")
        assert (done.code, done.err) == (0, "")
        assert r"chosen at \\udcff.yaml:5:12" in Path("graph.json").read_text()

    def test_nothing_to_read(self, moby) -> None:
        done = moby("check", "none.yaml")
        assert done.code == 1
        assert done.err.startswith("none.yaml: can't read none.yaml: No such file")

    @pytest.mark.parametrize("name", shipped())
    def test_shipped_assemblies_assemble(self, moby, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        monkeypatch.undo()
        assert moby("check", name).code == 0

    def test_a_value_that_is_set(self, moby, engine: Path) -> None:
        assert moby("check", engine, "--set", "name=other").out.startswith("other: ")

    def test_for_a_host(self, moby, engine: Path, folder: Path) -> None:
        (folder / "facts.json").write_text(FACTS)
        done = moby("check", engine, "--target", "facts.json")
        assert done.code == 1
        assert "binary runc-of-tests>=1.1 (starts them): runc-of-tests isn't on PATH" in done.err

    def test_for_a_host_whose_facts_are_not_there(self, moby, engine: Path) -> None:
        done = moby("check", engine, "--target", "none.json")
        assert (done.code, done.err.splitlines()[1]) == (1, "  fix: write one with moby doctor --facts")

    def test_problems_of_reading_come_before_a_host_that_is_not_there(self, moby, broken: Path) -> None:
        done = moby("check", broken, "--target", "none.json")
        assert "unknown key 'colour'" in done.err

    def test_an_error_without_problems_is_one(self, moby, engine: Path, folder: Path) -> None:
        (folder / "facts.json").write_text("[]")
        done = moby("check", engine, "--target", "facts.json", "--json")
        assert json.loads(done.out)["problems"][0]["fixes"] == ["write one with moby doctor --facts"]


def test_what_is_no_problem_of_the_manifest_is_raised(moby, engine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise NotFound("no registry")

    monkeypatch.setattr("moby.registry.discover", fail)
    assert moby("check", engine).err == "no registry\n"


@pytest.mark.usefixtures("installed")
class TestGraph:
    @pytest.mark.parametrize(
        ("form", "begins"),
        [
            pytest.param("mermaid", "flowchart TB\n", id="mermaid"),
            pytest.param("dot", "digraph", id="dot"),
            pytest.param("svg", "<svg", id="svg"),
            pytest.param("html", "<!doctype html>", id="html"),
        ],
    )
    def test_formats(self, moby, engine: Path, form: str, begins: str) -> None:
        done = moby("graph", engine, "--format", form)
        assert done.code == 0
        assert done.out.lower().startswith(begins.lower())

    def test_json_has_a_flag_as_in_other_verbs(self, moby, engine: Path) -> None:
        data = moby("graph", engine, "--json").out
        assert data == moby("graph", engine, "--format", "json").out
        assert json.loads(data)

    @pytest.mark.parametrize("flag", ["-o", "--output"])
    def test_to_a_file(self, moby, engine: Path, folder: Path, flag: str) -> None:
        assert moby("graph", engine, "--format", "dot", flag, "graph.dot").out == ""
        assert (folder / "graph.dot").read_text().startswith("digraph")

    def test_to_a_file_that_cannot_be_written(self, moby, engine: Path) -> None:
        done = moby("graph", engine, "-o", "none/graph")
        assert (done.code, done.err) == (
            3,
            "can't write none/graph: No such file or directory\n  fix: name another file with -o\n",
        )

    def test_for_a_host(self, moby, engine: Path, folder: Path) -> None:
        (folder / "facts.json").write_text(FACTS)
        assert moby("graph", engine, "--target", "facts.json").code == 1


@pytest.mark.usefixtures("installed")
class TestComponentsOfAKind:
    def test_a_kind_that_nothing_is_installed_of(self, moby) -> None:
        done = moby("components", "--kind", "images")
        assert (done.code, done.out) == (0, "")

    def test_a_kind_that_there_is_not(self, moby) -> None:
        done = moby("components", "--kind", "rutnime")
        assert (done.code, done.out) == (1, "")
        assert done.err.startswith("no kind 'rutnime'; kinds: builder, command, containers, ")
        assert done.err.endswith("fix: did you mean runtime?\n")


class TestLock:
    @pytest.mark.parametrize(
        ("place", "reason"),
        [
            pytest.param("none/lock.json", "No such file or directory", id="no-folder"),
            pytest.param("e.yaml/lock.json", "Not a directory", id="below-a-file"),
            pytest.param("folder", "Is a directory", id="a-folder"),
        ],
    )
    def test_a_place_that_cannot_be_written(self, moby, folder: Path, place: str, reason: str) -> None:
        (folder / "e.yaml").write_text("moby: 1\nname: e\nextends: [quickstart]\n")
        (folder / "folder").mkdir()
        done = moby("lock", "e.yaml", "-o", place)
        assert (done.code, done.err) == (3, f"can't write {place}: {reason}\n  fix: name another file with -o\n")
        assert sorted(path.name for path in folder.iterdir()) == ["e.yaml", "folder"]

    def test_a_manifest_that_is_not_there(self, moby) -> None:
        assert moby("lock", "none.yaml").code == 1


@pytest.mark.slow
def test_assembling_below_a_file(moby, engine: Path) -> None:
    done = moby("assemble", "quickstart", "-o", "engine.yaml")
    assert done.code == 3
    assert done.err == "can't make the folder engine.yaml: File exists\n  fix: name another folder with -o DIR\n"


def test_a_plugin_without_a_component_of_the_kind(moby) -> None:
    done = moby("test-plugin", "moby-framework", "--kind", "teapot")
    assert done.code == 1
    assert done.err.startswith("moby-framework brings no component of the kind 'teapot'\n  fix: it brings builder/")


class TestProgress:
    """A person at a terminal sees what is being done; nobody else does."""

    @pytest.mark.slow
    def test_of_assembling(self, moby, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        steps: list[str] = []

        @contextmanager
        def progress() -> Iterator[Callable[[str], None]]:
            yield steps.append

        monkeypatch.setattr("moby.cli.output.progress", progress)
        assert moby("assemble", "quickstart").code == 0
        assert steps == ["resolving quickstart", "collecting files", "building pyz"]
