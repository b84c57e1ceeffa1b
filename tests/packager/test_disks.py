"""The packagers of disks: the same bytes anywhere, what is inside, as others read it, and machines that start."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from attrs import evolve
from firmware import KERNEL_FOLDER, STUB, started
from moby_packager.disks.owners import carried
from moby_packager.iso.disc import Iso
from moby_packager.pyz.archive import Pyz
from moby_packager.qcow2.disk import Qcow2
from moby_packager.raw.disk import Raw
from moby_packager.raw.plugin import LEAST_MIB, Config
from moby_packager.tree.folder import Tree
from moby_packager.uki.image import Uki
from moby_packager.vhd.disk import Vhd, footer, geometry
from moby_packager.vhdx import disk as vhdx
from moby_packager.vhdx.disk import Vhdx
from moby_packager.vm.machine import Machine
from moby_packager.vm.plugin import DRIVERS
from moby_packager.vmdk import disk as vmdk
from moby_packager.vmdk.disk import Vmdk
from peers import binaries

from moby.contracts.packager import Entry, Given, Packager, Source
from moby.errors import HostUnfit, Invalid, Unsupported
from moby.testing.packager import SOURCE, STARTED, build_elsewhere, built_in_chain

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
NAME = SOURCE.name
TOOLS = ("mkfs.vfat", "mmd", "mcopy", "sfdisk", "ukify", "qemu-img", "xorriso")
SECTOR, MIB = 512, 1 << 20
FORMS = {"qcow2": "qcow2", "vmdk": "vmdk", "vhdx": "vhdx", "vhd": "vpc"}
"""As qemu calls them."""


@pytest.fixture(scope="module", autouse=True)
def _tools(tools: None) -> None:
    missing = [name for name in TOOLS if not shutil.which(name)]
    if missing or not STUB.exists():
        pytest.skip(f"{', '.join(missing) or STUB} is not there; `tools/peers disks` unpacks it")
    binaries.file("boot", "kernel")


def said(*command: object) -> str:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def machine_of(source: Source, folder: Path) -> Given:
    """Return a machine of an engine, as a kernel and its first files."""
    chain = (Pyz(), Tree(), Machine(kernel=str(KERNEL_FOLDER), level=1, drivers=DRIVERS))
    return Given(folder, built_in_chain(chain, source, folder / "before", folder))


def made(packager: Packager, of: Given, folder: Path) -> Given:
    """Return what a packager makes of what is given."""
    folder.mkdir(exist_ok=True)
    return Given(folder, packager.build(evolve(SOURCE, given=of), folder))


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Given]:
    """What packagers of disks are made of, by the format."""
    folder = tmp_path_factory.mktemp("given")
    machine = machine_of(SOURCE, folder)
    uki = made(Uki(str(STUB)), machine, folder / "uki")
    return {"vm": machine, "uki": uki, "raw": made(Raw(), uki, folder / "raw")}


PACKAGERS = [
    pytest.param(Uki(str(STUB)), "vm", "uki.efi", id="uki"),
    pytest.param(Raw(), "uki", "raw", id="raw"),
    pytest.param(Raw(data_mib=16), "uki", "raw", id="raw-with-data", marks=pytest.mark.long),
    pytest.param(Iso(), "uki", "iso", id="iso"),
    pytest.param(Qcow2(), "raw", "qcow2", id="qcow2"),
    pytest.param(Qcow2(compress=True), "raw", "qcow2", id="qcow2-compressed", marks=pytest.mark.long),
    pytest.param(Vmdk(), "raw", "vmdk", id="vmdk"),
    pytest.param(Vmdk(stream=False), "raw", "vmdk", id="vmdk-to-write", marks=pytest.mark.long),
    pytest.param(Vhdx(), "raw", "vhdx", id="vhdx"),
    pytest.param(Vhd(), "raw", "vhd", id="vhd"),
]


@pytest.mark.parametrize(("packager", "takes", "ending"), PACKAGERS)
def test_the_same_bytes_whatever_surrounds_the_build(
    given: dict[str, Given], tmp_path: Path, packager: Packager, takes: str, ending: str
) -> None:
    source = evolve(SOURCE, given=given[takes])
    here = build_elsewhere(packager, source, tmp_path / "here")
    there = build_elsewhere(packager, source, tmp_path / "there", other=True)
    assert list(here.files) == [f"{NAME}.{ending}"]
    assert here.files == there.files
    assert (here.fingerprint, here.strays) == (there.fingerprint, ())
    sizes = here.artifact.sizes_bytes
    assert sum(sizes.values()) == len(here.files[f"{NAME}.{ending}"])
    brought = {each.owner for each in given[takes].artifact.brought} | set(here.brought)
    assert set(given[takes].artifact.sizes_bytes) <= set(sizes)
    assert set(sizes) <= {*given[takes].artifact.sizes_bytes, *brought}
    assert min(sizes.values()) >= 0


@pytest.mark.parametrize(("packager", "takes", "ending"), [each for each in PACKAGERS if each.values[2] in FORMS])
def test_another_form_is_the_same_disk(
    given: dict[str, Given], tmp_path: Path, packager: Packager, takes: str, ending: str
) -> None:
    disk = made(packager, given[takes], tmp_path / "out").path()
    told = said("qemu-img", "compare", "-f", FORMS[ending], "-F", "raw", disk, given["raw"].path())
    assert told == "Images are identical.\n"
    if ending != "vhd":
        assert "No errors" in said("qemu-img", "check", "-f", FORMS[ending], disk)


def partitions(disk: Path) -> list[dict[str, str]]:
    """Return the partitions of a disk, as sfdisk reads them."""
    lines = [line for line in said("sfdisk", "--dump", disk).splitlines() if "start=" in line]
    return [dict(re.findall(r'(\w+)= *"?([^",]+)', line)) for line in lines]


def test_a_disk_holds_this_and_nothing_else(given: dict[str, Given], tmp_path: Path) -> None:
    disk = given["raw"].path()
    (boot,) = partitions(disk)
    assert (boot["name"], boot["type"]) == ("boot", "C12A7328-F81F-11D2-BA4B-00A0C93EC93B")
    offset = int(boot["start"]) * SECTOR
    listed = said("mdir", "-i", f"{disk}@@{offset}", "-/", "-b", "::").split()
    assert listed == ["::/EFI/", "::/EFI/BOOT/", "::/EFI/BOOT/BOOTX64.EFI"]
    said("mcopy", "-i", f"{disk}@@{offset}", "::/EFI/BOOT/BOOTX64.EFI", tmp_path / "uki")
    assert (tmp_path / "uki").read_bytes() == given["uki"].path().read_bytes()
    data = disk.read_bytes()
    end = offset + int(boot["size"]) * SECTOR
    assert not any(data[34 * SECTOR : offset])
    assert not any(data[end : -33 * SECTOR])
    assert len(data) % MIB == 0


def test_an_image_for_firmware_holds_the_machine(given: dict[str, Given]) -> None:
    uki, machine = given["uki"].path(), given["vm"]
    sections = said("objdump", "--section-headers", uki)
    data = uki.read_bytes()
    for section, name in ((".linux", "kernel"), (".initrd", "initrd"), (".cmdline", "cmdline")):
        size, _, _, offset = re.search(rf"{re.escape(section)} +(\w+) +(\w+) +(\w+) +(\w+)", sections).groups()
        inside = data[int(offset, 16) :][: int(size, 16)]
        same = inside.rstrip(b"\0\n") == (machine.folder / f"{NAME}.{name}").read_bytes().rstrip(b"\0\n")
        assert same, f"{section} is not the machine's"
    own = set(re.findall(r"\d+ (\.\w+)", sections))
    stubs = set(re.findall(r"\d+ (\.\w+)", said("objdump", "--section-headers", STUB)))
    assert own - stubs == {".linux", ".initrd", ".cmdline", ".osrel", ".uname"}


def test_a_disc_holds_this_and_nothing_else(given: dict[str, Given], tmp_path: Path) -> None:
    disc = made(Iso(), given["uki"], tmp_path / "out").path()
    listed = said("xorriso", "-indev", disc, "-find", "/", "-exec", "report_lba").splitlines()
    assert [line.split(",")[-1].strip() for line in listed if line.startswith("File data")] == ["'/efi.img'"]
    told = said("xorriso", "-indev", disc, "-report_el_torito", "plain")
    assert "UEFI" in told
    said("xorriso", "-osirrox", "on", "-indev", disc, "-extract", "/efi.img", tmp_path / "boot")
    listed = said("mdir", "-i", tmp_path / "boot", "-/", "-b", "::").split()
    assert listed == ["::/EFI/", "::/EFI/BOOT/", "::/EFI/BOOT/BOOTX64.EFI"]
    said("mcopy", "-i", tmp_path / "boot", "::/EFI/BOOT/BOOTX64.EFI", tmp_path / "uki")
    assert (tmp_path / "uki").read_bytes() == given["uki"].path().read_bytes()


def test_a_partition_for_what_lasts(given: dict[str, Given], tmp_path: Path) -> None:
    disk = made(Raw(data_mib=16, label="mine"), given["uki"], tmp_path / "out").path()
    boot, data = partitions(disk)
    assert int(data["start"]) == int(boot["start"]) + int(boot["size"])
    assert int(data["size"]) * SECTOR == 16 * MIB
    begin = int(data["start"]) * SECTOR
    (tmp_path / "data").write_bytes(disk.read_bytes()[begin : begin + 16 * MIB])
    assert "clean" in said("e2fsck", "-fn", tmp_path / "data") or said("e2fsck", "-fn", tmp_path / "data")
    told = said("dumpe2fs", "-h", tmp_path / "data")
    assert re.search(r"Filesystem volume name: +mine\n", told)
    assert "has_journal" in told
    listed = said("debugfs", "-R", "ls -p /", tmp_path / "data")
    assert {line.split("/")[5] for line in listed.splitlines() if line} == {".", "..", "lost+found"}


@pytest.mark.parametrize(("given_mib", "taken"), [(0, True), (1, False), (7, False), (8, True), (65537, False)])
def test_room_for_a_journal(given_mib: int, taken: bool) -> None:
    """With less mke2fs makes a file system without one, and says that it did well."""
    if taken:
        assert Config(data_mib=given_mib).data_mib == given_mib
    else:
        with pytest.raises(ValueError, match="data_mib"):
            Config(data_mib=given_mib)


@pytest.mark.long
def test_the_least_room_has_a_journal(given: dict[str, Given], tmp_path: Path) -> None:
    disk = made(Raw(data_mib=LEAST_MIB), given["uki"], tmp_path / "out").path()
    _, data = partitions(disk)
    begin = int(data["start"]) * SECTOR
    (tmp_path / "data").write_bytes(disk.read_bytes()[begin : begin + LEAST_MIB * MIB])
    assert "has_journal" in said("dumpe2fs", "-h", tmp_path / "data")


VIRTIO = "if=virtio,snapshot=on"
SATA = "if=none,id=disk,snapshot=on"
ON_SATA = ("-device", "ich9-ahci,id=ahci", "-device", "ide-hd,drive=disk,bus=ahci.0")


@pytest.mark.parametrize(
    ("form", "packager", "more"),
    [
        pytest.param("raw", None, (), id="raw"),
        pytest.param("qcow2", Qcow2(), (), id="qcow2", marks=pytest.mark.long),
        pytest.param("vmdk", Vmdk(), ON_SATA, id="vmdk", marks=pytest.mark.long),
        pytest.param("vhdx", Vhdx(), ON_SATA, id="vhdx", marks=pytest.mark.long),
        pytest.param("vpc", Vhd(), (), id="vhd", marks=pytest.mark.long),
    ],
)
def test_a_machine_starts_from_a_disk(
    given: dict[str, Given], tmp_path: Path, form: str, packager: Packager | None, more: Sequence[str]
) -> None:
    disk = made(packager, given["raw"], tmp_path / "out").path() if packager else given["raw"].path()
    drive = ("-drive", f"{SATA if more else VIRTIO},format={form},file={disk}", *more)
    assert STARTED in started(drive, tmp_path, f"/usr/bin/{NAME}")


@pytest.mark.long
@pytest.mark.parametrize("medium", ["cdrom", "disk"])
def test_a_machine_starts_from_a_disc(given: dict[str, Given], tmp_path: Path, medium: str) -> None:
    disc = made(Iso(), given["uki"], tmp_path / "out").path()
    drive = f"{VIRTIO},format=raw,file={disc}" if medium == "disk" else f"media=cdrom,format=raw,file={disc}"
    assert STARTED in started(("-drive", drive), tmp_path, f"/usr/bin/{NAME}")


COUNTING = b"""
import os
with open("/var/count", "a+b") as file:
    file.write(b"x")
    file.flush()
    os.fsync(file.fileno())
    print("started", file.tell(), "times")
