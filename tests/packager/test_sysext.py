"""The packagers sysext and portable against their contract, and what is their own, as systemd reads it."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from attrs import evolve
from freestanding import in_empty_root
from moby_packager.portable.image import Portable
from moby_packager.pyz.archive import Pyz
from moby_packager.squashed.tree import units
from moby_packager.sysext.image import Sysext
from moby_packager.tree.folder import Tree
from test_deb import SERVING, part, source

from moby.contracts.packager import Artifact, Given, Packager
from moby.errors import HostUnfit, Unsupported
from moby.testing.packager import SOURCE, STARTED, PackagerSuite, built_in_chain

NAME = SOURCE.name
PROGRAM = f"/usr/lib/moby/{NAME}/bin/{NAME}"
"""What the link in /usr/bin leads to; by that it finds itself only where /proc is."""


@pytest.fixture(autouse=True)
def _squashing(tools: None) -> None:
    if not shutil.which("mksquashfs"):
        pytest.skip("mksquashfs is not there; `tools/peers images` unpacks it")


pytestmark = pytest.mark.slow


def said(*command: object) -> str:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def unpacked(image: Path, folder: Path) -> Path:
    said("unsquashfs", "-quiet", "-no-progress", "-dest", folder, image)
    return folder


@pytest.mark.long
class TestSysext(PackagerSuite):
    before = (Pyz(), Tree())

    @pytest.fixture
    def packager(self) -> Packager:
        return Sysext(level=1)

    def start(self, folder: Path, artifact: Artifact) -> str:
        root = unpacked(folder / artifact.files[0], folder / "root")
        done = in_empty_root(root, PROGRAM)
        return done.stdout + done.stderr


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Given:
    folder = tmp_path_factory.mktemp("tree")
    return Given(folder, built_in_chain((Pyz(), Tree()), SOURCE, folder / "before", folder))


def image(packager: Packager, tree: Given, folder: Path, instances: list[dict[str, object]] = SERVING) -> Path:
    folder.mkdir(exist_ok=True)
    made = packager.build(evolve(source(instances), given=tree), folder)
    assert sum(made.sizes_bytes.values()) == (folder / made.files[0]).stat().st_size
    return folder / made.files[0]


def listed(image: Path) -> list[str]:
    """Return what an image holds but folders and the engine's own tree."""
    lines = said("unsquashfs", "-lln", image).splitlines()
    assert {line.split()[1] for line in lines} == {"0/0"}
    assert {line.split()[3] for line in lines} == {"1980-01-01"}
    names = [line.split()[5].removeprefix("squashfs-root") for line in lines if not line.startswith("d")]
    return sorted(name for name in names if not name.startswith(f"/usr/lib/moby/{NAME}/"))


UNITS = [
    f"/usr/lib/systemd/system/moby-{NAME}.service",
    f"/usr/lib/systemd/system/moby-{NAME}.socket",
    f"/usr/lib/systemd/system/sockets.target.wants/moby-{NAME}.socket",
]


def test_an_extension_holds_this_and_nothing_else(tree: Given, tmp_path: Path) -> None:
    made = image(Sysext(level=1), tree, tmp_path)
    assert made.name == f"{NAME}.sysext.raw"
    releases = [f"/usr/lib/extension-release.d/extension-release.{NAME}{each}" for each in ("", ".sysext")]
    rest = [f"/usr/lib/sysusers.d/moby-{NAME}.conf", f"/usr/lib/tmpfiles.d/moby-{NAME}.conf"]
    assert listed(made) == sorted([f"/usr/bin/{NAME}", *UNITS, *releases, *rest, f"/usr/share/moby/{NAME}.toml"])
    root = unpacked(made, tmp_path / "root")
    assert {path.name for path in root.iterdir()} == {"usr"}
    own = root / f"usr/lib/moby/{NAME}"
    assert {path.name for path in own.iterdir()} == {f"{NAME}.pyz", "bin", "lib", "libexec", "licenses"}
    assert in_empty_root(root, PROGRAM).stdout == f"{STARTED}\n"


