"""The packagers tree and binary against their contract, and what is their own."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

import pytest
from attrs import evolve
from freestanding import in_empty_root
from moby_packager.binary.file import Binary
from moby_packager.launching import compiling
from moby_packager.pyz.archive import Pyz
from moby_packager.tree import interpreter as interpreters
from moby_packager.tree.folder import PYTHON, Tree
from moby_packager.tree.imports import Library, closure
from moby_packager.trees.nodes import link, plain, read, with_folders, write
from moby_packager.trees.shares import Weights, shares, weights

from moby.contracts.packager import Artifact, Given, Packager
from moby.errors import HostUnfit, Invalid, Unsupported
from moby.testing.packager import SOURCE, STARTED, PackagerSuite, built_in_chain

pytestmark = pytest.mark.slow


def unpacked(tree: Path, folder: Path) -> Path:
    for node in read(tree.read_bytes()):
        path = folder / node.path
        if node.is_folder:
            path.mkdir(parents=True, exist_ok=True)
        else:
            path.write_bytes(node.data)
            path.chmod(node.mode)
    return folder


@pytest.mark.long
class TestTree(PackagerSuite):
    before = (Pyz(),)

    @pytest.fixture
    def packager(self) -> Packager:
        return Tree()

    def start(self, folder: Path, artifact: Artifact) -> str:
        unpacked(folder / artifact.files[0], folder / "root/opt")  # CPython looks for itself in any folder but /
        done = in_empty_root(folder / "root", f"/opt/bin/{SOURCE.name}")
        return done.stdout + done.stderr


@pytest.mark.long
class TestBinary(PackagerSuite):
    before = (Pyz(), Tree())

    @pytest.fixture
    def packager(self) -> Packager:
        return Binary(level=1)

    def start(self, folder: Path, artifact: Artifact) -> str:
        root = folder / "root"
        root.mkdir()
        shutil.copy(folder / artifact.files[0], root / "engine")
        done = in_empty_root(root, "/engine")
        return done.stdout + done.stderr


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tree")
    built_in_chain((Pyz(), Tree()), SOURCE, folder / "before", folder)
    return folder / f"{SOURCE.name}.tree"


@pytest.fixture(scope="module")
def binary(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("binary")
    given = Given(tree.parent, Artifact((Path(tree.name),), {}))
    made = Binary(level=1).build(evolve(SOURCE, given=given), folder)
    assert sum(made.sizes_bytes.values()) == (folder / made.files[0]).stat().st_size
    return folder / made.files[0]


def test_an_empty_root_is_enough(binary: Path, tmp_path: Path) -> None:
    shutil.copy(binary, tmp_path / "engine")
    assert in_empty_root(tmp_path, "/engine").stdout == f"{STARTED}\n"
    (made,) = [path for path in (tmp_path / "var/cache/moby").iterdir() if path.is_dir()]
    before = (made / "bin/python3").stat().st_mtime_ns
    assert in_empty_root(tmp_path, "/engine").stdout == f"{STARTED}\n"
    assert (made / "bin/python3").stat().st_mtime_ns == before
    said = in_empty_root(tmp_path, f"/{made.relative_to(tmp_path)}/bin/python3", "-c", "import sys; print(sys.prefix)")
    assert said.stdout == f"/{made.relative_to(tmp_path)}\n"


def test_the_tree_runs_anywhere(tree: Path, tmp_path: Path) -> None:
    unpacked(tree, tmp_path / "a b")
    said = subprocess.run([tmp_path / "a b/bin" / SOURCE.name], capture_output=True, text=True, check=True, timeout=60)
    assert said.stdout == f"{STARTED}\n"
    child = "import subprocess, sys; print(subprocess.check_output([sys.executable, '-c', 'print(6 * 7)'], text=True))"
    said = subprocess.run([tmp_path / "a b/bin/python3", "-c", child], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "42"


def test_the_tree_holds_what_was_chosen_and_nothing_else(tree: Path) -> None:
    nodes = read(tree.read_bytes())
    tops = {node.path.partition("/")[0] for node in nodes}
    assert tops == {"bin", "lib", "libexec", "licenses", f"{SOURCE.name}.pyz"}
    modules = {node.path.removeprefix(f"lib/{PYTHON}/") for node in nodes if node.path.startswith(f"lib/{PYTHON}/")}
    tops = {name.partition("/")[0].partition(".")[0] for name in modules}
    unchosen = {"asyncio", "ctypes", "multiprocessing", "sitecustomize", "sqlite3", "ssl", "tkinter", "unittest"}
    assert not tops & unchosen
    assert {"os", "encodings", "zipimport"} <= tops
    libraries = {node.path for node in nodes if node.path.startswith("lib/lib")}
    assert libraries >= {"lib/libc.so.6", "lib/libm.so.6"}
    assert not any("ssl" in each or "sqlite" in each for each in libraries)
    for node in nodes:
        assert sum(node.owners.values()) == len(node.data)


def test_a_binary_is_an_archive_too(binary: Path) -> None:
    with zipfile.ZipFile(binary) as archive:
        assert "moby-lock.json" in archive.namelist()


def started(binary: Path, **env: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([binary], capture_output=True, text=True, check=False, timeout=120, env=env)


def test_where_it_unpacks(binary: Path, tmp_path: Path) -> None:
    assert started(binary, XDG_CACHE_HOME=str(tmp_path / "x y/z")).stdout == f"{STARTED}\n"
    assert (tmp_path / "x y/z/moby").stat().st_mode & 0o777 == 0o700


def test_what_a_killed_start_left_is_written_over(binary: Path, tmp_path: Path) -> None:
    started(binary, XDG_CACHE_HOME=str(tmp_path))
    (made,) = [path for path in (tmp_path / "moby").iterdir() if path.is_dir()]
    made.rename(made.with_name(f"{made.name}.new"))
    (made.with_name(f"{made.name}.new") / "lib/ld.so").write_bytes(b"half")
    assert started(binary, XDG_CACHE_HOME=str(tmp_path)).stdout == f"{STARTED}\n"
    assert sorted(path.name for path in (tmp_path / "moby").iterdir()) == [made.name, f"{made.name}.lock"]


def test_many_start_at_once(binary: Path, tmp_path: Path) -> None:
    env = {"XDG_CACHE_HOME": str(tmp_path)}
    running = [subprocess.Popen([binary], env=env, stdout=subprocess.PIPE, text=True) for _ in range(5)]
    assert [each.communicate(timeout=120)[0] for each in running] == [f"{STARTED}\n"] * 5
    assert len([path for path in (tmp_path / "moby").iterdir() if path.is_dir()]) == 1


def test_a_cache_that_others_may_write_is_refused(binary: Path, tmp_path: Path) -> None:
    (tmp_path / "moby").mkdir()
    (tmp_path / "moby").chmod(0o777)
    done = started(binary, XDG_CACHE_HOME=str(tmp_path))
    assert done.returncode == 3
    assert f"can't unpack to {tmp_path}/moby: somebody else may write there\n  fix: set XDG_CACHE_HOME" in done.stderr


def test_a_cache_that_is_none(binary: Path, tmp_path: Path) -> None:
    (tmp_path / "moby").write_text("a file")
    done = started(binary, XDG_CACHE_HOME=str(tmp_path))
    assert (done.returncode, done.stdout) == (3, "")
    assert f"can't unpack to {tmp_path}/moby" in done.stderr
    done = started(binary, XDG_CACHE_HOME=f"/{'x' * 5000}")
    assert (done.returncode, done.stdout) == (3, "")
    assert "the path is too long" in done.stderr


def test_no_room(binary: Path, tmp_path: Path) -> None:
    if os.geteuid():
        pytest.skip("mounting needs root")
    script = 'mount -t tmpfs -o size=3M none "$1" && XDG_CACHE_HOME="$1" exec "$2"'
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, "sh", tmp_path, binary],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 3
    assert "no space left on device\n  fix: set XDG_CACHE_HOME" in done.stderr


@pytest.mark.parametrize("at", [0.1, 0.5, 0.9])
def test_a_damaged_one_says_so(binary: Path, tmp_path: Path, at: float) -> None:
    data = bytearray(binary.read_bytes())
    place = 20_000 + int((len(data) - 30_000) * at)
    data[place] ^= 0x40
    damaged = tmp_path / "engine"
    damaged.write_bytes(data)
    damaged.chmod(0o755)
    done = started(damaged, XDG_CACHE_HOME=str(tmp_path))
    assert (done.returncode, done.stderr) == (3, f"can't unpack {damaged}: it is damaged\n  fix: get it again\n")


INFLATE = """
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#undef memcpy
typedef unsigned char u8; typedef unsigned short u16; typedef unsigned int u32; typedef unsigned long u64;
#include "inflate.h"
int main(int count, char **words)
{
    u64 plain = strtoul(words[1], 0, 10), size = strtoul(words[2], 0, 10);
    u8 *from = malloc(size ? size : 1), *to = malloc(plain ? plain : 1);
    size = fread(from, 1, size, stdin);
    if (inflate(from, size, to, plain))
        return 1;
    fwrite(to, 1, plain, stdout);
    return 0;
}
"""


@pytest.fixture(scope="module")
def inflate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacking itself, as a program that ends with 1 at foreign bytes, and crashes where it leaves its buffers."""
    folder = tmp_path_factory.mktemp("inflate")
    (folder / "inflate.c").write_text(INFLATE)
    flags = ["-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-I", str(compiling.HERE)]
    command = ["gcc", *flags, "-o", folder / "inflate", folder / "inflate.c"]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("gcc has no sanitizers here")
    return folder / "inflate"


