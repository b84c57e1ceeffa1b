"""Every format where something is wrong: a clear error, nothing half-made, and the last good output as it was."""

import hashlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from attrs import define, field
from peers.binaries import ROOT, wrapped

from moby import distribution
from moby.errors import Conflict, HostUnfit, MobyError, Unsupported
from moby.host import programs

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
TOOLS: Mapping[str, tuple[str, ...]] = {
    "pyz": (), "deb": (), "rpm": (), "tree": ("gcc",), "binary": (), "tar": ("zstd",), "oci": (),
    "sysext": ("mksquashfs",), "portable": (), "vm": (), "uki": ("ukify",), "raw": ("mkfs.vfat", "mcopy", "sfdisk"),
    "iso": ("xorriso",), "qcow2": ("qemu-img",), "vmdk": (), "vhdx": (), "vhd": (),
}  # fmt: skip
"""What each runs, and none of those above it."""
BRIEFLY = ("deb", "tar")
"""One that is written without any tool, and one at the end of a chain with tools."""
EVERY = [pytest.param(name, marks=() if name in BRIEFLY else pytest.mark.long) for name in TOOLS]
USUAL = ("gcc", "ld", "as", "zstd")
UNPACKED = ("mksquashfs", "mkfs.vfat", "mmd", "mcopy", "sfdisk", "ukify", "qemu-img", "xorriso")
MANIFEST = """
moby: 1
name: edge
extends: [{base}]
distribution:
  formats: [{format}]
  config:
    pyz: {{compress: {compress}}}
    vm: {{kernel: {root}, level: 1}}
    uki: {{stub: {root}/usr/lib/systemd/boot/efi/linuxx64.efi.stub}}
"""
PATIENCE_S = 800


def state(folder: Path) -> dict[str, str]:
    """Return the digests of all files in a folder, hidden ones too."""
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


@define
class Formats:
    """Assembles one engine in one format at a time, and remembers what came of it."""

    folder: Path
    path: str
    """Where tools are."""
    _good: dict[str, Path] = field(factory=dict)

    def manifest(self, name: str, *, changed: bool = False) -> Path:
        """Return a manifest; a changed one comes to other bytes."""
        base = "docker" if name == "portable" else "quickstart"
        text = MANIFEST.format(base=base, format=name, compress=str(not changed).lower(), root=ROOT)
        path = self.folder / f"{name}{'-changed' * changed}.yaml"
        path.write_text(text)
        return path

    def good(self, name: str, folder: Path) -> Path:
        """Put a distribution as it was last made into a folder, and return that; skip where it can't be made here."""
        if name not in self._good:
            out = self.folder / "good" / name
            try:
                distribution.assemble(str(self.manifest(name)), out)
            except HostUnfit as error:
                pytest.skip(f"{name} can't be made here: {error.message}")
            self._good[name] = out
        shutil.copytree(self._good[name], folder)
        return folder

    def attempt(self, name: str, out: Path, **options: object) -> None:
        """Assemble the changed one."""
        distribution.assemble(str(self.manifest(name, changed=True)), out, **options)  # type: ignore[arg-type]

    def refused(self, name: str, out: Path, kind: type[MobyError], said: str) -> MobyError:
        """See an attempt refused, with a fix, and everything as it was."""
        before, temporary = state(out), Path(tempfile.gettempdir())
        with pytest.raises(kind, match=said) as caught:
            self.attempt(name, out)
        assert caught.value.hint
        assert state(out) == before
        assert list(temporary.iterdir()) == []
        return caught.value


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Formats]:
    folder = tmp_path_factory.mktemp("formats")
    path = wrapped(folder / "tools", *UNPACKED)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        patch.setenv("PATH", path)
        yield Formats(folder, path)


@pytest.fixture
def formats(everything: Formats, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Formats]:
    """All formats, with a folder for temporary files of the test's own, on a host whose programs are on PATH alone."""
    monkeypatch.setattr(programs, "_ADMINISTRATORS", ())
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    yield everything
    # It may be a whole disk, of which no other test has any use.
    shutil.rmtree(tmp_path / "dist", ignore_errors=True)


