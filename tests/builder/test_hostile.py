"""Builds that mean harm, and builds that meet it: on our engine, by the unmodified docker."""

import io
import secrets
import subprocess
import sys
import tarfile
import threading
import time
from pathlib import Path

import pytest
from building_engines import Engine, box_root
from clients.engine import ROOT, opened_moby
from lenders import Lender
from moby_builder.dockerfile.plugin import Config
from peers.binaries import file
from peers.box import archive
from peers.sandbox import PATIENCE_S, TEMPORARY, until

from moby.contracts.builder import BuildFailed, Log, Request
from moby.errors import Unavailable
from moby.testing.mounted import own_mounts
from moby.testing.net_namespaces import own_network

pytestmark = pytest.mark.slow

PRIVATE = "/run/private"
"""A file of the host's that no build may see."""
SOON_S = 100
"""A refusal takes no longer, on a machine that has other things to do."""


class Target:
    def __init__(self, engine):
        self.engine, self.sandbox = engine, engine.sandbox
        self.word = f"private-{secrets.token_hex(8)}"
        self.sandbox.seen(PRIVATE).write_text(self.word)
        self._count = 0

    def context(self, dockerfile, **files):
        """Make a context of its own; return its place inside."""
        self._count += 1
        place = TEMPORARY / f"context{self._count}"
        folder = self.sandbox.seen(place)
        folder.mkdir()
        data = dockerfile if isinstance(dockerfile, bytes) else dockerfile.encode()
        (folder / "Dockerfile").write_bytes(data)
        for name, text in files.items():
            (folder / name).write_text(text)
        return place

    def build(self, place, *words, **options):
        """Build, whatever comes of it; the engine lives on, and has told nothing private."""
        done = self.engine("build", "--progress=plain", "--network=none", *words, place, check=False, **options)
        self.check(done.stdout + done.stderr)
        return done

    def packed(self, members, *words, classic=False):
        """Build of an archive on standard input."""
        data = io.BytesIO()
        with tarfile.open(fileobj=data, mode="w") as out:
            for member, content in members:
                member.size = len(content)
                out.addfile(member, io.BytesIO(content))
        done = subprocess.run(
            self.sandbox.argv("docker", "build", *words, "-"), input=data.getvalue(), capture_output=True,
            timeout=PATIENCE_S,
            check=False, env=self.sandbox.environment | ({"DOCKER_BUILDKIT": "0"} if classic else {}),
        )  # fmt: skip
        self.check((done.stdout + done.stderr).decode(errors="replace"))
        return done

    def check(self, said):
        assert self.word not in said
        self.engine("version")


@pytest.fixture(scope="module")
def target(tmp_path_factory, docker_pyz):
    file("usr/libexec/docker/cli-plugins/docker-buildx", "buildx")
    folder = tmp_path_factory.mktemp("hostile")
    image = archive(folder / "image.tar", folder / "rootfs")
    with opened_moby(folder / "engine", image, docker_pyz) as engine:
        yield Target(engine)
        engine.sandbox.seen(PRIVATE).unlink()
        engine.check_gone()


@pytest.mark.parametrize("path", ["../../../../../run/private", "/../../run/private", PRIVATE])
def test_a_path_that_leads_out_of_the_context(target, path):
    done = target.build(target.context(f"FROM localhost/box\nCOPY {path} /x\nRUN cat /x\n"))
    assert done.returncode == 1
    assert "not found" in done.stderr


@pytest.mark.parametrize("link", [PRIVATE, "../../../../run/private", "/proc/1/root/run/private"])
def test_a_link_that_leads_out_of_the_context(target, link):
    place = target.context("FROM localhost/box\nCOPY link /x\nRUN cat /x\n")
    (target.sandbox.seen(place) / "link").symlink_to(link)
    assert target.build(place).returncode == 1


def test_a_folder_that_leads_out_of_a_stage(target):
    done = target.build(target.context(
        "FROM localhost/box AS a\nRUN mkdir /d; ln -s /run /d/run; ln -s ../../../run /up\n"
        "FROM localhost/box\nCOPY --from=a /d/run/private /up/private /x/\nRUN cat /x/*\n"
    ))  # fmt: skip
    assert done.returncode == 1


