"""The same as the command line, from Python."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import moby
from moby.engine import Engine
from moby.engine.running import Status
from moby.errors import Invalid, NotFound
from moby.registry import Catalog

MANIFEST = """\
moby: 1
name: small
extends: [quickstart]
components: {command: null}
"""


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(MANIFEST)
    return path


def test_what_the_package_offers() -> None:
    assert {"load", "resolve", "assemble", "start"} <= set(moby.__all__)
    assert all(hasattr(moby, name) for name in moby.__all__)
    with pytest.raises(AttributeError, match="no attribute 'unload'"):
        moby.unload  # noqa: B018


class TestLoad:
    def test_a_file(self, manifest: Path) -> None:
        assert moby.load(manifest).name == "small"
        assert moby.load(str(manifest), sets=["name=other"]).name == "other"

    def test_a_shipped_assembly(self) -> None:
        assert moby.load("quickstart").name == "quickstart"

    def test_every_problem_comes_with_the_error(self, manifest: Path) -> None:
        manifest.write_text("moby: 1\nname: A\ncolour: blue\n")
        with pytest.raises(Invalid) as raised:
            moby.load(manifest)
        assert [each.where.line for each in raised.value.problems if each.where] == [2, 3]


class TestResolve:
    def test_with_what_is_installed(self, manifest: Path) -> None:
        plan = moby.resolve(moby.load(manifest))
        assert [each.key for each in plan.instances] == ["images/layout", "runtime/native", "supervisor/foreground"]

    def test_with_other_components(self, manifest: Path) -> None:
        with pytest.raises(Invalid, match="no runtime 'native' is installed"):
            moby.resolve(moby.load(manifest), Catalog())

    def test_for_a_host(self, manifest: Path) -> None:
        with pytest.raises(Invalid, match="runtime/native doesn't fit the target host"):
            moby.resolve(moby.load(manifest), target={"kernel": {}})

    def test_for_the_host_that_the_manifest_names(self, manifest: Path, tmp_path: Path) -> None:
        (tmp_path / "facts.json").write_text('{"kernel": {}}')
        manifest.write_text(f"{MANIFEST}distribution: {{target: {tmp_path}/facts.json}}\n")
        assembly = moby.load(manifest)
        with pytest.raises(Invalid, match="runtime/native doesn't fit the target host"):
            moby.resolve(assembly)
        assert moby.resolve(assembly, target="any").target is None


class TestAssemble:
    @pytest.mark.slow
    def test_a_distribution(self, manifest: Path, tmp_path: Path) -> None:
        made = moby.assemble(manifest, tmp_path / "out", sets=["name=other"])
        assert (made.name, made.folder, made.changed) == ("other", tmp_path / "out/other", True)
        assert sorted(path.name for path in made.folder.iterdir()) == sorted(made.files)
        lock = json.loads((made.folder / "other.lock.json").read_bytes())
        assert lock["name"] == "other"

    def test_in_other_formats_than_the_manifest_names(self, manifest: Path, tmp_path: Path) -> None:
        with pytest.raises(Invalid, match="no packager 'paper' is installed"):
            moby.assemble(manifest, tmp_path / "out", formats=["paper"])

    def test_one_that_is_not_locked(self, manifest: Path, tmp_path: Path) -> None:
        with pytest.raises(NotFound, match="no lock at"):
            moby.assemble(manifest, tmp_path / "out", locked=True)

    def test_no_such_assembly(self, tmp_path: Path) -> None:
        with pytest.raises(Invalid, match="can't read"):
            moby.assemble(tmp_path / "none.yaml", tmp_path)
        assert list(tmp_path.iterdir()) == []


class TestStart:
    @pytest.fixture
    def engine(self, tmp_path: Path) -> Iterator[Engine]:
        with moby.start(moby.resolve(moby.load("quickstart")), root=tmp_path / "root") as engine:
            yield engine

    def test_everything_runs_until_the_block_ends(self, tmp_path: Path) -> None:
        plan = moby.resolve(moby.load("quickstart"))
        with moby.start(plan, root=tmp_path / "root") as engine:
            assert {seen.status for seen in engine.states().values()} == {Status.RUNNING}
            assert engine.instances.keys() == {each.key for each in plan.instances}
        assert {seen.status for seen in engine.states().values()} == {Status.STOPPED}
        assert engine.instances == {}

    def test_a_container(self, engine: Engine, capfd: pytest.CaptureFixture[str]) -> None:
        """An image of this host's own shell, and a process 1 whose exit code comes back."""
        assert engine.instances["command/image"].run(["from-host", "--tag", "tiny", "/bin/sh"]) == 0
        assert len(engine.instances["images/layout"].list()) == 1
        capfd.readouterr()
        code = engine.instances["command/run"].run(["tiny", "/bin/sh", "-c", "echo process $$; exit 7"])
        assert (code, capfd.readouterr().out) == (7, "process 1\n")
        assert engine.instances["supervisor/foreground"].list() == ()

    def test_an_error_of_a_part_is_one_of_ours(self, engine: Engine) -> None:
        with pytest.raises(NotFound, match="nothere"):
            engine.instances["images/layout"].get("nothere")
