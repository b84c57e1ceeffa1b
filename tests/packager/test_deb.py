"""The packagers deb and tar against their contract, and what is their own."""

import json
import subprocess
from pathlib import Path

import pytest
from attrs import evolve
from moby_packager.deb.archive import Deb
from moby_packager.deb.plugin import Config, make
from moby_packager.installed import texts
from moby_packager.installed.package import Package
from moby_packager.pyz.archive import Pyz
from moby_packager.tar.archive import Tar
from moby_packager.tree.folder import Tree
from test_packager_mutants import Mutant

from moby.contracts.packager import Artifact, Entry, Packager, Source
from moby.engine.units import Units, render
from moby.errors import HostUnfit, Unsupported
from moby.testing.packager import SOURCE, STARTED, PackagerSuite, build_elsewhere, built_in_chain

pytestmark = pytest.mark.slow


def said(*command: object) -> str:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, timeout=120)
    return done.stdout + done.stderr


class TestDeb(PackagerSuite):
    before = (Pyz(),)

    @pytest.fixture
    def packager(self) -> Packager:
        return Deb()

    def start(self, folder: Path, artifact: Artifact) -> str:
        said("dpkg-deb", "--extract", folder / artifact.files[0], folder / "root")
        return said(folder / f"root/usr/bin/moby-{SOURCE.name}")


@pytest.mark.long
class TestTar(PackagerSuite):
    before = (Pyz(), Tree())

    @pytest.fixture
    def packager(self) -> Packager:
        return Tar(level=3)

    def start(self, folder: Path, artifact: Artifact) -> str:
        said("tar", "--zstd", "-C", folder, "-xf", folder / artifact.files[0])
        return said(folder / SOURCE.name / "bin" / SOURCE.name)


def part(id: str, **given: object) -> dict[str, object]:
    kind, _, name = id.partition("/")
    facts = {"id": id, "version": "1.0", "host": given.pop("host", [])}
    plain = {"kind": kind, "name": name, "facts": facts, "config": {}, "open": [], "policy": "required"}
    return {**plain, **given}


def need(package: str, **given: object) -> dict[str, object]:
    usual = {"what": "binary", "name": package, "package": package, "optional": False, "module": "", "option": ""}
    return {**usual, **given}


SERVING = [part("frontend/docker", open=["socket"], config={"socket": "/run/x.sock"}), part("runtime/native")]


def source(instances: list[dict[str, object]], name: str = "sample-engine") -> Source:
    lock = json.dumps({"framework": "0.1.0", "engine": {"instances": instances}}).encode()
    entries = tuple(evolve(each, data=lock) if each.path == "moby-lock.json" else each for each in SOURCE.entries)
    return Source(name, entries)


def built(folder: Path, packager: Packager, of: Source) -> Path:
    (folder / "out").mkdir()
    return folder / "out" / built_in_chain((Pyz(), packager), of, folder / "before", folder / "out").files[0]


def field(deb: Path, name: str) -> str:
    return said("dpkg-deb", "--field", deb, name).strip()


def listed(deb: Path) -> list[str]:
    lines = said("dpkg-deb", "--contents", deb).splitlines()
    return [line.split()[-1].removeprefix(".") for line in lines if not line.startswith("d")]


def test_what_is_inside_and_nothing_else(tmp_path: Path) -> None:
    deb = built(tmp_path, Deb(), source(SERVING))
    assert listed(deb) == [
        "/etc/moby/sample-engine.toml",
        "/usr/bin/moby-sample-engine",
        "/usr/lib/systemd/system/moby-sample-engine.service",
        "/usr/lib/systemd/system/moby-sample-engine.socket",
        "/usr/lib/sysusers.d/moby-sample-engine.conf",
        "/usr/share/doc/moby-sample-engine/licenses/sample/LICENSE",
    ]
    for line in said("dpkg-deb", "--contents", deb).splitlines():
        assert line.split()[1] == "0/0"


def test_without_a_front_end_nothing_is_started(tmp_path: Path) -> None:
    deb = built(tmp_path, Deb(), source([part("runtime/native")]))
    assert not any("systemd" in each or "sysusers" in each for each in listed(deb))
    said("dpkg-deb", "--control", deb, tmp_path / "control")
    assert "systemctl" not in "".join((tmp_path / "control" / each).read_text() for each in ("postinst", "prerm"))


def test_what_it_says_of_itself(tmp_path: Path) -> None:
    hosts = [need("crun"), need("zstd", optional=True), need("criu", module="criu"), need("runc", option="binary")]
    instances = [*SERVING, part("runtime/x", host=hosts, config={"binary": "/opt/runc"}), part("a/b", host=[need("")])]
    usual = part("network-driver/z", host=[need("netavark", option="binary")], config={"binary": "netavark"})
    optional = part("log-driver/y", host=[need("rsyslog")], policy="optional")
    deb = built(
        tmp_path, Deb("1.2~rc1", "Ada <ada@example.org>", "engine", "ops"), source([*instances, usual, optional])
    )
    assert field(deb, "Package") == "moby-sample-engine"
    assert field(deb, "Version") == "1.2~rc1"
    assert field(deb, "Maintainer") == "Ada <ada@example.org>"
    assert field(deb, "Depends") == "python3 (>= 3.11), crun, netavark"
    assert field(deb, "Recommends") == "criu, rsyslog, zstd"
    assert "/usr/bin/engine" in listed(deb)
    assert field(deb, "Description").splitlines()[-1].strip() == "log-driver/y 1.0"


