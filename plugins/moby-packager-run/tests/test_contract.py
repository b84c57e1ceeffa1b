"""The format against the conformance suite of packagers, of what the framework's own make."""

import subprocess
from pathlib import Path

import pytest
from moby.contracts.packager import FORMAT, Artifact, Given, Source
from moby.testing.conformance import suite_of

from run_packager import plugin
from run_packager.script import Run


class TestRun(suite_of(plugin, "packager/run")):
    def start(self, folder: Path, artifact: Artifact) -> str:
        subprocess.run([folder / artifact.files[0], "--prefix", folder / "a b"], check=True, timeout=60)
        (program,) = (folder / "a b/bin").iterdir()
        return subprocess.run([program], capture_output=True, text=True, check=True, timeout=60).stdout


@pytest.fixture
def script(tmp_path: Path) -> Path:
    (tmp_path / "x/bin").mkdir(parents=True)
    (tmp_path / "x/bin/x").write_text("#!/bin/sh\necho started\n")
    (tmp_path / "x/bin/x").chmod(0o755)
    subprocess.run(["tar", "--zstd", "-cf", "x.tar.zst", "x"], cwd=tmp_path, check=True)
    size = (tmp_path / "x.tar.zst").stat().st_size
    given = Given(tmp_path, Artifact((Path("x.tar.zst"),), {"moby": size}))
    (tmp_path / "out").mkdir()
    made = Run().build(Source("x", (), given=given), tmp_path / "out")
    assert made.sizes_bytes["moby"] == size
    assert made.sizes_bytes[FORMAT] == (tmp_path / "out/x.run").stat().st_size - size
    return tmp_path / "out/x.run"


def test_install_again_and_remove(script: Path, tmp_path: Path) -> None:
    for _ in range(2):
        subprocess.run([script, "--prefix", tmp_path / "p"], check=True)
        assert subprocess.check_output([tmp_path / "p/bin/x"]) == b"started\n"
    assert [path.name for path in (tmp_path / "p/lib/moby").iterdir()] == ["x"]
    subprocess.run([script, "--prefix", tmp_path / "p", "--remove"], check=True)
    assert [path for path in (tmp_path / "p").rglob("*") if not path.is_dir()] == []


def test_a_damaged_one_leaves_what_was_there(script: Path, tmp_path: Path) -> None:
    subprocess.run([script, "--prefix", tmp_path / "p"], check=True)
    script.write_bytes(script.read_bytes()[:-20])
    assert subprocess.run([script, "--prefix", tmp_path / "p"], check=False, capture_output=True).returncode
    assert subprocess.check_output([tmp_path / "p/bin/x"]) == b"started\n"


def test_wrong_usage(script: Path) -> None:
    done = subprocess.run([script, "--help"], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (2, f"usage: {script} [--prefix DIR] [--remove]\n")