def test_without_a_front_end_nothing_is_started(tree: Given, tmp_path: Path) -> None:
    made = image(Sysext(level=1), tree, tmp_path, [part("runtime/native")])
    assert [each for each in listed(made) if "extension-release" not in each] == [f"/usr/bin/{NAME}"]


@pytest.mark.parametrize("name", [f"{NAME}.sysext.raw", f"{NAME}.raw"])
def test_systemd_takes_it_for_an_extension(tree: Given, tmp_path: Path, name: str) -> None:
    if not shutil.which("systemd-dissect"):
        pytest.skip("systemd-dissect is not there; `tools/peers images` unpacks it")
    made = image(Sysext(level=1), tree, tmp_path).rename(tmp_path / name)
    told = json.loads(said("systemd-dissect", "--json=short", made).partition("\n")[0])
    assert told["useSystemExtension"] == [True] or told["useSystemExtension"] is True, told
    said("systemd-dissect", "--validate", made)


def test_one_that_extends_one_system_alone(tree: Given, tmp_path: Path) -> None:
    root = unpacked(image(Sysext(system="debian", level=1), tree, tmp_path), tmp_path / "root")
    release = root / f"usr/lib/extension-release.d/extension-release.{NAME}"
    assert "ID=debian\nARCHITECTURE=x86-64\nSYSEXT_LEVEL=1.0\n" in release.read_text()


def test_a_portable_service_holds_this_and_nothing_else(tree: Given, tmp_path: Path) -> None:
    made = image(Portable(group="ops", level=1), tree, tmp_path)
    assert made.name == f"{NAME}.portable.raw"
    etc = ["/etc/group", "/etc/machine-id", f"/etc/moby/{NAME}.toml", "/etc/passwd", "/etc/resolv.conf"]
    assert listed(made) == sorted([f"/usr/bin/{NAME}", *UNITS, *etc, "/usr/lib/os-release"])
    root = unpacked(made, tmp_path / "root")
    service = (root / UNITS[0].lstrip("/")).read_text()
    assert "OOMScoreAdjust=-500\nStateDirectory=moby\n" in service
    assert "SocketGroup=ops\n" in (root / UNITS[1].lstrip("/")).read_text()
    assert in_empty_root(root, PROGRAM).stdout == f"{STARTED}\n"


def test_systemd_takes_it_for_a_portable_service(tree: Given, tmp_path: Path) -> None:
    if not shutil.which("systemd-dissect"):
        pytest.skip("systemd-dissect is not there; `tools/peers images` unpacks it")
    made = image(Portable(level=1), tree, tmp_path)
    told = json.loads(said("systemd-dissect", "--json=short", made).partition("\n")[0])
    assert told["usePortableService"] == [True] or told["usePortableService"] is True, told


def test_what_serves_nothing_is_no_service(tree: Given, tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match="has no front end, and a portable service is just that"):
        image(Portable(), tree, tmp_path, [part("runtime/native")])


@pytest.mark.parametrize(
    ("program", "message"),
    [
        pytest.param("", "mksquashfs isn't there", id="missing"),
        pytest.param("#!/bin/sh\necho broken >&2\nexit 1\n", "mksquashfs failed: broken", id="failing"),
    ],
)
def test_a_tool_that_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, message: str) -> None:
    if program:
        (tmp_path / "mksquashfs").write_text(program)
        (tmp_path / "mksquashfs").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(HostUnfit, match=message) as caught:
        Sysext().fingerprint()
    assert "apt install squashfs-tools" in caught.value.hint


def test_an_engine_that_serves_nothing_has_no_units() -> None:
    from moby_packager.installed.package import Package

    assert units(Package("x", "1", "", "x", "docker", [part("runtime/native")])) == []
