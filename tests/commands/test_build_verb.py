"""The distribution's own `build` and `builder`: without a daemon, and where another process serves the engine."""

import io
import json
import os
import pty
import shutil
import subprocess
import sys
import tarfile

import pytest
from clients.engine import ROOT, SOCKET
from peers.box import archive
from peers.sandbox import PATIENCE_S, TEMPORARY, Sandbox, until

pytestmark = pytest.mark.slow

WORK = TEMPORARY / "work"
PYZ = TEMPORARY / "docker.pyz"


class Box:
    """A sandbox with the distribution in it, whose engine nobody serves but for the time of a verb."""

    def __init__(self, sandbox):
        self.sandbox = sandbox

    def argv(self, *words):
        return [sys.executable, PYZ, "--root", ROOT, *words]

    def verb(self, *words, **options):
        return self.sandbox.run(*self.argv(*words), **options)

    def write(self, name, text):
        path = self.sandbox.seen(WORK / name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def dockerfile(self, text, **files):
        """Begin a context anew."""
        shutil.rmtree(self.sandbox.seen(WORK), ignore_errors=True)
        self.write("Dockerfile", text)
        for name, each in files.items():
            self.write(name, each)

    def build(self, *words, **options):
        return self.verb("build", *words, str(WORK), **options)

    def read(self, name):
        return self.sandbox.seen(TEMPORARY / name).read_text()


@pytest.fixture(scope="module")
def box(tmp_path_factory, docker_pyz):
    folder = tmp_path_factory.mktemp("build")
    (folder / "memory").mkdir()
    sandbox = Sandbox(folder / "memory")
    sandbox.open()
    try:
        shutil.copy(docker_pyz, sandbox.seen(PYZ))
        before = sandbox.trace()
        archive(sandbox.seen(TEMPORARY / "image.tar"), folder / "rootfs")
        found = Box(sandbox)
        found.verb("load", "-i", TEMPORARY / "image.tar")
        yield found
        found.verb("down", "--purge")
        until(lambda: not sandbox.trace() - before, "nothing left of the engine")
    finally:
        sandbox.close()


def test_an_image_and_why_it_was_built_again(box):
    box.dockerfile("FROM localhost/box\nARG A=x\nCOPY a b/\nRUN echo $A said; cat /b/a\n", a="text\n")
    done = box.build("-t", "made:1", "--progress", "plain", "--build-arg", "A=arg", "--iidfile", TEMPORARY / "id")
    assert "[3/3] RUN echo arg said; cat /b/a" in done.stderr
    assert " arg said" in done.stderr
    assert " DONE " in done.stderr
    assert box.read("id").startswith("sha256:")
    assert box.verb("images", "-q", "made:1").stdout.strip() in box.read("id")
    quiet = box.build("-q", "--build-arg", "A=arg")
    assert (quiet.stdout.strip(), quiet.stderr) == (box.read("id"), "")
    again = box.build("--explain", "--progress", "plain", "--build-arg", "A=other")
    assert "CACHED" in again.stderr
    assert "Not found in the cache:\n [3/3] RUN" in again.stderr
    assert "All steps were found in the cache." in box.build("--explain", "--build-arg", "A=other").stderr


def test_a_container_of_it_runs(box):
    box.dockerfile('FROM localhost/box\nRUN echo built >/told\nCMD ["cat", "/told"]\n')
    box.build("-t", "runs")
    assert box.verb("run", "--rm", "--network", "none", "runs").stdout == "built\n"


def test_folders_and_archives(box):
    text = "FROM localhost/box AS made\nRUN mkdir /out /out/d; echo x >/out/d/f; ln -s d/f /out/l; chmod 640 /out/d/f\n"
    box.dockerfile(f"{text}FROM scratch\nCOPY --from=made /out /\n")
    box.build("-o", TEMPORARY / "out")
    out = box.sandbox.seen(TEMPORARY / "out")
    assert (out / "d/f").read_text() == "x\n"
    assert oct((out / "d/f").stat().st_mode) == "0o100640"
    assert str((out / "l").readlink()) == "d/f"
    packed = subprocess.run(
        box.sandbox.argv(*box.argv("build", "-o", "-", str(WORK))), env=box.sandbox.environment,
        capture_output=True, timeout=PATIENCE_S, check=True,
    )  # fmt: skip
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as found:
        assert {each.name.strip("./") for each in found} >= {"d", "d/f", "l"}
    box.build("-t", "made:2", "-o", f"type=oci,dest={TEMPORARY}/image.oci", "-o", f"type=docker,dest={TEMPORARY}/d.tar")
    with tarfile.open(box.sandbox.seen(TEMPORARY / "image.oci")) as found:
        assert "index.json" in found.getnames()
    assert "made:2" in box.verb("load", "-i", TEMPORARY / "d.tar").stdout


def test_layouts_and_caches_in_folders(box):
    box.dockerfile("FROM localhost/box\nRUN echo once >/f\n")
    cache, layout = f"{TEMPORARY}/cache", f"{TEMPORARY}/layout"
    box.build(
        "-t", "laid:1", "-o", f"type=oci,tar=false,dest={layout}", "--cache-to", f"type=local,mode=max,dest={cache}"
    )  # fmt: skip
    assert json.loads(box.read("layout/index.json"))["manifests"][0]["annotations"][
        "org.opencontainers.image.ref.name"
    ] == "1"  # fmt: skip
    box.verb("builder", "prune", "-af")
    again = box.build("--progress", "plain", "--cache-from", f"type=local,src={cache}")
    assert "CACHED" in again.stderr
    box.dockerfile("FROM base\nRUN cat /f\n")
    used = box.build("--progress", "plain", "--build-context", f"base=oci-layout://{layout}:1")
    assert " once" in used.stderr
    nothing = box.build(
        "--cache-from", f"type=local,src={TEMPORARY}/none", "--build-context", f"base=oci-layout://{layout}:1"
    )
    assert nothing.returncode == 0


def test_secrets_agents_and_other_folders(box):
    box.dockerfile(
        "FROM localhost/box\n"
        "RUN --mount=type=secret,id=file --mount=type=secret,id=var,env=VAR cat /run/secrets/file; echo $VAR\n"
        "COPY --from=more x /x\nRUN cat /x\n"
    )  # fmt: skip
    box.sandbox.seen(TEMPORARY / "secret").write_text("of a file\n")
    (box.sandbox.seen(TEMPORARY / "more")).mkdir()
    (box.sandbox.seen(TEMPORARY / "more/x")).write_text("of elsewhere\n")
    done = box.build(
        "--progress=plain", "--secret", f"id=file,src={TEMPORARY}/secret", "--secret", "id=var,env=OF_THE_USER",
        "--build-context", f"more={TEMPORARY}/more", env={"OF_THE_USER": "of a variable"},
    )  # fmt: skip
    for each in ("of a file", "of a variable", "of elsewhere"):
        assert f" {each}\n" in done.stderr


@pytest.mark.parametrize("words", [("-",), ("-f", "-", WORK)], ids=["alone", "of a folder"])
def test_a_dockerfile_by_standard_input(box, words):
    box.dockerfile("FROM nonesuch\n", a="")
    assert box.verb("build", "-q", *words, input="FROM localhost/box\nRUN true\n").stdout.startswith("sha256:")


def test_an_archive_by_standard_input(box):
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as out:
        for name, text in (("other", b"FROM localhost/box\nCOPY a /\nRUN cat a\n"), ("a", b"packed\n")):
            member = tarfile.TarInfo(name)
            member.size = len(text)
            out.addfile(member, io.BytesIO(text))
    done = subprocess.run(
        box.sandbox.argv(*box.argv("build", "--progress=plain", "-f", "other", "-")), input=data.getvalue(),
        env=box.sandbox.environment, capture_output=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    assert b" packed\n" in done.stderr


def test_checks_and_outlines(box):
    box.dockerfile("FROM localhost/box as one\nARG A=1\n")
    done = box.build("--check", check=False)
    assert done.returncode == 1
    assert "FromAsCasing" in done.stdout
    found = json.loads(box.build("--call", "targets,format=json").stdout)
    assert [each["name"] for each in found["targets"]] == ["one"]
    assert "FromAsCasing" in box.build().stderr


def test_what_failed_is_shown_with_its_lines(box):
    box.dockerfile("FROM localhost/box\n\nRUN echo last words; exit 7\n")
    done = box.build("--progress=plain", check=False)
    assert done.returncode == 1
    assert "------\n > [2/2] RUN echo last words; exit 7:\n" in done.stderr
    assert "   3 | >>> RUN echo last words; exit 7\n" in done.stderr
    assert done.stderr.rstrip().endswith("exit code: 7")
    quiet = box.build("-q", check=False)
    assert "last words" in quiet.stderr


def test_an_interrupt_ends_at_once_and_leaves_nothing(box):
    box.dockerfile("FROM localhost/box\nRUN echo begun; sleep 1000\n")
    before = box.sandbox.trace()
    words = box.sandbox.argv(*box.argv("build", "--progress=plain", "-o", TEMPORARY / "never", WORK))
    with subprocess.Popen(words, env=box.sandbox.environment, stderr=subprocess.PIPE, text=True) as running:
        for line in running.stderr:
            if "begun" in line and "RUN" not in line:
                break
        box.sandbox.run("kill", "-INT", box.sandbox.pid("/never"))
        running.stderr.read()
        assert running.wait(PATIENCE_S) == 130
    assert not box.sandbox.seen(TEMPORARY / "never").exists()
    until(lambda: not [each for each in box.sandbox.processes().values() if "sleep 1000" in each], "its end")
    until(lambda: not [each for each in box.sandbox.trace() - before if "mount" in each], "all unmounted")


def test_a_terminal_shows_all_steps_in_their_places(box):
    box.dockerfile("FROM localhost/box\nRUN echo on a terminal; sleep 1\n")
    ours, theirs = pty.openpty()
    words = box.sandbox.argv(*box.argv("build", "--no-cache", "--network", "none", WORK))
    with subprocess.Popen(words, env=box.sandbox.environment, stderr=theirs, start_new_session=True) as running:
        os.close(theirs)
        said = b""
        while chunk := _read(ours):
            said += chunk
        assert running.wait(PATIENCE_S) == 0
    os.close(ours)
    assert b"[+] Building" in said
    assert b" => => # on a terminal" in said
    assert b"FINISHED" in said
    assert b"\x1b[J" in said


def _read(fd):
    try:
        return os.read(fd, 65536)
    except OSError:  # nobody has it open any more
        return b""


def test_what_builds_keep(box):
    box.dockerfile("FROM localhost/box\nRUN echo kept >/kept\n")
    box.build()
    assert "RECLAIMABLE" in box.verb("builder", "du").stdout
    entries = json.loads(box.verb("builder", "du", "--format", "json").stdout)
    assert any("echo kept" in each["Description"] for each in entries)
    assert "Description" in box.verb("builder", "du", "--verbose").stdout
    assert box.verb("builder", "prune", input="n\n").stdout.endswith("[y/N] ")
    assert "Total:\t" in box.verb("builder", "prune", "-a", input="y\n").stdout
    left = json.loads(box.verb("builder", "du", "--format", "json").stdout)
    assert not any("echo kept" in each["Description"] for each in left)
    refused = box.verb("builder", "prune", "-f", "--filter", "nonesuch=1", check=False)
    assert refused.returncode == 1
    assert "nonesuch" in refused.stderr


@pytest.fixture(scope="class")
def serving(box, tmp_path_factory):
    log = tmp_path_factory.mktemp("log") / "log"
    running = box.sandbox.start(*box.argv("serve", "--host", f"unix://{SOCKET}"), log=log)
    until(lambda: box.sandbox.seen(SOCKET).exists(), "the engine")
    yield
    box.sandbox.run("kill", str(box.sandbox.pid(" serve --host ")))
    running.wait(PATIENCE_S)


@pytest.mark.usefixtures("serving")
class TestServed:
    """Where another process serves, it is that one that builds."""

    def test_an_image(self, box):
        box.dockerfile("FROM nonesuch", a="served\n", secret="x", **{".dockerignore": "secret\nDockerfile\n"})
        box.sandbox.seen(TEMPORARY / "Elsewhere").write_text(
            "FROM localhost/box\nARG A\nCOPY . /c\nRUN cat /c/a; ls /c; echo $A\n"
        )
        done = box.build(
            "-t", "served:1", "-f", TEMPORARY / "Elsewhere", "--build-arg", "A=arg", "--label", "x=y",
            "--iidfile", TEMPORARY / "id", "--ulimit", "nofile=64:128", "--add-host", "there:10.0.0.9", "--shm-size=1m",
        )  # fmt: skip
        assert "served\n" in done.stderr
        assert "arg\n" in done.stderr
        assert "secret" not in done.stderr
        assert box.read("id") == json.loads(box.verb("image", "inspect", "served:1").stdout)[0]["Id"]

    def test_quiet(self, box):
        box.dockerfile("FROM localhost/box\nRUN true\n")
        done = box.build("-q")
        assert done.stdout.startswith("sha256:")
        assert done.stderr == ""

    def test_a_dockerfile_by_standard_input(self, box):
        assert box.verb("build", "-q", "-", input="FROM localhost/box\nRUN true\n").stdout.startswith("sha256:")

    def test_a_step_that_fails(self, box):
        box.dockerfile("FROM localhost/box\nRUN exit 7\n")
        done = box.build(check=False)
        assert done.returncode == 1
        assert "non-zero code: 7" in done.stderr

    def test_an_interrupt_ends_it_there_too(self, box):
        box.dockerfile("FROM localhost/box\nRUN echo begun; sleep 1000\n")
        words = box.sandbox.argv(*box.argv("build", "--no-cache", "--label", "interrupted=", WORK))
        with subprocess.Popen(words, env=box.sandbox.environment, stderr=subprocess.PIPE, text=True) as running:
            for line in running.stderr:
                if line == "begun\n":
                    break
            box.sandbox.run("kill", "-INT", box.sandbox.pid("interrupted="))
            assert running.wait(PATIENCE_S) == 130
        until(lambda: not [each for each in box.sandbox.processes().values() if "sleep 1000" in each], "its end")

    def test_a_file_that_makes_no_sense(self, box):
        box.dockerfile("NONESUCH\n")
        done = box.build(check=False)
        assert done.returncode == 1
        assert "NONESUCH" in done.stderr

    def test_what_it_can_t_be_told_is_refused_by_name(self, box):
        box.dockerfile("FROM localhost/box\n")
        for words in (("--secret", "id=x"), ("--output", "x"), ("--explain",), ("--cache-from", "type=local,src=x")):
            done = box.build(*words, check=False)
            assert done.returncode == 1
            assert words[0] in done.stderr
