"""From a manifest to a distribution, by the command line of the framework's own wheel."""

import hashlib
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest
from installing import Site

from moby.distribution.sbom import sizes_in

HERE = Path(__file__).parent
ODD = {f"packager.{name}": "odd_formats" for name in ("files",)}
FILES = [
    "SHA256SUMS", "graph.html", "graph.svg", "quickstart.cdx.json", "quickstart.intoto.json", "quickstart.lock.json",
    "quickstart.pyz",
]  # fmt: skip
PYTHONS = [path for path in ("/usr/bin/python3.11", "/usr/bin/python3.13") if Path(path).exists()] or [sys.executable]
pytestmark = pytest.mark.slow
Run = Callable[..., "subprocess.CompletedProcess[str]"]


def digests(folder: Path) -> dict[str, str]:
    found = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


@pytest.fixture
def odd(site: Site) -> dict[str, str]:
    """The environment in which the odd packagers are installed."""
    source = (HERE / "plugins" / "odd_formats.py").read_text()
    site.install("odd-formats", {"odd_formats.py": source}, entries=ODD)
    return {"PYTHONPATH": str(site.folder)}


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    path = tmp_path / "mine" / "quickstart.yaml"
    path.parent.mkdir()
    path.write_text("moby: 1\nname: quickstart\nextends: [quickstart]\n")
    return path


def test_what_comes_out(quickstart: Path) -> None:
    assert sorted(digests(quickstart)) == FILES
    subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=quickstart, check=True, capture_output=True)
    assert (quickstart / "quickstart.pyz").stat().st_mode & 0o777 == 0o755


def test_the_archive_holds_the_choice_and_nothing_else(quickstart: Path) -> None:
    names = zipfile.ZipFile(quickstart / "quickstart.pyz").namelist()
    lock = json.loads((quickstart / "quickstart.lock.json").read_text())
    chosen = {each["facts"]["module"].rpartition(".")[0].replace(".", "/") for each in lock["engine"]["instances"]}
    parts = {"/".join(name.split("/")[:2]) for name in names if name.startswith("moby_") and name.count("/") > 1}
    runtimes = {f"moby_runtime/{each}" for each in ("groups", "images", "programs", "records")}
    shared = {*runtimes, "moby_images/folders"}
    assert parts == chosen | shared, "besides, what parts of a kind share"
    tops = {name.split("/")[0].partition("-")[0] for name in names if not name.startswith("moby_")}
    assert tops == {"__main__.py", "__main__.pyc", "attr", "attrs", "licenses", "moby", "pluggy"}
    half = ("api", "cli", "distribution", "graph", "lock", "manifest", "registry", "resolver", "schema", "testing")
    assert not [name for name in names if name.startswith(tuple(f"moby/{each}" for each in half))]


def test_licence_texts_of_everything_inside_are_inside(quickstart: Path) -> None:
    archive = zipfile.ZipFile(quickstart / "quickstart.pyz")
    texts = {
        name.split("/")[1].rpartition("-")[0]: archive.read(name) for name in archive.namelist() if "licenses/" in name
    }
    assert sorted(texts) == ["attrs", "moby-framework", "pluggy"]
    assert b"Apache License" in texts["moby-framework"]


def test_the_lock_inside_is_the_lock_outside(quickstart: Path) -> None:
    inside = zipfile.ZipFile(quickstart / "quickstart.pyz").read("moby-lock.json")
    assert inside == (quickstart / "quickstart.lock.json").read_bytes()


def test_no_place_of_the_build_is_in_it(quickstart: Path, installed_copy: Path) -> None:
    for path in sorted(quickstart.iterdir()):
        data = path.read_bytes()
        assert str(quickstart.parent).encode() not in data
        assert str(installed_copy).encode() not in data
    archive = zipfile.ZipFile(quickstart / "quickstart.pyz")
    assert not [name for name in archive.namelist() if str(installed_copy).encode() in archive.read(name)]


def test_sizes_add_up_and_are_told(moby: Run, quickstart: Path) -> None:
    told = json.loads(moby("assemble", "quickstart", "-o", quickstart.parent, "--json", cwd=quickstart.parent).stdout)
    size = (quickstart / "quickstart.pyz").stat().st_size
    assert sum(told["sizes"]["pyz"].values()) == size
    assert told["files"] == FILES
    assert told["sizes"] == sizes_in((quickstart / "quickstart.cdx.json").read_bytes())
    lock = json.loads((quickstart / "quickstart.lock.json").read_text())
    assert {each["facts"]["id"] for each in lock["engine"]["instances"]} <= set(told["sizes"]["pyz"])


