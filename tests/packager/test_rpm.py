"""The packager rpm against its contract, and what is its own, as rpm itself reads it."""

import subprocess
from pathlib import Path

import pytest
from attrs import evolve
from moby_packager.pyz.archive import Pyz
from moby_packager.rpm.archive import Rpm
from moby_packager.rpm.plugin import Config, make
from peers.binaries import ROOT, environment, need
from test_deb import SERVING, part, source
from test_deb import need as host_need

from moby.contracts.packager import Artifact, Given, Packager, Source
from moby.errors import Unsupported
from moby.testing.packager import SOURCE, STARTED, PackagerSuite, built_in_chain

pytestmark = pytest.mark.slow


def rpm(tool: str, *arguments: object) -> str:
    """Run a program of rpm's, with the settings that lie beside it."""
    settings = environment(RPM_CONFIGDIR=str(ROOT / "usr/lib/rpm")) if (ROOT / "usr/lib/rpm").is_dir() else None
    command = [str(need(tool, "rpm")), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, env=settings)
    return done.stdout + done.stderr


def unpacked(package: Path, folder: Path) -> Path:
    """Have rpm install a package's files into a folder that stands for the root."""
    said = rpm("rpm", "--root", folder, "--nodeps", "--noscripts", "--install", package)
    assert said == ""
    return folder


class TestRpm(PackagerSuite):
    before = (Pyz(),)

    @pytest.fixture
    def packager(self) -> Packager:
        return Rpm()

    def start(self, folder: Path, artifact: Artifact) -> str:
        program = unpacked(folder / artifact.files[0], folder / "root") / f"usr/bin/moby-{SOURCE.name}"
        done = subprocess.run([program], capture_output=True, text=True, check=False, timeout=60)
        return done.stdout + done.stderr


def built(folder: Path, packager: Packager, of: Source) -> Path:
    (folder / "out").mkdir()
    return folder / "out" / built_in_chain((Pyz(), packager), of, folder / "before", folder / "out").files[0]


def asked(package: Path, folder: Path, *what: object) -> list[str]:
    """Return the lines that rpm says about a package's file."""
    return rpm("rpm", "--dbpath", folder / "db", "-qp", *what, package).splitlines()


def test_its_digests_are_right(tmp_path: Path) -> None:
    package = built(tmp_path, Rpm(), source(SERVING))
    said = rpm("rpmkeys", "--dbpath", tmp_path / "db", "--checksig", "--verbose", package)
    assert [line.strip() for line in said.splitlines()[1:]] == [
        "Header SHA256 digest: OK", "Header SHA1 digest: OK", "Payload SHA256 digest: OK", "MD5 digest: OK",
    ]  # fmt: skip
    data = bytearray(package.read_bytes())
    data[-50] ^= 1
    package.write_bytes(data)
    said = rpm("rpmkeys", "--dbpath", tmp_path / "db", "--checksig", "--verbose", package)
    assert "Payload SHA256 digest: BAD" in said


def test_how_hard_it_is_compressed_changes_no_file(tmp_path: Path) -> None:
    made = {}
    for level in (0, 9):
        (folder := tmp_path / str(level)).mkdir()
        made[level] = built(folder, make(Config(level=level)), source(SERVING))
    assert made[0].read_bytes() != made[9].read_bytes()
    assert asked(made[0], tmp_path, "--list") == asked(made[9], tmp_path, "--list") != []