"""


@pytest.fixture(scope="module")
def counting(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A disk with a partition for what lasts, whose machine counts there how often it was started."""
    folder = tmp_path_factory.mktemp("counting")
    entries = tuple(Entry(each.path, COUNTING, each.owner) if each.path == "__main__.py" else each
                    for each in SOURCE.entries)  # fmt: skip
    (folder / "vm").mkdir()
    uki = made(Uki(str(STUB)), machine_of(evolve(SOURCE, entries=entries), folder / "vm"), folder / "uki")
    return made(Raw(data_mib=16), uki, folder / "raw").path()


@pytest.mark.long
@pytest.mark.parametrize(
    "on",
    [
        pytest.param(("-device", "virtio-blk-pci,drive=disk"), id="virtio"),
        pytest.param(("-device", "nvme,drive=disk,serial=one"), id="nvme"),
        pytest.param(ON_SATA, id="sata"),
        pytest.param(("-device", "virtio-scsi-pci", "-device", "scsi-hd,drive=disk"), id="virtio-scsi"),
    ],
)
def test_what_lasts_is_on_the_disk(counting: Path, tmp_path: Path, on: Sequence[str]) -> None:
    """The firmware starts it from there, and the machine's own drivers find the partition again."""
    disk = shutil.copy(counting, tmp_path / "disk")
    for number in (1, 2):
        drive = ("-drive", f"if=none,id=disk,format=raw,file={disk}", *on)
        assert f"started {number} times" in started(drive, tmp_path, f"/usr/bin/{NAME}")