def test_in_a_pipe_sizes_are_plain_lines(moby: Run, quickstart: Path) -> None:
    said = moby("assemble", "quickstart", "-o", quickstart.parent, cwd=quickstart.parent)
    rows = [line.split("\t") for line in said.stdout.splitlines()]
    assert {len(row) for row in rows} == {3}
    assert sum(int(count) for _, _, count in rows) == (quickstart / "quickstart.pyz").stat().st_size
    assert "nothing changed" in said.stderr


def test_nothing_changed_touches_nothing(moby: Run, quickstart: Path) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in quickstart.iterdir()}
    told = json.loads(moby("assemble", "quickstart", "-o", quickstart.parent, "--json", cwd=quickstart.parent).stdout)
    assert not told["changed"]
    assert {path.name: path.stat().st_mtime_ns for path in quickstart.iterdir()} == before


def test_a_damaged_result_is_made_again(moby: Run, quickstart: Path, tmp_path: Path) -> None:
    shutil.copytree(quickstart, tmp_path / "quickstart")
    (tmp_path / "quickstart" / "quickstart.pyz").write_bytes(b"damaged")
    moby("assemble", "quickstart", "-o", tmp_path, cwd=tmp_path)
    assert digests(tmp_path / "quickstart") == digests(quickstart)


def test_bit_identical_whatever_surrounds_it(moby: Run, quickstart: Path, tmp_path: Path, installed_copy: Path) -> None:
    elsewhere = tmp_path / "deep" / "down"
    elsewhere.mkdir(parents=True)
    copy = shutil.copytree(installed_copy, tmp_path / "copy of the site")
    surroundings = {"TZ": "Pacific/Kiritimati", "PYTHONHASHSEED": "12345", "LC_ALL": "C.UTF-8", "HOME": "/nonexistent"}
    moby("assemble", "quickstart", cwd=elsewhere, env=surroundings, umask=0o077, site=copy)
    assert digests(elsewhere / "dist" / "quickstart") == digests(quickstart)


def test_the_same_manifest_in_another_folder_is_the_same(moby: Run, tmp_path: Path) -> None:
    for place in ("one", "two/deep"):
        folder = tmp_path / place
        folder.mkdir(parents=True)
        (folder / "base.yaml").write_text("moby: 1\nextends: [quickstart]\n")
        (folder / "mine.yaml").write_text("moby: 1\nname: mine\nextends: [base.yaml]\n")
    moby("assemble", "mine.yaml", cwd=tmp_path / "one")
    moby("assemble", tmp_path / "two/deep/mine.yaml", "-o", tmp_path / "two/out", cwd="/")
    assert digests(tmp_path / "one/dist/mine") == digests(tmp_path / "two/out/mine")
    names = [pin["name"] for pin in json.loads((tmp_path / "one/dist/mine/mine.lock.json").read_text())["manifests"]]
    assert names == ["shipped:quickstart.yaml", "base.yaml", "mine.yaml"]


@pytest.fixture
def guarded(quickstart: Path) -> Iterator[Path]:
    """The artifact in a folder that others may enter, read-only."""
    folder = Path("/tmp") / f"moby-guarded-{os.getpid()}"
    folder.mkdir(mode=0o755)
    artifact = shutil.copy(quickstart / "quickstart.pyz", folder)
    Path(artifact).chmod(0o555)
    folder.chmod(0o555)
    yield Path(artifact)
    folder.chmod(0o755)
    shutil.rmtree(folder)


@pytest.mark.parametrize("python", PYTHONS)
def test_it_runs_as_anybody_with_no_home(guarded: Path, python: str) -> None:
    command = [python, "-W", "error", guarded]
    if os.geteuid() == 0:
        command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *command]
    where = {"env": {"PATH": os.environ["PATH"]}, "cwd": "/", "capture_output": True, "text": True, "timeout": 60}
    version = subprocess.run([*command, "version"], check=True, **where).stdout
    components = subprocess.run([*command, "components", "--json"], check=True, **where).stdout
    assert version.startswith("quickstart (moby 0.1.0, Python 3.")
    assert "runtime/native" in {each["id"] for each in json.loads(components)["components"]}
    assert [path.name for path in guarded.parent.iterdir()] == ["quickstart.pyz"]