def tools_but(folder: Path, left_out: str, instead: str = "") -> str:
    """Return a PATH of the tools of all formats, one of which isn't there, or is another program."""
    wrapped(folder, *UNPACKED)
    for name in (*USUAL, *UNPACKED):
        found = shutil.which(name)
        if found and not (folder / name).exists():
            (folder / name).symlink_to(found)
    (folder / left_out).unlink(missing_ok=True)
    if instead:
        (folder / left_out).write_text(instead)
        (folder / left_out).chmod(0o755)
    return str(folder)


def by_tool(*briefly: str) -> list[object]:
    marks = {True: (), False: (pytest.mark.long,)}
    pairs = [(name, tool) for name, tools in TOOLS.items() for tool in tools]
    return [pytest.param(*each, marks=marks[each[1] in briefly], id="-".join(each)) for each in pairs]


@pytest.mark.parametrize(("name", "tool"), by_tool("zstd"))
def test_a_tool_that_is_not_there(
    formats: Formats, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, tool: str
) -> None:
    formats.good(name, tmp_path / "dist")
    monkeypatch.setenv("PATH", tools_but(tmp_path / "tools", tool))
    error = formats.refused(name, tmp_path / "dist", HostUnfit, f"packager/{name} needs binary {tool}: {tool} isn't on")
    assert error.hint.startswith("apt install ")


FAILING = """#!/bin/sh
if [ $# = 1 ] || [ "$3" = probe ]; then echo "another, 9.9"; exit; fi
echo "no such luck" >&2
exit 1
"""


@pytest.mark.parametrize(("name", "tool"), [*by_tool("zstd"), pytest.param("raw", "mmd", marks=pytest.mark.long)])
def test_a_tool_that_fails(
    formats: Formats, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, tool: str
) -> None:
    formats.good(name, tmp_path / "dist")
    monkeypatch.setenv("PATH", tools_but(tmp_path / "tools", tool, FAILING))
    error = formats.refused(name, tmp_path / "dist", HostUnfit, f"^packager/{name}: {tool} failed: no such luck")
    assert error.hint.startswith("apt install ")


@pytest.mark.parametrize("name", EVERY)
def test_a_foreign_file(formats: Formats, tmp_path: Path, name: str) -> None:
    out = formats.good(name, tmp_path / "dist")
    (out / "edge" / "notes.txt").write_text("mine")
    formats.refused(name, out, Conflict, r"holds notes\.txt, which assembling did not put there")


@pytest.mark.parametrize("name", EVERY)
def test_a_folder_that_may_not_be_written(formats: Formats, unprivileged: Callable[..., None], name: str) -> None:
    open_to_all = Path(tempfile.mkdtemp(dir="/tmp"))
    open_to_all.chmod(0o755)
    out = formats.good(name, open_to_all / "dist")
    shutil.copy(formats.manifest(name, changed=True), open_to_all / "edge.yaml")

    path = wrapped(open_to_all / "tools", *UNPACKED)

    temporary = open_to_all / "temporary"
    temporary.mkdir()
    temporary.chmod(0o777)

    def attempt(_folder: Path) -> None:
        os.environ |= {"XDG_CACHE_HOME": str(temporary), "PATH": path}
        tempfile.tempdir = str(temporary)
        before = state(out)
        with pytest.raises(HostUnfit, match=r"can't write .*: Permission denied") as caught:
            distribution.assemble(str(open_to_all / "edge.yaml"), out)
        assert caught.value.hint == "name another folder with -o DIR"
        assert state(out) == before

    try:
        unprivileged(attempt)
    finally:
        shutil.rmtree(open_to_all)


ON_A_FULL_DISK = """
set -e
mount -t tmpfs -o size="$ROOM" tmpfs "$DISK"
cp -a "$GOOD/edge" "$DISK/edge"
code=0
TMPDIR=$DISK sh -c "$CALL" || code=$?
cd "$DISK"
find . -type f | sort | xargs sha256sum
ls -A "$DISK"
exit $code
"""
SPARE_BYTES = 600_000
"""What there is besides the last good output: less than any new one takes."""


def called(*words: object) -> list[str]:
    return [sys.executable, "-B", "-c", "from moby.cli.main import main; main()", *map(str, words)]