def test_a_target_that_leads_out_of_the_image(target):
    name = f"planted-{secrets.token_hex(4)}"
    place = target.context(f"FROM localhost/box\nRUN ln -s ../../../../run /out\nCOPY {name} /out/\n", **{name: "x"})
    assert target.build(place).returncode == 0
    assert not target.sandbox.seen(f"/run/{name}").exists()


@pytest.mark.parametrize("classic", [False, True], ids=["buildkit", "classic"])
@pytest.mark.parametrize("name", ["../../../run/planted", "/run/planted", "a/../../../../run/planted"])
def test_an_archive_whose_names_lead_out(target, name, classic):
    dockerfile = (tarfile.TarInfo("Dockerfile"), b"FROM localhost/box\nCOPY . /c\n")
    target.packed([dockerfile, (tarfile.TarInfo(name), b"x")], classic=classic)
    assert not target.sandbox.seen("/run/planted").exists()


@pytest.mark.parametrize("classic", [False, True], ids=["buildkit", "classic"])
def test_an_archive_whose_links_lead_out(target, classic):
    link, hard, through = tarfile.TarInfo("Dockerfile"), tarfile.TarInfo("hard"), tarfile.TarInfo("away")
    link.type, link.linkname = tarfile.SYMTYPE, PRIVATE
    hard.type, hard.linkname = tarfile.LNKTYPE, f"../../../../..{PRIVATE}"
    through.type, through.linkname = tarfile.SYMTYPE, "/run"
    assert target.packed([(link, b"")], classic=classic).returncode == 1
    dockerfile = (tarfile.TarInfo("Dockerfile"), b"FROM localhost/box\nCOPY hard /x\nRUN cat /x\n")
    assert target.packed([dockerfile, (hard, b"")], classic=classic).returncode == 1
    target.packed([dockerfile, (through, b""), (tarfile.TarInfo("away/planted"), b"x")], classic=classic)
    assert not target.sandbox.seen("/run/planted").exists()


def test_an_added_archive_whose_names_lead_out(target):
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as out:
        link = tarfile.TarInfo("away")
        link.type, link.linkname = tarfile.SYMTYPE, "/run"
        out.addfile(link)
        for name in ("away/planted", "../../../run/planted"):
            out.addfile(tarfile.TarInfo(name))
    place = target.context("FROM localhost/box\nADD a.tar /d/\n")
    (target.sandbox.seen(place) / "a.tar").write_bytes(data.getvalue())
    target.build(place)
    assert not target.sandbox.seen("/run/planted").exists()


def test_links_that_lead_round(target):
    place = target.context("FROM localhost/box\nCOPY a/x /x\n")
    folder = target.sandbox.seen(place)
    (folder / "a").symlink_to("b")
    (folder / "b").symlink_to("a")
    begun = time.monotonic()
    assert target.build(place).returncode == 1
    stage = target.context(
        "FROM localhost/box AS s\nRUN ln -s m /l; ln -s l /m\nFROM localhost/box\nCOPY --from=s /l/x /\n"
    )
    assert target.build(stage).returncode == 1
    assert time.monotonic() - begun < SOON_S


def test_ignore_files_that_are_too_much(target):
    place = target.context("FROM localhost/box\nCOPY . /c\n", **{".dockerignore": "x" * 100 + "\n"})
    path = target.sandbox.seen(place) / ".dockerignore"
    path.write_text("some/name\n" * 200_000)
    begun = time.monotonic()
    done = target.build(place)
    assert done.returncode == 1
    assert "dockerignore" in done.stderr
    path.write_text("".join(f"{'**/' * 40}{'*a' * 40}{number}\n" for number in range(20)))
    deep = target.sandbox.seen(place).joinpath(*["a" * 60] * 20)
    deep.mkdir(parents=True)
    (deep / ("a" * 200)).touch()
    assert target.build(place).returncode == 0
    assert time.monotonic() - begun < 2 * SOON_S