def test_how_hard_it_is_compressed_changes_no_file(tmp_path: Path) -> None:
    made = {}
    for level in (0, 9):
        (folder := tmp_path / str(level)).mkdir()
        made[level] = built(folder, make(Config(level=level)), source(SERVING))
    assert made[0].read_bytes() != made[9].read_bytes()
    assert listed(made[0]) == listed(made[9])


@pytest.mark.parametrize("interpreter", ["/x", "/usr/bin/env python3", f"/usr/bin/{'p' * 90}"])
def test_it_runs_on_the_systems_python(tmp_path: Path, interpreter: str) -> None:
    built_in_chain((Pyz(interpreter), Deb()), SOURCE, tmp_path / "before", tmp_path)
    said("dpkg-deb", "--extract", tmp_path / "sample-engine.deb", tmp_path / "root")
    program = tmp_path / "root/usr/bin/moby-sample-engine"
    assert program.read_bytes().startswith(b"#!/usr/bin/python3 -I")
    assert said(program) == f"{STARTED}\n"


def test_sums_and_conffiles_are_right(tmp_path: Path) -> None:
    deb = built(tmp_path, Deb(), source(SERVING))
    said("dpkg-deb", "--raw-extract", deb, tmp_path / "root")
    done = subprocess.run(
        ["md5sum", "--check", "--strict", "DEBIAN/md5sums"], cwd=tmp_path / "root", capture_output=True, check=True
    )
    assert done.stdout.count(b": OK") == len(listed(deb))
    assert (tmp_path / "root/DEBIAN/conffiles").read_text() == "/etc/moby/sample-engine.toml\n"
    for name in ("postinst", "prerm", "postrm"):
        assert said("sh", "-n", tmp_path / "root/DEBIAN" / name) == ""


def test_units_are_those_of_the_verb_install() -> None:
    package = Package("sample", "1", "x <x@y>", "moby-sample", "docker", SERVING)
    command = ("/usr/bin/moby-sample", "--config", "/etc/moby/sample.toml")
    units = Units(Path("/x"), "moby-sample", False, "/run/moby/sample.sock", (), command, "docker")
    assert (texts.service(package), texts.socket(package)) == render(units)


def test_settings_name_what_is_open() -> None:
    import tomllib

    package = Package("sample", "1", "x <x@y>", "moby-sample", "docker", SERVING)
    text = texts.configuration(package)
    assert tomllib.loads(text) == {}
    opened = "\n".join(line.removeprefix("# ") for line in text.splitlines()[1:])
    assert tomllib.loads(opened) == {"frontend": {"docker": {"socket": "/run/x.sock"}}}


@pytest.mark.parametrize(
    ("packager", "name", "message"),
    [
        pytest.param(Deb(), "x" * 245, "longer than a file's name can be", id="name"),
        pytest.param(Deb(version="one"), "x", "'one' is no version of a Debian package", id="version"),
    ],
)
def test_what_it_cannot_carry(tmp_path: Path, packager: Deb, name: str, message: str) -> None:
    short = built_in_chain((Pyz(),), SOURCE, tmp_path, tmp_path)
    from moby.contracts.packager import Given

    with pytest.raises(Unsupported, match=message):
        packager.build(Source(name, SOURCE.entries, given=Given(tmp_path, short)), tmp_path)


@pytest.mark.parametrize(
    ("program", "message"),
    [
        pytest.param("", "zstd isn't there", id="missing"),
        pytest.param("#!/bin/sh\necho broken >&2\nexit 1\n", "zstd failed: broken", id="failing"),
    ],
)
def test_a_tool_that_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, message: str) -> None:
    if program:
        (tmp_path / "zstd").write_text(program)
        (tmp_path / "zstd").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(HostUnfit, match=message):
        Tar().fingerprint()


def deaf(of: Source, out: Path) -> Artifact:
    """Makes nothing of what it was given."""
    return Deb().build(evolve(of, given=evolve(of.given, artifact=Pyz().build(SOURCE, of.given.folder))), out)


def test_the_suite_fails_a_mutant_in_a_chain(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="isn't counted as its owner's"):
        TestDeb().test_growth_is_its_owners(Mutant(deaf), tmp_path)


def test_noise_in_a_chain_is_its_owners(tmp_path: Path) -> None:
    import os

    noise = Entry("sample/noise.bin", os.urandom(50_000), "runtime/sample")
    grown = evolve(SOURCE, entries=tuple(sorted([*SOURCE.entries, noise], key=lambda entry: entry.path)))
    sizes = build_elsewhere(Deb(), grown, tmp_path, before=(Pyz(),)).artifact.sizes_bytes
    assert sizes["runtime/sample"] > 50_000