def unpack(inflate: Path, packed: bytes, plain: int) -> "subprocess.CompletedProcess[bytes]":
    env = {"ASAN_OPTIONS": "detect_leaks=0"}
    command = [inflate, str(plain), str(len(packed))]
    return subprocess.run(command, input=packed, capture_output=True, check=False, timeout=60, env=env)


def deflated(data: bytes, level: int, strategy: int) -> bytes:
    packer = zlib.compressobj(level, zlib.DEFLATED, -15, 9, strategy)
    return packer.compress(data) + packer.flush()


@pytest.mark.parametrize("strategy", [zlib.Z_DEFAULT_STRATEGY, zlib.Z_HUFFMAN_ONLY, zlib.Z_FIXED, zlib.Z_RLE])
@pytest.mark.parametrize("level", [0, 1, 9])
def test_unpacking_is_what_zlib_packed(inflate: Path, level: int, strategy: int) -> None:
    text = Path(zipfile.__file__).read_bytes() if Path(zipfile.__file__).is_file() else b""
    for data in (b"", b"a", bytes(100_000), os.urandom(70_000), text * 3, bytes(range(256)) * 300):
        done = unpack(inflate, deflated(data, level, strategy), len(data))
        assert (done.returncode, done.stdout) == (0, data), done.stderr