@pytest.mark.parametrize("name", EVERY)
def test_a_full_disk(formats: Formats, tmp_path: Path, name: str) -> None:
    good, disk = formats.good(name, tmp_path / "dist"), tmp_path / "disk"
    disk.mkdir()
    pages = sum(-(-path.stat().st_size // 4096) * 4096 for path in good.rglob("*"))
    call = called("assemble", formats.manifest(name, changed=True), "-o", disk)
    entering = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]
    room = {"ROOM": str(pages + SPARE_BYTES), "GOOD": str(good), "DISK": str(disk), "CALL": shlex.join(call)}
    done = subprocess.run(
        [*entering, "sh", "-c", ON_A_FULL_DISK], env={**os.environ, **room}, capture_output=True, text=True,
        timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    assert done.returncode == 3, done.stderr
    assert "No space left on device" in done.stderr or "full" in done.stderr, done.stderr
    assert "\n  fix: " in done.stderr
    *sums, left = done.stdout.splitlines()
    found = dict(reversed(line.split("  ./")) for line in sums)
    assert (found, left) == (state(good), "edge")


IN_MID_BUILD = """
import os, signal, sys, threading
from moby.cli.main import main
from moby.distribution import steps
name, number, recalled, built = sys.argv.pop(1), int(sys.argv.pop(1)), steps._recalled, steps._built
def forgotten(cache, key, own):
    return None if own.name == "." + name else recalled(cache, key, own)
def interrupted(which, *rest):
    if which == name:
        threading.Timer(0.01, os.kill, (os.getpid(), number)).start()
    return built(which, *rest)
steps._recalled, steps._built = forgotten, interrupted
main()
"""


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.long)])
def test_a_signal_in_mid_build(formats: Formats, tmp_path: Path, name: str, number: int) -> None:
    out = formats.good(name, tmp_path / "dist")
    before = state(out)
    (tmp_path / "temporary").mkdir(exist_ok=True)
    words = ["assemble", formats.manifest(name, changed=True), "-o", out]
    done = subprocess.run(
        [sys.executable, "-B", "-c", IN_MID_BUILD, name, str(int(number)), *map(str, words)],
        env={**os.environ, "TMPDIR": str(tmp_path / "temporary")}, capture_output=True, text=True,
        timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    assert done.returncode == 128 + number, done.stderr
    assert state(out) == before
    assert sorted(path.name for path in out.iterdir()) == ["edge"]
    assert list((tmp_path / "temporary").iterdir()) == []


@pytest.mark.parametrize("name", EVERY)
def test_a_name_that_is_too_long(formats: Formats, tmp_path: Path, name: str) -> None:
    path = tmp_path / "long.yaml"
    path.write_text(formats.manifest(name).read_text().replace("name: edge", f"name: {'x' * 252}"))
    with pytest.raises(HostUnfit, match=r"can't write .*: File name too long") as caught:
        distribution.assemble(str(path), tmp_path / "dist")
    assert caught.value.hint.startswith("give the assembly a shorter name")
    assert list((tmp_path / "dist").iterdir()) == []


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "manifest", "said", "fix"),
    [
        pytest.param(
            "portable",
            "moby: 1\nname: edge\nextends: [quickstart]\n",
            "packager/portable: the engine edge has no front end",
            "choose a part of the kind frontend",
            id="no-service",
        ),
        pytest.param(
            "vm",
            "moby: 1\nname: edge\nextends: [quickstart]\ncomponents: {runtime: {use: crun}}\n",
            "packager/vm: runtime/crun runs the program crun, which a machine doesn't hold",
            "choose a part that runs none",
            id="a-program-of-the-hosts",
        ),
    ],
)
def test_a_part_that_cannot_live_in_a_format(
    formats: Formats, tmp_path: Path, name: str, manifest: str, said: str, fix: str
) -> None:
    (tmp_path / "odd.yaml").write_text(
        f"{manifest}distribution:\n  config: {{vm: {{kernel: {json.dumps(str(ROOT))}}}}}\n"
    )
    out = formats.good("tree", tmp_path / "dist")
    before = state(out)
    with pytest.raises(Unsupported) as caught:
        distribution.assemble(str(tmp_path / "odd.yaml"), out, formats=[name])
    assert caught.value.message.startswith(said)
    assert fix in caught.value.hint
    assert state(out) == before
