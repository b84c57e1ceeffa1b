"""The packager vm against its contract, and what is its own; machines are started in test_machines.py."""

import errno
import hashlib
import io
import json
import lzma
import os
import random
import struct
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from moby_packager.launching import compiling
from moby_packager.pyz.archive import Pyz
from moby_packager.tree.folder import Tree
from moby_packager.trees import nodes
from moby_packager.vm import cpio, images, kernels, rootfs
from moby_packager.vm.bundles import Service, bundled, folders_of
from moby_packager.vm.cpio import Record
from moby_packager.vm.files import File, given_files
from moby_packager.vm.machine import INIT, Machine
from moby_packager.vm.plugin import Config
from moby_packager.vm.settings import driver_lines, modules_of, refuse_foreign, text_of
from peers import binaries

from moby.contracts.packager import Artifact, Entry, Given, Packager
from moby.errors import Corrupt, HostUnfit, Invalid, NotFound, Unsupported
from moby.machines import running
from moby.machines.machine import Machine as Files
from moby.testing.packager import SOURCE, PackagerSuite, built_in_chain

pytestmark = pytest.mark.slow


@pytest.mark.long
class TestVm(PackagerSuite):
    before = (Pyz(), Tree())

    @pytest.fixture
    def packager(self) -> Packager:
        binaries.need("linux.uml", "uml")
        return Machine(kernel=str(binaries.ROOT), machine="uml", level=1)

    def start(self, folder: Path, artifact: Artifact) -> str:
        assert [each.suffix for each in artifact.files] == [".kernel", ".initrd", ".cmdline"]
        words = Files(SOURCE.name, folder).command_line(["ignored"])
        command = [
            folder / artifact.files[0], "mem=256M", f"uml_dir={folder}", "con=null", "con0=null,fd:1", "con1=null",
            "ssl=null", f"initrd={folder / artifact.files[1]}", *words.split(),
        ]  # fmt: skip
        environment = running.uml.environment(256, folder, folder)
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False).stdout


# Kernels --------------------------------------------------------------------------------------------------------


def module(*lines: str) -> bytes:
    return b"\x7fELF\0" + b"\0".join(each.encode() for each in lines) + b"\0"


def image(said: bytes = b"6.1.9-cloud (x) #1 SMP Debian 6.1.9-2 (2026-01-01)") -> bytes:
    data = bytearray(0x1000)
    struct.pack_into("<H", data, 0x20E, 0x400)
    data[0x600 : 0x600 + len(said)] = said
    return bytes(data)


@pytest.fixture
def kernel_root(tmp_path: Path) -> Path:
    for version in ("6.1.9-cloud-amd64", "6.1.10-cloud-amd64", "7.0-amd64"):
        folder = tmp_path / "usr/lib/modules" / version / "kernel"
        folder.mkdir(parents=True)
        (tmp_path / "boot").mkdir(exist_ok=True)
        (tmp_path / "boot" / f"vmlinuz-{version}").write_bytes(image())
        (folder.parent / "modules.builtin").write_text("kernel/fs/ext4/ext4.ko\n")
        packed = lzma.compress(module("depends=a-b,ext4", "alias=virtio:d00000001v*", "alias=fs-x"))
        (folder / "net.ko.xz").write_bytes(packed)
        (folder / "a-b.ko").write_bytes(module("depends="))
        (folder / "sd_mod.ko").write_bytes(module("depends="))
        (folder / "ahci.ko").write_bytes(module("alias=pci:v0000144Dd0000A800sv*", "alias=pci:v*d*sv*sd*bc01sc06i01*"))
    return tmp_path


def test_the_newest_kernel_for_clouds(kernel_root: Path) -> None:
    found = kernels.find(kernel_root, "pc")
    assert (found.version, found.numbers) == ("6.1.10-cloud-amd64", (6, 1))
    assert found.brought.owner == "linux 6.1.9-2"
    before = found.digest()
    (kernel_root / "boot/vmlinuz-6.1.10-cloud-amd64").write_bytes(image() + b"x")
    assert found.digest() != before