@pytest.mark.parametrize(
    "data",
    [
        b"\0" * 1000, b"\x7fELF" + bytes(range(256)) * 50, b"FROM localhost/box\nRUN " + b"x" * 70_000,
        b"FROM localhost/box\n" + b"#" * (17 << 20),
        b"FROM localhost/box\nRUN <<" + b"A\n" * 1000,
        b"FROM a AS b\nFROM b AS a\n" * 50,
        b"FROM localhost/box\nCOPY --from=later / /\nFROM localhost/box AS later\nCOPY --from=0 / /\n",
        b"ARG " + b"A=$A" * 5000,
        b"FROM localhost/box\nENV A=" + b"${B:-" * 10_000 + b"}" * 10_000 + b"\n",
        b"", b"FROM\n", b"RUN true\nFROM x\n",
    ],
    ids=lambda data: repr(data[:12]),
)  # fmt: skip
def test_a_file_that_makes_no_sense(target, data):
    place = target.context(data)
    begun = time.monotonic()
    assert target.build(place).returncode == 1
    assert time.monotonic() - begun < SOON_S


def test_a_large_file_whose_last_line_makes_no_sense(target):
    """Is told in words that a client takes, if without the file."""
    done = target.build(target.context(b"FROM localhost/box\n" + b"# of no use\n" * 700_000 + b"NONESUCH\n"))
    assert done.returncode == 1
    assert "unknown instruction: NONESUCH" in done.stderr