def test_foreign_bytes_end_it(inflate: Path) -> None:
    """Whatever the bytes, it ends with 0 or 1: the sanitizers end it otherwise."""
    import random

    chance = random.Random(7)
    good = bytearray(deflated(Path(__file__).read_bytes(), 9, 0))
    for number in range(150):
        data = bytearray(good) if number % 2 else bytearray(chance.randbytes(200))
        for _ in range(3):
            data[chance.randrange(len(data))] = chance.randrange(256)
        done = unpack(inflate, bytes(data), len(Path(__file__).read_bytes()))
        assert done.returncode in (0, 1), done.stderr.decode()


def test_a_compiler_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(HostUnfit, match="gcc isn't there") as caught:
        Tree().fingerprint()
    assert "apt install gcc" in caught.value.hint


def test_a_compiler_that_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "gcc").write_text("#!/bin/sh\necho no such flag >&2\nexit 1\n")
    (tmp_path / "gcc").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(HostUnfit, match="gcc failed: no such flag"):
        compiling.compile_program("launch")


def test_another_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    with pytest.raises(Unsupported, match="x86_64 only, and this is riscv64"):
        compiling.compile_program("launch")


@pytest.mark.long
def test_a_program_without_a_place(monkeypatch: pytest.MonkeyPatch, tree: Path, tmp_path: Path) -> None:
    monkeypatch.setattr("moby_packager.binary.file.compile_program", lambda name: b"\x7fELF")
    given = Given(tree.parent, Artifact((Path(tree.name),), {}))
    with pytest.raises(Invalid, match="has no place for what it unpacks"):
        Binary().build(evolve(SOURCE, given=given), tmp_path)