def test_what_is_inside_and_nothing_else(tmp_path: Path) -> None:
    package = built(tmp_path, Rpm(), source(SERVING))
    form = "[%{FILENAMES} %{FILEMODES:octal} %{FILEUSERNAME} %{FILEFLAGS:fflags}\n]"
    assert asked(package, tmp_path, "--queryformat", form) == [
        "/etc/moby 40755 root ",
        "/etc/moby/sample-engine.toml 100644 root cn",
        "/usr/bin/moby-sample-engine 100755 root ",
        "/usr/lib/systemd/system/moby-sample-engine.service 100644 root ",
        "/usr/lib/systemd/system/moby-sample-engine.socket 100644 root ",
        "/usr/lib/sysusers.d/moby-sample-engine.conf 100644 root ",
        "/usr/share/doc/moby-sample-engine 40755 root ",
        "/usr/share/doc/moby-sample-engine/licenses 40755 root ",
        "/usr/share/doc/moby-sample-engine/licenses/sample 40755 root ",
        "/usr/share/doc/moby-sample-engine/licenses/sample/LICENSE 100644 root l",
    ]
    root = unpacked(package, tmp_path / "root")
    assert rpm("rpm", "--root", root, "--verify", "--nodeps", "--noscripts", "moby-sample-engine") == ""
    program = subprocess.run([root / "usr/bin/moby-sample-engine"], capture_output=True, text=True, check=True)
    assert program.stdout == f"{STARTED}\n"


def test_without_a_front_end_nothing_is_started(tmp_path: Path) -> None:
    package = built(tmp_path, Rpm(), source([part("runtime/native")]))
    assert not any("systemd" in each or "sysusers" in each for each in asked(package, tmp_path, "--list"))
    scripts = asked(package, tmp_path, "--scripts")
    assert "systemctl" not in "".join(scripts)
    assert "if [ $1 -eq 0 ]; then /usr/bin/moby-sample-engine down || :; fi" in scripts


def test_its_scripts_are_scripts(tmp_path: Path) -> None:
    package = built(tmp_path, Rpm(), source(SERVING))
    for name in ("POSTIN", "PREUN", "POSTUN"):
        text = "\n".join(asked(package, tmp_path, "--queryformat", f"%{{{name}}}"))
        assert "moby-sample-engine" in text or name == "POSTUN"
        done = subprocess.run(["sh", "-n"], input=text, capture_output=True, text=True, check=True)
        assert done.stderr == ""


def test_what_it_says_of_itself(tmp_path: Path) -> None:
    hosts = [
        host_need("crun", name="crun"),
        host_need("nftables", name="nft", optional=True),
        host_need("runc", name="runc", option="binary"),
    ]
    netavark = host_need("netavark", name="/usr/lib/podman/netavark", option="binary")
    usual = part("network-driver/y", host=[netavark], config={"binary": netavark["name"]})
    instances = [*SERVING, part("runtime/x", host=hosts, config={"binary": "/opt/runc"}), usual]
    packager = Rpm("1.2~rc1", "3", "Ada <ada@example.org>", "engine", "ops")
    package = built(tmp_path, packager, source(instances))
    form = "%{NEVRA} %{PACKAGER}"
    assert asked(package, tmp_path, "--queryformat", form) == [
        "moby-sample-engine-1.2~rc1-3.noarch Ada <ada@example.org>"
    ]
    needed = asked(package, tmp_path, "--requires")
    assert {"/usr/bin/python3", "python3 >= 3.11", "(/usr/bin/crun or /usr/sbin/crun)", netavark["name"]} <= set(needed)
    assert "rpmlib(TildeInVersions) <= 4.10.0-1" in needed
    assert not any("runc" in each.split("/") for each in needed)
    assert asked(package, tmp_path, "--recommends") == ["(/usr/bin/nft or /usr/sbin/nft)"]
    assert "/usr/bin/engine" in asked(package, tmp_path, "--list")
    assert "  runtime/x 1.0" in asked(package, tmp_path, "--queryformat", "%{DESCRIPTION}\n")
    assert "groupadd --system ops" in "".join(asked(package, tmp_path, "--scripts"))


@pytest.mark.parametrize(
    ("packager", "name", "message"),
    [
        pytest.param(Rpm(), "x" * 245, "longer than a file's name can be", id="name"),
        pytest.param(Rpm(version="1-2"), "x", "'1-2' is no version of a package of rpm", id="version"),
    ],
)
def test_what_it_cannot_carry(tmp_path: Path, packager: Rpm, name: str, message: str) -> None:
    short = built_in_chain((Pyz(),), SOURCE, tmp_path, tmp_path)
    with pytest.raises(Unsupported, match=message):
        packager.build(evolve(SOURCE, name=name, given=Given(tmp_path, short)), tmp_path)
