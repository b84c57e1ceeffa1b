"""One manifest in every format of machines, and as a portable service: sums, sizes, again, differences, by command."""

import base64
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from peers.binaries import ROOT, need, wrapped

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(900)]
Run = Callable[..., Any]
TOOLS = ("mksquashfs", "mkfs.vfat", "mmd", "mcopy", "sfdisk", "ukify", "qemu-img", "xorriso")
FORMATS = {
    "vm": ("edge.kernel", "edge.initrd", "edge.cmdline"),
    "uki": ("edge.uki.efi",),
    "raw": ("edge.raw",),
    "iso": ("edge.iso",),
    "qcow2": ("edge.qcow2",),
    "vmdk": ("edge.vmdk",),
    "vhdx": ("edge.vhdx",),
    "vhd": ("edge.vhd",),
    "portable": ("edge.portable.raw",),
}
FILES = [file for files in FORMATS.values() for file in files]
MANIFEST = f"""
moby: 1
name: edge
extends: [docker]
distribution:
  formats: [{", ".join(FORMATS)}]
  config:
    vm: {{kernel: {ROOT}, level: 1}}
    uki: {{stub: {ROOT}/usr/lib/systemd/boot/efi/linuxx64.efi.stub}}
    raw: {{data_mib: 8}}
"""


@pytest.fixture(scope="module", autouse=True)
def _tools(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    for name in TOOLS:
        need(name, "images" if name == "mksquashfs" else "disks")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", wrapped(tmp_path_factory.mktemp("tools"), *TOOLS))
        yield


@pytest.fixture(scope="module")
def every(moby: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an engine as every machine; only to be read."""
    out = tmp_path_factory.mktemp("machines")
    (out / "edge.yaml").write_text(MANIFEST)
    moby("assemble", "edge.yaml", "-o", ".", cwd=out)
    return out / "edge"


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def test_bytes_add_up_in_the_bill_of_materials(every: Path) -> None:
    bill = json.loads((every / "edge.cdx.json").read_text())
    totals = dict.fromkeys(FORMATS, 0)
    for part in [bill["metadata"]["component"], *bill["components"]]:
        for each in part["properties"]:
            if each["name"].startswith("moby:bytes:"):
                totals[each["name"].removeprefix("moby:bytes:")] += int(each["value"])
    assert totals == {name: sum((every / file).stat().st_size for file in files) for name, files in FORMATS.items()}
    brought = {each["name"] for each in bill["components"]}
    assert {"linux", "systemd-boot-efi"} <= brought


def test_provenance_tells_what_was_made_of_what(every: Path) -> None:
    said = json.loads(base64.b64decode(json.loads((every / "edge.intoto.json").read_text())["payload"]))
    sums = digests(every)
    assert {each["name"]: each["digest"]["sha256"] for each in said["subject"]} == {file: sums[file] for file in FILES}
    told = {each["name"]: each["annotations"]["format"] for each in said["subject"]}
    assert told == {file: name for name, files in FORMATS.items() for file in files}
    hosts = said["predicate"]["buildDefinition"]["internalParameters"]["hosts"]
    assert {*FORMATS} - {"vhd"} <= set(hosts)


def test_nothing_is_made_again_and_soon(moby: Run, every: Path) -> None:
    before = digests(every)
    began = os.times()
    told = json.loads(moby("assemble", "edge.yaml", "-o", ".", "--json", cwd=every.parent).stdout)
    spent = os.times()
    assert told["changed"] is False
    assert digests(every) == before
    assert spent.children_user - began.children_user < 10


@pytest.mark.parametrize("file", FILES)
def test_each_can_be_reproduced(moby: Run, every: Path, file: str) -> None:
    assert moby("reproduce", every / file).stdout.endswith(": the same, byte for byte\n")


@pytest.mark.parametrize("name", ["portable", "uki", "vhdx"])
def test_two_are_compared(moby: Run, every: Path, tmp_path: Path, name: str) -> None:
    (file,) = FORMATS[name]
    assert moby("diff", every / file, every / file).stdout == ""
    for other in ("edge.lock.json", "edge.cdx.json", file):
        shutil.copy(every / other, tmp_path)
    bill = (tmp_path / "edge.cdx.json").read_text()
    owner = next(
        each["value"]
        for part in json.loads(bill)["components"]
        for each in part["properties"]
        if part["name"] == "runtime/native" and each["name"] == f"moby:bytes:{name}"
    )
    (tmp_path / "edge.cdx.json").write_text(bill.replace(f'"{owner}"', '"7"'))
    said = moby("diff", every / file, tmp_path / file, code=1).stdout
    assert f"bytes {name} runtime/native: {owner} -> 7\n" in said
    assert {line.split()[1] for line in said.splitlines()} == {name}
