"""One manifest in every format, from the command line: contents, sizes, sums, provenance, start, again, differences."""

import base64
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from peers.binaries import find, wrapped

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
Run = Callable[..., "subprocess.CompletedProcess[str]"]
FORMATS = {
    "pyz": "quickstart.pyz",
    "deb": "quickstart.deb",
    "rpm": "quickstart.rpm",
    "binary": "quickstart.binary",
    "tar": "quickstart.tar.zst",
    "oci": "quickstart.oci",
    "tree": "quickstart.tree",
    **({"sysext": "quickstart.sysext.raw"} if find("mksquashfs") else {}),
}
EVERY = [flag for name in FORMATS for flag in ("--format", name)]


@pytest.fixture(scope="module", autouse=True)
def _tools(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", wrapped(tmp_path_factory.mktemp("tools"), "mksquashfs", "unsquashfs"))
        yield


@pytest.fixture(scope="module")
def every(moby: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a quickstart in every format; only to be read."""
    out = tmp_path_factory.mktemp("every")
    moby("assemble", "quickstart", *EVERY, "-o", out, cwd=out)
    return out / "quickstart"


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def test_bytes_add_up_in_the_bill_of_materials(every: Path) -> None:
    bill = json.loads((every / "quickstart.cdx.json").read_text())
    parts = [bill["metadata"]["component"], *bill["components"]]
    totals = dict.fromkeys(FORMATS, 0)
    for part in parts:
        for each in part["properties"]:
            if each["name"].startswith("moby:bytes:"):
                totals[each["name"].removeprefix("moby:bytes:")] += int(each["value"])
    assert totals == {name: (every / file).stat().st_size for name, file in FORMATS.items()}


def test_what_formats_brought_is_in_the_bill_of_materials(every: Path) -> None:
    bill = json.loads((every / "quickstart.cdx.json").read_text())
    brought = {each["name"]: each.get("purl", "") for each in bill["components"]}
    if Path("/var/lib/dpkg/status").exists():
        assert brought["libc6"].startswith("pkg:deb/debian/libc6@")
    assert any("python" in name for name in brought)
    sizes = {each["name"] for part in bill["components"] for each in part["properties"] if part["name"] == "libc6"}
    assert "moby:bytes:deb" not in sizes


def test_provenance_tells_what_was_made_of_what(every: Path) -> None:
    said = json.loads(base64.b64decode(json.loads((every / "quickstart.intoto.json").read_text())["payload"]))
    sums = digests(every)
    assert {each["name"]: each["digest"]["sha256"] for each in said["subject"]} == {
        file: sums[file] for file in FORMATS.values()
    }
    inside = {each["name"]: each for each in said["predicate"]["buildDefinition"]["resolvedDependencies"]}
    assert inside["lock"]["digest"]["sha256"] == sums["quickstart.lock.json"]
    assert any(name.startswith("attrs ") for name in inside)
    hosts = said["predicate"]["buildDefinition"]["internalParameters"]["hosts"]
    assert set(hosts) == {"binary", "oci", "tar", "tree", "sysext"} & {*FORMATS}


def test_nothing_is_made_again_and_soon(moby: Run, every: Path) -> None:
    before = digests(every)
    began = os.times()
    told = json.loads(moby("assemble", "quickstart", *EVERY, "-o", every.parent, "--json", cwd=every.parent).stdout)
    spent = os.times()
    assert told["changed"] is False
    assert digests(every) == before
    assert spent.children_user - began.children_user < 5


def test_what_was_kept_is_the_same(moby: Run, every: Path, tmp_path: Path) -> None:
    moby("assemble", "quickstart", *EVERY, "-o", tmp_path, cwd=tmp_path)
    assert digests(tmp_path / "quickstart") == digests(every)


def version(*command: object) -> str:
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True, timeout=120).stdout


def test_each_starts(every: Path, tmp_path: Path) -> None:
    subprocess.run(["dpkg-deb", "--extract", every / "quickstart.deb", tmp_path / "deb"], check=True)
    subprocess.run(["tar", "--zstd", "-C", tmp_path, "-xf", every / "quickstart.tar.zst"], check=True)
    said = {
        version(sys.executable, every / "quickstart.pyz", "version"),
        version(every / "quickstart.binary", "version"),
        version(tmp_path / "deb/usr/bin/moby-quickstart", "version"),
        version(tmp_path / "quickstart/bin/quickstart", "version"),
    }
    assert len(said) == 1
    assert said.pop().startswith("quickstart (moby ")
    listed = json.loads(version(every / "quickstart.binary", "components", "--json"))
    assert "runtime/native" in {each["id"] for each in listed["components"]}


def test_a_unit_starts_the_binary_itself(moby: Run, tmp_path: Path) -> None:
    """Not the interpreter that it unpacked into a cache, which may be emptied."""
    moby("assemble", "docker", "--format", "binary", "-o", tmp_path, cwd=tmp_path)
    binary = tmp_path / "docker/docker.binary"
    subprocess.run([binary, "install", "--destdir", tmp_path], check=True, capture_output=True)
    (unit,) = (tmp_path / "etc/systemd/system").glob("*.service")
    assert f"ExecStart={binary} --log-level warning serve --host fd://\n" in unit.read_text()


@pytest.mark.parametrize(
    "name",
    [
        "deb",
        "rpm",
        pytest.param("sysext", marks=pytest.mark.long),
        pytest.param("binary", marks=pytest.mark.long),
        pytest.param("tar", marks=pytest.mark.long),
        pytest.param("oci", marks=pytest.mark.long),
        pytest.param("tree", marks=pytest.mark.long),
    ],
)
def test_each_can_be_reproduced(moby: Run, every: Path, name: str) -> None:
    if name not in FORMATS:
        pytest.skip("mksquashfs is not there; `tools/peers images` unpacks it")
    assert moby("reproduce", every / FORMATS[name]).stdout.endswith(": the same, byte for byte\n")


@pytest.mark.long
def test_one_that_was_changed_is_told(moby: Run, every: Path, tmp_path: Path) -> None:
    shutil.copy(every / "quickstart.lock.json", tmp_path)
    data = bytearray((every / "quickstart.deb").read_bytes())
    data[-100] ^= 1
    (tmp_path / "quickstart.deb").write_bytes(data)
    said = moby("reproduce", tmp_path / "quickstart.deb", code=1)
    assert f"they differ from byte {len(data) - 100} on" in said.stdout


@pytest.mark.parametrize("name", [name for name in FORMATS if name not in ("pyz", "tree")])
def test_two_are_compared(moby: Run, every: Path, tmp_path: Path, name: str) -> None:
    file = FORMATS[name]
    assert moby("diff", every / file, every / file).stdout == ""
    for other in ("quickstart.lock.json", "quickstart.cdx.json"):
        shutil.copy(every / other, tmp_path)
    shutil.copy(every / file, tmp_path)
    bill = (tmp_path / "quickstart.cdx.json").read_text()
    owner = next(
        each["value"]
        for part in json.loads(bill)["components"]
        for each in part["properties"]
        if part["name"] == "runtime/native" and each["name"] == f"moby:bytes:{name}"
    )
    changed = bill.replace(f'"{owner}"', '"7"')
    (tmp_path / "quickstart.cdx.json").write_text(changed)
    said = moby("diff", every / file, tmp_path / file, code=1).stdout
    assert f"bytes {name} runtime/native: {owner} -> 7\n" in said


def test_a_missing_tool_leaves_what_was_there(moby: Run, every: Path, tmp_path: Path) -> None:
    shutil.copytree(every, tmp_path / "quickstart")
    before = digests(tmp_path / "quickstart")
    said = moby(
        "assemble", "quickstart", "--format", "binary", "-o", tmp_path, code=3, env={"PATH": "/nowhere"}, cwd=tmp_path
    )
    assert "packager/tree needs binary gcc" in said.stderr
    assert "apt install gcc" in said.stderr
    assert digests(tmp_path / "quickstart") == before


@pytest.mark.long
def test_a_tool_that_fails_leaves_what_was_there(moby: Run, every: Path, tmp_path: Path) -> None:
    shutil.copytree(every, tmp_path / "quickstart")
    before = digests(tmp_path / "quickstart")
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "zstd").write_text('#!/bin/sh\ncase "$1" in --version) echo "zstd v9.9"; exit;; esac\nexit 1\n')
    (tools / "zstd").chmod(0o755)
    path = f"{tools}:{os.environ['PATH']}"
    said = moby("assemble", "quickstart", "--format", "tar", "-o", tmp_path, code=3, env={"PATH": path}, cwd=tmp_path)
    assert said.stderr.startswith("packager/tar: zstd failed: \n  fix: apt install zstd")
    assert digests(tmp_path / "quickstart") == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["quickstart", "tools"]


def test_the_budget_names_what_can_go(moby: Run, tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("moby: 1\nname: x\nextends: [quickstart]\ndistribution: {budget: 10KB}\n")
    said = moby("assemble", "x.yaml", "--format", "deb", cwd=tmp_path, code=1)
    assert "x.yaml:4:24: deb comes to " in said.stderr
    assert "fix: leave out command/image, which brings " in said.stderr
    assert "leave out runtime/native" not in said.stderr