def test_modules_come_after_what_they_need(kernel_root: Path) -> None:
    found = kernels.find(kernel_root, "pc")
    assert [each.name for each in found.with_needs(["net", "ext4"])] == ["a_b", "net"]
    lines, modules = driver_lines(found, ["net", "ahci"])
    where = "/lib/modules/6.1.10-cloud-amd64"
    assert lines == [
        f"driver virtio:d00000001v* {where}/a_b.ko {where}/net.ko",
        f"driver pci:v*d*sv*sd*bc01sc06i01* {where}/ahci.ko {where}/sd_mod.ko",
    ]
    assert [each.name for each in modules] == ["a_b", "net", "ahci", "sd_mod"]


def test_a_module_that_a_kernel_lacks(kernel_root: Path) -> None:
    with pytest.raises(Unsupported, match=r"the kernel 6.1.10-cloud-amd64 has no module zfs"):
        kernels.find(kernel_root, "pc").with_needs(["zfs"])


@pytest.mark.parametrize(("machine", "package"), [("pc", "linux-image-cloud-amd64"), ("uml", "user-mode-linux")])
def test_no_kernel(machine: str, package: str, tmp_path: Path) -> None:
    with pytest.raises(HostUnfit, match=f"there is no kernel below {tmp_path}") as caught:
        kernels.find(tmp_path, machine)
    assert f"apt install {package}" in caught.value.hint


# Parts ----------------------------------------------------------------------------------------------------------


def part(label: str, **need: Any) -> Mapping[str, Any]:
    kind = label.partition("/")[0]
    return {"kind": kind, "name": "own", "config": {}, "facts": {"id": label, "host": [need] if need else []}}


def test_a_part_that_runs_programs_of_the_host() -> None:
    refuse_foreign([part("runtime/native", what="kernel", name="clone3")])
    refuse_foreign([part("images/store", what="binary", name="zstd", optional=True)])
    with pytest.raises(Unsupported, match="runtime/crun runs the program crun, which a machine doesn't hold"):
        refuse_foreign([part("runtime/crun", what="binary", name="crun")])


def test_modules_of_parts() -> None:
    assert modules_of([part("snapshotter/overlay"), part("events/ring")]) == ("overlay",)
    assert "nft_masq" in modules_of([part("network-driver/bridge")])


def with_lock(*parts: Mapping[str, Any]) -> Sequence[Entry]:
    lock = json.dumps({"engine": {"instances": parts}}).encode()
    return tuple(evolve(each, data=lock) if each.path == "moby-lock.json" else each for each in SOURCE.entries)


@pytest.mark.parametrize(
    ("lines", "what"),
    [(["service x"] * 65, "65 services"), (["onboot" + " x" * 64], "65 words in a line"),
     ([f"folder /{'x' * 4000}"] * 40, r"\d+ bytes")],
)  # fmt: skip
def test_what_the_first_process_has_no_room_for(lines: list[str], what: str) -> None:
    with pytest.raises(Unsupported, match=f"the start-up of the machine has {what}; at most"):
        text_of(lines)
    assert text_of(["service x"] * 64) == "service x\n" * 64


@pytest.mark.parametrize(
    "given", ["10.0.0.2 24 10.0.0.1", "10.0.0.2 0 0.0.0.0 255.255.255.255 9.9.9.9 1.1.1.1", "none"]
)
def test_networks_that_can_be(given: str) -> None:
    assert Config(network=given).network == given


@pytest.mark.parametrize(
    "given",
    ["10.0.0.2 33 10.0.0.1", "10.0.0.256 24 10.0.0.1", "10.0.0.2 24", f"10.0.0.2 24 10.0.0.1{' 9.9.9.9' * 4}",
     "10.0.0.\u0662 24 10.0.0.1", "dhcp\nstop /x", ""],
)  # fmt: skip
def test_networks_that_can_t_be(given: str) -> None:
    with pytest.raises(ValueError, match="network"):
        Config(network=given)