def test_an_interpreter_that_cannot_be_copied(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "python").write_text("#!/bin/sh\n")
    monkeypatch.setattr(sys, "_base_executable", str(tmp_path / "python"))
    with pytest.raises(HostUnfit, match="is linked statically"):
        interpreters.interpreter()


def test_libraries_that_are_not_there(tmp_path: Path) -> None:
    (tmp_path / "loader").write_text("#!/bin/sh\necho '  libgone.so => not found'\n")
    (tmp_path / "loader").chmod(0o755)
    host = evolve(interpreters.interpreter(), loader=tmp_path / "loader")
    with pytest.raises(HostUnfit, match=r"can't list the libraries of .*: libgone.so => not found"):
        host.libraries([])


def test_a_fingerprint_follows_what_is_copied(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "os.py").write_text("one = 1\n")
    host = evolve(interpreters.interpreter(), library=Library(tmp_path, tmp_path))
    before = host.digest()
    assert host.digest() == before
    (tmp_path / "os.py").write_text("one = 2\n")
    assert host.digest() != before


@pytest.mark.long
def test_owners_without_dpkg(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(interpreters, "_asked", lambda command: "")
    made = built_in_chain((Pyz(), Tree()), SOURCE, tmp_path / "before", tmp_path)
    version = sys.version.partition(" ")[0]
    owners = {each.owner for each in made.brought}
    assert f"python {version}" in owners
    assert any(each.startswith("libc.so.6 ") for each in owners)


@pytest.mark.long
def test_modules_are_found_by_imports() -> None:
    library = interpreters.interpreter().library
    found = closure(library, [b"import sqlite3.dbapi2\nfrom os import path\ndef f():\n    import asyncio\n"])
    assert {"sqlite3", "sqlite3.dbapi2", "_sqlite3", "asyncio.base_events", "os", "datetime"} <= set(found)
    assert "sitecustomize" not in found
    assert "unittest" not in found
    assert "unittest" in closure(library, [b"import unittest"])
    assert closure(library, [b"this is no Python"]) == closure(library, [])


def test_trees_are_read_as_written() -> None:
    nodes = with_folders([plain("a/b", b"12", "moby", executable=True), link("c", "a/b")])
    assert [node.path for node in nodes] == ["a", "a/b", "c"]
    assert read(write(nodes, 0, owners=True)) == nodes
    with pytest.raises(Invalid, match="is no tree"):
        read(b"nothing of the kind")


def test_shares_add_up() -> None:
    nodes = [plain("a", os.urandom(3000), "moby"), plain("b", bytes(3000), "runtime/x"), link("c", "a")]
    found = shares(1000, weights(nodes), fixed_bytes=100)
    assert sum(found.values()) == 1000
    assert found["moby"] > 800
    assert found["(format)"] >= 100
    most = shares(4000, weights(nodes))
    assert most["moby"] == 3000
    assert shares(7, Weights()) == {"(format)": 7}
    assert shares(900, weights([plain("a", os.urandom(1000), "moby")])) == {"(format)": 0, "moby": 900}
    assert json.dumps(found)