def test_secrets_are_nowhere_afterwards(target):
    words = [secrets.token_hex(24) for _ in range(2)]
    target.sandbox.seen(TEMPORARY / "secret").write_text(words[0])
    place = target.context(
        "FROM localhost/box\n"
        "RUN --mount=type=secret,id=file --mount=type=secret,id=var,env=VAR,required=true \\\n"
        "  [ -s /run/secrets/file ] && [ -n \"$VAR\" ] && wc -c /run/secrets/file && echo ${#VAR} >/length\n"
        "RUN [ ! -s /run/secrets/file ] && [ -z \"$VAR\" ] && cat /length\n"
    )  # fmt: skip
    done = target.build(
        place, "-t", "kept", "--secret", f"id=file,src={TEMPORARY}/secret", "--secret", "id=var,env=OF_THE_USER",
        env={"OF_THE_USER": words[1]},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "48 /run/secrets/file" in done.stderr
    target.sandbox.seen(TEMPORARY / "secret").unlink()
    said = (
        done.stdout + done.stderr + target.engine.out("history", "--no-trunc", "kept") + target.engine.log.read_text()
    )
    places = [ROOT, "/run", "/var/lib/docker", TEMPORARY, "/tmp"]
    others = "--exclude-dir=pytest-of-*"  # as large as whole disks
    for word in words:
        assert word not in said
        found = target.sandbox.run("grep", "-rlaF", "-s", "-D", "skip", others, word, *places, check=False)
        assert found.stdout == ""
    # What is looked with finds what is there.
    assert target.sandbox.run("grep", "-rlaF", "-s", "-D", "skip", target.word, "/run").stdout.split() == [PRIVATE]


def test_an_engine_that_is_killed_in_mid_build(target):
    mark = secrets.token_hex(4)
    place = target.context(f"FROM localhost/box\nRUN echo {mark} >/done\nRUN echo begun; sleep 100077\n")
    before = target.sandbox.trace()
    words = target.sandbox.argv("docker", "build", "--progress=plain", "--network=none", place)
    with subprocess.Popen(words, env=target.sandbox.environment, stderr=subprocess.PIPE, text=True) as running:
        for line in running.stderr:
            if "begun" in line and "RUN" not in line:
                break
        target.sandbox.run("kill", "-9", target.engine.pid())
        running.stderr.read()
        assert running.wait(PATIENCE_S) == 1
    target.engine._daemon.wait(PATIENCE_S)
    target.engine._begin()
    until(
        lambda: not [each for each in target.sandbox.processes().values() if each.startswith("sleep 100077")], "its end"
    )
    until(lambda: not [each for each in target.sandbox.trace() - before if "mount" in each or "group" in each], "less")
    shorter = target.sandbox.seen(place) / "Dockerfile"
    shorter.write_text("".join(shorter.read_text().splitlines(keepends=True)[:2]) + "RUN cat /done\n")
    done = target.build(place)
    assert "CACHED" in done.stderr
    assert f" {mark}\n" in done.stderr


def test_a_disk_that_fills_up(target, docker_pyz):
    """Is an engine's of its own, without a daemon, whose root has little room."""
    small = "/run/small"
    target.sandbox.run("mkdir", small)
    target.sandbox.run("mount", "-t", "tmpfs", "-o", "size=96m,mode=755", "small", small)

    def verb(*words, **options):
        return target.sandbox.run(
            sys.executable, "/var/lib/docker/docker.pyz", "--root", f"{small}/r", *words, **options
        )

    try:
        image = target.sandbox.seen(TEMPORARY / "box.tar")
        archive(image, target.engine.log.parent / "small")
        verb("load", "-i", TEMPORARY / "box.tar")
        image.unlink()
        place = target.context(
            "FROM localhost/box\nRUN echo first >/first\nRUN dd if=/dev/zero of=/big bs=1M count=200\n"
        )
        done = verb("build", "--network=none", "-t", "big", place, check=False)
        assert done.returncode in (1, 3)
        assert "No space left" in done.stderr
        dockerfile = target.sandbox.seen(place) / "Dockerfile"
        dockerfile.write_text("FROM localhost/box\nRUN echo first >/first\nCOPY big /\n")
        (target.sandbox.seen(place) / "big").write_bytes(bytes(120 << 20))
        copied = verb("build", "--network=none", "-t", "big", place, check=False)
        assert copied.returncode in (1, 3)
        assert "no space left" in copied.stderr.lower()
        assert "bug" not in copied.stderr
        dockerfile.write_text("FROM localhost/box\nRUN echo first >/first\nRUN cat /first\n")
        (target.sandbox.seen(place) / "big").unlink()
        fits = verb("build", "--network=none", "--progress=plain", "-t", "fits", place)
        assert "CACHED" in fits.stderr
        assert " first\n" in fits.stderr
        assert "big" not in verb("images").stdout
    finally:
        verb("down", "--purge", check=False)
        target.sandbox.run("umount", small)
        target.sandbox.run("rmdir", small)


# Processes without end


class _Engine(Engine):
    def new_builder(self):
        from moby_builder.dockerfile import plugin

        return plugin.make(
            Config(most_processes=40), images=self.images, content=self.content, snapshotter=self.snapshotter,
            supervisor=self.supervisor, networks=self.networks, image_registry=self.registry, metadata=self.metadata,
            place=_place(self.root), clock=_clock(), log=self.log,
        )  # fmt: skip


def _place(root):
    from runs import place

    return place(root, "builder")


def _clock():
    from runs import Clock

    return Clock()


def _running(mark):
    found = []
    for each in Path("/proc").iterdir():
        if each.name.isdigit():
            try:
                words = (each / "cmdline").read_bytes()
            except OSError:
                continue
            if mark in words and b"python" not in words:
                found.append(each.name)
    return found


def test_processes_without_end_are_as_many_as_they_may_be_and_go_with_the_build(tmp_path):
    mark = secrets.token_hex(8)
    text = f"FROM box\nRUN : {mark}; echo begun; bomb() {{ bomb & sleep 1000; }}; bomb & exec sleep 1000\n"
    (tmp_path / "context").mkdir()
    (tmp_path / "context/Dockerfile").write_text(text)
    session = Lender({"context": tmp_path / "context"})
    begun = threading.Event()

    def tell(event):
        if isinstance(event, Log) and b"begun" in event.data:
            begun.set()

    with own_mounts(shared=True), own_network(), _Engine(tmp_path / "root", box_root(tmp_path)) as engine:
        build = engine.builder.open(session, tell)
        outcome = []

        def solve():
            try:
                outcome.append(build.solve(Request()))
            except (BuildFailed, Unavailable) as error:
                outcome.append(error)

        thread = threading.Thread(target=solve)
        thread.start()
        assert begun.wait(PATIENCE_S)
        until(lambda: len(_running(mark.encode())) > 10, "many of them")
        time.sleep(1)
        assert len(_running(mark.encode())) < 40
        build.cancel()
        thread.join(PATIENCE_S)
        assert not thread.is_alive()
        build.close()
        assert isinstance(outcome[0], BuildFailed | Unavailable)
        until(lambda: not _running(mark.encode()), "their end")