def test_a_kernel_that_firmware_cannot_start(given: dict[str, Given], tmp_path: Path) -> None:
    for path in given["vm"].artifact.files:
        (tmp_path / path).write_bytes(b"\x7fELF" + bytes(1000))
    with pytest.raises(Unsupported, match="the kernel is none that firmware starts") as caught:
        Uki(str(STUB)).build(evolve(SOURCE, given=Given(tmp_path, given["vm"].artifact)), tmp_path)
    assert "option machine of the format vm to pc" in caught.value.hint


@pytest.mark.parametrize(
    ("packager", "takes", "tool"),
    [
        pytest.param(Uki(str(STUB)), "vm", "ukify", id="uki"),
        pytest.param(Iso(), "uki", "xorriso", id="iso"),
        pytest.param(Vhdx(), "raw", "qemu-img", id="vhdx"),
    ],
)
def test_a_tool_that_writes_nothing(
    given: dict[str, Given], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packager: Packager, takes: str, tool: str
) -> None:
    (tmp_path / tool).write_text("#!/bin/sh\n")
    (tmp_path / tool).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(HostUnfit, match=f"{tool} wrote nothing"):
        made(packager, given[takes], tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_stub_that_is_not_there(given: dict[str, Given], tmp_path: Path) -> None:
    with pytest.raises(HostUnfit, match="there is no stub at /nowhere") as caught:
        made(Uki("/nowhere"), given["vm"], tmp_path / "out")
    assert "apt install systemd-boot-efi" in caught.value.hint


@pytest.mark.parametrize(
    ("settled", "message"),
    [
        pytest.param(lambda: vmdk.settled(b"# Disk\nversion=1\n" + bytes(99), NAME), "without a CID", id="vmdk"),
        pytest.param(lambda: vhdx.settled(b"", NAME), "a vhdx that is none", id="vhdx-empty"),
        pytest.param(lambda: vhdx.settled(bytes(1 << 20), NAME), "no header at 65536", id="vhdx-header"),
        pytest.param(
            lambda: vhdx.settled((bytes(65536) + b"head" + bytes(65532) + b"head").ljust(1 << 20, b"\0"), NAME),
            "no 8b7ca206-4790-4b9a-b8fe-575f050f886e in the table",
            id="vhdx-table",
        ),
    ],
)
def test_what_another_tool_made(settled: Callable[[], bytes], message: str) -> None:
    with pytest.raises(Invalid, match=message) as caught:
        settled()
    assert "use a qemu-img that is known" in caught.value.hint


@pytest.mark.parametrize("written", ["7", "1234567", "ffffffff"])
def test_a_number_of_any_length_is_replaced(written: str) -> None:
    text = f"# Disk\nversion=1\nCID={written}\nparentCID=ffffffff\n".encode()
    plain = text.ljust(1024, b"\0") + b"grain"
    done = vmdk.settled(plain, NAME)
    assert len(done) == len(plain)
    assert done.endswith(b"grain")
    assert re.fullmatch(rb"# Disk\nversion=1\nCID=[0-9a-f]{8}\nparentCID=ffffffff\n\0+grain", done)


def test_a_checksum_is_castagnolis() -> None:
    assert vhdx.crc32c(b"123456789") == 0xE3069283


def test_a_fixed_disks_footer() -> None:
    found = footer(40 * MIB, NAME, SOURCE.epoch_s)
    assert len(found) == SECTOR
    stored = int.from_bytes(found[64:68], "big")
    assert stored == ~(sum(found) - sum(found[64:68])) & 0xFFFFFFFF


@pytest.mark.parametrize(
    ("sectors", "shape"),
    [
        pytest.param(40 * MIB // SECTOR, (963, 5, 17), id="small"),
        pytest.param(1024 * MIB // SECTOR, (2080, 16, 63), id="of-a-gibibyte"),
        pytest.param(300 << 30 >> 9, (65535, 16, 255), id="beyond"),
        pytest.param(60 << 30 >> 9, (30840, 16, 255), id="large"),
    ],
)
def test_geometry(sectors: int, shape: tuple[int, int, int]) -> None:
    assert geometry(sectors) == shape


@pytest.mark.parametrize(
    ("total", "found"),
    [
        pytest.param(50, {"(format)": 20, "a": 10, "b": 20}, id="bigger"),
        pytest.param(15, {"(format)": 0, "a": 5, "b": 10}, id="compressed"),
    ],
)
def test_bytes_that_are_carried_add_up(total: int, found: dict[str, int]) -> None:
    assert carried({"a": 10, "b": 20, "(format)": 3}, total) == found