@pytest.mark.parametrize("python", PYTHONS)
def test_the_quick_version_is_the_engines_own(quickstart: Path, python: str) -> None:
    command = [python, quickstart / "quickstart.pyz"]
    quick = subprocess.run([*command, "version"], capture_output=True, text=True, check=True, timeout=60).stdout
    own = [*command, "--log-level", "error", "version"]
    assert quick == subprocess.run(own, capture_output=True, text=True, check=True, timeout=60).stdout


VERSION_IMPORTS = """
import runpy, sys
sys.argv[1:] = ["version"]
try:
    runpy.run_path("ARTIFACT", run_name="__main__")
except SystemExit:
    print([name for name in sys.modules if name.startswith(("moby", "attr", "pluggy", "json"))])
"""


def test_version_imports_nothing(quickstart: Path) -> None:
    program = VERSION_IMPORTS.replace("ARTIFACT", str(quickstart / "quickstart.pyz"))
    said = subprocess.run([sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, check=True)
    assert said.stdout.splitlines()[-1] == "[]"


def test_an_older_python_is_told(quickstart: Path) -> None:
    main = zipfile.ZipFile(quickstart / "quickstart.pyz").read("__main__.py").decode()
    program = f"import sys; sys.version_info = (3, 9, 2)\nexec({main!r})"
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (said.returncode, said.stderr) == (1, "quickstart needs Python 3.11 or newer; this is 3.9\n")


def test_locked(moby: Run, manifest: Path) -> None:
    where = manifest.parent
    said = moby("assemble", manifest, "--locked", "-o", where / "dist", code=1)
    assert (
        said.stderr
        == f"no lock at {where}/quickstart.lock.json: No such file or directory\n  fix: moby lock {manifest}\n"
    )
    assert moby("lock", manifest).stdout == f"{where}/quickstart.lock.json\n"
    moby("assemble", manifest, "--locked", "-o", where / "dist")
    assert (where / "quickstart.lock.json").read_bytes() == (
        where / "dist/quickstart/quickstart.lock.json"
    ).read_bytes()
    before = digests(where / "dist")
    with manifest.open("a") as file:
        file.write("distribution: {config: {pyz: {compress: false}}}\n")
    said = moby("assemble", manifest, "--locked", "-o", where / "dist", code=1)
    at = f"{where}/quickstart.lock.json: "
    assert f"{at}manifest quickstart.yaml has changed\n" in said.stderr
    assert f"{at}option compress of packager/pyz was locked as True; it is False now\n" in said.stderr
    assert f"  fix: moby lock {manifest} accepts all of it\n" in said.stderr
    assert digests(where / "dist") == before


def test_locked_names_a_distribution_that_changed(
    moby: Run, manifest: Path, installed_copy: Path, tmp_path: Path
) -> None:
    moby("lock", manifest)
    copy = shutil.copytree(installed_copy, tmp_path / "copy")
    (record,) = copy.glob("*.dist-info/RECORD")
    record.write_text(record.read_text() + "moby/extra.py,sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU,0\n")
    said = moby("assemble", manifest, "--locked", "-o", tmp_path / "dist", site=copy, code=1)
    assert "distribution moby-framework 0.1.0 holds other files" in said.stderr


def test_the_lock_of_a_shipped_assembly_goes_here(moby: Run, tmp_path: Path) -> None:
    assert moby("lock", "quickstart", cwd=tmp_path).stdout == "quickstart.lock.json\n"
    moby("assemble", "quickstart", "--locked", cwd=tmp_path)
    assert json.loads(moby("lock", "quickstart", "--json", cwd=tmp_path).stdout) == json.loads(
        (tmp_path / "quickstart.lock.json").read_text()
    )


def test_a_lock_that_cannot_be_written(moby: Run, tmp_path: Path) -> None:
    said = moby("lock", "quickstart", "-o", tmp_path / "no" / "x.json", cwd=tmp_path, code=3)
    assert said.stderr.startswith(f"can't write {tmp_path}/no/x.json: No such file or directory\n  fix: name another")


def test_over_the_budget(moby: Run, quickstart: Path, manifest: Path, tmp_path: Path) -> None:
    shutil.copytree(quickstart, tmp_path / "quickstart")
    with manifest.open("a") as file:
        file.write("distribution: {budget: 10000, config: {pyz: {compress: false}}}\n")
    before = digests(tmp_path / "quickstart")
    said = moby("assemble", manifest, "-o", tmp_path, code=1)
    assert f"{manifest}:4:" in said.stderr
    assert "over the budget of 10,000" in said.stderr
    assert "because moby grew by" in said.stderr
    assert digests(tmp_path / "quickstart") == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["quickstart", "--format", "pzy"], "pzy", id="unknown-format"),
        pytest.param(["no-such"], "no-such", id="unknown-assembly"),
        pytest.param(["no-such.yaml"], "no-such.yaml", id="no-file"),
        pytest.param(["quickstart", "--set", "components.runtime=nothing"], "nothing", id="unknown-part"),
    ],
)
def test_what_does_not_resolve_leaves_nothing(moby: Run, tmp_path: Path, arguments: list[str], message: str) -> None:
    assert message in moby("assemble", *arguments, cwd=tmp_path, code=1).stderr
    assert list(tmp_path.iterdir()) == []