def test_two_services_of_one_name(docker_archive: Path, kernel_root: Path, tmp_path: Path) -> None:
    one = Service("one", str(docker_archive))
    machine = Machine(kernel=str(kernel_root), drivers=(), onboot=(one,), services=(one,))
    source = evolve(SOURCE, entries=with_lock(part("command/bundle")))
    (tmp_path / "out").mkdir()
    with pytest.raises(Invalid, match="two containers of the machine are called one"):
        built_in_chain((Pyz(), Tree(), machine), source, tmp_path / "before", tmp_path / "out")


def test_services_need_the_verb(docker_archive: Path, kernel_root: Path, tmp_path: Path) -> None:
    machine = Machine(kernel=str(kernel_root), drivers=(), services=(Service("one", str(docker_archive)),))
    source = evolve(SOURCE, entries=with_lock(part("command/run")))
    (tmp_path / "out").mkdir()
    with pytest.raises(Unsupported, match="run by the engine's verb bundle, which this assembly lacks"):
        built_in_chain((Pyz(), Tree(), machine), source, tmp_path / "before", tmp_path / "out")


def test_first_files_that_aren_t_compressed(kernel_root: Path, tmp_path: Path) -> None:
    (tmp_path / "tree").write_bytes(nodes.write([nodes.plain("lib/x", b"x" * 5000, "x 1")], 0, owners=True))
    source = evolve(SOURCE, given=Given(tmp_path, Artifact((Path("tree"),), {})))
    found = []
    for level in (0, 1):
        out = tmp_path / str(level)
        out.mkdir()
        made = Machine(kernel=str(kernel_root), drivers=(), level=level).build(source, out)
        assert sum(made.sizes_bytes.values()) == sum((out / each).stat().st_size for each in made.files)
        found.append((out / made.files[1]).read_bytes())
    assert found[0].startswith(b"070701")
    assert subprocess.run(["zstd", "-dc"], input=found[1], capture_output=True, check=True).stdout == found[0]


