"""The packager pyz against its contract, and what is its own."""

import io
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from attrs import evolve
from moby_packager.pyz.archive import Pyz

from moby.contracts.packager import Artifact, Packager
from moby.errors import MobyError
from moby.testing.packager import SOURCE, STARTED, PackagerSuite


class TestPyz(PackagerSuite):
    @pytest.fixture(
        params=[
            pytest.param(Pyz(), id="usual"),
            pytest.param(Pyz(bytecode=False), id="sources"),
            pytest.param(Pyz(compress=False), id="stored"),
            pytest.param(Pyz(stored_bytecode=True), id="stored-bytecode"),
        ]
    )
    def packager(self, request: pytest.FixtureRequest) -> Packager:
        return request.param

    def start(self, folder: Path, artifact: Artifact) -> str:
        command = [sys.executable, "-I", folder / artifact.files[0]]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        return done.stdout + done.stderr


def built(folder: Path, packager: Pyz) -> zipfile.ZipFile:
    return zipfile.ZipFile(io.BytesIO((folder / packager.build(SOURCE, folder).files[0]).read_bytes()))


def test_entries_have_fixed_dates_and_modes_and_stand_in_order(tmp_path: Path) -> None:
    infos = built(tmp_path, Pyz()).infolist()
    assert [info.filename for info in infos] == sorted(info.filename for info in infos)
    assert {info.date_time for info in infos} == {(1980, 1, 1, 0, 0, 0)}
    modes = {info.filename: info.external_attr >> 16 for info in infos}
    assert modes.pop("sample/run.sh") == 0o100755
    assert set(modes.values()) == {0o100644}


def test_bytecode_lies_beside_each_source(tmp_path: Path) -> None:
    names = set(built(tmp_path, Pyz()).namelist())
    sources = {name for name in names if name.endswith(".py")}
    assert {f"{name}c" for name in sources} == {name for name in names if name.endswith(".pyc")}


def test_stored_bytecode(tmp_path: Path) -> None:
    kinds = {
        (Path(each.filename).suffix, each.compress_type)
        for each in built(tmp_path, Pyz(stored_bytecode=True)).infolist()
    }
    assert {(".py", zipfile.ZIP_DEFLATED), (".pyc", zipfile.ZIP_STORED)} <= kinds
    assert not {(".py", zipfile.ZIP_STORED), (".pyc", zipfile.ZIP_DEFLATED)} & kinds


def test_interpreter_line(tmp_path: Path) -> None:
    Pyz(interpreter="/usr/bin/python3 -I").build(SOURCE, tmp_path)
    artifact = tmp_path / f"{SOURCE.name}.pyz"
    assert artifact.read_bytes().startswith(b"#!/usr/bin/python3 -I\n")
    assert artifact.stat().st_mode & 0o777 == 0o755
    assert STARTED in subprocess.run([artifact], capture_output=True, text=True, check=True, timeout=60).stdout


def test_what_this_python_cannot_compile_stays_a_source(tmp_path: Path) -> None:
    entries = tuple(
        evolve(entry, data=b"print 'two'") if entry.path == "sample/__init__.py" else entry for entry in SOURCE.entries
    )
    (artifact,) = Pyz().build(evolve(SOURCE, entries=entries), tmp_path).files
    names = zipfile.ZipFile(tmp_path / artifact).namelist()
    assert "sample/__init__.py" in names
    assert "sample/__init__.pyc" not in names


def test_a_compiler_that_dies_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(MobyError, match="compiling ended with 1"):
        Pyz().build(SOURCE, tmp_path)