def test_a_third_party_brings_a_format(moby: Run, odd: dict[str, str], tmp_path: Path) -> None:
    told = json.loads(
        moby("assemble", "quickstart", "--format", "files", "--format", "pyz", "--json", cwd=tmp_path, env=odd).stdout
    )
    out = tmp_path / "dist" / "quickstart"
    assert sorted(told["sizes"]) == ["files", "pyz"]
    assert sum(told["sizes"]["files"].values()) == sum(
        path.stat().st_size for path in (out / "quickstart-files").rglob("*") if path.is_file()
    )
    said = subprocess.run(
        [sys.executable, "-I", out / "quickstart-files", "version"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert said.stdout.startswith("quickstart (moby")
    subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=out, check=True, capture_output=True)
    lock = json.loads((out / "quickstart.lock.json").read_text())
    assert {pin["name"]: pin["build"] for pin in lock["distributions"]}["odd-formats"]
    assert "odd-formats" not in (out / "quickstart.cdx.json").read_text()


@pytest.mark.parametrize(
    ("formats", "code", "message"),
    [
        pytest.param(["wrong"], 1, "packager/wrong lists other sizes than the 5 bytes that it made", id="miscounts"),
        pytest.param(["clash", "pyz"], 1, "packager/pyz and packager/clash both make quickstart.pyz", id="clashes"),
        pytest.param(["broken"], 70, "This is a bug in moby", id="bug"),
        pytest.param(["tooled"], 3, "packager/tooled needs binary no-such-tool-anywhere", id="needs-a-tool"),
    ],
)
def test_packagers_that_fail(
    moby: Run, odd: dict[str, str], quickstart: Path, tmp_path: Path, formats: list[str], code: int, message: str
) -> None:
    shutil.copytree(quickstart, tmp_path / "quickstart")
    flags = [flag for name in formats for flag in ("--format", name)]
    said = moby("assemble", "quickstart", *flags, "-o", tmp_path, cwd=tmp_path, env=odd, code=code)
    assert message in said.stderr
    assert digests(tmp_path / "quickstart") == digests(quickstart)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["quickstart", "site"]


PROGRAM = "import sys; sys.path.insert(0, sys.argv.pop(1)); from moby.cli.main import main; main()"
NEEDS_NATIVE = """
from collections.abc import Iterable

from moby.component import Component
from moby.contracts.command import Command
from moby.hookspecs import hookimpl


def make() -> Command:
    \"\"\"Needs machine code.\"\"\"
    import quick
    return quick.Command()


@hookimpl
def moby_components() -> Iterable[Component]:
    return [Component(name="quick", factory=make, brings=("quick",))]
"""


def test_a_part_that_needs_a_native_wheel_is_refused_by_name(moby: Run, site: Site, tmp_path: Path) -> None:
    site.install("quick-part", {"quick_part.py": NEEDS_NATIVE}, entries={"command.quick": "quick_part"})
    native = f"quick/_fast{EXTENSION_SUFFIXES[0]}"
    site.install("quick", {"quick/__init__.py": "from quick import _fast", native: b"\x7fELF"})
    (tmp_path / "x.yaml").write_text("moby: 1\nname: x\nextends: [quickstart]\ncomponents: {command: [run, quick]}\n")
    said = moby("assemble", "x.yaml", cwd=tmp_path, env={"PYTHONPATH": str(site.folder)}, code=1)
    assert f"packager/pyz: quick 1.0 needs {native}, a native module" in said.stderr
    assert "quick 1.0 is there for command/quick" in said.stderr
    assert "fix: choose a format that unpacks" in said.stderr
    assert not (tmp_path / "dist" / "x").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_signal_in_the_middle(
    odd: dict[str, str], moby: Run, installed_copy: Path, quickstart: Path, tmp_path: Path, number: signal.Signals
) -> None:
    shutil.copytree(quickstart, tmp_path / "out" / "quickstart")
    command = [sys.executable, "-P", "-c", PROGRAM, installed_copy, "assemble", "quickstart", "-o", tmp_path / "out"]
    command += ["--format", "pyz", "--format", "endless"]
    running = subprocess.Popen(command, env={**os.environ, **odd}, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 200
    while not list((tmp_path / "out").glob(".quickstart.*/.endless/half")):
        assert running.poll() is None, running.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    running.send_signal(number)
    running.communicate(timeout=200)
    assert running.returncode == (-number if number == signal.SIGKILL else 128 + number)
    assert digests(tmp_path / "out" / "quickstart") == digests(quickstart)
    if number == signal.SIGKILL:  # nothing can be tidied then, so the next call does
        moby("assemble", "quickstart", "-o", tmp_path / "out", "--set", "distribution.config.pyz.compress=false")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["quickstart"]


FULL = """
set -e
mount -t tmpfs -o "size=$2" tmpfs "$1"
cd "$1"
shift 2
"$@"
find . -type f -exec sha256sum {} + | sort > ../before
code=0
"$@" --set distribution.config.pyz.compress=false 2> ../error || code=$?
find . -type f -exec sha256sum {} + | sort | cmp ../before - || echo changed
ls -A dist
cat ../error
exit $code
"""


def test_a_full_disk_in_the_middle(installed_copy: Path, quickstart: Path, tmp_path: Path) -> None:
    """There is room for the distribution, and not for another beside it."""
    size = sum(file.stat().st_size for file in quickstart.iterdir()) * 5 // 4
    disk = tmp_path / "disk"
    disk.mkdir()
    unshare = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"]), "--propagation", "private"]
    if subprocess.run([*unshare, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no mount namespace may be made here; as root one may")
    command = [*unshare, "sh", "-c", FULL, "sh", disk, str(size), sys.executable, "-P", "-c", PROGRAM, installed_copy]
    done = subprocess.run(
        [*command, "assemble", "quickstart", "--json"], capture_output=True, text=True, check=False, timeout=120
    )
    said = done.stdout.rpartition("}\n")[2].splitlines()
    assert (done.returncode, said[0]) == (3, "quickstart"), done
    assert said[1] == "can't write dist/quickstart: No space left on device"
    assert said[2] == "  fix: make room there, or name another folder with -o DIR"


def test_a_limit_on_the_size_of_files(moby: Run, quickstart: Path, tmp_path: Path) -> None:
    import resource

    shutil.copytree(quickstart, tmp_path / "quickstart")

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))

    flags = ("--set", "distribution.config.pyz.compress=false")
    said = moby("assemble", "quickstart", "-o", tmp_path, *flags, code=3, preexec_fn=limit, cwd=tmp_path)
    assert "File too large\n  fix: raise the limit on the size of files (ulimit -f)" in said.stderr
    assert digests(tmp_path / "quickstart") == digests(quickstart)
    assert [path.name for path in tmp_path.iterdir()] == ["quickstart"]


def test_files_of_others_in_the_folder_are_left_alone(moby: Run, quickstart: Path, tmp_path: Path) -> None:
    shutil.copytree(quickstart, tmp_path / "quickstart")
    (tmp_path / "quickstart" / "notes.txt").write_text("mine")
    said = moby("assemble", "quickstart", "-o", tmp_path, cwd=tmp_path, code=1)
    assert "holds notes.txt, which assembling did not put there" in said.stderr
    assert (tmp_path / "quickstart" / "notes.txt").read_text() == "mine"


def test_the_folder_keeps_to_the_umask(moby: Run, tmp_path: Path) -> None:
    moby("assemble", "quickstart", cwd=tmp_path, umask=0o077)
    assert stat.S_IMODE((tmp_path / "dist" / "quickstart").stat().st_mode) == 0o700