# Images ---------------------------------------------------------------------------------------------------------


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def tar_of(*members: tuple[str, bytes | None]) -> bytes:
    """Files by path; None is a folder."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for path, data in members:
            info = tarfile.TarInfo(path)
            info.type, info.size = (tarfile.REGTYPE, len(data)) if data is not None else (tarfile.DIRTYPE, 0)
            archive.addfile(info, io.BytesIO(data or b""))
    return out.getvalue()


LAYER = tar_of(("bin", None), ("bin/tool", b"a tool"), ("etc/passwd", b"joe:x:7:8::/home/joe:/bin/sh\n"))


def config_of(*layers: bytes) -> bytes:
    return json.dumps({
        "os": "linux", "architecture": "amd64", "config": {"Cmd": ["/bin/tool"], "Env": ["A=b"], "User": "joe"},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest(each)}" for each in layers]},
    }).encode()  # fmt: skip


@pytest.fixture
def docker_archive(tmp_path: Path) -> Path:
    listed = [{"Config": "about.json", "RepoTags": ["x:1"], "Layers": ["one/layer.tar"]}]
    path = tmp_path / "image.tar"
    path.write_bytes(
        tar_of(
            ("about.json", config_of(LAYER)),
            ("one/layer.tar", LAYER),
            ("manifest.json", json.dumps(listed).encode()),
        )
    )
    return path


def layout(folder: Path, architecture: str = "amd64", *, nested: int = 0) -> Path:
    blobs = folder / "blobs/sha256"
    blobs.mkdir(parents=True)

    def put(data: bytes, kind: str) -> dict[str, Any]:
        (blobs / digest(data)).write_bytes(data)
        return {"mediaType": kind, "digest": f"sha256:{digest(data)}", "size": len(data)}

    oci = "application/vnd.oci.image"
    described = {
        "schemaVersion": 2, "mediaType": f"{oci}.manifest.v1+json",
        "config": put(config_of(LAYER), f"{oci}.config.v1+json"), "layers": [put(LAYER, f"{oci}.layer.v1.tar")],
    }  # fmt: skip
    found = put(json.dumps(described).encode(), f"{oci}.manifest.v1+json")
    found["platform"] = {"os": "linux", "architecture": architecture}
    for _ in range(nested):
        index = {"schemaVersion": 2, "mediaType": f"{oci}.index.v1+json", "manifests": [found]}
        found = put(json.dumps(index).encode(), f"{oci}.index.v1+json")
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [found]}))
    return folder


def test_images_of_all_forms(docker_archive: Path, tmp_path: Path) -> None:
    packed = images.read(docker_archive)
    assert (packed.config.command, packed.layers) == (("/bin/tool",), (LAYER,))
    folder = layout(tmp_path / "layout", nested=1)
    assert images.read(folder) == packed
    with tarfile.open(tmp_path / "layout.tar", "w") as archive:
        archive.add(folder, arcname=".")
    assert images.read(tmp_path / "layout.tar") == packed
    assert images.digest_of(folder) != images.digest_of(docker_archive)
    saved = tmp_path / "saved"
    with tarfile.open(docker_archive) as archive:
        archive.extractall(saved, filter="data")
    assert images.read(saved) == packed
    assert images.digest_of(saved)


def test_images_that_are_none(docker_archive: Path, tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "absent"):
        with pytest.raises(NotFound, match="there is no image at"):
            images.digest_of(place)
    with pytest.raises(NotFound, match="there is no image at"):
        images.read(tmp_path / "absent")
    (tmp_path / "other.tar").write_bytes(tar_of(("x", b"")))
    with pytest.raises(Invalid, match=r"neither index.json nor manifest.json is in it"):
        images.read(tmp_path / "other.tar")
    with pytest.raises(Invalid, match="has no image for linux/amd64"):
        images.read(layout(tmp_path / "arm", "arm64"))
    with pytest.raises(Invalid, match="nested deeper than 4"):
        images.read(layout(tmp_path / "deep", nested=6))
    damaged = layout(tmp_path / "damaged")
    (damaged / "blobs/sha256" / digest(LAYER)).write_bytes(LAYER + b"x")
    with pytest.raises(Corrupt, match="isn't what its digest says"):
        images.read(damaged)
    (damaged / "blobs/sha256" / digest(LAYER)).unlink()
    with pytest.raises(Invalid, match=f"has no blobs/sha256/{digest(LAYER)}"):
        images.read(damaged)


@pytest.mark.parametrize(
    ("listed", "message"),
    [
        pytest.param([], "isn't as docker save writes it", id="empty"),
        pytest.param([{"Config": "a", "Layers": ["../../etc/passwd"]}], "which is outside", id="outside"),
        pytest.param([{"Config": "about.json", "Layers": ["other"]}], "aren't those that", id="other"),
    ],
)
def test_what_docker_save_never_writes(listed: object, message: str, tmp_path: Path) -> None:
    about = config_of(LAYER)
    members = [("about.json", about), ("other", tar_of(("x", b""))), ("manifest.json", json.dumps(listed).encode())]
    (tmp_path / "image.tar").write_bytes(tar_of(*members))
    with pytest.raises((Invalid, Corrupt), match=message):
        images.read(tmp_path / "image.tar")


# Layers ---------------------------------------------------------------------------------------------------------


def linked(path: str, target: str, kind: bytes, **pax: str) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        info = tarfile.TarInfo(path)
        info.type, info.linkname, info.pax_headers = kind, target, pax
        archive.addfile(info)
    return out.getvalue()


def test_layers_hide_what_is_below() -> None:
    lower = tar_of(("a/one", b"1"), ("a/two", b"2"), ("b/three", b"3"), ("c", b"4"))
    upper = tar_of(("a/.wh.one", b""), ("b/.wh..wh..opq", b""), ("b/four", b"5"), ("c/d", b"6"), ("a/two/e", b"7"))
    files = rootfs.flattened([lower, upper])
    assert {path: each.data for path, each in files.items() if each.data} == {
        "b/four": b"5",
        "c/d": b"6",
        "a/two/e": b"7",
    }
    assert oct(files["c"].mode) == "0o40755"


def test_links_of_layers() -> None:
    first = tar_of(("usr/bin/tool", b"tool"))
    layers = [first, linked("bin", "usr/bin", tarfile.SYMTYPE), tar_of(("bin/other", b"x"))]
    layers += [linked("usr/bin/again", "usr/bin/tool", tarfile.LNKTYPE), tar_of(("usr/bin/.wh.tool", b""))]
    files = rootfs.flattened(layers)
    assert files["usr/bin/other"].data == b"x"
    assert (files["usr/bin/again"].data, files["usr/bin/again"].link_of) == (b"tool", "")
    rootfs.placed(files, "/bin/deeper/place", folder=True)
    assert "usr/bin/deeper/place" in files
    assert rootfs.text_of(files, "bin/other") == "x"
    with pytest.raises(Invalid, match="links to 'nowhere', which isn't there"):
        rootfs.flattened([linked("x", "nowhere", tarfile.LNKTYPE)])
    with pytest.raises(Invalid, match="too many links"):
        rootfs.flattened([linked("x", "x/y", tarfile.SYMTYPE), tar_of(("x/z", b""))])
    with pytest.raises(Unsupported, match="ping has capabilities of its own"):
        rootfs.flattened([linked("ping", "", tarfile.REGTYPE, **{"SCHILY.xattr.security.capability": "x"})])


@pytest.mark.parametrize("hidden", ["opaque", "folder"])
def test_a_file_lasts_in_the_links_to_it(hidden: str) -> None:
    """Whatever takes its first name away: a layer that hides all of a folder, or one with a folder in its place."""
    layers = [tar_of(("a", None), ("a/tool", b"tool")), linked("b", "a/tool", tarfile.LNKTYPE)]
    layers += [tar_of(("a/.wh..wh..opq", b"")) if hidden == "opaque" else tar_of(("a/tool", None))]
    files = rootfs.flattened(layers)
    assert (files["b"].data, files["b"].link_of) == (b"tool", "")
    assert ("a/tool" in files) is (hidden == "folder")


def test_what_hides_a_folder_leaves_those_that_its_own_layer_s_files_are_in() -> None:
    lower = tar_of(("a", None), ("a/b", None), ("a/c", None))
    files = rootfs.flattened([lower, tar_of(("a/b/new", b"1"), ("a/.wh..wh..opq", b""))])
    assert sorted(files) == ["a", "a/b", "a/b/new"]


def test_no_link_leads_out_of_a_root() -> None:
    files = rootfs.flattened([linked("up", "../../..", tarfile.SYMTYPE), tar_of(("up/etc/x", b"1"))])
    assert files["etc/x"].data == b"1"


def test_the_kernel_s_archive_is_read_by_others(tmp_path: Path) -> None:
    busybox = binaries.need("busybox", "busybox")
    records = [
        Record("a", 0o40750), Record("a/file", 0o100640, b"some bytes"), Record("a/more", 0o100640, link_of="a/file"),
        Record("link", 0o120777, b"a/file"),
    ]  # fmt: skip
    data = cpio.write(records, 1_000_000_000)
    subprocess.run([busybox, "cpio", "-idm"], input=data, cwd=tmp_path, capture_output=True, check=True)
    found = (tmp_path / "a/file").stat()
    assert (oct(found.st_mode), found.st_nlink, found.st_mtime) == ("0o100640", 2, 1_000_000_000)
    assert (tmp_path / "a/more").read_bytes() == b"some bytes"
    assert (tmp_path / "link").readlink() == Path("a/file")


# Services and files ---------------------------------------------------------------------------------------------


def test_a_service_is_a_bundle(docker_archive: Path) -> None:
    service = Service("one", str(docker_archive), binds=("/var/x/:/data/in", "/run/y:/etc/y:ro"), net="host")
    made = bundled(service, (6, 12))
    files = {each.path: each for each in made.records}
    spec = json.loads(files["containers/one/config.json"].data)
    assert spec["process"]["args"] == ["/bin/tool"]
    assert "A=b" in spec["process"]["env"]
    assert (spec["process"]["user"]["uid"], spec["root"]) == (7, {"path": "rootfs", "readonly": True})
    assert "network" not in [each["type"] for each in spec["linux"]["namespaces"]]
    assert spec["linux"]["seccomp"]["defaultErrnoRet"] == errno.EPERM
    assert oct(files["containers/one/rootfs/data/in"].mode) == "0o40755"
    assert oct(files["containers/one/rootfs/etc/y"].mode) == "0o100644"
    assert oct(files["containers/one/rootfs/proc"].mode) == "0o40755"
    assert folders_of([service]) == ["/var/x"]
    assert made.brought.owner.startswith("image one sha256:")
    assert sum(sum(node.owners.values()) for node in made.nodes) == sum(len(each.data) for each in made.records)


def test_a_bind_that_is_none(docker_archive: Path) -> None:
    with pytest.raises(Invalid, match="service one: 'x:y' is no bind"):
        bundled(Service("one", str(docker_archive), binds=("x:y",)), (6, 12))


def test_files_of_a_machine(tmp_path: Path) -> None:
    (tmp_path / "here").write_bytes(b"bytes")
    nodes = given_files({"/etc/a": File(contents="text", mode="0600"), "srv/b": File(source=str(tmp_path / "here"))})
    assert [(each.path, each.data, oct(each.mode)) for each in nodes] == [
        ("etc/a", b"text", "0o600"), ("srv/b", b"bytes", "0o644"),
    ]  # fmt: skip
    with pytest.raises(NotFound, match=r"can't read /no/such for /etc/x: No such file"):
        given_files({"/etc/x": File(source="/no/such")})


@pytest.mark.parametrize("path", ["/init", "/etc/moby/machine", "/var/x", "/../x", "/", "/proc"])
def test_places_that_are_the_machine_s(path: str) -> None:
    with pytest.raises(Invalid, match="can't be a file of a machine"):
        given_files({path: File()})


# The first process's reading of what comes from the network -----------------------------------------------------

UNDERSTAND = """
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
typedef unsigned char u8; typedef unsigned short u16; typedef unsigned int u32; typedef unsigned long u64;
#include "dhcp.h"
int main(void)
{
    struct lease lease = {0};
    u8 head[2];
    while (fread(head, 1, 2, stdin) == 2) {
        long size = head[0] << 8 | head[1];
        struct dhcp *packet = malloc(size ? size : 1);
        if (fread(packet, 1, size, stdin) != (size_t)size)
            return 2;
        u8 kind = understand(packet, size, 0x01020304, &lease);
        printf("%d %x %x %x %u %d\\n", kind, lease.ip, lease.mask, lease.router, lease.seconds, lease.count);
        free(packet);
    }
    return 0;
}
"""


@pytest.fixture(scope="module")
def understand(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The reading itself, as a program that crashes where it leaves a packet."""
    folder = tmp_path_factory.mktemp("dhcp")
    (folder / "main.c").write_text(UNDERSTAND)
    flags = ["-std=gnu11", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-I", str(INIT)]
    if subprocess.run(
        ["gcc", *flags, "-o", folder / "main", folder / "main.c"], capture_output=True, check=False
    ).returncode:
        pytest.skip("gcc has no sanitizers here")
    return folder / "main"


def said(understand: Path, packets: Sequence[bytes]) -> list[str]:
    given = b"".join(struct.pack(">H", len(each)) + each for each in packets)
    env = {"ASAN_OPTIONS": "detect_leaks=0"}
    done = subprocess.run([understand], input=given, capture_output=True, env=env, timeout=60, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().splitlines()


def packet(options: bytes) -> bytes:
    head = struct.pack(
        "<BBBBIHHIIII16s192s4s", 2, 1, 6, 0, 0x01020304, 0, 0, 0, 0x0F02000A, 0, 0, b"", b"", b"\x63\x82Sc"
    )
    return head + options


OFFERED = bytes.fromhex("350102 0104ffffff00 03040a000202 33040000 0e10 0608 0a000203 08080808 ff".replace(" ", ""))


def test_an_answer_of_dhcp(understand: Path) -> None:
    assert said(understand, [packet(OFFERED)]) == ["2 f02000a ffffff 202000a 3600 2"]
    other = bytearray(packet(OFFERED))
    other[4] ^= 1
    assert said(understand, [bytes(other)])[0].startswith("0 "), "an answer to somebody else"


def test_foreign_answers_are_read_within_their_bounds(understand: Path) -> None:
    chance = random.Random(11)
    packets = []
    for number in range(400):
        data = bytearray(packet(OFFERED if number % 2 else chance.randbytes(chance.randrange(308))))
        for _ in range(chance.randrange(6)):
            data[chance.randrange(240, len(data)) if len(data) > 240 else 0] = chance.randrange(256)
        packets.append(bytes(data[: chance.randrange(len(data) + 1)]) if number % 5 == 0 else bytes(data))
    assert len(said(understand, packets)) == len(packets)


TIME = """
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
typedef unsigned char u8; typedef unsigned short u16; typedef unsigned int u32; typedef unsigned long u64;
#include "sntp.h"
int main(void)
{
    static const u32 ASKED[2] = {0x01020304, 0x05060708};
    u8 size;
    while (fread(&size, 1, 1, stdin) == 1) {
        u32 fraction = 0;
        struct sntp *packet = malloc(size ? size : 1);
        if (fread(packet, 1, size, stdin) != size)
            return 2;
        long seconds = understand_time(packet, size, ASKED, &fraction);
        printf("%ld %u\\n", seconds, fraction);
        free(packet);
    }
    return 0;
}
"""
SECONDS_1900 = 2208988800


def answer(seconds: int, flags: int = 0x24, stratum: int = 2, asked: bytes = b"\4\3\2\1\10\7\6\5") -> bytes:
    """What a server of time says, in network order but for what it gives back as it came."""
    return struct.pack(">BBBBIII8s8s8sII", flags, stratum, 6, 236, 0, 0, 0, b"", asked, b"", seconds, 1 << 31)


def test_an_answer_of_a_server_of_time(tmp_path: Path) -> None:
    """And those that are none: too short, a question, not synchronized, to somebody else; the era ends in 2036."""
    (tmp_path / "main.c").write_text(TIME)
    flags = ["-std=gnu11", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-I", str(INIT)]
    compiled = ["gcc", *flags, "-o", tmp_path / "main", tmp_path / "main.c"]
    if subprocess.run(compiled, capture_output=True, check=False).returncode:
        pytest.skip("gcc has no sanitizers here")
    now = 1_900_000_000
    good = answer(now + SECONDS_1900)
    none = [
        good[:47], b"", answer(now, flags=0x23), answer(now, flags=0xE4), answer(now, stratum=0),
        answer(now, stratum=16), answer(now, asked=bytes(8)), answer(0),
    ]  # fmt: skip
    later = answer((2_200_000_000 + SECONDS_1900) % (1 << 32))
    given = b"".join(bytes([len(each)]) + each for each in [good, good + b"more", later, *none])
    env = {"ASAN_OPTIONS": "detect_leaks=0"}
    done = subprocess.run([tmp_path / "main"], input=given, capture_output=True, env=env, timeout=60, check=False)
    assert done.returncode == 0, done.stderr.decode()
    told = [each.split()[0] for each in done.stdout.decode().splitlines()]
    assert told == [str(now)] * 2 + ["2200000000"] + ["0"] * len(none)
    assert done.stdout.startswith(f"{now} {1 << 31}\n".encode()), "half a second"


@pytest.mark.parametrize("given", ["", "10.0.2.2", "10.0.2.2:123", "10.0.2.2:65535"])
def test_servers_of_time_that_can_be(given: str) -> None:
    assert Config(time=given).time == given


@pytest.mark.parametrize(
    "given",
    ["pool.ntp.org", "10.0.2.2:", "10.0.2.2:0", "10.0.2.256", "10.0.2.2 1", "10.0.2.2:65536", "10.0.2.2:123456"],
)
def test_servers_of_time_that_can_t_be(given: str) -> None:
    with pytest.raises(ValueError, match="time"):
        Config(time=given)


def test_a_first_process_that_does_not_compile(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "gcc").write_text("#!/bin/sh\necho no such header >&2\nexit 1\n")
    (tmp_path / "gcc").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(HostUnfit, match="gcc failed: no such header"):
        compiling.compile_program("init", INIT)
